# amaranth: UnusedElaboratable=no
"""Sums over whole maps, channel by channel."""

from dataclasses import replace

import numpy as np
from amaranth import Module, Mux, Signal
from numpy.typing import NDArray

from ...model.layers import GlobalSum
from ..device.arithmetic import wrap_add
from ..device.memory import memory, place
from ..device.resources import Resources, adder, counter, stored
from ..device.target import Family
from ..stream.flow import Flow
from ..stream.register import output_register
from ..stream.stage import Stage


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
    """GlobalSum: one partial sum a channel in a small memory, a word of them a cycle; words of one pixel at most.

    Attributes
    ----------
    ahead : words by which the sum of a word is asked for before it comes; two where a block, between registers, has it
    """

    def __init__(self, source: Flow, layer: GlobalSum, family: Family):
        self.family = family
        super().__init__(source, Flow(layer.infer(source.tensor), source.lanes))
        words = source.words
        self.ahead = 2 if words > 3 and place(self.sink.bits, words, family).blocks else 1

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
        if not where.blocks or self.ahead > 1:
            kept += Resources(0, self.sink.bits)  # what the read port gave
        added = Resources(self.source.lanes * (bits if family.inputs == 6 else adder(bits - 1, family) + bits))
        counters = counter(words, family) + counter(self.source.tensor.pixels, family)
        counters += Resources(0, (words - 1).bit_length())
        if self.ahead > 1:
            counters += counter(words, family) + Resources(0, self.sink.bits + (words - 1).bit_length() + 1)
        return kept.named("sums") + added + counters + Resources(5, self.sink.bits + 2)

    def elaborate(self, platform):
        m = Module()
        words, pixels = self.source.words, self.source.tensor.pixels
        word = Signal(range(max(2, words)))
        pixel = Signal(range(max(2, pixels)))
        fresh = Signal(init=1)  # the first pixel's words come
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
            # A later word's sum is asked for while this one's is written: never one and the same.
            following = Signal(range(words), init=1)
            asked = Signal(range(words), init=2) if self.ahead > 1 else following
            m.submodules.memory = partials = memory(self.sink.bits, words, self.family)
            write = partials.write_port()
            read = partials.read_port()
            with m.If(take):
                m.d.sync += [word.eq(following), following.eq(wrap_add(following, 1, words))]
            if self.ahead > 1:
                kept = Signal(self.sink.bits, reset_less=True)
                written = Signal(self.sink.bits, reset_less=True)
                to = Signal(range(words))
                writes = Signal()
                m.d.sync += [written.eq(sums), to.eq(word), writes.eq(take)]
                with m.If(take):
                    m.d.sync += [kept.eq(read.data), asked.eq(wrap_add(asked, 1, words))]
            else:
                kept, written, to, writes = read.data, sums, word, take
            m.d.comb += [
                partial.eq(kept),
                read.addr.eq(asked),
                read.en.eq(take),
                write.addr.eq(to),
                write.data.eq(written),
                write.en.eq(writes),
            ]
        # The code of a sum is the sum of the codes: both intervals grow by the number of pixels.
        for total, code, old in zip(
            self.sink.codes(sums), self.source.codes(self.i.payload), self.sink.codes(partial), strict=True
        ):
            m.d.comb += total.eq(Mux(fresh, 0, old) + code)
        m.d.comb += [
            last_word.eq(word == words - 1),
            last_pixel.eq(pixel == pixels - 1),
            self.i.ready.eq(~last_pixel | move),
            take.eq(self.i.valid & self.i.ready),
        ]
        with m.If(take & last_word):
            m.d.sync += [pixel.eq(Mux(last_pixel, 0, pixel + 1)), fresh.eq(last_pixel)]
        with m.If(move):
            m.d.sync += [full.eq(take & last_pixel), held.eq(sums)]
        return m
