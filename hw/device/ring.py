# amaranth: UnusedElaboratable=no
"""Memories that are written round and round and read anywhere: of line buffers and deep queues."""

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from .arithmetic import wrap_add
from .component import Component
from .memory import Placement, memory, mux_luts, place, row_depth
from .resources import Resources, counter, stored, total
from .single_port import SinglePort
from .target import Family


class Ring(Component):
    """`size` words in a memory that is read while it is written.

    A word leaves a block late in its cycle. Where a family's blocks have registers for it, a memory of several rows of
    blocks is cut where they end, and each row's word goes into its register before one is chosen.

    Parameters
    ----------
    held : what is read goes into a register; without, it does only where the family's blocks have those

    Members
    -------
    put : In(1), `data` : In(width), a word comes, and is written behind the one before
    came : Out(1), from the next cycle on one word more can be read
    ask : In(1), the word at `address` : In(range(size)) is read; where nothing drives it, in every cycle
    move : In(1), what was read goes on into the register, if there is one; where nothing drives it, in every cycle
    word : Out(width), what was read, from the cycle after until another is asked for; or what is in the register

    Attributes
    ----------
    latency : cycles from a word's coming to the first in which it can be read, less one
    held : whether there is a register
    """

    latency = 0

    def __init__(self, width: int, size: int, family: Family, held: bool = False):
        self.width, self.size, self.family = width, size, family
        whole = self._whole()
        self.held = held or (family.held and whole.blocks > 0)
        cut = row_depth(size, whole.rows) if self.held and family.held else size
        self.parts = tuple(min(cut, size - start) for start in range(0, size, cut))
        """Words of each part of the memory."""
        super().__init__(
            {
                "put": In(1),
                "data": In(width),
                "came": Out(1),
                "ask": In(1, init=1),
                "address": In(range(size)),
                "move": In(1, init=1),
                "word": Out(width),
            }
        )

    def _whole(self) -> Placement:
        return place(self.width, self.size, self.family)

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        found = counter(self.size, family) + total(stored(place(self.width, part, family)) for part in self.parts)
        count = len(self.parts)
        if self.held:
            found += Resources(0, self.width * count)
        if count > 1:
            found += Resources(self.width * mux_luts(count, family) + count, 2 * (count - 1).bit_length())
        return found

    def elaborate(self, platform):
        m = Module()
        row = Signal(range(self.size))
        with m.If(self.put):
            m.d.sync += row.eq(wrap_add(row, 1, self.size))
        m.d.comb += self.came.eq(self.put)
        bits = (self.parts[0] - 1).bit_length()
        words = []
        for n, part in enumerate(self.parts):
            if part == 1:
                words.append(self._single(m, n, row >> bits == n))
                continue
            # By the name that it has as a whole, which waveforms and paths show.
            m.submodules[f"memory{n}" if n else "memory"] = stored = memory(self.width, part, self.family)
            write = stored.write_port()  # each by a name of its own, which waveforms show
            read = stored.read_port()
            here = row >> bits == n if len(self.parts) > 1 else Const(1)
            m.d.comb += [
                write.addr.eq(row),
                write.data.eq(self.data),
                write.en.eq(self.put & here),
                read.addr.eq(self.address),
                read.en.eq(self.ask),
            ]
            words.append(_moved(m, self.move, read.data, f"held{n}") if self.held else read.data)
        if len(words) == 1:
            m.d.comb += self.word.eq(words[0])
            return m
        asked = Signal(range(len(words)))
        with m.If(self.ask):
            m.d.sync += asked.eq(self.address >> bits)
        m.d.comb += self.word.eq(Array(words)[_moved(m, self.move, asked, "chosen")])
        return m

    def _single(self, m: Module, n: int, here: Value) -> Value:
        """Part n of one word: a memory of it would have an address of no bits."""
        stored = Signal(self.width, name=f"memory{n}", reset_less=True)
        got = Signal(self.width, name=f"got{n}", reset_less=True)
        with m.If(self.put & here):
            m.d.sync += stored.eq(self.data)
        with m.If(self.ask):
            m.d.sync += got.eq(stored)
        return _moved(m, self.move, got, f"held{n}")


def _moved(m: Module, move: Value, word: Value, name: str) -> Signal:
    """A register for what goes on with `move`."""
    held = Signal.like(word, name=name, reset_less=True)
    with m.If(move):
        m.d.sync += held.eq(word)
    return held


class PairRing(Ring):
    """The same in a memory with one port, for words that are read in pairs, the even one before the odd one.

    A pair is written at once and read at once, when its even word is asked for; the port is free in the cycle after
    that. So a pair waits a cycle at most to be written, and a word can come and one be read in every cycle. An odd
    word is asked for after its even one, with no other between; `size` is even.
    """

    latency = 3

    def _whole(self) -> Placement:
        return Placement(self.width, self.size, "")  # of no blocks with a register

    @property
    def port(self) -> SinglePort:
        """The memory of pairs."""
        return SinglePort(2 * self.width, self.size // 2, self.family.single_port)

    def resources(self, family: Family) -> Resources:
        pairs = counter(self.size // 2, family)
        ways = Resources(2 * self.width + pairs.ffs + 4, 5 * self.width + 7)
        return self.port.resources(family) + pairs + ways + Resources(0, self.width if self.held else 0)

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
        word = Mux(second, held[self.width :], first)
        m.d.comb += self.word.eq(_moved(m, self.move, word, "word") if self.held else word)
        return m


def paired(family: Family, together: int) -> bool:
    """Whether a ring has pairs: the family has blocks with one port for it, and its words come in twos.

    `together` are the words that all come before the first of them is needed; pairs are of those.
    """
    return family.single_port is not None and together % 2 == 0


def ring(width: int, size: int, family: Family, together: int, held: bool = False) -> Ring:
    """A ring of `size` words, or one more where it is `paired`."""
    kind, more = (PairRing, size % 2) if paired(family, together) else (Ring, 0)
    return kind(width, size + more, family, held)
