# amaranth: UnusedElaboratable=no
"""The saturating add that closes a residual."""

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.layers import Residual
from .requantise import clip_code
from .results import ResultQueue
from .stream import Flow


class SaturatingAdd(wiring.Component):
    """clip(body + skip, lo, hi), a word a cycle, offered two cycles after it is taken.

    Members
    -------
    body, skip : In, the same lanes
    o : Out
    """

    def __init__(self, body: Flow, skip: Flow, layer: Residual):
        self.body_flow, self.skip_flow = body, skip
        self.sink = Flow(layer.join(body.tensor, skip.tensor), body.lanes)
        super().__init__({"body": In(body.signature), "skip": In(skip.signature), "o": Out(self.sink.signature)})

    def elaborate(self, platform):
        m = Module()
        a, b, out = self.body_flow.tensor, self.skip_flow.tensor, self.sink.tensor
        lo, hi = a.lo + b.lo - out.lo, a.hi + b.hi - out.lo
        m.submodules.results = results = ResultQueue(self.sink, latency=2)
        take = Signal()
        m.d.comb += [
            take.eq(self.body.valid & self.skip.valid & results.room),
            self.body.ready.eq(take),
            self.skip.ready.eq(take),
            results.enter.eq(take),
        ]
        wiring.connect(m, results.o, wiring.flipped(self.o))
        m.d.sync += results.done.eq(take)
        width = max(hi.bit_length(), (-lo).bit_length()) + 1
        lanes = zip(
            self.body_flow.codes(self.body.payload),
            self.skip_flow.codes(self.skip.payload),
            self.sink.codes(results.result),
            strict=True,
        )
        for lane, (x, y, code) in enumerate(lanes):
            total = Signal(signed(width), name=f"total{lane}", reset_less=True)
            m.d.sync += total.eq(x + y + lo)
            m.d.comb += code.eq(clip_code(total, lo, hi, out.hi - out.lo))
        return m
