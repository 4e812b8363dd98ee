"""The host link's frames, for whoever speaks to a board: bytes on the wire, and what they mean.

The page docs/host_link.md describes them for other clients; the shell in shell/ is the other end.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from enum import IntEnum
from typing import ClassVar, Self

FLAG, ESCAPE, FLIP = 0x7E, 0x7D, 0x20
"""Between frames; before a byte that is one of these two, and what that byte is exclusive-ored with."""

HEADER = struct.Struct("<BBI")
"""Kind, sequence number, bytes of the payload."""
CRC = struct.Struct("<I")
OVERHEAD = HEADER.size + CRC.size

PROTOCOL = 1
"""Version of what this module says."""


class Kind(IntEnum):
    """Of a frame: the first five are a host's, each with the reply that it brings."""

    IDENTIFY = 0x01
    COUNT = 0x02
    RESET = 0x03
    IMAGE = 0x04
    LOAD = 0x05
    IDENTITY = 0x81
    COUNTS = 0x82
    DONE = 0x83
    RESULT = 0x84
    LOADED = 0x85
    REFUSED = 0xFF


class Reason(IntEnum):
    """Why a frame was refused, the payload of REFUSED."""

    DAMAGED = 1
    """The CRC, the length, or a stop bit was wrong: the sequence number may be, too."""
    UNKNOWN = 2
    """No frame of a host is of this kind."""
    LENGTH = 3
    """Frames of this kind have another length."""
    OVERRUN = 4
    """The machine could not take it in as fast as it came."""
    LOAD = 5
    """The load is not right: of another machine, or its own CRC is wrong. Nothing is loaded."""
    UNLOADED = 6
    """Nothing is loaded, so no image can be answered."""


@dataclass(frozen=True)
class Frame:
    """A frame without what keeps it apart from others and whole.

    kind : a Kind, or what else came
    sequence : 0 to 255, a host's own; a reply has that of what it answers
    """

    kind: int
    sequence: int
    payload: bytes = b""

    def encode(self) -> bytes:
        """All bytes of it on the wire, a flag at both ends."""
        content = HEADER.pack(self.kind, self.sequence, len(self.payload)) + self.payload
        content += CRC.pack(zlib.crc32(content))
        stuffed = bytearray((FLAG,))
        for byte in content:
            stuffed += bytes((ESCAPE, byte ^ FLIP)) if byte in (FLAG, ESCAPE) else bytes((byte,))
        stuffed.append(FLAG)
        return bytes(stuffed)


class Decoder:
    """Frames out of the bytes that come, whatever lies between them.

    Attributes
    ----------
    damaged : how many frames, or pieces of such, were none
    """

    def __init__(self) -> None:
        self.damaged = 0
        self._content: bytearray | None = None  # None before the first flag
        self._escaped = False

    def feed(self, data: Iterable[int]) -> list[Frame]:
        """The whole frames that end in these bytes."""
        found = []
        for byte in data:
            if byte == FLAG:
                if self._content and (frame := self._judge(bytes(self._content))):
                    found.append(frame)
                self._content, self._escaped = bytearray(), False
            elif self._content is not None:
                if byte == ESCAPE and not self._escaped:
                    self._escaped = True
                else:
                    self._content.append(byte ^ FLIP if self._escaped else byte)
                    self._escaped = False
        return found

    def _judge(self, content: bytes) -> Frame | None:
        if len(content) >= OVERHEAD and not self._escaped:
            kind, sequence, length = HEADER.unpack_from(content)
            (crc,) = CRC.unpack_from(content, len(content) - CRC.size)
            if length == len(content) - OVERHEAD and crc == zlib.crc32(content[: -CRC.size]):
                return Frame(kind, sequence, content[HEADER.size : -CRC.size])
        self.damaged += 1
        return None


@dataclass(frozen=True)
class Identity:
    """What a board is, the payload of IDENTITY.

    protocol : PROTOCOL
    version : of bitfold, three numbers
    network, plan : sha256 of the network (``Net.digest``), or of its shape where weights are loaded, and of the plan
    board : its name
    clock : Hz of the machine
    baud : bits a second of the link
    height, width, channels : of an image
    sample_bytes, sample_signed : a sample, little endian; two's complement or unsigned
    out_height, out_width, out_channels : of what comes out
    value_bytes : an output value, little endian, two's complement
    cycles : a frame takes in steady state
    in_flight : images that may be on their way before the first result is back
    buffer : bytes that wait where the machine is slower than the link, one more than its samples for each image
    load_words : 32-bit words of a load; 0 where weights are fixed
    """

    protocol: int
    version: tuple[int, int, int]
    network: str
    plan: str
    board: str
    clock: int
    baud: int
    height: int
    width: int
    channels: int
    sample_bytes: int
    sample_signed: bool
    out_height: int
    out_width: int
    out_channels: int
    value_bytes: int
    cycles: int
    in_flight: int
    buffer: int
    load_words: int

    LAYOUT: ClassVar = struct.Struct("<B3B32s32s16sIIHHHB?HHHBIHII")

    @property
    def image_bytes(self) -> int:
        """Of an IMAGE's payload: samples channel after channel, pixel after pixel, row after row."""
        return self.height * self.width * self.channels * self.sample_bytes

    @property
    def result_bytes(self) -> int:
        """Of a RESULT's payload: the values in the same order, then the last pixel's class in two bytes."""
        return self.out_height * self.out_width * self.out_channels * self.value_bytes + 2

    def pack(self) -> bytes:
        """The payload."""
        network, plan = bytes.fromhex(self.network), bytes.fromhex(self.plan)
        rest = astuple(self)[5:]
        return self.LAYOUT.pack(self.protocol, *self.version, network, plan, self.board.encode(), *rest)

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """What a board sent; ValueError for a payload of another length or protocol."""
        if not payload or payload[0] != PROTOCOL:
            raise ValueError(f"protocol {payload[0] if payload else 'none'}, not {PROTOCOL}")
        if len(payload) != cls.LAYOUT.size:
            raise ValueError(f"an identity of {len(payload)} bytes, not {cls.LAYOUT.size}")
        protocol, *version, network, plan, board = (found := cls.LAYOUT.unpack(payload))[:7]
        name = board.rstrip(b"\0").decode("ascii", errors="replace")
        major, minor, patch = version
        return cls(protocol, (major, minor, patch), network.hex(), plan.hex(), name, *found[7:])


@dataclass(frozen=True)
class Counts:
    """What a board has counted since its reset, the payload of COUNTS.

    cycles, results : of the machine's clock, and images answered; they begin anew after 2^32 - 1
    damaged, unknown, length, overrun, load, unloaded : frames refused, by Reason; these and the following stop at 255
    short_frames, long_frames : images that the machine dropped, because they ended early or late
    """

    cycles: int
    results: int
    damaged: int
    unknown: int
    length: int
    overrun: int
    load: int
    unloaded: int
    short_frames: int
    long_frames: int

    LAYOUT: ClassVar = struct.Struct("<II8B")

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """What a board sent; ValueError for a payload of another length."""
        if len(payload) != cls.LAYOUT.size:
            raise ValueError(f"counts of {len(payload)} bytes, not {cls.LAYOUT.size}")
        return cls(*cls.LAYOUT.unpack(payload))
