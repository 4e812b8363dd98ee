"""Flags between frames, and escapes for bytes that look like one."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hw.device.resources import Resources
from ...hw.device.target import Family
from ..protocol import ESCAPE, FLAG, FLIP


class Unstuffer(wiring.Component):
    """Bytes of the wire to bytes of frames.

    Members
    -------
    data, valid, broken : In, as UartReceiver gives them
    byte : Out(8), of a frame's content
    given : Out(1), there is one
    flag : Out(1), a frame that has had bytes ends here
    sound : Out(1), with `flag`: none of its bytes was broken

    Timing
    ------
    All outputs come in the cycle of `valid` or `broken`.
    """

    data: In(8)
    valid: In(1)
    broken: In(1)
    byte: Out(8)
    given: Out(1)
    flag: Out(1)
    sound: Out(1)

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        return Resources(16, 4)

    def elaborate(self, platform):
        m = Module()
        inside = Signal()  # a flag has been seen
        begun = Signal()
        escaped = Signal()
        spoiled = Signal()
        is_flag, is_escape = self.data == FLAG, (self.data == ESCAPE) & ~escaped
        m.d.comb += [
            self.byte.eq(self.data ^ Mux(escaped, FLIP, 0)),
            self.given.eq(self.valid & inside & ~is_flag & ~is_escape),
            self.flag.eq(self.valid & inside & is_flag & (begun | escaped | spoiled)),
            self.sound.eq(~escaped & ~spoiled),
        ]
        with m.If(self.broken):
            m.d.sync += spoiled.eq(1)
        with m.If(self.valid):
            m.d.sync += escaped.eq(is_escape)
            with m.If(is_flag):
                m.d.sync += [inside.eq(1), begun.eq(0), escaped.eq(0), spoiled.eq(0)]
            with m.Elif(self.given):
                m.d.sync += begun.eq(1)
        return m


class Stuffer(wiring.Component):
    """Bytes of frames to bytes of the wire, a flag at both ends of each.

    Members
    -------
    i : In, payload.byte of a frame's content, payload.last with its last
    o : Out, bytes for a UartTransmitter
    """

    def __init__(self):
        byte = data.StructLayout({"byte": 8, "last": 1})
        super().__init__({"i": In(stream.Signature(byte)), "o": Out(stream.Signature(8))})

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        return Resources(20, 3)

    def elaborate(self, platform):
        m = Module()
        byte = self.i.payload.byte
        special = (byte == FLAG) | (byte == ESCAPE)
        with m.FSM(name="stuff"):
            with m.State("open"):
                m.d.comb += [self.o.payload.eq(FLAG), self.o.valid.eq(self.i.valid)]
                with m.If(self.o.valid & self.o.ready):
                    m.next = "content"
            with m.State("content"):
                m.d.comb += [
                    self.o.payload.eq(Mux(special, ESCAPE, byte)),
                    self.o.valid.eq(self.i.valid),
                    self.i.ready.eq(self.o.ready & ~special),
                ]
                with m.If(self.i.valid & self.o.ready):
                    with m.If(special):
                        m.next = "escaped"
                    with m.Elif(self.i.payload.last):
                        m.next = "close"
            with m.State("escaped"):
                m.d.comb += [
                    self.o.payload.eq(byte ^ FLIP),
                    self.o.valid.eq(self.i.valid),
                    self.i.ready.eq(self.o.ready),
                ]
                with m.If(self.i.valid & self.o.ready):
                    m.next = "content"
                    with m.If(self.i.payload.last):
                        m.next = "close"
            with m.State("close"):
                m.d.comb += [self.o.payload.eq(FLAG), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "open"
        return m
