# amaranth: UnusedElaboratable=no
"""How weights and constants are loaded: one port, and a chain from stage to stage.

A load is a header, the contents of all memories in the order of the chain, and a CRC-32 of what comes before it
(zlib's, each word's lowest byte first). The chain carries marks and words, a register a link, and never waits.
"""

from collections.abc import Sequence

from amaranth import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from ..device.loaded import COLUMN, Fill, columns
from ..device.resources import Resources, counter, equals
from ..device.target import Family

LOAD = stream.Signature(data.StructLayout({"word": COLUMN, "last": 1}))
"""What comes in: words, `last` with the CRC."""

CHAIN = wiring.Signature({"start": Out(1), "done": Out(1), "valid": Out(1), "word": Out(COLUMN)})
"""What the links pass on: a load starts; one that is right is done; a word of contents."""

RESTART = 4
"""Cycles for which a machine starts afresh behind a load: as many as its memories take to give their first words."""

CRC_LUTS = {4: 490, 6: 310}
"""Look-up tables, of so many inputs, of the CRC-32 of a word a cycle, measured."""


class LoadLink(wiring.Component):
    """A stage's place in the chain: it keeps the words of its own memories, and passes on those behind them.

    Parameters
    ----------
    memories : (width, depth) of each, in the order in which they are filled

    Members
    -------
    i : In(CHAIN), o : Out(CHAIN), a cycle later
    fill0, fill1, ... : Out(Fill(width, depth)) of each memory
    """

    def __init__(self, memories: Sequence[tuple[int, int]]):
        self.memories = tuple(memories)
        self.depths = [depth for width, depth in self.memories for _ in range(columns(width))]
        fills = {f"fill{k}": Out(Fill(*memory)) for k, memory in enumerate(self.memories)}
        super().__init__({"i": In(CHAIN), "o": Out(CHAIN), **fills})

    @property
    def words(self) -> int:
        """Of a load that it keeps."""
        return sum(self.depths)

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        turns = len(self.depths) + 1
        control = counter(max(self.depths) + 1, family) + Resources(turns + 4, turns + 3 + COLUMN)
        return control.named("loads")

    def elaborate(self, platform):
        m = Module()
        # Whose turn it is, a bit for each column; the last one says that all have had theirs.
        turn = Signal(len(self.depths) + 1, init=1 << len(self.depths))
        row = Signal(range(max(2, *self.depths)))
        ends = Signal()
        if len(set(self.depths)) == 1:
            m.d.comb += ends.eq(row == self.depths[0] - 1)
        else:
            m.d.comb += ends.eq(Cat(row == depth - 1 for depth in self.depths) & turn[:-1] != 0)
        with m.If(self.i.start):
            m.d.sync += [turn.eq(1), row.eq(0)]
        with m.Elif(self.i.valid & ~turn[-1]):
            m.d.sync += row.eq(Mux(ends, 0, row + 1))
            with m.If(ends):
                m.d.sync += turn.eq(turn << 1)
        m.d.sync += [
            self.o.start.eq(self.i.start),
            self.o.done.eq(self.i.done),
            self.o.valid.eq(self.i.valid & turn[-1]),
            self.o.word.eq(self.i.word),
        ]
        writes = turn[:-1] & self.i.valid.replicate(len(self.depths))
        start = 0
        for k in range(len(self.memories)):
            fill = getattr(self, f"fill{k}")
            m.d.comb += [fill.write.eq(writes[start:]), fill.row.eq(row), fill.word.eq(self.i.word)]
            start += len(fill.write)
        return m


