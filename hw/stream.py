# amaranth: UnusedElaboratable=no
"""How pixels travel between stages: words of channel codes on Amaranth streams.

A *code* is q - lo of a tensor, unsigned in ``tensor.bits`` bits, so that no stage needs a sign. A *word*
holds `lanes` codes of one pixel, the lowest channel in the lowest bits; a pixel is channels / lanes words,
a frame its pixels in raster order, and frames follow each other without a gap or a marker: each stage
counts for itself. Every stream keeps Amaranth's rules (lib.stream): valid never waits for ready, and a
payload stays until it is taken.
"""

from dataclasses import dataclass, replace
from math import lcm

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from ..model.tensor import Tensor


@dataclass(frozen=True)
class Flow:
    """What a stream carries: a tensor, `lanes` channels a word."""

    tensor: Tensor
    lanes: int

    def __post_init__(self):
        if self.lanes < 1 or self.tensor.channels % self.lanes:
            raise ValueError(f"{self.lanes} lanes do not divide {self.tensor.channels} channels")

    @property
    def words(self) -> int:
        """Words of one pixel."""
        return self.tensor.channels // self.lanes

    @property
    def frame_words(self) -> int:
        """Words of one frame: the cycles a frame takes at one word a cycle."""
        return self.tensor.pixels * self.words

    @property
    def bits(self) -> int:
        """Width of a word."""
        return self.lanes * self.tensor.bits

    @property
    def signature(self) -> stream.Signature:
        return stream.Signature(unsigned(self.bits))

    def codes(self, word: Value) -> list[Value]:
        """The word's codes, channel by channel."""
        width = self.tensor.bits
        return [word[lane * width : (lane + 1) * width] for lane in range(self.lanes)]

    def zero(self) -> Const:
        """The word whose values are all real 0."""
        code = -self.tensor.lo
        return Const(sum(code << lane * self.tensor.bits for lane in range(self.lanes)), self.bits)

    def with_zero(self) -> "Flow":
        """The same lanes, of the least interval that holds real 0 too: what padding may be put into."""
        t = self.tensor
        return replace(self, tensor=replace(t, lo=min(t.lo, 0), hi=max(t.hi, 0)))

    def recode(self, word: Value, sink: "Flow") -> Value:
        """The same values as codes of another flow whose interval holds this one's."""
        shift, width = self.tensor.lo - sink.tensor.lo, sink.tensor.bits
        return Cat((code + shift)[:width] if shift else Cat(code, Const(0, width))[:width] for code in self.codes(word))

    def over(self, lanes: int) -> "Flow":
        """The same tensor, another number of lanes."""
        return replace(self, lanes=lanes)


class Stage(wiring.Component):
    """A unit with one stream in and one out, and what the planner and the skip queues ask of it.

    Members
    -------
    i : In(source.signature)
    o : Out(sink.signature)

    Attributes
    ----------
    source, sink : Flow in and out
    cycles : cycles a frame takes in steady state when nothing outside holds it up
    latency : cycles from the step that completes an output word to that word's being offered
    lead : pixels of input, beyond its even share, that a steady output demands
    storage : pixels of input the stage can hold
    """

    latency = 1
    lead = 0
    storage = 1

    def __init__(self, source: Flow, sink: Flow, **members: wiring.Member):
        self.source = source
        self.sink = sink
        super().__init__({"i": In(source.signature), "o": Out(sink.signature), **members})

    @property
    def cycles(self) -> int:
        return max(self.source.frame_words, self.sink.frame_words)

    @property
    def needs(self) -> NDArray[np.int64]:
        """For each output pixel of a frame, how many input pixels must have come before it can leave."""
        return np.arange(1, self.sink.tensor.pixels + 1)


def wrap_add(value: Value, step: int, size: int) -> Value:
    """(value + step) mod size for a value in [0, size)."""
    step %= size
    if size & (size - 1) == 0:
        return (value + step)[: max(1, (size - 1).bit_length())]
    return Mux(value >= size - step, value - (size - step), value + step)


