"""Sums over windows and over whole maps, channel by channel."""

import numpy as np
from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib.memory import Memory
from numpy.typing import NDArray

from ..model.layers import GlobalSum, SumPool
from .stream import Flow, Stage
from .window import Geometry
from .windowed import WindowedStage


class SumPoolStage(WindowedStage):
    """SumPool on `lanes` channels at once: kernel area * C / lanes cycles a pixel, without a gap."""

    def __init__(self, source: Flow, layer: SumPool):
        kernel = (layer.kernel, layer.kernel)
        super().__init__(
            source,
            Flow(layer.infer(source.tensor), source.lanes),
            Geometry(source.tensor.height, source.tensor.width, kernel, layer.stride, layer.padding),
            groups=0,
            dot_cycles=layer.kernel**2,
            latency=2,
        )

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


class GlobalSumStage(Stage):
    """GlobalSum: one partial sum a channel in a small memory, a word of them a cycle."""

    def __init__(self, source: Flow, layer: GlobalSum):
        super().__init__(source, Flow(layer.infer(source.tensor), source.lanes))

    @property
    def needs(self) -> NDArray[np.int64]:
        return np.array([self.source.tensor.pixels])

    @property
    def lead(self) -> int:
        return self.source.tensor.pixels

    def elaborate(self, platform):
        m = Module()
        words, pixels = self.source.words, self.source.tensor.pixels
        m.submodules.memory = memory = Memory(shape=unsigned(self.sink.bits), depth=max(2, words), init=[])
        write = memory.write_port()
        read = memory.read_port(domain="comb")
        word = Signal(range(max(2, words)))
        pixel = Signal(range(max(2, pixels)))
        last_word = Signal()
        last_pixel = Signal()
        take = Signal()
        full = Signal()
        sums = Signal(self.sink.bits)
        held = Signal(self.sink.bits)
        # The code of a sum is the sum of the codes: both intervals grow by the number of pixels.
        for total, code, old in zip(
            self.sink.codes(sums), self.source.codes(self.i.payload), self.sink.codes(read.data), strict=True
        ):
            m.d.comb += total.eq(Mux(pixel == 0, 0, old) + code)
        m.d.comb += [
            last_word.eq(word == words - 1),
            last_pixel.eq(pixel == pixels - 1),
            self.i.ready.eq(~last_pixel | ~full | self.o.ready),
            take.eq(self.i.valid & self.i.ready),
            read.addr.eq(word),
            write.addr.eq(word),
            write.data.eq(sums),
            write.en.eq(take),
            self.o.payload.eq(held),
            self.o.valid.eq(full),
        ]
        with m.If(take):
            m.d.sync += word.eq(Mux(last_word, 0, word + 1))
            with m.If(last_word):
                m.d.sync += pixel.eq(Mux(last_pixel, 0, pixel + 1))
        with m.If(take & last_pixel):
            m.d.sync += [full.eq(1), held.eq(sums)]
        with m.Elif(self.o.ready):
            m.d.sync += full.eq(0)
        return m
