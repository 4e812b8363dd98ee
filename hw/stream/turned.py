# amaranth: UnusedElaboratable=no
"""Results of windows that take turns: they come group by group and leave window by window."""

from amaranth import Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from ..device.arithmetic import wrap_add
from ..device.component import Component
from ..device.memory import memory, place
from ..device.resources import Resources, counter, stored
from ..device.target import Family


class TurnedResults(Component):
    """A memory of batches of results, of `groups` words of each of `turns` windows; a batch leaves when it is whole.

    Parameters
    ----------
    bits : of a result
    turns, groups : windows of a batch, results of each
    batches : places for whole ones; no result may come for a batch that has none

    Members
    -------
    result, done : In(bits), In(1), a result comes, of each window its first one, then of each its second one
    freed : Out(1), a batch has left
    o : Out(stream), the results window by window

    Attributes
    ----------
    depth : words of the memory
    """

    def __init__(self, bits: int, turns: int, groups: int, batches: int, family: Family):
        self.bits, self.turns, self.groups, self.batches, self.family = bits, turns, groups, batches, family
        self.depth = turns * groups * batches
        super().__init__(
            {
                "result": In(bits),
                "done": In(1),
                "freed": Out(1),
                "o": Out(stream.Signature(unsigned(bits))),
            }
        )

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        where = place(self.bits, self.depth, family)
        found = stored(where) + Resources(6, 2 + self.batches.bit_length() + (0 if where.blocks else self.bits))
        counts = (self.depth, self.depth, self.turns * self.groups, self.turns, self.groups)
        return sum((counter(values, family) for values in counts), found)

    def elaborate(self, platform):
        m = Module()
        size, depth = self.turns * self.groups, self.depth
        m.submodules.memory = words = memory(self.bits, depth, self.family)
        write = words.write_port()  # each by a name of its own, which waveforms show
        read = words.read_port()

        at = Signal(range(depth))
        within = Signal(range(size))
        whole = Signal()
        m.d.comb += [write.addr.eq(at), write.data.eq(self.result), write.en.eq(self.done)]
        with m.If(self.done):
            m.d.sync += [at.eq(wrap_add(at, 1, depth)), within.eq(wrap_add(within, 1, size))]
        m.d.sync += whole.eq(self.done & (within == size - 1))

        # Whole batches less one: the sign says that there is none.
        waiting = Signal(range(-1, self.batches), init=-1)
        group = Signal(range(self.groups), name="group") if self.groups > 1 else Const(0)
        turn = Signal(range(self.turns))
        full = Signal()
        ask = Signal()
        ended = Signal()
        last = Signal()
        here = Signal(range(depth))
        m.d.comb += [
            ended.eq(group == self.groups - 1),
            last.eq(ended & (turn == self.turns - 1)),
            ask.eq(~waiting[-1] & (~full | self.o.ready)),
            self.freed.eq(ask & last),
            read.addr.eq(here),
            read.en.eq(ask),
            self.o.payload.eq(read.data),
            self.o.valid.eq(full),
        ]
        m.d.sync += waiting.eq(waiting + whole - self.freed)
        with m.If(ask):
            m.d.sync += full.eq(1)
            if self.groups > 1:
                m.d.sync += group.eq(Mux(ended, 0, group + 1))
            with m.If(last):
                m.d.sync += [turn.eq(0), here.eq(wrap_add(here, 1, depth))]
            with m.Elif(ended):
                m.d.sync += [turn.eq(turn + 1), here.eq(here - ((self.groups - 1) * self.turns - 1))]
            with m.Else():
                m.d.sync += here.eq(here + self.turns)
        with m.Elif(self.o.ready):
            m.d.sync += full.eq(0)
        return m
