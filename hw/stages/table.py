# amaranth: UnusedElaboratable=no
"""A table of a code's values, one a lane."""

from amaranth import Cat, Module

from ...model.layers import Table
from ..device.function import function_luts
from ..device.loaded import LoadedMemory
from ..device.memory import memory, place, varying
from ..device.resources import Resources, stored, total
from ..device.target import Family
from ..stream.flow import Flow
from ..stream.load import LoadLink
from ..stream.register import output_register
from ..stream.stage import Stage


class TableStage(Stage):
    """A Table on every lane, a word a cycle: a read-only memory whose words are the codes of the values.

    It lies in look-up tables, or in a block where these would be more than a block is worth.

    Attributes
    ----------
    words : the codes of the values, one for each code there may be; those that never come are as the last that does
    """

    def __init__(self, source: Flow, layer: Table, family: Family, loadable: bool = False):
        self.layer, self.family = layer, family
        sink = Flow(layer.infer(source.tensor), source.lanes)
        depth = 1 << source.tensor.bits
        lanes = source.lanes if loadable else 0
        self.loaded = [LoadedMemory(sink.tensor.bits, depth, family) for _ in range(lanes)]
        super().__init__(source, sink, LoadLink([(sink.tensor.bits, depth)]) if loadable else None)
        self.storage = source.held(1)
        self.words = tuple(self.contents(layer)[0])

    def contents(self, layer: Table) -> list[list[int]]:
        codes = (layer.values - self.sink.tensor.lo).tolist()
        return [codes + codes[-1:] * ((1 << self.source.tensor.bits) - len(codes))]

    @property
    def luts(self) -> int:
        """Of a lane, where no block is taken."""
        return function_luts(self.words, self.family)

    def resources(self, family: Family) -> Resources:
        if self.loaded:
            found = total(table.resources(family) for table in self.loaded).named("table")
            return found + self.link.resources(family) + Resources(2, 1)
        where = place(varying(self.words), len(self.words), family, rom=True, luts=self.luts)
        each = stored(where)
        if not where.blocks:
            each += Resources(0, varying(self.words))
        return each.named("table") * self.source.lanes + Resources(2, 1)

    def elaborate(self, platform):
        m = Module()
        if self.loaded:
            fill, values = self.add_link(m).fill0, []
            for lane, (code, table) in enumerate(zip(self.source.codes(self.i.payload), self.loaded, strict=True)):
                m.submodules[f"table{lane}"] = table
                m.d.comb += [
                    table.fill.write.eq(fill.write),
                    table.fill.row.eq(fill.row),
                    table.fill.word.eq(fill.word),
                    table.address.eq(code),
                ]
                values.append((table.data, table.enable))
        else:
            values = [self._rom(m, lane, code) for lane, code in enumerate(self.source.codes(self.i.payload))]
        full, move = output_register(m, self.o, Cat(value for value, _ in values))
        m.d.comb += [self.i.ready.eq(move), *(enable.eq(move) for _, enable in values)]
        with m.If(move):
            m.d.sync += full.eq(self.i.valid)
        return m

    def _rom(self, m, lane, code):
        """A lane's value a cycle later, and what lets it be read."""
        table = memory(self.sink.tensor.bits, len(self.words), self.family, self.words, luts=self.luts)
        m.submodules[f"table{lane}"] = table
        read = table.read_port()
        m.d.comb += read.addr.eq(code)
        return read.data, read.en
