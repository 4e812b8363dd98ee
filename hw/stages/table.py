# amaranth: UnusedElaboratable=no
"""A table of a code's values, one a lane."""

from amaranth import Cat, Module

from ...model.layers import Table
from ..device.function import function_luts
from ..device.memory import memory, place, varying
from ..device.resources import Resources, stored
from ..device.target import Family
from ..stream.flow import Flow
from ..stream.register import output_register
from ..stream.stage import Stage


class TableStage(Stage):
    """A Table on every lane, a word a cycle: a read-only memory whose words are the codes of the values.

    It lies in look-up tables, or in a block where these would be more than a block is worth.

    Attributes
    ----------
    words : the codes of the values, one for each code there may be; those that never come are as the last that does
    """

    def __init__(self, source: Flow, layer: Table, family: Family):
        self.family = family
        super().__init__(source, Flow(layer.infer(source.tensor), source.lanes))
        self.storage = source.held(1)
        codes = (layer.values - self.sink.tensor.lo).tolist()
        self.words = tuple(codes + codes[-1:] * ((1 << source.tensor.bits) - len(codes)))

    @property
    def luts(self) -> int:
        """Of a lane, where no block is taken."""
        return function_luts(self.words, self.family)

    def resources(self, family: Family) -> Resources:
        where = place(varying(self.words), len(self.words), family, rom=True, luts=self.luts)
        each = stored(where)
        if not where.blocks:
            each += Resources(0, varying(self.words))
        return each * self.source.lanes + Resources(2, 1)

    def elaborate(self, platform):
        m = Module()
        values = []
        for lane, code in enumerate(self.source.codes(self.i.payload)):
            table = memory(self.sink.tensor.bits, len(self.words), self.family, self.words, luts=self.luts)
            m.submodules[f"table{lane}"] = table
            read = table.read_port()
            m.d.comb += read.addr.eq(code)
            values.append(read)
        full, move = output_register(m, self.o, Cat(read.data for read in values))
        m.d.comb += [self.i.ready.eq(move), *(read.en.eq(move) for read in values)]
        with m.If(move):
            m.d.sync += full.eq(self.i.valid)
        return m
