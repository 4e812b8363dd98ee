# amaranth: UnusedElaboratable=no
"""Frames for a host: replies, and what the machine found."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from ...hw.device.memory import memory, place
from ...hw.device.resources import Resources, counter, stored
from ...hw.device.target import Family
from ..protocol import CRC, HEADER, Counts, Kind
from .receiver import CRC_LUTS, REQUEST
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
        head = 8 * (HEADER.size + Counts.LAYOUT.size)
        counts = counter(max(2, self.bytes), family) + counter(max(2, len(self.identity)), family)
        rest = Resources(CRC_LUTS[family.inputs] + head + 4 * self.bytes + 110, 32 + head + 40)
        return rom + counts + rest + Stuffer().resources(family)

    def elaborate(self, platform):
        m = Module()
        m.submodules.stuffer = stuffer = Stuffer()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        m.submodules.identity = identity = memory(8, len(self.identity), self.family, self.identity)
        rom = identity.read_port()
        wiring.connect(m, stuffer.o, wiring.flipped(self.o))

        content = Signal(data.StructLayout({"byte": 8, "given": 1}))
        passed = Signal()
        m.d.comb += [
            stuffer.i.payload.byte.eq(content.byte),
            stuffer.i.valid.eq(content.given),
            passed.eq(content.given & stuffer.i.ready),
            crc.data.eq(content.byte),
            crc.valid.eq(passed),
        ]

        def give(byte: Value):
            m.d.comb += [content.byte.eq(byte), content.given.eq(1)]

        # The header, and behind it a payload that is not taken from elsewhere.
        head = Signal(8 * (HEADER.size + Counts.LAYOUT.size))
        left = Signal(range(len(head) // 8))  # bytes of it, less one
        kind = Signal(8)
        best = Signal(8 * BEST_BYTES)
        index = Signal(range(max(2, self.bytes, len(self.identity), CRC.size)))
        request, values = self.requests.payload, self.values.payload

        def start(reply: Kind, sequence: Value, length: int, *payload: Value):
            """A frame of `length` bytes of payload: these, or others from elsewhere."""
            m.d.sync += [
                head.eq(Cat(Const(reply, 8), sequence, Const(length, 32), *payload)),
                left.eq(HEADER.size + (length if payload else 0) - 1),
                kind.eq(reply),
            ]
            m.next = "head"

        m.d.comb += rom.addr.eq(0)
        with m.FSM(name="reply"):
            with m.State("idle"):
                m.d.comb += crc.start.eq(1)
                m.d.sync += index.eq(0)
                with m.If(self.requests.valid):
                    m.d.comb += self.requests.ready.eq(1)
                    with m.If(request.reason != 0):
                        start(Kind.REFUSED, request.sequence, 1, request.reason)
                    with m.Elif(request.kind == Kind.IDENTIFY):
                        start(Kind.IDENTITY, request.sequence, len(self.identity))
                    with m.Elif(request.kind == Kind.COUNT):
                        start(Kind.COUNTS, request.sequence, Counts.LAYOUT.size, self.counts)
                    with m.Else():
                        m.d.comb += self.clear.eq(1)
                        start(Kind.DONE, request.sequence, 0)
                with m.Elif(self.values.valid & self.sequences.valid):
                    m.d.comb += [self.sequences.ready.eq(1), self.answered.eq(1)]
                    start(Kind.RESULT, self.sequences.payload, self.words * self.bytes + BEST_BYTES)
            with m.State("head"):
                give(head[:8])
                with m.If(passed):
                    m.d.sync += [head.eq(head[8:]), left.eq(left - 1)]
                    with m.If(left == 0):
                        m.next = "crc"
                        with m.If(kind == Kind.IDENTITY):
                            m.next = "identity"
                        with m.If(kind == Kind.RESULT):
                            m.next = "values"
            with m.State("identity"):
                # The memory answers a cycle later: while a byte waits, it is asked for again.
                after = (index + 1)[: len(index)]
                m.d.comb += rom.addr.eq(Mux(passed, after, index))
                give(rom.data)
                with m.If(passed):
                    m.d.sync += index.eq(after)
                    with m.If(index == len(self.identity) - 1):
                        m.d.sync += index.eq(0)
                        m.next = "crc"
            with m.State("values"):
                give(values.values.as_value().word_select(index, 8))
                m.d.comb += content.given.eq(self.values.valid)
                with m.If(passed):
                    m.d.sync += [index.eq(index + 1), best.eq(values.best)]
                    with m.If(index == self.bytes - 1):
                        m.d.comb += self.values.ready.eq(1)
                        m.d.sync += index.eq(0)
                        with m.If(values.last):
                            m.next = "best"
            with m.State("best"):
                give(best.word_select(index, 8))
                with m.If(passed):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == BEST_BYTES - 1):
                        m.d.sync += index.eq(0)
                        m.next = "crc"
            with m.State("crc"):
                give(crc.crc.word_select(index, 8))
                m.d.comb += [crc.valid.eq(0), stuffer.i.payload.last.eq(index == CRC.size - 1)]
                with m.If(passed):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == CRC.size - 1):
                        m.next = "idle"
        return m