class Loader(wiring.Component):
    """The chain's beginning: it checks loads, and lets frames in behind one that is right.

    A load whose header is another's, that is too short or too long, or whose CRC is wrong leaves the machine without
    contents; what follows its `last` is the next load.

    Parameters
    ----------
    header : 32-bit words with which each load for this machine begins
    count : words of contents behind them

    Members
    -------
    i : In(LOAD), taken while no frame is inside
    empty : In(1), no frame is inside
    o : Out(CHAIN), to the first link
    back : In(1), `done` of the last link
    restart : Out(1), the machine must start afresh
    loaded : Out(1), frames may begin; 0 from the cycle after a load's first word is offered on
    refused : Out(1), the last load was not right; 0 soon after the next one's first word is taken
    """

    def __init__(self, header: Sequence[int], count: int):
        self.header, self.count = tuple(header), count
        super().__init__(
            {
                "i": In(LOAD),
                "empty": In(1),
                "o": Out(CHAIN),
                "back": In(1),
                "restart": Out(1),
                "loaded": Out(1),
                "refused": Out(1),
            }
        )

    @property
    def length(self) -> int:
        """Words of a load, header and CRC with it."""
        return len(self.header) + self.count + 1

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        crc = Resources(CRC_LUTS[family.inputs], COLUMN)
        table = Resources(COLUMN * -(-len(self.header) >> family.inputs), 2 * COLUMN)
        compared = Resources(equals(2 * COLUMN, family) + equals(COLUMN, family))
        control = counter(self.length + 1, family) + Resources(20, 11 + COLUMN + RESTART)
        return (crc + table + compared + control).named("loads")

    def elaborate(self, platform):
        m = Module()
        word, last = self.i.payload.word, self.i.payload.last
        waiting = Signal()
        settling = Signal(RESTART)
        m.submodules.sum = crc = CRC32_ISO_HDLC(data_width=COLUMN).create()
        end = self.length - 1
        place = Signal(range(end + 2))  # of the next word
        fresh = Signal(init=1)  # it is a load's first
        taken = self.i.valid & self.i.ready
        # The first word apart: Icarus looks at what a table gives only when its index changes.
        table = Array(Const(given, COLUMN) for given in self.header)[place]
        m.d.comb += [
            self.i.ready.eq(self.empty & ~self.loaded & ~waiting),
            crc.start.eq(fresh),
            crc.valid.eq(taken),
            crc.data.eq(word),
        ]
        with m.If(taken):
            m.d.sync += [place.eq(Mux(last, 0, Mux(place > end, place, place + 1))), fresh.eq(last)]

        # A cycle later the word is judged.
        judged = Signal()
        first = Signal()
        header = Signal()
        contents = Signal()
        ends = Signal()
        closes = Signal()
        known = Signal(COLUMN)
        held = Signal(COLUMN)
        m.d.sync += [
            judged.eq(taken),
            first.eq(fresh),
            header.eq(place < len(self.header)),
            contents.eq((place >= len(self.header)) & (place < end)),
            ends.eq(place == end),
            closes.eq(last),
            known.eq(Mux(fresh, self.header[0], table)),
            held.eq(word),
        ]
        right = Signal()
        so_far = Signal()
        passes = Signal()
        fits = contents | (header & (held == known)) | (ends & crc.match_detected)
        m.d.comb += [
            so_far.eq(fits & (right | first)),
            passes.eq(judged & so_far & ends & closes),
            self.restart.eq(settling.any()),
        ]
        m.d.sync += [
            self.o.start.eq(judged & first),
            self.o.done.eq(passes),
            self.o.valid.eq(judged & contents & right),
            self.o.word.eq(held),
            settling.eq(Cat(self.back, settling[:-1])),
        ]
        with m.If(judged):
            m.d.sync += [right.eq(so_far), self.refused.eq(closes & ~passes)]
        # From its last word on until it is in its place, or found to be none.
        with m.If(taken & last):
            m.d.sync += waiting.eq(1)
        with m.Elif((judged & closes & ~passes) | settling[-1]):
            m.d.sync += waiting.eq(0)
        with m.If(settling[-1]):
            m.d.sync += self.loaded.eq(1)
        with m.Elif(self.i.valid):
            m.d.sync += self.loaded.eq(0)
        return m