class Queue(Stage):
    """First in, first out, `depth` words exactly; in LUT RAM when shallow, in block RAM when deep."""

    def __init__(self, flow: Flow, depth: int):
        self.depth = depth
        self.latency = 1 if depth <= 32 else 3
        self.storage = -(-depth // flow.words)
        super().__init__(flow, flow)

    def elaborate(self, platform):
        m = Module()
        shallow = self.depth <= 32
        width = self.source.bits
        fifo = (
            SyncFIFO(width=width, depth=self.depth) if shallow else SyncFIFOBuffered(width=width, depth=self.depth - 1)
        )
        m.submodules.fifo = fifo
        m.d.comb += [
            fifo.w_data.eq(self.i.payload),
            fifo.w_en.eq(self.i.valid),
            self.i.ready.eq(fifo.w_rdy),
        ]
        if shallow:
            m.d.comb += [
                self.o.payload.eq(fifo.r_data),
                self.o.valid.eq(fifo.r_rdy),
                fifo.r_en.eq(self.o.ready),
            ]
        else:
            # A block RAM answers late: its word goes straight into a register, the queue's last place.
            held = Signal(width, reset_less=True)
            full = Signal()
            m.d.comb += [
                self.o.payload.eq(held),
                self.o.valid.eq(full),
                fifo.r_en.eq(~full | self.o.ready),
            ]
            with m.If(fifo.r_en):
                m.d.sync += [held.eq(fifo.r_data), full.eq(fifo.r_rdy)]
        return m


class Widen(Stage):
    """Collects words into words of a multiple of their lanes; takes one a cycle."""

    def __init__(self, flow: Flow, lanes: int):
        super().__init__(flow, flow.over(lanes))

    def elaborate(self, platform):
        m = Module()
        ratio = self.sink.lanes // self.source.lanes
        held = Signal((ratio - 1) * self.source.bits)
        count = Signal(range(ratio))
        full = count == ratio - 1
        m.d.comb += [
            self.o.payload.eq(Cat(held, self.i.payload)),
            self.o.valid.eq(self.i.valid & full),
            self.i.ready.eq(~full | self.o.ready),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                held.eq(Cat(held, self.i.payload) >> self.source.bits),
                count.eq(Mux(full, 0, count + 1)),
            ]
        return m


class Narrow(Stage):
    """Splits words into words of a fraction of their lanes; gives one a cycle without a gap."""

    def __init__(self, flow: Flow, lanes: int):
        super().__init__(flow, flow.over(lanes))

    def elaborate(self, platform):
        m = Module()
        ratio = self.source.lanes // self.sink.lanes
        held = Signal(self.source.bits)
        left = Signal(range(ratio + 1))
        m.d.comb += [
            self.o.payload.eq(held),
            self.o.valid.eq(left != 0),
            self.i.ready.eq((left == 0) | ((left == 1) & self.o.ready)),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [held.eq(held >> self.sink.bits), left.eq(left - 1)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [held.eq(self.i.payload), left.eq(ratio)]
        return m


def converters(flow: Flow, lanes: int) -> list[Stage]:
    """The stages that turn a flow into one of `lanes` lanes: none, one, or widen then narrow."""
    common = lcm(flow.lanes, lanes)
    stages: list[Stage] = []
    if common != flow.lanes:
        stages.append(Widen(flow, common))
    if common != lanes:
        stages.append(Narrow(flow.over(common), lanes))
    return stages


class Fork(wiring.Component):
    """Hands each word to both outputs; each takes it when it can, and may run one word ahead of the other.

    Members
    -------
    i : In(flow.signature)
    o0, o1 : Out(flow.signature)
    """

    def __init__(self, flow: Flow):
        super().__init__({"i": In(flow.signature), "o0": Out(flow.signature), "o1": Out(flow.signature)})

    def elaborate(self, platform):
        m = Module()
        served = []
        for o in (self.o0, self.o1):
            done = Signal()
            now = Signal()
            m.d.comb += [
                o.payload.eq(self.i.payload),
                o.valid.eq(self.i.valid & ~done),
                now.eq(done | o.ready),
            ]
            m.d.sync += done.eq(self.i.valid & now & ~self.i.ready)
            served.append(now)
        m.d.comb += self.i.ready.eq(served[0] & served[1])
        return m
