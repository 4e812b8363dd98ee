# amaranth: UnusedElaboratable=no
"""The saturating add that closes a residual."""

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...model.layers import Residual
from ...model.tensor import signed_bits
from ..device.component import Component
from ..device.resources import Resources, adder, clip
from ..device.target import Family
from ..stream.flow import Flow
from ..stream.results import ResultQueue
from .requantise import clip_code


class SaturatingAdd(Component):
    """clip(body + skip, lo, hi), a word a cycle, offered `latency` cycles after it is taken.

    Members
    -------
    body, skip : In, the same lanes
    o : Out
    """

    latency = 2

    def __init__(self, body: Flow, skip: Flow, layer: Residual, cycles: int = 0):
        self.body_flow, self.skip_flow = body, skip
        self.sink = Flow(layer.join(body.tensor, skip.tensor), body.lanes)
        super().__init__({"body": In(body.signature), "skip": In(skip.signature), "o": Out(self.sink.signature)})
        self.results = ResultQueue(self.sink, self.latency, cycles)

    @property
    def interval(self) -> tuple[int, int]:
        """Where a sum lies, counted from the lowest that is not clipped."""
        a, b, out = self.body_flow.tensor, self.skip_flow.tensor, self.sink.tensor
        return a.lo + b.lo - out.lo, a.hi + b.hi - out.lo

    @property
    def width(self) -> int:
        """Bits of a sum, signed."""
        return signed_bits(*self.interval)

    @property
    def cycles(self) -> int:
        """A frame takes, as a Stage's."""
        return self.sink.frame_words * self.results.interval

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        (lo, hi), out, width = self.interval, self.sink.tensor, self.width
        # Three numbers are added: first to two, then to one.
        each = Resources(width + adder(width, family) + clip(lo, hi, out.hi - out.lo, family), width)
        return self.results.resources(family) + each * self.sink.lanes + Resources(2, 1)

    def elaborate(self, platform):
        m = Module()
        (lo, hi), out = self.interval, self.sink.tensor
        m.submodules.results = results = self.results
        take = Signal()
        m.d.comb += [
            take.eq(self.body.valid & self.skip.valid & results.room),
            self.body.ready.eq(take),
            self.skip.ready.eq(take),
            results.enter.eq(take),
        ]
        wiring.connect(m, results.o, wiring.flipped(self.o))
        m.d.sync += results.done.eq(take)
        lanes = zip(
            self.body_flow.codes(self.body.payload),
            self.skip_flow.codes(self.skip.payload),
            self.sink.codes(results.result),
            strict=True,
        )
        for lane, (x, y, code) in enumerate(lanes):
            total = Signal(signed(self.width), name=f"total{lane}", reset_less=True)
            m.d.sync += total.eq(x + y + lo)
            m.d.comb += code.eq(clip_code(total, lo, hi, out.hi - out.lo))
        return m
