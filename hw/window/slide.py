"""The sliding window: all taps of one window, or of several side by side, held in registers at once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from ..device.arithmetic import wrap_add
from ..device.component import Component
from ..device.memory import memory, place
from ..device.resources import Resources, counter, stored
from ..device.target import Family
from ..stream.flow import Flow
from .window import Geometry

SLIDE_LATENCY = 3
"""Cycles from the step that completes a window to its first word."""


@dataclass(frozen=True)
class Sweep:
    """When the windows of a layer are whole, as its map passes in raster order, `pixels` a step.

    A step that completes windows completes `windows` of them, adjacent ones of one row of the output. Those that reach
    beyond the map's end are whole only when steps of the next frame, or steps without a pixel, have passed: `lag`.
    Steps count from the frame's first one.
    """

    geometry: Geometry
    pixels: int

    @property
    def windows(self) -> int:
        """Windows that are whole at once."""
        return max(1, self.pixels // self.geometry.stride)

    @property
    def columns(self) -> int:
        """Steps of a row."""
        return self.geometry.width // self.pixels

    @property
    def frame_steps(self) -> int:
        return self.geometry.pixels // self.pixels

    @property
    def out_columns(self) -> int:
        """Steps of a row of the output that complete windows."""
        return self.geometry.out_width // self.windows

    @property
    def reach(self) -> int:
        """Columns of pixels that the windows of one step span."""
        return (self.windows - 1) * self.geometry.stride + self.geometry.kernel[1]

    @property
    def last_column(self) -> int:
        """Column of the last tap of the first windows that are whole at once."""
        return self.reach - 1 - self.geometry.padding[2]

    @property
    def younger(self) -> int:
        """Columns of pixels that come with the last one of a window and behind it."""
        return self.pixels - 1 - self.last_column % self.pixels

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """Of each step that completes windows, its number."""
        g = self.geometry
        row = np.arange(g.out_height) * g.stride - g.padding[0] + g.kernel[0] - 1
        column = np.arange(self.out_columns) * self.windows * g.stride + self.last_column
        return (row[:, None] * self.columns + column // self.pixels).reshape(-1)

    @property
    def moves(self) -> tuple[int, int, int]:
        """Steps from windows to the next: in the row, to the next row, to the next frame."""
        right = self.windows * self.geometry.stride // self.pixels
        down = self.geometry.stride * self.columns - (self.out_columns - 1) * right
        return right, down, self.frame_steps - int(self.steps[-1] - self.steps[0])

    @property
    def lag(self) -> int:
        """Steps after a frame's last one that its windows take."""
        return max(0, int(self.steps[-1]) + 1 - self.frame_steps)

    @cached_property
    def needs(self) -> NDArray[np.int64]:
        """For each window, the pixels that must have come; more than the frame has are the next one's."""
        return np.repeat((self.steps + 1) * self.pixels, self.windows)

    @cached_property
    def lead(self) -> int:
        """Pixels by which an even input must run ahead, so that an even output never waits for it."""
        even = np.arange(len(self.needs)) * self.geometry.pixels // len(self.needs)
        return int((self.needs - even).max())

    def costs(self, cycles: int) -> NDArray[np.int64]:
        """Cycles from each step that completes windows to the next such step, where these are busy for `cycles`.

        Steps that complete none go on meanwhile, one a cycle.
        """
        return np.maximum(np.diff(self.steps, append=self.steps[0] + self.frame_steps), cycles)

    def uneven(self, cycles: int) -> tuple[int, int]:
        """Words by which input and output run before and behind an even flow, where windows are busy for `cycles`."""
        costs, gaps = self.costs(cycles), self.costs(1)
        ends = np.cumsum(gaps) - gaps
        completed = np.cumsum(costs) - costs
        steps = np.repeat(completed - ends, gaps) + np.arange(self.frame_steps)
        outward = max(_spread(completed, costs.sum()), _spread(ends, self.frame_steps))
        return _spread(steps, costs.sum()), outward

    def problem(self) -> str | None:
        """Why no windows can slide this way, or None."""
        g, stride = self.geometry, self.geometry.stride
        if g.width % self.pixels:
            return f"pixels = {self.pixels} must divide the map's width {g.width}"
        if self.pixels > 1 and self.pixels % stride:
            return f"pixels = {self.pixels} must be a multiple of the stride {stride}"
        if g.out_width % self.windows:
            return (
                f"pixels = {self.pixels} complete {self.windows} windows at once, "
                f"which must divide the output's width {g.out_width}"
            )
        if min(self.moves) < 1 or self.lag > self.frame_steps:
            return f"with padding {g.padding} the map is too small to slide over"
        return None


