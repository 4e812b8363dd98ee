"""The host link's frames: whole ones come through whatever lies between them, damaged ones never."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import examples

from bitfold.boards.protocol import ESCAPE, FLAG, OVERHEAD, Counts, Decoder, Frame, Identity, Kind

FRAMES = st.builds(Frame, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=40))
NOISE = st.binary(max_size=20).map(lambda data: data.replace(bytes((FLAG,)), b""))

IDENTITY = Identity(
    protocol=1, version=(0, 1, 2), network="ab" * 32, plan="01" * 32, board="ulx3s-85f", clock=75_000_000,
    baud=3_000_000, height=32, width=31, channels=3, sample_bytes=2, sample_signed=True, out_height=1, out_width=2,
    out_channels=10, value_bytes=3, cycles=36864, in_flight=32, buffer=70000, load_words=99999,
)  # fmt: skip


def test_a_frame_as_the_page_shows_it():
    """docs/host_link.md has these bytes."""
    assert Frame(Kind.IDENTIFY, 1).encode().hex(" ") == "7e 01 01 00 00 00 00 b6 5b fe 47 7e"
    content = struct.pack("<BBI", 4, 0x7E, 2) + b"\x7d\x00"
    crc = struct.pack("<I", zlib.crc32(content))
    assert b"}" not in crc
    assert b"~" not in crc
    assert Frame(4, 0x7E, b"\x7d\x00").encode() == b"~\x04}\x5e\x02\0\0\0}\x5d\0" + crc + b"~"


@given(st.lists(st.tuples(NOISE, FRAMES)), NOISE)
@examples(200)
def test_whole_frames_come_through_noise(pieces, rest):
    data = b"".join(noise + frame.encode() for noise, frame in pieces) + rest
    decoder = Decoder()
    found = [frame for byte in data for frame in decoder.feed((byte,))]
    assert found == [frame for _, frame in pieces]
    # What lies behind a flag and is none of a frame is a damaged one; before the first flag it is nothing.
    assert decoder.damaged == sum(len(noise) > 0 for noise, _ in pieces[1:])


@given(FRAMES, st.data())
@examples(300)
def test_a_damaged_frame_is_none(frame, data):
    wire = bytearray(frame.encode())
    place = data.draw(st.integers(1, len(wire) - 2))
    wire[place] ^= data.draw(st.integers(1, 255))
    assert Decoder().feed(wire) == []


@given(FRAMES, st.data())
@examples(100)
def test_a_cut_frame_is_none(frame, data):
    wire = frame.encode()
    cut = data.draw(st.integers(1, len(wire) - 2))
    assert Decoder().feed(wire[:cut] + bytes((FLAG,))) == []
    assert Decoder().feed(wire[:cut] + bytes((ESCAPE, FLAG)) + wire) == [frame]


def test_identity_and_counts_are_what_was_packed():
    assert Identity.unpack(IDENTITY.pack()) == IDENTITY
    assert IDENTITY.image_bytes == 32 * 31 * 3 * 2
    assert IDENTITY.result_bytes == 2 * 10 * 3 + 2
    counts = Counts(2**32 - 1, 5, 1, 2, 3, 4, 5, 6, 7, 255)
    packed = Counts.LAYOUT.pack(*vars(counts).values())
    assert Counts.unpack(packed) == counts
    with pytest.raises(ValueError, match=r"^counts of 15 bytes, not 16$"):
        Counts.unpack(packed[:-1])
    with pytest.raises(ValueError, match=r"^protocol 2, not 1$"):
        Identity.unpack(b"\x02" + IDENTITY.pack()[1:])
    with pytest.raises(ValueError, match=r"^an identity of 120 bytes, not 121$"):
        Identity.unpack(IDENTITY.pack()[:-1])
    with pytest.raises(ValueError, match=r"^protocol none, not 1$"):
        Identity.unpack(b"")
    assert OVERHEAD == 10
