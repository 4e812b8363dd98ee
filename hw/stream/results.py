# amaranth: UnusedElaboratable=no
"""The queue behind a pipeline that cannot stall."""

from amaranth import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..device.component import Component
from ..device.resources import Resources, fifo
from ..device.target import Family
from .flow import Flow


def keep(m: Module, result: Value, done: Value, o: wiring.PureInterface, places: int) -> None:
    """Offer each `result` that comes with `done` at `o`, from the next cycle on; there is always a place for it."""
    if places == 1:
        held = Signal(len(result), reset_less=True)
        full = Signal()
        with m.If(done):
            m.d.sync += [held.eq(result), full.eq(1)]
        with m.Elif(o.ready):
            m.d.sync += full.eq(0)
        m.d.comb += [o.payload.eq(held), o.valid.eq(full)]
        return
    m.submodules.queue = queue = SyncFIFO(width=len(result), depth=places)
    m.d.comb += [
        queue.w_data.eq(result),
        queue.w_en.eq(done),
        o.payload.eq(queue.r_data),
        o.valid.eq(queue.r_rdy),
        queue.r_en.eq(o.ready),
    ]


def keep_resources(bits: int, places: int, family: Family) -> Resources:
    """What `keep` takes of a device of the family."""
    return fifo(bits, places, family) if places > 1 else Resources(1, 1 + bits)


class ResultQueue(Component):
    """Results of a plain pipeline; a word enters the pipeline only while it has a place here.

    `room` comes from a register, so no chain of ready signals runs through the pipeline. Where words come seldom, one
    enters when the one before has left: then the only place is a register.

    Parameters
    ----------
    flow : the results
    latency : cycles from a word's entering the pipeline to its result's being offered here, at least 1
    cycles : that a frame takes to come at the least, in an even flow; 0 where that is not known

    Members
    -------
    room : Out(1), a word may enter
    enter : In(1), one does; never without `room`
    result, done : In, a result of a word that has entered, and In(1) that says so
    o : Out(flow.signature)

    Attributes
    ----------
    credits : words in the pipeline and here together: as many as keep it going at a word a cycle, or one
    interval : cycles from a word's entering to the next one's, at the least
    """

    def __init__(self, flow: Flow, latency: int, cycles: int = 0):
        self.flow = flow
        # A word's place is free again a cycle after the word has left; and one cycle to spare.
        seldom = (latency + 2) * flow.frame_words <= cycles
        self.credits = 1 if seldom else latency + 1
        self.interval = latency + 1 if seldom else 1
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
        return (keep_resources(self.flow.bits, self.credits, family) + room).named("results")

    def elaborate(self, platform):
        m = Module()
        keep(m, self.result, self.done, self.o, self.credits)
        taken = Signal(range(-self.credits, 1), init=-self.credits)
        m.d.comb += self.room.eq(taken[-1])
        m.d.sync += taken.eq(taken + self.enter - (self.o.valid & self.o.ready))
        return m