def _spread(times: NDArray[np.int64], period: int) -> int:
    """How many events more there are between two times than in an even flow, at the most; 0 for an even flow."""
    early = np.arange(len(times)) * int(period) - times * len(times)
    return -(-int(early.max() - early.min()) // int(period))


class SlidingWindow(Component):
    """Takes the pixels of a map and gives the windows that they complete, whole or in equal parts.

    A delay line in raster order: for each column of words a memory holds the last rows, one word a row; what it gives
    and the word that comes make a column of the kernel, and the columns shift through registers. A window lies where
    it ends, so that frames follow without a gap: those that reach beyond their frame's end are whole while the next
    one comes in, and what they hold of it is masked like all padding. Where no next frame has begun, steps
    without a pixel push the last windows out; a next frame that comes meanwhile simply begins that many steps later.

    Parameters
    ----------
    flow : its words; whole pixels
    sweep : where the windows lie
    parts : in which a window is given, one a cycle; 1 where it gives several windows at once
    groups : times that each window is given
    credits : words of results that may be under way: begun here and not yet `returned`
    least : padding is the least value there is, code 0, instead of real 0

    Members
    -------
    i : In(flow.signature)
    returned : In(1), a result has left the stage
    valid, first, last : Out(1), a part is given; it is the first, the last of a window
    index : Out, the part's place in the order of a whole window; two cycles ahead of `word`, with `step`
    step : Out(1), `index` is used up
    word : Out, a part of the taps in the order (ky, kx, channel), or those of each window, one after the other
    rows, columns : Out, a bit for each row and column that the windows span: whether it lies on the map; two cycles
        ahead of a window's first `word`

    Timing
    ------
    A step a cycle, but `parts * groups` cycles from a step that completes a window to the next such step. The
    first word comes ``SLIDE_LATENCY`` cycles after that step.

    Attributes
    ----------
    read_flow : what `word` carries: as `flow`, but 0 lies in the interval where padding is real 0
    taps : codes of a window in one word
    """

    def __init__(
        self, flow: Flow, sweep: Sweep, *, parts: int, groups: int, credits: int, family: Family, least: bool = False
    ):
        self.flow = flow
        self.sweep = sweep
        self.read_flow = flow if least or not any(sweep.geometry.padding) else flow.with_zero()
        pixel = self.read_flow.over(flow.tensor.channels)
        self.padding = Const(0, pixel.bits) if least else pixel.zero()
        self.parts, self.groups, self.credits, self.family = parts, groups, credits, family
        kh, kw = sweep.geometry.kernel
        self.taps = kh * kw * flow.tensor.channels // parts
        super().__init__(
            {
                "i": In(flow.signature),
                "returned": In(1),
                "step": Out(1),
                "index": Out(range(max(2, parts * groups))),
                "valid": Out(1),
                "first": Out(1),
                "last": Out(1),
                "word": Out(sweep.windows * self.taps * self.read_flow.tensor.bits),
                "rows": Out(kh),
                "columns": Out(sweep.reach),
            }
        )

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        g, sweep, bits = self.sweep.geometry, self.sweep, self.flow.bits
        kh, taps = g.kernel[0], g.kernel[0] * sweep.reach
        masked = any(g.padding) or self.parts > 1
        held = taps * self.read_flow.tensor.bits * self.flow.tensor.channels
        count = -(-(sweep.reach + sweep.younger) // sweep.pixels)
        found = Resources(held if masked else 0, held + (count * kh + 1) * bits + 2 * taps)
        if kh > 1 and sweep.columns == 1:
            found += Resources(0, (kh - 1) * bits)
        elif kh > 1:
            found += stored(place((kh - 1) * bits, sweep.columns, family)) + counter(sweep.columns, family)
        places = [sweep.out_columns, g.out_height, g.width + 2, g.height + 2, sweep.frame_steps, sweep.lag + 2]
        places += [int(max(sweep.moves)) + 2, self.credits + 1, self.parts * self.groups + 1]
        for values in places:
            found += counter(values + 1, family) + Resources(3, 1)
        flags = kh * sum(k < g.padding[2] or k >= sweep.reach - g.padding[3] for k in range(sweep.reach))
        return found + Resources(flags + 20, 12)

    def elaborate(self, platform):
        m = Module()
        goes, begun, inside = self.advance(m)
        self.give(m, begun, inside, self.delay(m, goes))
        return m

    def advance(self, m: Module) -> tuple[Signal, Signal, list[list[Value]]]:
        """Decide on steps.

        Returns whether there is one and, a cycle later, whether it completed windows and which of their
        taps [ky][column] lie on the map.
        """
        g, sweep = self.sweep.geometry, self.sweep
        right, down, on = sweep.moves
        span = sweep.windows * g.stride
        busy_for = self.parts * self.groups
        row = Signal(range(max(2, g.out_height)))
        column = Signal(range(max(2, sweep.out_columns)))
        top = Signal(range(-g.padding[0] - 1, g.height + g.stride), init=-g.padding[0])
        left = Signal(range(-g.padding[2] - 1, g.width + span), init=-g.padding[2])
        # Steps to the next one that completes windows, and those without a pixel since the last frame ended.
        first = int(sweep.steps[0])
        wait = Signal(range(max(2, first + 1, right, down, on + sweep.lag)), init=first)
        here = Signal(init=first == 0)
        ghosts = Signal(range(sweep.lag + 1))
        free = Signal(range(self.credits + 1), init=self.credits)
        busy = Signal(range(busy_for), name="busy") if busy_for > 1 else Const(0)
        able = Signal()
        ghost = Signal()
        goes = Signal()
        begins = Signal()
        m.d.comb += [
            able.eq(~here | ((free >= self.groups) & (busy == 0))),
            self.i.ready.eq(able),
            goes.eq(able & (self.i.valid | ghost)),
            begins.eq(goes & here),
        ]
        m.d.sync += free.eq(free + self.returned - Mux(begins, self.groups, 0))
        if busy_for > 1:
            m.d.sync += busy.eq(Mux(begins, busy_for - 1, Mux(busy == 0, 0, busy - 1)))

        def move(distance, more=0):
            """The next windows are whole `distance + more` steps after these."""
            m.d.sync += [wait.eq(distance - 1 + more), here.eq((more == 0) if distance == 1 else 0)]

        final = Signal()
        with m.If(begins):
            with m.If(column != sweep.out_columns - 1):
                move(right)
                m.d.sync += [column.eq(column + 1), left.eq(left + span)]
            with m.Else():
                m.d.sync += [column.eq(0), left.eq(-g.padding[2])]
                with m.If(row != g.out_height - 1):
                    move(down)
                    m.d.sync += [row.eq(row + 1), top.eq(top + g.stride)]
                with m.Else():
                    move(on, ghosts + (goes & ~self.i.valid) if sweep.lag else Const(0))
                    m.d.sync += [row.eq(0), top.eq(-g.padding[0])]
                    m.d.comb += final.eq(1)
        with m.Elif(goes):
            m.d.sync += [wait.eq(wait - 1), here.eq(wait == 1)]

        if sweep.lag:
            place = Signal(range(max(2, sweep.frame_steps)))
            between = Signal(init=1)
            owing = Signal()
            ending = Signal()
            m.d.comb += [
                ghost.eq(between & owing),
                ending.eq(place == sweep.frame_steps - 1),
            ]
            with m.If(goes & self.i.valid):
                m.d.sync += [place.eq(Mux(ending, 0, place + 1)), between.eq(ending)]
            with m.If(goes & self.i.valid & ending):
                m.d.sync += owing.eq(1)
            with m.Elif(final):
                m.d.sync += owing.eq(0)
            with m.If(final):
                m.d.sync += ghosts.eq(0)
            with m.Elif(goes & ~self.i.valid):
                m.d.sync += ghosts.eq(ghosts + 1)

        def on_map(place, most, offset, size):
            """Whether tap `offset` of a window that begins at `place`, at `most`, lies on a map of this size."""
            flag = Signal(init=1)
            if place.init + offset < 0:
                m.d.sync += flag.eq((place + offset >= 0) & (place + offset < size))
            elif most + offset >= size:
                m.d.sync += flag.eq(place + offset < size)
            return flag

        most = (g.out_height - 1) * g.stride - g.padding[0], (sweep.out_columns - 1) * span - g.padding[2]
        rows = [on_map(top, most[0], k, g.height) for k in range(g.kernel[0])]
        columns = [on_map(left, most[1], k, g.width) for k in range(sweep.reach)]
        m.d.comb += [self.rows.eq(Cat(rows)), self.columns.eq(Cat(columns))]
        begun = Signal()
        m.d.sync += begun.eq(begins)
        return goes, begun, [[row & column for column in columns] for row in rows]

    def delay(self, m: Module, goes: Signal) -> list[list[Value]]:
        """The delay line. Two cycles after a step: the pixels [ky][column] of the windows that end there."""
        g, sweep, flow = self.sweep.geometry, self.sweep, self.flow
        kh, _ = g.kernel
        arrived = Signal(flow.bits)
        shift = Signal()
        m.d.sync += [arrived.eq(self.i.payload), shift.eq(goes)]
        # Word k of the newest column is k rows above.
        newest = arrived
        if kh > 1:
            kept = (kh - 1) * flow.bits
            if sweep.columns == 1:
                above = Signal(kept)
                with m.If(shift):
                    m.d.sync += above.eq(Cat(arrived, above))
            else:
                m.submodules.lines = lines = memory(kept, sweep.columns, self.family)
                write = lines.write_port()
                read = lines.read_port()
                address = Signal(range(sweep.columns))
                before = Signal(range(sweep.columns))
                above = read.data
                m.d.comb += [
                    read.addr.eq(address),
                    write.addr.eq(before),
                    write.data.eq(Cat(arrived, above)),
                    write.en.eq(shift),
                ]
                m.d.sync += before.eq(address)
                with m.If(goes):
                    m.d.sync += address.eq(wrap_add(address, 1, sweep.columns))
            newest = Cat(arrived, above)

        count = -(-(sweep.reach + sweep.younger) // sweep.pixels)
        columns = [Signal(kh * flow.bits, name=f"column{k}") for k in range(count)]
        with m.If(shift):
            for column, value in zip(columns, [newest, *columns], strict=False):
                m.d.sync += column.eq(value)

        width = flow.tensor.channels * flow.tensor.bits

        def pixel(ky, kx):
            word, place = divmod(sweep.younger + sweep.reach - 1 - kx, sweep.pixels)
            start = (kh - 1 - ky) * flow.bits + (sweep.pixels - 1 - place) * width
            return columns[word][start : start + width]

        return [[pixel(ky, kx) for kx in range(sweep.reach)] for ky in range(kh)]

    def give(self, m: Module, begun: Signal, inside: list[list[Value]], window: list[list[Value]]) -> None:
        """Hold the masked taps, and give them part by part."""
        t = self.flow.tensor
        pixel_flow, taken = self.flow.over(t.channels), self.read_flow.over(t.channels)
        total = self.parts * self.groups
        # The first part's place is given a cycle after the step, the part itself two cycles later.
        m.d.comb += self.step.eq(begun | (self.index != 0))
        with m.If(self.step):
            m.d.sync += self.index.eq(wrap_add(self.index, 1, total))
        part = Signal(range(max(2, self.parts)))
        if self.parts > 1:
            with m.If(self.step):
                m.d.sync += part.eq(wrap_add(part, 1, self.parts))
        load = Signal()
        m.d.sync += load.eq(begun)
        for flag, value in (
            (self.valid, self.step),
            (self.first, part == 0),
            (self.last, part == self.parts - 1),
        ):
            before = Signal()
            m.d.sync += [before.eq(value), flag.eq(before)]

        held = []
        for ky, row in enumerate(window):
            for kx, pixel in enumerate(row):
                on_map = Signal(name=f"inside{ky}_{kx}")
                m.d.sync += on_map.eq(inside[ky][kx])
                tap = Signal(taken.bits, name=f"tap{ky}_{kx}")
                held.append(tap)
                value = pixel_flow.recode(pixel, taken)
                if any(self.sweep.geometry.padding):
                    value = Mux(on_map, value, self.padding)
                with m.If(load):
                    m.d.sync += tap.eq(value)
        if self.parts > 1:
            size = len(held) // self.parts
            with m.If(~load):
                m.d.sync += Cat(held).eq(Cat(held).rotate_right(size * taken.bits))
            m.d.comb += self.word.eq(Cat(held[:size]))
            return
        _, kw = self.sweep.geometry.kernel
        rows = [held[start : start + self.sweep.reach] for start in range(0, len(held), self.sweep.reach)]
        starts = range(0, self.sweep.reach - kw + 1, self.sweep.geometry.stride)
        m.d.comb += self.word.eq(Cat(Cat(row[start : start + kw] for row in rows) for start in starts))
