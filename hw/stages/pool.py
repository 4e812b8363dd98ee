# amaranth: UnusedElaboratable=no
"""What pools share, and sums over windows, channel by channel."""

import math
from itertools import product

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, Value
from numpy.typing import NDArray

from ...model.layers import Pool, SumPool
from ...model.tensor import Tensor
from ..device.arithmetic import later, tree
from ..device.resources import Resources, adder, counter
from ..device.target import Family
from ..stream.flow import Flow
from ..window.slide import SLIDE_LATENCY, SlidingWindow, Sweep
from ..window.window import Geometry
from .factor import ChosenFactor
from .windowed import WindowedStage


class PoolStage(WindowedStage):
    """A pool on `lanes` channels at once: kernel area * C / lanes cycles a pixel, without a gap.

    Parameters
    ----------
    least : padding is the least value there is instead of real 0
    more : cycles from a window's last tap's being joined to the result
    """

    def __init__(self, source: Flow, layer: Pool, family: Family, *, least: bool = False, more: int = 0):
        super().__init__(
            source,
            Flow(layer.infer(source.tensor), source.lanes),
            _geometry(source, layer),
            groups=0,
            dot_cycles=layer.kernel**2,
            latency=2 + more,
            family=family,
            least=least,
        )


class SlidingPoolStage(WindowedStage):
    """A pool on all taps and channels at once, of the windows that a word of whole pixels completes: a word a cycle.

    What the taps of a window are joined in is a tree, registered at every level.

    Parameters
    ----------
    least, more : as PoolStage's

    Attributes
    ----------
    area : taps of a window
    levels : of the tree
    """

    def __init__(self, source: Flow, layer: Pool, family: Family, *, least: bool = False, more: int = 0):
        sweep = Sweep(_geometry(source, layer), source.pixels)
        self.area = layer.kernel**2
        self.levels = (self.area - 1).bit_length()
        super().__init__(
            source,
            Flow(layer.infer(source.tensor), sweep.windows * source.tensor.channels),
            sweep,
            groups=1,
            dot_cycles=1,
            latency=self.levels + 1 + more,
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


def _chosen(layer: SumPool, t: Tensor) -> ChosenFactor:
    """Among all factors that sums have."""
    rows, columns = (np.unique(each).tolist() for each in layer.factors(t.height, t.width))
    return ChosenFactor(sorted({row * column for row, column in product(rows, columns)}))


class SumPoolStage(PoolStage):
    """SumPool: a partial sum a lane; where only valid pixels count, their number chooses the sum's factor."""

    def __init__(self, source: Flow, layer: SumPool, family: Family):
        self.factor = _chosen(layer, source.tensor)
        self.divisor = math.prod(layer.divisors(source.tensor.height, source.tensor.width))
        super().__init__(source, layer, family, least=layer.valid, more=self.factor.levels)
        most = self.sink.tensor.hi - self.sink.tensor.lo
        self.sum_bits = max(1, (most // self.factor.factors[0]).bit_length())

    def resources(self, family: Family) -> Resources:
        bits = self.sum_bits
        each = Resources(bits if family.inputs == 6 else adder(bits - 1, family) + bits, bits)
        found = self.frame_resources(family) + (each + self.factor.resources(bits, family)) * self.sink.lanes
        if self.factor.levels:
            bits = (len(self.factor.factors) - 1).bit_length()
            found += counter(self.dot_cycles + 1, family) + Resources(2 * bits, bits + self.factor.levels)
        return found + Resources(0, 1)

    def elaborate(self, platform):
        m = Module()
        window = self.take(m)
        t, levels = self.sink.tensor, self.factor.levels
        pixels = Signal(range(self.dot_cycles + 1))
        counted = Signal.like(pixels)
        key = Signal(range(len(self.factor.factors)))
        if levels:
            m.d.comb += counted.eq(Mux(window.first, 0, pixels) + window.on_map)
            with m.If(window.valid):
                m.d.sync += pixels.eq(counted)
                with m.Switch(counted):
                    for index, factor in enumerate(self.factor.factors):
                        with m.Case(self.divisor // factor):
                            m.d.sync += key.eq(index)
        # The code of a sum is the sum of the codes: both intervals grow by the area, or by the divisor.
        sums = []
        for lane, code in enumerate(window.read_flow.codes(window.word)):
            total = Signal(self.sum_bits, name=f"sum{lane}")
            with m.If(window.valid):
                m.d.sync += total.eq(Mux(window.first, 0, total) + code)
            scaled = self.factor.times(m, total, key, f"product{lane}", (1 << t.bits) - 1)
            sums.append(Cat(scaled, Const(0, t.bits))[: t.bits])
        done = Signal()
        m.d.sync += done.eq(window.valid & window.last)
        self.give(m, Cat(sums), later(m, done, levels))
        return m


class SlidingSumPoolStage(SlidingPoolStage):
    """SumPool with all taps of a window at once; where only valid pixels count, a factor for each kind of edge."""

    def __init__(self, source: Flow, layer: SumPool, family: Family):
        self.rows, self.columns = layer.factors(source.tensor.height, source.tensor.width)
        self.factor = _chosen(layer, source.tensor)
        self.divisor = math.prod(layer.divisors(source.tensor.height, source.tensor.width))
        super().__init__(source, layer, family, least=layer.valid, more=self.factor.levels)

    def resources(self, family: Family) -> Resources:
        luts = ffs = 0
        bits, terms = self.source.tensor.bits, self.area
        while terms > 1:
            luts += terms // 2 * adder(bits, family)
            terms, bits = -(-terms // 2), bits + 1
            ffs += terms * min(bits, self.sink.tensor.bits)
        lane = Resources(luts, ffs) + self.factor.resources(min(bits, self.sink.tensor.bits), family)
        found = self.frame_resources(family) + lane * self.sink.lanes
        if self.factor.levels:
            bits = (len(self.factor.factors) - 1).bit_length()
            keys = Resources(2 * bits, bits * (SLIDE_LATENCY - 1 + self.levels)) * self.geometry.windows
            found += keys + Resources(0, self.factor.levels)
        return found + Resources(1, self.levels)

    def elaborate(self, platform):
        m = Module()
        window = self.take(m)
        t, levels = window.read_flow.tensor, self.levels + self.factor.levels
        keys = [self.key(m, window, at) for at in range(self.geometry.windows)]
        sums = []
        for lane, codes in enumerate(self.taps(window)):
            # The code of a sum is the sum of the codes: both intervals grow by the area, or by the divisor.
            total, _ = tree(m, [(code, max(1, t.hi - t.lo)) for code in codes], self.levels, f"sum{lane}")
            bits = self.sink.tensor.bits
            key = keys[lane // t.channels]
            scaled = self.factor.times(m, total, key, f"product{lane}", (1 << bits) - 1)
            sums.append(Cat(scaled, Const(0, bits))[:bits])
        self.give(m, Cat(sums), later(m, window.valid, levels))
        return m

    def key(self, m: Module, window: SlidingWindow, at: int) -> Value:
        """Which factor the sum of the window in place `at` of those of a step has, in the cycle of its sum."""
        if not self.factor.levels:
            return Const(0)
        g, kernel = self.geometry.geometry, self.geometry.geometry.kernel[0]
        down = dict(_on_map(self.rows, g.stride, g.padding[0], kernel, g.height))
        every = _on_map(self.columns, g.stride, g.padding[2], kernel, g.width)
        across = dict(every[at :: self.geometry.windows])
        flags: dict[int, list[int]] = {}
        for (low, row), (high, column) in product(down.items(), across.items()):
            flags.setdefault(row * column, []).append(low | high << kernel)
        key = Signal(range(len(self.factor.factors)), name=f"key{at}")
        with m.Switch(Cat(window.rows, window.columns[at * g.stride : at * g.stride + kernel])):
            for factor, cases in flags.items():
                with m.Case(*cases):
                    m.d.comb += key.eq(self.factor.factors.index(factor))
        return later(m, key, SLIDE_LATENCY - 1 + self.levels, f"key{at}_")


def _on_map(factors: NDArray[np.int64], stride: int, before: int, kernel: int, size: int) -> list[tuple[int, int]]:
    """For each window along an axis, a bit for each of its lines that lies on a map of this size, and its factor."""
    starts = range(-before, len(factors) * stride - before, stride)
    flags = [sum(1 << k for k in range(kernel) if 0 <= start + k < size) for start in starts]
    return list(zip(flags, factors.tolist(), strict=True))
