"""The saturating add that closes a residual."""

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.layers import Residual
from .requantise import clip_code
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
        added = Signal()
        full = Signal()
        move = Signal()
        take = Signal()
        m.d.comb += [
            move.eq(~full | self.o.ready),
            take.eq(self.body.valid & self.skip.valid & move),
            self.body.ready.eq(take),
            self.skip.ready.eq(take),
            self.o.valid.eq(full),
        ]
        held = Signal(self.sink.bits)
        m.d.comb += self.o.payload.eq(held)
        width = max(hi.bit_length(), (-lo).bit_length()) + 1
        lanes = zip(
            self.body_flow.codes(self.body.payload),
            self.skip_flow.codes(self.skip.payload),
            self.sink.codes(held),
            strict=True,
        )
        for lane, (x, y, code) in enumerate(lanes):
            total = Signal(signed(width), name=f"total{lane}", reset_less=True)
            with m.If(move):
                m.d.sync += [total.eq(x + y + lo), code.eq(clip_code(total, lo, hi, out.hi - out.lo))]
        with m.If(move):
            m.d.sync += [added.eq(take), full.eq(added)]
        return m
