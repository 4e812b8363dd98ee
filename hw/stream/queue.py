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
    chooses : it has several rows of blocks, and what is chosen of their words has a register of its own: the last three
        words lie in registers
    """

    def __init__(self, flow: Flow, depth: int, family: Family, together: int = 0):
        self.depth, self.family, self.together = depth, family, together
        # A block's word comes a few cycles late, which a shallow queue does not hide.
        deep = depth > 8 and (place(flow.bits, depth - 2, family).blocks or (not family.blocks and depth > 32))
        self.ring, self.chooses = None, False
        if deep:
            together = together or flow.words
            self.ring = ring(flow.bits, depth - 2, family, together, held=True)
            self.chooses = len(self.ring.parts) > 1
            if self.chooses:
                self.ring = ring(flow.bits, depth - 3, family, together, held=True)
        self.latency = 3 + self.ring.latency + self.chooses if self.ring else 1
        self.storage = flow.held(self.ring.size + 2 + self.chooses if self.ring else depth)
        super().__init__(flow, flow)

    def resources(self, family: Family) -> Resources:
        if not self.ring:
            return fifo(self.source.bits, self.depth, family).named("queue")
        size = self.ring.size
        registers = Resources(6, 2) + (Resources(1, 1 + self.source.bits) if self.chooses else Resources())
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
        word = Signal(self.source.bits, reset_less=True) if self.chooses else words.word
        full, move = output_register(m, self.o, word)
        # The word that `asked` has told of goes on, into the register behind its block; `read` tells of that one.
        read, on = asked, move
        if self.chooses:
            read = Signal()
            on = Signal()
            m.d.comb += on.eq(~read | move)
            with m.If(on):
                m.d.sync += read.eq(asked)
            with m.If(move):
                m.d.sync += word.eq(words.word)
        m.d.comb += [
            self.i.ready.eq(filled[-1]),
            words.data.eq(self.i.payload),
            words.put.eq(self.i.valid & self.i.ready),
            words.move.eq(on),
            words.ask.eq(~waiting[-1] & (~asked | on)),
        ]
        gone = -words.ask
        m.d.sync += [waiting.eq(add(waiting, gone, words.came)), filled.eq(add(filled, gone, words.put))]
        with m.If(words.ask):
            m.d.sync += [words.address.eq(wrap_add(words.address, 1, size)), asked.eq(1)]
        with m.Elif(on):
            m.d.sync += asked.eq(0)
        with m.If(move):
            m.d.sync += full.eq(read)
        return m
