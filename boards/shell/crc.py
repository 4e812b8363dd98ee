# amaranth: UnusedElaboratable=no
"""The CRC-32 of frames, a bit a cycle: bytes of a wire are many cycles apart."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from ...hw.device.resources import Resources
from ...hw.device.target import Family


class ByteCrc(wiring.Component):
    """CRC-32/ISO-HDLC over bytes, as zlib's crc32.

    Members
    -------
    start : In(1), a frame begins: with `valid`, this byte is its first
    byte : In(8)
    valid : In(1), not while `busy`
    busy : Out(1), for the eight cycles after one with `valid`
    crc : Out(32), of all bytes so far
    match : Out(1), the last four of them were the CRC of those before
    """

    start: In(1)
    byte: In(8)
    valid: In(1)
    busy: Out(1)
    crc: Out(32)
    match: Out(1)

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        return Resources(70, 32 + 12)

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=1).create()
        bits = Signal(8)
        left = Signal(4)  # its upper bit: eight bits of the byte are to go; then it counts to that again
        m.d.comb += [
            self.busy.eq(left[-1]),
            self.crc.eq(crc.crc),
            self.match.eq(crc.match_detected),
            crc.start.eq(self.start & ~left[-1]),
            crc.data.eq(bits[0]),
            crc.valid.eq(left[-1]),
        ]
        with m.If(left[-1]):
            m.d.sync += [bits.eq(bits[1:]), left.eq(left + 1)]
        with m.Elif(self.valid):
            m.d.sync += [bits.eq(self.byte), left.eq(8)]
        return m
