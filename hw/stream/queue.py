# amaranth: UnusedElaboratable=no
"""Words that wait: in look-up tables where they are few, in memory blocks where they are many."""

from amaranth import Module, Signal
from amaranth.lib.fifo import SyncFIFO

from ..device.arithmetic import add, wrap_add
from ..device.memory import place
from ..device.resources import Resources, counter, fifo, level
from ..device.ring import ring
from ..device.target import Family
from .flow import Flow
from .register import output_register
from .stage import Stage


class Queue(Stage):
    """First in, first out, `depth` words; in LUT RAM when shallow, in block RAM when deep.

    Parameters
    ----------
    together : words that all come before the first of them has to leave: those of a pixel where it is not said

    Attributes
    ----------
    depth, family, together : as above
    ring : the memory of a deep one; the last two words lie in registers, because a block answers a cycle later, and
        late in that cycle. In one of pairs there may be room for a word more.
    """

    def __init__(self, flow: Flow, depth: int, family: Family, together: int = 0):
        self.depth, self.family, self.together = depth, family, together
        # A block's word comes a few cycles late, which a shallow queue does not hide.
        deep = depth > 8 and (place(flow.bits, depth - 2, family).blocks or (not family.blocks and depth > 32))
        self.ring = ring(flow.bits, depth - 2, family, together or flow.words, held=True) if deep else None
        self.latency = 3 + self.ring.latency if self.ring else 1
        self.storage = flow.held(self.ring.size + 2 if self.ring else depth)
        super().__init__(flow, flow)

    def resources(self, family: Family) -> Resources:
        if not self.ring:
            return fifo(self.source.bits, self.depth, family).named("queue")
        size = self.ring.size
        registers = Resources(6, 2)
        control = counter(size, family) + level(size, family) * 2 + registers
        return (self.ring.resources(family) + control).named("queue")

    def elaborate(self, platform):
        m = Module()
        if not self.ring:
            m.submodules.fifo = fifo = SyncFIFO(width=self.source.bits, depth=self.depth)
            m.d.comb += [
                fifo.w_data.eq(self.i.payload),
                fifo.w_en.eq(self.i.valid),
                self.i.ready.eq(fifo.w_rdy),
                self.o.payload.eq(fifo.r_data),
                self.o.valid.eq(fifo.r_rdy),
                fifo.r_en.eq(self.o.ready),
            ]
            return m
        m.submodules.ring = words = self.ring
        size = words.size
        # Signs say what may move: `waiting` is the words in the memory less one, `filled` the same less its size.
        waiting = Signal(range(-1, size), init=-1)
        filled = Signal(range(-size, 1), init=-size)
        asked = Signal()
        full, move = output_register(m, self.o, words.word)
        m.d.comb += [
            self.i.ready.eq(filled[-1]),
            words.data.eq(self.i.payload),
            words.put.eq(self.i.valid & self.i.ready),
            words.move.eq(move),
            words.ask.eq(~waiting[-1] & (~asked | move)),
        ]
        gone = -words.ask
        m.d.sync += [waiting.eq(add(waiting, gone, words.came)), filled.eq(add(filled, gone, words.put))]
        with m.If(words.ask):
            m.d.sync += [words.address.eq(wrap_add(words.address, 1, size)), asked.eq(1)]
        with m.Elif(move):
            m.d.sync += asked.eq(0)
        with m.If(move):
            m.d.sync += full.eq(asked)
        return m
