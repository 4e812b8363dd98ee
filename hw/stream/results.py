# amaranth: UnusedElaboratable=no
"""The queue behind a pipeline that cannot stall."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..device.resources import Resources, fifo
from ..device.target import Family
from .flow import Flow


class ResultQueue(wiring.Component):
    """Results of a plain pipeline; a word enters the pipeline only while it has a place here.

    `room` comes from a register, so no chain of ready signals runs through the pipeline.

    Parameters
    ----------
    flow : the results
    latency : cycles from a word's entering the pipeline to its result's being offered here, at least 1

    Members
    -------
    room : Out(1), a word may enter
    enter : In(1), one does; never without `room`
    result, done : In, a result of a word that has entered, and In(1) that says so
    o : Out(flow.signature)

    Attributes
    ----------
    credits : words in the pipeline and here together: as many as keep it going at a word a cycle
    """

    def __init__(self, flow: Flow, latency: int):
        self.flow = flow
        # A word's place is free again a cycle after the word has left.
        self.credits = latency + 1
        super().__init__(
            {
                "room": Out(1),
                "enter": In(1),
                "result": In(flow.bits),
                "done": In(1),
                "o": Out(flow.signature),
            }
        )

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        room = Resources(3, (self.credits - 1).bit_length() + 1)
        return (fifo(self.flow.bits, self.credits, family) + room).named("results")

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = SyncFIFO(width=self.flow.bits, depth=self.credits)
        taken = Signal(range(-self.credits, 1), init=-self.credits)
        m.d.comb += [
            self.room.eq(taken[-1]),
            fifo.w_data.eq(self.result),
            fifo.w_en.eq(self.done),
            self.o.valid.eq(fifo.r_rdy),
            self.o.payload.eq(fifo.r_data),
            fifo.r_en.eq(self.o.ready),
        ]
        m.d.sync += taken.eq(taken + self.enter - (self.o.valid & self.o.ready))
        return m
