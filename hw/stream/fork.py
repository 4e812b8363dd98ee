# amaranth: UnusedElaboratable=no
"""One stream handed to two."""

from amaranth import Module, Signal
from amaranth.lib.wiring import In, Out

from ..device.component import Component
from ..device.resources import Resources
from ..device.target import Family
from .flow import Flow


class Fork(Component):
    """Hands each word to both outputs; each takes it when it can, and may run one word ahead of the other.

    Members
    -------
    i : In(flow.signature)
    o0, o1 : Out(flow.signature)
    """

    def __init__(self, flow: Flow):
        self.flow = flow
        super().__init__({"i": In(flow.signature), "o0": Out(flow.signature), "o1": Out(flow.signature)})

    @property
    def cycles(self) -> int:
        """A frame takes, as a Stage's."""
        return self.flow.frame_words

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
