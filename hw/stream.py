# amaranth: UnusedElaboratable=no
"""How pixels travel between stages: words of channel codes on Amaranth streams.

A *code* is q - lo of a tensor, unsigned in ``tensor.bits`` bits, so that no stage needs a sign. A frame is its
codes in raster order, channel after channel, a *word* the next `lanes` of them, the first in the lowest bits:
an even part of a pixel, or several whole pixels of one row. Frames follow each other without a gap or a marker:
each stage counts for itself. Every stream keeps Amaranth's rules (lib.stream): valid never waits for ready, and a
payload stays until it is taken.
"""

from dataclasses import dataclass, replace
from math import lcm

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from numpy.typing import ArrayLike, NDArray

from ..model.tensor import Tensor
from .arithmetic import add, wrap_add
from .memory import place
from .resources import Resources, counter, fifo, level
from .ring import ring
from .target import Family


@dataclass(frozen=True)
class Flow:
    """What a stream carries: a tensor, `lanes` codes a word, a divisor or a multiple of its channels."""

    tensor: Tensor
    lanes: int

    def __post_init__(self):
        channels, width = self.tensor.channels, self.tensor.width
        if self.lanes < 1 or (channels % self.lanes and self.lanes % channels):
            raise ValueError(f"{self.lanes} lanes do not divide {channels} channels")
        if width % self.pixels:
            raise ValueError(f"{self.pixels} pixels a word do not divide a row of {width}")

    @property
    def pixels(self) -> int:
        """Pixels of one word; 1 where it is a part of one."""
        return max(1, self.lanes // self.tensor.channels)

    @property
    def words(self) -> int:
        """Words of one pixel; 1 where a word has several."""
        return max(1, self.tensor.channels // self.lanes)

    @property
    def frame_words(self) -> int:
        """Words of one frame: the cycles a frame takes at one word a cycle."""
        return self.tensor.pixels * self.tensor.channels // self.lanes

    def held(self, words: int) -> int:
        """The pixels of which `words` words may hold a part."""
        return -(-words * self.lanes // self.tensor.channels)

    def whole(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of pixels, rounded up to whole words."""
        return -(-pixels // self.pixels) * self.pixels

    def rows(self, values: ArrayLike) -> NDArray:
        """[words, lanes]: what belongs to each channel, [channels], as words meet it, round and round."""
        return np.tile(values, self.pixels).reshape(-1, self.lanes)

    @property
    def bits(self) -> int:
        """Width of a word."""
        return self.lanes * self.tensor.bits

    @property
    def signature(self) -> stream.Signature:
        return stream.Signature(unsigned(self.bits))

    def codes(self, word: Value) -> list[Value]:
        """The word's codes, channel by channel, pixel by pixel."""
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
        """For each output pixel of a frame, how many input pixels must have come before it can leave.

        More than the frame has are pixels of the next one; it waits for those only where the first of them has come.
        """
        return self.source.whole(self.sink.whole(np.arange(1, self.sink.tensor.pixels + 1)))

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it takes of a device")


class Queue(Stage):
    """First in, first out, `depth` words; in LUT RAM when shallow, in block RAM when deep.

    Parameters
    ----------
    together : words that all come before the first of them has to leave: those of a pixel where it is not said

    Attributes
    ----------
    ring : the memory of a deep one; the last two words lie in registers, because a block answers a cycle later, and
        late in that cycle. In one of pairs there may be room for a word more.
    """

    def __init__(self, flow: Flow, depth: int, family: Family, together: int = 0):
        self.depth, self.family = depth, family
        deep = place(flow.bits, max(1, depth - 2), family).blocks or (not family.blocks and depth > 32)
        self.ring = ring(flow.bits, depth - 2, family, together or flow.words) if deep else None
        self.latency = 3 + self.ring.latency if self.ring else 1
        self.storage = flow.held(self.ring.size + 2 if self.ring else depth)
        super().__init__(flow, flow)

    def resources(self, family: Family) -> Resources:
        if not self.ring:
            return fifo(self.source.bits, self.depth, family)
        size = self.ring.size
        registers = Resources(6, 2 + self.source.bits)
        return self.ring.resources(family) + counter(size, family) + level(size, family) * 2 + registers

    def elaborate(self, platform):
        m = Module()
        if not self.ring:
            m.submodules.fifo = fifo = SyncFIFO(width=self.source.bits, depth=self.depth)
            m.d.comb += [
                fifo.w_data.eq(self.i.payload),
                fifo.w_en.eq(self.i.valid),
                self.i.ready.eq(fifo.w_rdy),
                self.o.payload.eq(fifo.r_data),
                self.o.valid.eq(fifo.r_rdy),
                fifo.r_en.eq(self.o.ready),
            ]
            return m
        m.submodules.ring = words = self.ring
        size = words.size
        # Signs say what may move: `waiting` is the words in the memory less one, `filled` the same less its size.
        waiting = Signal(range(-1, size), init=-1)
        filled = Signal(range(-size, 1), init=-size)
        asked = Signal()
        full = Signal()
        held = Signal(self.source.bits, reset_less=True)
        move = Signal()
        m.d.comb += [
            self.i.ready.eq(filled[-1]),
            words.data.eq(self.i.payload),
            words.put.eq(self.i.valid & self.i.ready),
            move.eq(~full | self.o.ready),
            words.ask.eq(~waiting[-1] & (~asked | move)),
            self.o.payload.eq(held),
            self.o.valid.eq(full),
        ]
        gone = -words.ask
        m.d.sync += [waiting.eq(add(waiting, gone, words.came)), filled.eq(add(filled, gone, words.put))]
        with m.If(words.ask):
            m.d.sync += [words.address.eq(wrap_add(words.address, 1, size)), asked.eq(1)]
        with m.Elif(move):
            m.d.sync += asked.eq(0)
        with m.If(move):
            m.d.sync += [held.eq(words.word), full.eq(asked)]
        return m


class Widen(Stage):
    """Collects words into words of a multiple of their lanes; takes one a cycle."""

    def __init__(self, flow: Flow, lanes: int):
        super().__init__(flow, flow.over(lanes))

    def resources(self, family: Family) -> Resources:
        bits = (self.sink.lanes // self.source.lanes - 1).bit_length()
        return Resources(3 + bits, self.sink.bits - self.source.bits + bits)

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

    def resources(self, family: Family) -> Resources:
        bits = (self.source.lanes // self.sink.lanes).bit_length()
        return Resources(self.source.bits - self.sink.bits + 3 * bits + 2, self.source.bits + bits + 2)

    def elaborate(self, platform):
        m = Module()
        ratio = self.source.lanes // self.sink.lanes
        held = Signal(self.source.bits, reset_less=True)
        left = Signal(range(1, ratio + 1), init=1)
        # The last part is out, or none is: by a register, for every bit of the word hangs on it.
        last = Signal(init=1)
        full = Signal()
        move = Signal()
        m.d.comb += [
            self.o.payload.eq(held),
            self.o.valid.eq(full),
            move.eq(~full | self.o.ready),
            self.i.ready.eq(last & move),
        ]
        with m.If(move):
            m.d.sync += [
                held.eq(Mux(last, self.i.payload, held >> self.sink.bits)),
                full.eq(~last | self.i.valid),
                last.eq(Mux(last, ~self.i.valid, left == 2)),
                left.eq(Mux(last, Mux(self.i.valid, ratio, 1), left - 1)),
            ]
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

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        return Resources(6, 2)

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
