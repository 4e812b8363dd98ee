"""The window: a circular line buffer that the dot products read in place."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from .stream import Flow, wrap_add


@dataclass(frozen=True)
class Geometry:
    """Where the windows of a layer lie on its input map.

    Positions count pixels in raster order through frame after frame. The *base* of a window is the
    position of its top left corner, which may lie in the padding: it is a virtual position then.
    """

    height: int
    width: int
    kernel: tuple[int, int]
    stride: int
    padding: tuple[int, int, int, int]

    @property
    def out_height(self) -> int:
        return (self.height + self.padding[0] + self.padding[1] - self.kernel[0]) // self.stride + 1

    @property
    def out_width(self) -> int:
        return (self.width + self.padding[2] + self.padding[3] - self.kernel[1]) // self.stride + 1

    @property
    def pixels(self) -> int:
        return self.height * self.width

    @cached_property
    def bases(self) -> NDArray[np.int64]:
        """Base of each window of a frame that starts at position 0."""
        y = np.arange(self.out_height) * self.stride - self.padding[0]
        x = np.arange(self.out_width) * self.stride - self.padding[2]
        return (y[:, None] * self.width + x).reshape(-1)

    @cached_property
    def needs(self) -> NDArray[np.int64]:
        """For each window of a frame, the pixels that must have come before its last tap can be read."""
        y = np.arange(self.out_height) * self.stride - self.padding[0] + self.kernel[0] - 1
        x = np.arange(self.out_width) * self.stride - self.padding[2] + self.kernel[1] - 1
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
        right = self.stride
        down = self.stride * self.width - (self.out_width - 1) * self.stride
        on = self.pixels - int(self.bases[-1] - self.bases[0])
        return right, down, on


class Window(wiring.Component):
    """Stores the pixels of a map and reads the taps of its windows, one word a cycle, in a fixed order.

    The buffer is one circular memory of words. Words are addressed relative to the window's base, so a tap
    is there when its distance from the base is below `fill`, the words that came since the base; and the
    writer may go on while `fill` is below the memory's size. Nothing else ties the two: the next row or
    frame comes in while this one is read. A tap in the padding is read as real 0 and waits for nothing.

    Parameters
    ----------
    flow : the words it stores and reads
    geometry : where the windows lie
    groups : 0 for a pool, which reads one word of all taps before the next word (kx, ky, word); a
        convolution reads all words of all taps (word, kx, ky) `groups` times over
    credits : dot products that may be under way: read here and not yet `returned`

    Members
    -------
    i : In(flow.signature)
    returned : In(1), a result has left the stage
    valid, first, last : Out(1), a tap is given; it is the first, the last of a dot product
    index : Out, the tap's place in the order of a whole window; two cycles ahead of `word`, with `step`
    step : Out(1), `index` is used up
    word : Out(read_flow.bits), the tap's codes, two cycles after `step`, as valid, first and last

    Attributes
    ----------
    read_flow : what `word` carries: as `flow`, but 0 lies in the interval where there is padding
    """

    def __init__(self, flow: Flow, geometry: Geometry, *, groups: int, credits: int):
        self.flow = flow
        self.read_flow = flow.with_zero() if any(geometry.padding) else flow
        self.geometry = geometry
        self.credits = credits
        self.size = geometry.depth * flow.words
        (kh, kw), f = geometry.kernel, flow.words
        across, down = f, geometry.width * f
        # (count, distance in words) of each loop, the innermost first; all but the last make a dot product.
        if groups:
            self.loops = ((f, 1), (kw, across), (kh, down), (groups, 0))
        else:
            self.loops = ((kw, across), (kh, down), (f, 1))
        self.dot_loops = len(self.loops) - 1
        self.taps = int(np.prod([count for count, _ in self.loops]))
        super().__init__(
            {
                "i": In(flow.signature),
                "returned": In(1),
                "step": Out(1),
                "index": Out(range(max(2, self.taps))),
                "valid": Out(1),
                "first": Out(1),
                "last": Out(1),
                "word": Out(self.read_flow.bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        g, size, words = self.geometry, self.size, self.flow.words
        m.submodules.memory = memory = Memory(shape=unsigned(self.flow.bits), depth=size, init=[])
        write = memory.write_port()
        read = memory.read_port()
        step = self.step
        right, down, on = (distance * words for distance in g.steps)

        # Write: `fill` may be negative while a stride jumps ahead of what has come.
        written = Signal(range(size))
        fill = Signal(
            range(-max(right, down, on, 1), size + max(0, -min(right, down, on)) + 1),
            init=-int(g.bases[0]) * words,
        )
        take = Signal()
        m.d.comb += [
            self.i.ready.eq(fill < size),
            take.eq(self.i.valid & self.i.ready),
            write.addr.eq(written),
            write.data.eq(self.i.payload),
            write.en.eq(take),
        ]
        with m.If(take):
            m.d.sync += written.eq(wrap_add(written, 1, size))

        # Read: nested counters; whoever wraps passes the step on to the next one out.
        start = int(g.bases[0]) * words % size
        base = Signal(range(size), init=start)
        address = Signal(range(size), init=start)
        reach = max(1, sum((count - 1) * distance for count, distance in self.loops))
        offset = Signal(range(reach + 1))
        counters, ends = [], []
        for level, (count, _) in enumerate(self.loops):
            counter = Signal(range(max(2, count)), name=f"loop{level}")
            end = Signal(name=f"end{level}")
            m.d.comb += end.eq(counter == count - 1)
            counters.append(counter)
            ends.append(end)

        def advance(level):
            """Step loop `level`; all loops inside have wrapped."""
            if level == len(self.loops):
                next_window()
                return
            _, distance = self.loops[level]
            delta = distance - sum((count - 1) * inner for count, inner in self.loops[:level])
            with m.If(ends[level]):
                m.d.sync += counters[level].eq(0)
                advance(level + 1)
            with m.Else():
                m.d.sync += [
                    counters[level].eq(counters[level] + 1),
                    address.eq(wrap_add(address, delta, size)),
                    offset.eq(offset + delta),
                ]

        column = Signal(range(max(2, g.out_width)))
        row = Signal(range(max(2, g.out_height)))
        top, left = g.padding[0], g.padding[2]
        y = Signal(range(-top - 1, g.height + g.stride + 1), init=-top)
        x = Signal(range(-left - 1, g.width + g.stride + 1), init=-left)
        freed = Signal(range(-max(0, -min(right, down, on)), max(right, down, on, 1) + 1))

        def next_window():
            def move(distance):
                target = wrap_add(base, distance, size)
                m.d.sync += [base.eq(target), address.eq(target), offset.eq(0)]
                m.d.comb += freed.eq(distance)

            m.d.sync += self.index.eq(0)
            with m.If(column != g.out_width - 1):
                move(right)
                m.d.sync += [column.eq(column + 1), x.eq(x + g.stride)]
            with m.Else():
                m.d.sync += [column.eq(0), x.eq(-left)]
                with m.If(row != g.out_height - 1):
                    move(down)
                    m.d.sync += [row.eq(row + 1), y.eq(y + g.stride)]
                with m.Else():
                    move(on)
                    m.d.sync += [row.eq(0), y.eq(-top)]

        with m.If(step):
            m.d.sync += self.index.eq(self.index + 1)
            advance(0)
        m.d.sync += fill.eq(fill + take - freed)

        kx, ky = (counters[1], counters[2]) if len(self.loops) == 4 else (counters[0], counters[1])
        inside = Signal()
        tap_x, tap_y = x + kx, y + ky
        if any(g.padding):
            m.d.comb += inside.eq((tap_x >= 0) & (tap_x < g.width) & (tap_y >= 0) & (tap_y < g.height))
        else:
            m.d.comb += inside.eq(1)

        first = Signal()
        last = Signal()
        credit = Signal(range(self.credits + 1), init=self.credits)
        m.d.comb += [
            first.eq(~Cat(counters[: self.dot_loops]).any()),
            last.eq(Cat(ends[: self.dot_loops]).all()),
            step.eq((~inside | (offset < fill)) & (~first | (credit != 0))),
            read.addr.eq(address),
        ]
        m.d.sync += credit.eq(credit + self.returned - (step & first))

        # The memory answers one cycle after the step, the padding is put in one later.
        valid1 = Signal()
        first1 = Signal()
        last1 = Signal()
        inside1 = Signal()
        m.d.sync += [
            valid1.eq(step),
            first1.eq(first),
            last1.eq(last),
            inside1.eq(inside),
            self.valid.eq(valid1),
            self.first.eq(first1),
            self.last.eq(last1),
            self.word.eq(Mux(inside1, self.flow.recode(read.data, self.read_flow), self.read_flow.zero())),
        ]
        return m
