# amaranth: UnusedElaboratable=no
"""Memories that are written round and round and read anywhere: of line buffers and deep queues."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .arithmetic import wrap_add
from .memory import memory, place
from .resources import Resources, counter, stored
from .single_port import SinglePort
from .target import Family


class Ring(wiring.Component):
    """`size` words in a memory that is read while it is written.

    Members
    -------
    put : In(1), `data` : In(width), a word comes, and is written behind the one before
    came : Out(1), from the next cycle on one word more can be read
    ask : In(1), the word at `address` : In(range(size)) is read; where nothing drives it, in every cycle
    word : Out(width), what was read, from the cycle after until another is asked for

    Attributes
    ----------
    latency : cycles from a word's coming to the first in which it can be read, less one
    """

    latency = 0

    def __init__(self, width: int, size: int, family: Family):
        self.width, self.size, self.family = width, size, family
        super().__init__(
            {
                "put": In(1),
                "data": In(width),
                "came": Out(1),
                "ask": In(1, init=1),
                "address": In(range(size)),
                "word": Out(width),
            }
        )

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        return stored(place(self.width, self.size, family)) + counter(self.size, family)

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = words = memory(self.width, self.size, self.family)
        write = words.write_port()
        read = words.read_port()
        m.d.comb += [
            write.data.eq(self.data),
            write.en.eq(self.put),
            self.came.eq(self.put),
            read.addr.eq(self.address),
            read.en.eq(self.ask),
            self.word.eq(read.data),
        ]
        with m.If(self.put):
            m.d.sync += write.addr.eq(wrap_add(write.addr, 1, self.size))
        return m


class PairRing(Ring):
    """The same in a memory with one port, for words that are read in pairs, the even one before the odd one.

    A pair is written at once and read at once, when its even word is asked for; the port is free in the cycle after
    that. So a pair waits a cycle at most to be written, and a word can come and one be read in every cycle. An odd
    word is asked for after its even one, with no other between; `size` is even.
    """

    latency = 3

    @property
    def port(self) -> SinglePort:
        """The memory of pairs."""
        return SinglePort(2 * self.width, self.size // 2, self.family.single_port)

    def resources(self, family: Family) -> Resources:
        pairs = counter(self.size // 2, family)
        ways = Resources(2 * self.width + pairs.ffs + 4, 5 * self.width + 7)
        return self.port.resources(family) + pairs + ways

    def elaborate(self, platform):
        m = Module()
        m.submodules.port = port = self.port
        # On the way in: the even word, then the pair until the port is free.
        odd = Signal()
        even_word = Signal(self.width, reset_less=True)
        pair = Signal(2 * self.width, reset_less=True)
        due = Signal()
        pairs = self.size // 2
        place = Signal(range(pairs), init=pairs - 1)
        paired = Signal()
        reading = Signal()
        m.d.comb += [
            paired.eq(self.put & odd),
            reading.eq(self.ask & ~self.address[0]),
            port.enable.eq(reading | due),
            port.write.eq(~reading),
            port.address.eq(Mux(reading, self.address >> 1, place)),
            port.put.eq(pair),
        ]
        with m.If(self.put):
            m.d.sync += [odd.eq(~odd), even_word.eq(self.data)]
        with m.If(paired):
            m.d.sync += [pair.eq(Cat(even_word, self.data)), place.eq(wrap_add(place, 1, pairs))]
        m.d.sync += due.eq(paired | (due & reading))
        # Two cycles after its odd word a pair is written, at the latest.
        late = Signal(self.latency)
        m.d.sync += late.eq(Cat(paired, late))
        m.d.comb += self.came.eq(late[1] | late[2])
        # On the way out: a block with one port holds what it read only until it writes.
        fresh = Signal()
        held = Signal(2 * self.width, reset_less=True)
        second = Signal()
        m.d.sync += fresh.eq(reading)
        with m.If(self.ask):
            m.d.sync += second.eq(self.address[0])
        with m.If(fresh):
            m.d.sync += held.eq(port.got)
        first = Mux(fresh, port.got[: self.width], held[: self.width])
        m.d.comb += self.word.eq(Mux(second, held[self.width :], first))
        return m


def paired(family: Family, together: int) -> bool:
    """Whether a ring has pairs: the family has blocks with one port for it, and its words come in twos.

    `together` are the words that all come before the first of them is needed; pairs are of those.
    """
    return family.single_port is not None and together % 2 == 0


def ring(width: int, size: int, family: Family, together: int) -> Ring:
    """A ring of `size` words, or one more where it is `paired`."""
    return PairRing(width, size + size % 2, family) if paired(family, together) else Ring(width, size, family)
