# amaranth: UnusedElaboratable=no
"""Pools, channel by channel; and sums over windows and over whole maps."""

from dataclasses import replace

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, Value
from numpy.typing import NDArray

from ...model.layers import GlobalSum, Pool
from ..device.arithmetic import later, tree
from ..device.memory import memory, place
from ..device.resources import Resources, adder, counter, stored
from ..device.target import Family
from ..stream.flow import Flow
from ..stream.register import output_register
from ..stream.stage import Stage
from ..window.slide import SlidingWindow, Sweep
from ..window.window import Geometry
from .windowed import WindowedStage


class PoolStage(WindowedStage):
    """A pool on `lanes` channels at once: kernel area * C / lanes cycles a pixel, without a gap."""

    def __init__(self, source: Flow, layer: Pool, family: Family, *, least: bool = False):
        super().__init__(
            source,
            Flow(layer.infer(source.tensor), source.lanes),
            _geometry(source, layer),
            groups=0,
            dot_cycles=layer.kernel**2,
            latency=2,
            family=family,
            least=least,
        )


class SlidingPoolStage(WindowedStage):
    """A pool on all taps and channels at once, of the windows that a word of whole pixels completes: a word a cycle.

    What the taps of a window are joined in is a tree, registered at every level.

    Attributes
    ----------
    area : taps of a window
    levels : of the tree
    """

    def __init__(self, source: Flow, layer: Pool, family: Family, *, least: bool = False):
        sweep = Sweep(_geometry(source, layer), source.pixels)
        self.area = layer.kernel**2
        self.levels = (self.area - 1).bit_length()
        super().__init__(
            source,
            Flow(layer.infer(source.tensor), sweep.windows * source.tensor.channels),
            sweep,
            groups=1,
            dot_cycles=1,
            latency=self.levels + 1,
            family=family,
            least=least,
        )

    def taps(self, window: SlidingWindow) -> list[list[Value]]:
        """The codes that the window gives for each lane."""
        channels = self.source.tensor.channels
        # A constant map still has codes of one bit: Verilog has no signal of none.
        width = window.read_flow.tensor.bits
        codes = [window.word[start : start + width] for start in range(0, len(window.word), width)]
        starts = (at * self.area * channels for at in range(self.sink.lanes // channels))
        return [
            codes[start + channel : start + self.area * channels : channels]
            for start in starts
            for channel in range(channels)
        ]


def _geometry(source: Flow, layer: Pool) -> Geometry:
    kernel = (layer.kernel, layer.kernel)
    return Geometry(source.tensor.height, source.tensor.width, kernel, layer.stride, layer.padding)


class SumPoolStage(PoolStage):
    """SumPool: a partial sum a lane."""

    def resources(self, family: Family) -> Resources:
        bits = self.sink.tensor.bits
        each = bits if family.inputs == 6 else adder(bits - 1, family) + bits
        return self.frame_resources(family) + Resources(each * self.sink.lanes, self.sink.bits + 1)

    def elaborate(self, platform):
        m = Module()
        window, queue = self.frame(m)
        # The code of a sum is the sum of the codes: both intervals grow by the area.
        sums = []
        for lane, code in enumerate(window.read_flow.codes(window.word)):
            total = Signal(self.sink.tensor.bits, name=f"sum{lane}")
            sums.append(total)
            with m.If(window.valid):
                m.d.sync += total.eq(Mux(window.first, 0, total) + code)
        done = Signal()
        m.d.sync += done.eq(window.valid & window.last)
        m.d.comb += [queue.w_data.eq(Cat(sums)), queue.w_en.eq(done)]
        return m


class SlidingSumPoolStage(SlidingPoolStage):
    """SumPool with all taps of a window at once."""

    def resources(self, family: Family) -> Resources:
        luts = ffs = 0
        bits, terms = self.source.tensor.bits, self.area
        while terms > 1:
            luts += terms // 2 * adder(bits, family)
            terms, bits = -(-terms // 2), bits + 1
            ffs += terms * min(bits, self.sink.tensor.bits)
        return self.frame_resources(family) + Resources(luts, ffs) * self.sink.lanes + Resources(1, self.levels)

    def elaborate(self, platform):
        m = Module()
        window, queue = self.frame(m)
        t = window.read_flow.tensor
        sums = []
        for lane, codes in enumerate(self.taps(window)):
            # The code of a sum is the sum of the codes: both intervals grow by the area.
            total, _ = tree(m, [(code, max(1, t.hi - t.lo)) for code in codes], self.levels, f"sum{lane}")
            sums.append(Cat(total, Const(0, self.sink.tensor.bits))[: self.sink.tensor.bits])
        m.d.comb += [queue.w_data.eq(Cat(sums)), queue.w_en.eq(later(m, window.valid, self.levels))]
        return m


class PixelSumStage(Stage):
    """The sum of each `count` adjacent pixels of a word of several."""

    def __init__(self, source: Flow, count: int):
        t = source.tensor
        summed = replace(t, width=t.width // count, lo=t.lo * count, hi=t.hi * count)
        self.count = count
        super().__init__(source, Flow(summed, source.lanes // count))

    @property
    def needs(self) -> NDArray[np.int64]:
        return self.source.whole(self.sink.whole(np.arange(1, self.sink.tensor.pixels + 1)) * self.count)

    @property
    def lead(self) -> int:
        return self.source.pixels

    def resources(self, family: Family) -> Resources:
        added = (self.count - 1) * adder(self.sink.tensor.bits - 1, family)
        return Resources(added, self.sink.tensor.bits) * self.sink.lanes + Resources(2, 1)

    def elaborate(self, platform):
        m = Module()
        channels = self.source.tensor.channels
        held = Signal(self.sink.bits)
        full, move = output_register(m, self.o, held)
        m.d.comb += self.i.ready.eq(move)
        codes = self.source.codes(self.i.payload)
        for lane, total in enumerate(self.sink.codes(held)):
            pixel, channel = divmod(lane, channels)
            first = pixel * self.count * channels + channel
            # The code of a sum is the sum of the codes: both intervals grow by the count.
            with m.If(move):
                m.d.sync += total.eq(sum(codes[first + k * channels] for k in range(self.count)))
        with m.If(move):
            m.d.sync += full.eq(self.i.valid)
        return m


class GlobalSumStage(Stage):
    """GlobalSum: one partial sum a channel in a small memory, a word of them a cycle; words of one pixel at most."""

    def __init__(self, source: Flow, layer: GlobalSum, family: Family):
        self.family = family
        super().__init__(source, Flow(layer.infer(source.tensor), source.lanes))

    @property
    def needs(self) -> NDArray[np.int64]:
        return np.array([self.source.tensor.pixels])

    @property
    def lead(self) -> int:
        return self.source.tensor.pixels

    def resources(self, family: Family) -> Resources:
        words, bits = self.source.words, self.sink.tensor.bits
        where = place(self.sink.bits, words, family)
        kept = stored(where) if words > 1 else Resources()
        if not where.blocks:
            kept += Resources(0, self.sink.bits)  # what the read port gave
        added = Resources(self.source.lanes * (bits if family.inputs == 6 else adder(bits - 1, family) + bits))
        counters = counter(words, family) + counter(self.source.tensor.pixels, family)
        return kept + added + counters + Resources(5, self.sink.bits + 1)

    def elaborate(self, platform):
        m = Module()
        words, pixels = self.source.words, self.source.tensor.pixels
        word = Signal(range(max(2, words)))
        pixel = Signal(range(max(2, pixels)))
        last_word = Signal()
        last_pixel = Signal()
        take = Signal()
        sums = Signal(self.sink.bits)
        held = Signal(self.sink.bits)
        full, move = output_register(m, self.o, held)
        partial = Signal(self.sink.bits)
        if words == 1:
            with m.If(take):
                m.d.sync += partial.eq(sums)
        else:
            # The next word's sum is asked for while this one's is written: never one and the same.
            following = Signal.like(word)
            m.submodules.memory = partials = memory(self.sink.bits, words, self.family)
            write = partials.write_port()
            read = partials.read_port()
            m.d.comb += [
                following.eq(Mux(last_word, 0, word + 1)),
                read.addr.eq(following),
                read.en.eq(take),
                partial.eq(read.data),
                write.addr.eq(word),
                write.data.eq(sums),
                write.en.eq(take),
            ]
            with m.If(take):
                m.d.sync += word.eq(following)
        # The code of a sum is the sum of the codes: both intervals grow by the number of pixels.
        for total, code, old in zip(
            self.sink.codes(sums), self.source.codes(self.i.payload), self.sink.codes(partial), strict=True
        ):
            m.d.comb += total.eq(Mux(pixel == 0, 0, old) + code)
        m.d.comb += [
            last_word.eq(word == words - 1),
            last_pixel.eq(pixel == pixels - 1),
            self.i.ready.eq(~last_pixel | move),
            take.eq(self.i.valid & self.i.ready),
        ]
        with m.If(take & last_word):
            m.d.sync += pixel.eq(Mux(last_pixel, 0, pixel + 1))
        with m.If(move):
            m.d.sync += [full.eq(take & last_pixel), held.eq(sums)]
        return m
