# amaranth: UnusedElaboratable=no
"""Pools that join pixels as they come: what is kept is a row of partial results, not the map's lines.

Where windows neither overlap nor leave anything out each pixel belongs to one window alone. Its codes join what has
come of the window so far: by a sum, or by the larger of the two.
"""

import numpy as np
from amaranth import Cat, Module, Mux, Signal, Value
from numpy.typing import NDArray

from ...model.layers import MaxPool, Pool
from ...model.tensor import Tensor
from ..device.arithmetic import larger
from ..device.memory import memory, place
from ..device.resources import Resources, adder, comparison, counter, stored
from ..device.target import Family
from ..stream.flow import Flow
from ..stream.stage import Stage
from ..window.window import Geometry


class RunningPoolStage(Stage):
    """A pool whose windows lie side by side, with a partial result for each word of a row of the output.

    A word in a cycle. Registers follow and precede the block that holds the partial results, for it gives them late and
    may lie far off. So a pixel has at least WORDS words: before the same partial result is asked for again it has been
    written.

    Attributes
    ----------
    uneven, uneven_source, uneven_sink : as a WindowedStage's; its flows are even
    depth : words of partial results, with those between a pixel's last and the next power of two
    """

    WORDS = 4

    latency = 3
    uneven = False
    uneven_source = uneven_sink = 0

    def __init__(self, source: Flow, layer: Pool, family: Family):
        self.layer, self.family = layer, family
        super().__init__(source, Flow(layer.infer(source.tensor), source.lanes))
        t = source.tensor
        self.geometry = Geometry(t.height, t.width, (layer.kernel, layer.kernel), layer.stride, layer.padding)
        self.lead = self.geometry.lead
        self.storage = source.held(self.latency)
        self.depth = (self.geometry.out_width - 1 << (source.words - 1).bit_length()) + source.words

    @property
    def needs(self) -> NDArray[np.int64]:
        return self.geometry.needs

    @classmethod
    def takes(cls, t: Tensor, layer: Pool, lanes: int) -> bool:
        """Whether a layer on such a map, `lanes` channels at once, is such a pool."""
        size = layer.kernel
        whole = size == layer.stride and not any(layer.padding) and t.height % size == 0 == t.width % size
        return whole and size > 1 and t.channels // lanes >= cls.WORDS

    def resources(self, family: Family) -> Resources:
        bits, address = self.sink.tensor.bits, (self.depth - 1).bit_length()
        where = place(self.sink.bits, self.depth, family)
        kept = stored(where)
        if not where.blocks:
            kept += Resources(0, self.sink.bits)  # what the read port gave
        largest = isinstance(self.layer, MaxPool)
        joined = Resources(comparison(bits, family) + bits if largest else adder(bits - 1, family))
        found = kept.named("sums") + joined * self.sink.lanes
        for values in (self.source.words, self.geometry.out_width, self.layer.kernel, self.layer.kernel):
            found += counter(values, family)
        return found + Resources(10, 2 * self.source.bits + 2 * self.sink.bits + 3 * address + 9)

    def elaborate(self, platform):
        m = Module()
        size, words, columns = self.layer.kernel, self.source.words, self.geometry.out_width
        # Where the next word lies: in its pixel; which window of the row, which column and row of it.
        word = Signal(range(words))
        column = Signal(range(columns))
        across = Signal(range(size))
        down = Signal(range(size))
        ends_word, ends_across = word == words - 1, across == size - 1
        slot = Cat(word, column) if columns > 1 else word
        m.submodules.memory = partials = memory(self.sink.bits, self.depth, self.family)
        write, read = partials.write_port(), partials.read_port()

        # A word's partial result is read; a cycle later it is in the register, and one more later what came of it.
        asked = Signal()
        came = Signal(self.source.bits, reset_less=True)
        before = Signal.like(slot, name="before")
        first = Signal()
        last = Signal()
        here = Signal()
        code = Signal(self.source.bits, reset_less=True)
        so_far = Signal(self.sink.bits, reset_less=True)
        fresh = Signal(reset_less=True)  # it is of another window
        at = Signal.like(slot, name="at")
        ends = Signal()
        joined = Signal(self.sink.bits, reset_less=True)
        writes = Signal()
        to = Signal.like(slot, name="to")
        done = Signal()
        # Only a window's last word waits for its being taken.
        step = Signal()
        m.d.comb += [
            step.eq(~done | self.o.ready),
            self.i.ready.eq(step),
            read.addr.eq(slot),
            read.en.eq(step),
            write.addr.eq(to),
            write.data.eq(joined),
            write.en.eq(writes),
            self.o.payload.eq(joined),
            self.o.valid.eq(done),
        ]
        lanes = zip(self.source.codes(code), self.sink.codes(so_far), strict=True)
        with m.If(step):
            m.d.sync += [
                asked.eq(self.i.valid),
                came.eq(self.i.payload),
                before.eq(slot),
                first.eq((across == 0) & (down == 0)),
                last.eq(self.i.valid & ends_across & (down == size - 1)),
                here.eq(asked),
                code.eq(came),
                so_far.eq(read.data),  # and nothing else: a block's own register
                fresh.eq(first),
                at.eq(before),
                ends.eq(last),
                joined.eq(Cat(self._joined(*each, fresh) for each in lanes)),
                writes.eq(here),
                to.eq(at),
                done.eq(ends),
            ]
        with m.If(step & self.i.valid):
            m.d.sync += word.eq(Mux(ends_word, 0, word + 1))
            with m.If(ends_word):
                m.d.sync += across.eq(Mux(ends_across, 0, across + 1))
                with m.If(ends_across):
                    m.d.sync += column.eq(Mux(column == columns - 1, 0, column + 1))
                    with m.If(column == columns - 1):
                        m.d.sync += down.eq(Mux(down == size - 1, 0, down + 1))
        return m

    def _joined(self, code: Value, so_far: Value, fresh: Value) -> Value:
        """What a code makes of the partial result, or of none."""
        if isinstance(self.layer, MaxPool):
            return Mux(fresh | larger(code, so_far, self.family), code, so_far)
        # The code of a sum is the sum of the codes: both intervals grow by the area.
        return (code + Mux(fresh, 0, so_far))[: self.sink.tensor.bits]
