# amaranth: UnusedElaboratable=no
"""What pools share, and sums over windows, channel by channel."""

from amaranth import Cat, Const, Module, Mux, Signal, Value

from ...model.layers import Pool
from ..device.arithmetic import later, tree
from ..device.resources import Resources, adder
from ..device.target import Family
from ..stream.flow import Flow
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
