"""The window: a circular line buffer that the dot products read in place."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import and_

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from ..device.arithmetic import add, later
from ..device.component import Component
from ..device.resources import Resources, adder
from ..device.ring import PairRing, paired, ring
from ..device.target import Family
from ..stream.flow import Flow


@dataclass(frozen=True)
class Geometry:
    """Where the windows of a layer lie on its input map.

    Positions count pixels in raster order through frame after frame. The *base* of a window is the
    position of its top left corner, which may lie in the padding: it is a virtual position then.

    turns : adjacent windows that are read word by word in turns; they have one base, that of the first
    """

    height: int
    width: int
    kernel: tuple[int, int]
    stride: int
    padding: tuple[int, int, int, int]
    turns: int = 1

    @property
    def out_height(self) -> int:
        return (self.height + self.padding[0] + self.padding[1] - self.kernel[0]) // self.stride + 1

    @property
    def out_width(self) -> int:
        return (self.width + self.padding[2] + self.padding[3] - self.kernel[1]) // self.stride + 1

    @property
    def rows(self) -> range:
        """Rows that the taps lie in, those of the padding among them."""
        top = -self.padding[0]
        return range(top, top + (self.out_height - 1) * self.stride + self.kernel[0])

    @property
    def columns(self) -> range:
        """Columns that the taps lie in, those of the padding among them."""
        left = -self.padding[2]
        return range(left, left + (self.out_width - 1) * self.stride + self.kernel[1])

    @property
    def pixels(self) -> int:
        return self.height * self.width

    @cached_property
    def bases(self) -> NDArray[np.int64]:
        """Base of each window of a frame that starts at position 0, or of those that take turns."""
        y = np.arange(self.out_height) * self.stride - self.padding[0]
        x = np.arange(0, self.out_width, self.turns) * self.stride - self.padding[2]
        return (y[:, None] * self.width + x).reshape(-1)

    @cached_property
    def needs(self) -> NDArray[np.int64]:
        """For each window of a frame, or those that take turns, the pixels that must have come before its last tap."""
        y = np.arange(self.out_height) * self.stride - self.padding[0] + self.kernel[0] - 1
        last = np.arange(self.turns - 1, self.out_width, self.turns)
        x = last * self.stride - self.padding[2] + self.kernel[1] - 1
        y, x = np.minimum(y, self.height - 1), np.minimum(x, self.width - 1)
        return np.maximum.accumulate((y[:, None] * self.width + x).reshape(-1) + 1)

    @cached_property
    def lead(self) -> int:
        """Pixels by which an even input must run ahead, so that an even output never waits for it."""
        outputs = len(self.needs)
        even = np.arange(outputs) * self.pixels // outputs
        return int((self.needs - even).max())

    @cached_property
    def depth(self) -> int:
        """Pixels the buffer holds, so that neither an even input nor an even output ever waits.

        While window n is read the input may have run to its even share of n + 1 windows plus the lead,
        and nothing from window n's base on is free. Two more pixels take up the jitter of the handshakes.
        """
        outputs = len(self.bases)
        arrived = -(-np.arange(1, outputs + 1) * self.pixels // outputs) + self.lead
        return int((arrived - self.bases).max()) + 2

    @property
    def steps(self) -> tuple[int, int, int]:
        """How far the base moves to the next window: in the row, to the next row, to the next frame."""
        right = self.stride * self.turns
        down = self.stride * self.width - (self.out_width - self.turns) * self.stride
        on = self.pixels - int(self.bases[-1] - self.bases[0])
        return right, down, on


@dataclass(frozen=True)
class Loop:
    """A loop over taps or windows: its rounds, and what a round moves the tap by: words, columns, rows."""

    count: int
    words: int
    x: int
    y: int


class Window(Component):
    """Stores the pixels of a map and reads the taps of its windows, one word a cycle, in a fixed order.

    The buffer is one circular memory of words. Words are addressed relative to the window's base, so a tap
    is there when its distance from the base is below `fill`, the words that came since the base; and the
    writer may go on while `fill` is below the memory's size. Nothing else ties the two: the next row or
    frame comes in while this one is read. A tap in the padding is read as a constant and waits for nothing.

    Parameters
    ----------
    flow : the words it stores and reads
    geometry : where the windows lie
    groups : 0 for a pool, which reads one word of all taps before the next word (kx, ky, word); a
        convolution reads all words of all taps (word, kx, ky) `groups` times over, and of windows that take turns
        each word of all of them before the next one
    places : from `latency` to how many dot products may have ended here and not yet have `returned`
    family : of the device
    least : padding is the least value there is, code 0, instead of real 0

    Members
    -------
    i : In(flow.signature)
    returned : In(1), a result has left the stage; or all of windows that take turns
    valid, first, last : Out(1), a tap is given; it is the first, the last of a dot product
    index : Out, the tap's place in the order of a whole window; two cycles ahead of `word`. Where windows take turns it
        is `turns` taps ahead besides, and goes through these after a reset, before the first tap
    fetched : Out(1), where windows take turns: two cycles behind an `index` that is used up
    foremost : Out(1), where windows take turns: the first one's, with `valid`
    word : Out(read_flow.bits), the tap's codes, `latency` cycles after the decision to read it, as valid, first, last
    on_map : Out(1), the tap is a pixel of the map, with `word`

    Attributes
    ----------
    read_flow : what `word` carries: as `flow`, but 0 lies in the interval where padding is real 0
    latency : cycles from the decision to read a tap to its word
    credits : `places` at that latency
    """

    def __init__(
        self,
        flow: Flow,
        geometry: Geometry,
        *,
        groups: int,
        places: Callable[[int], int],
        family: Family,
        least: bool = False,
    ):
        self.flow, self.family = flow, family
        self.read_flow = flow if least or not any(geometry.padding) else flow.with_zero()
        self.padding = Const(0, flow.bits) if least else self.read_flow.zero()
        self.geometry = geometry
        together = flow.words if groups and geometry.turns == 1 else 1
        # Words in pairs come a few cycles late.
        pixels = geometry.depth + 2 * paired(family, together)
        self.ring = ring(self.read_flow.bits, pixels * flow.words, family, together)
        self.latency = 2 + self.ring.held
        self.credits = places(self.latency)
        (kh, kw), f, turns, stride = geometry.kernel, flow.words, geometry.turns, geometry.stride
        word, kx, ky = Loop(f, 1, 0, 0), Loop(kw, f, 1, 0), Loop(kh, geometry.width * f, 0, 1)
        turn = [Loop(turns, stride * f, stride, 0)] if turns > 1 else []
        column = Loop(geometry.out_width // turns, turns * stride * f, turns * stride, 0)
        row = Loop(geometry.out_height, stride * geometry.width * f, 0, stride)
        # The innermost first: that of turns, those of a dot product, one that repeats it, those over the windows.
        dot, repeat = ((word, kx, ky), Loop(groups, 0, 0, 0)) if groups else ((kx, ky), word)
        self.loops = (*turn, *dot, repeat, column, row)
        self.turn_loops, self.dot_loops, self.tap_loops = len(turn), len(turn) + len(dot), len(turn) + len(dot) + 1
        self.taps = math.prod(loop.count for loop in self.loops[: self.tap_loops])
        # Dot products that are `returned` at once.
        self.returns = turns * groups if turns > 1 else 1
        super().__init__(
            {
                "i": In(flow.signature),
                "returned": In(1),
                "index": Out(range(max(2, self.taps))),
                "valid": Out(1),
                "first": Out(1),
                "last": Out(1),
                "word": Out(self.read_flow.bits),
                "on_map": Out(1),
                **({"fetched": Out(1), "foremost": Out(1)} if turn else {}),
            }
        )

    def jumps(self) -> NDArray[np.int64]:
        """int64 [loops + 1, 4]: from a tap to the next when all loops inside this one end; the last row is the frame's.

        How far the tap moves in words, in columns, in rows; and how many words the base leaves behind.
        """
        rounds = np.array([loop.count - 1 for loop in self.loops])
        moves = np.array([*((loop.words, loop.x, loop.y) for loop in self.loops), (self.flow.frame_words, 0, 0)])
        moves[1:] -= np.cumsum(rounds[:, None] * moves[:-1], axis=0)
        freed = np.array([*[0] * self.tap_loops, *self.geometry.steps]) * self.flow.words
        return np.column_stack([moves, freed])

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        g, size, jumps = self.geometry, self.ring.size, self.jumps()
        distances, _, _, freed = jumps.T
        steps = [distances % size, -distances, -freed]
        bits = (size - 1).bit_length()
        found = self.ring.resources(family)
        # The tap's address, and how far it jumps: bits that are alike are there once.
        found += Resources(adder(bits, family), bits)
        wide = family.inputs == 6  # an adder of such tables chooses its operand, too
        if size & size - 1:
            steps.append(distances % size - size)
            found += Resources(adder(bits, family) + (0 if wide else bits))
        columns = {
            tuple((step >> bit & 1).tolist()) for step in steps for bit in range(int(step.max()).bit_length() + 1)
        }
        chosen = len([column for column in columns if len(set(column)) > 1])
        found += Resources(chosen if wide else round(1.5 * chosen), chosen)
        for loop in self.loops:
            left = max(1, loop.count - 2).bit_length() + 1 if loop.count > 1 else 0
            found += Resources(left if wide else round(1.5 * left), left)
        for taps, side, windows in ((g.columns, g.width, g.out_width), (g.rows, g.height, g.out_height)):
            if taps.start < 0 or taps.stop > side:
                place_bits = (max(side, windows * g.stride) + 1).bit_length() + 1
                found += Resources(adder(place_bits, family) + 2 + (0 if wide else place_bits), place_bits)
        # How many words are ahead of the tap, and how many there is room for.
        fill = (size + int(max(freed.max(), 1))).bit_length() + 1
        found += Resources(2 * adder(fill, family), 2 * fill)
        index = (self.taps - 1).bit_length()
        found += Resources(adder(index, family) if index else 0, index)
        held = self.read_flow.bits + 13 + (self.credits - 1).bit_length()
        held += (self.latency - 2) * (index + 4)
        if g.turns > 1:
            found += Resources(index // 2 + 4, 4 + g.turns + 2 * (self.latency - 1))
        # Padding is put in by the reset of xc7's registers.
        return found + Resources(12 + (self.read_flow.bits if any(g.padding) and not wide else 0), held)

    def elaborate(self, platform):
        m = Module()
        g, size = self.geometry, self.ring.size
        m.submodules.ring = words = self.ring
        step = Signal()
        take = Signal()
        distances, across, down, freed = self.jumps().T.tolist()
        start = int(g.bases[0]) * self.flow.words

        # The tap after this one. Its loops count down past 0, so that a sign bit says which are in their last round.
        # After the very first tap the innermost loop of more than one round goes on.
        goes_on = next((level for level, loop in enumerate(self.loops) if loop.count > 1), len(self.loops))
        ends = []
        for level, loop in enumerate(self.loops):
            rounds = loop.count - 2
            counter = Signal(range(-1, max(0, rounds) + 1), init=rounds - (level == goes_on), name=f"loop{level}")
            with m.If(step & Cat(ends).all()):
                m.d.sync += counter.eq(Mux(counter[-1], rounds, counter - 1))
            ends.append(counter[-1])

        def jump(choices):
            """The choice of the innermost loop that goes on after the tap after this one."""
            chosen = Const(choices[-1])
            for end, choice in reversed(list(zip(ends, choices, strict=False))):
                chosen = Mux(end, chosen, choice)
            return chosen

        def held(choices, name):
            """The choice of the loop that goes on after this tap."""
            signal = Signal(range(min(choices), max(choices) + 1), init=choices[goes_on], name=name)
            with m.If(step):
                m.d.sync += signal.eq(jump(choices))
            return signal

        on_map, moved = [], []
        for name, taps, side, moves in (("x", g.columns, g.width, across), ("y", g.rows, g.height, down)):
            if taps.start < 0 or taps.stop > side:
                place = Signal(taps, name=name, init=moves[goes_on] + taps.start)
                on_map += [place >= 0, place < side] if taps.start < 0 else [place < side]
                moved.append(place.eq(place + jump(moves)))
        inside = reduce(and_, on_map) if on_map else Const(1)
        if moved:
            with m.If(step):
                m.d.sync += moved

        # This tap, with all that decides whether it is read in registers of its own.
        turns = g.turns
        turn = Signal(init=1)
        turned = Signal(init=turns == 1)
        opens = Signal(init=1)
        closes = Signal(init=all(loop.count == 1 for loop in self.loops[self.turn_loops : self.dot_loops]))
        over = Signal(init=goes_on >= self.tap_loops)
        waits = Signal(init=g.rows.start == g.columns.start == 0)
        address = Signal(range(size), init=start % size)
        onward = held([distance % size for distance in distances], "onward")
        wrapped = held([distance % size - size for distance in distances], "wrapped")
        behind = held([-distance for distance in distances], "behind")
        given_up = held([-distance for distance in freed], "given_up")
        if turns > 1:
            with m.If(step):
                m.d.sync += [turn.eq(turned), turned.eq(ends[0])]
        with m.If(step):
            m.d.sync += [
                opens.eq(Mux(turned, closes, opens)) if turns > 1 else opens.eq(closes),
                closes.eq(Cat(ends[self.turn_loops : self.dot_loops]).all()),
                over.eq(Cat(ends[: self.tap_loops]).all()),
                waits.eq(inside),
                address.eq(
                    (address + onward)[: len(address)]
                    if size & (size - 1) == 0
                    else Mux((address + wrapped) < 0, address + onward, address + wrapped)
                ),
            ]

        # Comparisons are sign bits too. `ahead`: words that can be read, beyond this tap. `full`: words from the base
        # on, less the memory's size; a stride may put the base ahead of what has come. `pending`: dot products that
        # have ended, less the credits.
        reach = max(1, sum((loop.count - 1) * loop.words for loop in self.loops[: self.tap_loops]))
        low, high = -max(*freed, 1), size - min(freed)
        ahead = Signal(range(low - reach - 1, high), init=-start - 1)
        full = Signal(range(low - size, high - size + 1), init=-start - size)
        pending = Signal(range(-self.credits, 1), init=-self.credits)
        primes = Signal(turns, init=-1)
        priming = primes[0] if turns > 1 else Const(0)
        m.d.comb += [
            step.eq((~waits | ~ahead[-1]) & (~closes | pending[-1]) & ~priming),
            take.eq(self.i.valid & self.i.ready),
            self.i.ready.eq(full[-1]),
        ]
        m.d.sync += [
            ahead.eq(add(ahead, Mux(step, behind, 0), words.came)),
            full.eq(add(full, Mux(step, given_up, 0), take)),
            pending.eq(pending + (step & closes) - Mux(self.returned, self.returns, 0)),
        ]
        index = Signal.like(self.index, name="tap")
        if turns > 1:
            m.d.sync += primes.eq(primes >> 1)
            wraps = Signal()
            with m.If(step | priming):
                m.d.sync += [index.eq(Mux(wraps, 0, index + 1)), wraps.eq(index == self.taps - 2)]
        else:
            with m.If(step):
                m.d.sync += index.eq(Mux(over, 0, index + 1))

        m.d.comb += [
            words.data.eq(self.flow.recode(self.i.payload, self.read_flow)),
            words.put.eq(take),
            words.address.eq(address),
        ]
        if isinstance(words, PairRing):
            m.d.comb += words.ask.eq(step & waits)

        # The memory answers one cycle after the step; the last thing is that the padding is put in.
        ahead_of_word = self.latency - 1
        on_map = later(m, waits, ahead_of_word, "on_map")
        m.d.comb += self.index.eq(later(m, index, self.latency - 2, "tap"))
        if turns > 1:
            m.d.sync += [
                self.fetched.eq(later(m, step | priming, ahead_of_word, "fetched")),
                self.foremost.eq(later(m, turn, ahead_of_word, "turn")),
            ]
        m.d.sync += [
            self.valid.eq(later(m, step, ahead_of_word, "valid")),
            self.first.eq(later(m, opens, ahead_of_word, "first")),
            self.last.eq(later(m, closes, ahead_of_word, "last")),
            self.on_map.eq(on_map),
            self.word.eq(Mux(on_map, words.word, self.padding)),
        ]
        return m
