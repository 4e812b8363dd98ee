# amaranth: UnusedElaboratable=no
"""Frames for a host: replies, and what the machine found."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hw.device.memory import memory, place
from ...hw.device.resources import Resources, stored
from ...hw.device.target import Family
from ..protocol import CRC, HEADER, Counts, Kind
from .crc import ByteCrc
from .receiver import REQUEST
from .stuffing import Stuffer

BEST_BYTES = 2
"""Of a class in a result."""


class Transmitter(wiring.Component):
    """Makes a frame of each request and of each result; requests come first.

    Parameters
    ----------
    payload : layout of the machine's output
    words : of it a frame
    identity : payload of IDENTITY
    family : for which it is made

    Members
    -------
    requests : In(REQUEST), what frames were
    sequences : In(8), numbers of the images whose results come, in their order
    values : In, the machine's output
    counts : In, as Counts lays them out
    o : Out, bytes for a UartTransmitter
    clear : Out(1), for a cycle: a host wants all reset
    answered : Out(1), for a cycle: a result begins to leave
    """

    def __init__(self, payload, words: int, identity: bytes, family: Family):
        self.bytes = payload["values"].shape.size // 8
        self.words, self.identity, self.family = words, identity, family
        byte = stream.Signature(8)
        super().__init__(
            {
                "requests": In(stream.Signature(REQUEST)),
                "sequences": In(byte),
                "values": In(stream.Signature(payload)),
                "counts": In(8 * Counts.LAYOUT.size),
                "o": Out(byte),
                "clear": Out(1),
                "answered": Out(1),
            }
        )

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        rom = stored(place(8, len(self.identity), family, rom=True))
        rest = Resources(8 * self.bytes + 225, 8 * self.bytes + 90)
        return rom + rest + Stuffer().resources(family) + ByteCrc().resources(family)

    def elaborate(self, platform):
        m = Module()
        m.submodules.stuffer = stuffer = Stuffer()
        m.submodules.crc = crc = ByteCrc()
        m.submodules.identity = identity = memory(8, len(self.identity), self.family, self.identity)
        rom = identity.read_port()
        wiring.connect(m, stuffer.o, wiring.flipped(self.o))

        content = Signal(data.StructLayout({"byte": 8, "last": 1}))
        given, passed = Signal(), Signal()
        # A register between what chooses a byte and what looks at it.
        held, full = Signal.like(content), Signal()
        m.d.comb += [
            passed.eq(given & ~full & ~crc.busy),
            stuffer.i.payload.byte.eq(held.byte),
            stuffer.i.payload.last.eq(held.last),
            stuffer.i.valid.eq(full),
            crc.byte.eq(content.byte),
            crc.valid.eq(passed),
        ]
        with m.If(passed):
            m.d.sync += [held.eq(content), full.eq(1)]
        with m.Elif(stuffer.i.ready):
            m.d.sync += full.eq(0)

        def give(byte: Value):
            m.d.comb += [content.byte.eq(byte), given.eq(1)]

        reply = Signal(Kind)
        sequence = Signal(8)
        reason = Signal(3)
        cycles = Signal(32)  # as they were when they were asked for; no other count changes while it leaves
        word = Signal(8 * self.bytes)
        best = Signal(8 * BEST_BYTES)
        last = Signal()
        index = Signal(range(max(2, self.bytes, len(self.identity), Counts.LAYOUT.size, HEADER.size)))
        request, values = self.requests.payload, self.values.payload
        lengths = {
            Kind.IDENTITY: len(self.identity),
            Kind.COUNTS: Counts.LAYOUT.size,
            Kind.DONE: 0,
            Kind.RESULT: self.words * self.bytes + BEST_BYTES,
            Kind.LOADED: 0,
            Kind.REFUSED: 1,
        }

        def follow(length: int, state: str):
            """Count bytes, and go on after so many."""
            with m.If(passed):
                m.d.sync += index.eq(index + 1)
                with m.If(index == length - 1):
                    m.d.sync += index.eq(0)
                    m.next = state

        m.d.comb += rom.addr.eq(0)
        with m.FSM(name="reply"):
            with m.State("idle"):
                m.d.comb += crc.start.eq(1)
                m.d.sync += [
                    index.eq(0),
                    sequence.eq(request.sequence),
                    reason.eq(request.what),
                    cycles.eq(self.counts),
                ]
                with m.If(self.requests.valid):
                    m.d.comb += [self.requests.ready.eq(1), self.clear.eq(request.sound & (request.what == Kind.RESET))]
                    m.d.sync += reply.eq(
                        Mux(request.sound, Cat(request.what, Const(Kind.IDENTITY >> 3, 5)), Kind.REFUSED)
                    )
                    m.next = "header"
                with m.Elif(self.values.valid & self.sequences.valid):
                    m.d.comb += [self.sequences.ready.eq(1), self.answered.eq(1)]
                    m.d.sync += [reply.eq(Kind.RESULT), sequence.eq(self.sequences.payload)]
                    m.next = "header"
            with m.State("header"):
                length = Signal(32)
                with m.Switch(reply):
                    for kind, number in lengths.items():
                        with m.Case(kind):
                            m.d.comb += length.eq(number)
                give(Cat(reply, sequence, length).word_select(index, 8))
                with m.If(passed):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == HEADER.size - 1):
                        m.d.sync += index.eq(0)
                        with m.Switch(reply):
                            for kind in lengths:
                                with m.Case(kind):
                                    m.next = kind.name.lower() if lengths[kind] else "crc"
            with m.State("identity"):
                # The memory answers a cycle later: while a byte waits, it is asked for again.
                m.d.comb += rom.addr.eq(index + passed)
                give(rom.data)
                follow(len(self.identity), "crc")
            with m.State("counts"):
                give(Cat(cycles, self.counts[32:]).word_select(index, 8))
                follow(Counts.LAYOUT.size, "crc")
            with m.State("refused"):
                give(reason)
                follow(1, "crc")
            with m.State("result"):
                # Nothing but the state reaches the machine: its words wait here while their bytes leave.
                m.d.comb += self.values.ready.eq(1)
                with m.If(self.values.valid):
                    m.d.sync += [word.eq(values.values), best.eq(values.best), last.eq(values.last)]
                    m.next = "word"
            with m.State("word"):
                give(word[:8])
                with m.If(passed):
                    m.d.sync += word.eq(word[8:])
                follow(self.bytes, "result")
                with m.If(passed & (index == self.bytes - 1) & last):
                    m.next = "best"
            with m.State("best"):
                give(best.word_select(index, 8))
                follow(BEST_BYTES, "crc")
            with m.State("crc"):
                give(crc.crc.word_select(index, 8))
                m.d.comb += [crc.valid.eq(0), content.last.eq(index == CRC.size - 1)]
                follow(CRC.size, "idle")
        return m
