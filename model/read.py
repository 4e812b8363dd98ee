"""Files are read whole where they are regular and not larger than they can be, and known by how they begin."""

from __future__ import annotations

import codecs
import os
import stat

from .error import BadInput

SMALL = 2**24
"""Bytes that no text which people write or read has: plans, recipes, cards."""


def read_bytes(path: str | os.PathLike[str], what: str, most: int = SMALL) -> bytes:
    """The content of a file that should be `what`, such as "a plan"; BadInput where it cannot be read as one.

    No more than `most` bytes are read, and nothing of pipes and devices, which may never end.
    """
    try:
        status = os.stat(path)
        raw = None
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                raw = file.read(min(status.st_size, most) + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadInput(f"{os.fspath(path)} cannot be read: {reason}; check the path") from None
    if raw is None:
        raise BadInput(f"{os.fspath(path)} is not a regular file; give the path of {what}")
    if len(raw) > most:
        raise BadInput(f"{os.fspath(path)} has more than {most:,} bytes, which {what} never has; check the path")
    return raw


def read_text(path: str | os.PathLike[str], what: str) -> str:
    """The same for text, which is UTF-8."""
    raw = read_bytes(path, what)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        found = kind_of(raw)
        wrong = f"is not {what} but {found}" if found else f"is not {what}: no UTF-8 text from byte {error.start} on"
        raise BadInput(f"{os.fspath(path)} {wrong}; check the path") from None


def kind_of(raw: bytes) -> str | None:
    """What a file is that begins so, where that is plain; None where it is not."""
    for start, kind in _STARTS.items():
        if raw.startswith(start):
            return kind
    if raw[8:10] == b'{"':
        return NETWORK
    # ONNX has no magic number: field 1, the version, then fields of which the first is the producer's name.
    if raw[:1] == b"\x08" and raw[2:3] in (b"\x12", b"\x1a", b"\x3a"):
        return "an ONNX model"
    return _kind_of_text(raw[:4096])


NETWORK = "a safetensors file, such as bitfold's networks"

ARRAY = "a NumPy array, such as images"

_STARTS = {
    b"\x93NUMPY": ARRAY,
    b"PK\x03\x04": "a zip archive, such as PyTorch's .pt and NumPy's .npz files",
    **{bytes([0x80, protocol]): "a Python pickle, such as old PyTorch files" for protocol in range(2, 6)},
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file, such as Keras writes",
}


def _kind_of_text(raw: bytes) -> str | None:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(raw)  # the last character may be cut
    except UnicodeDecodeError:
        return None
    if not text or not all(c.isprintable() or c.isspace() for c in text):
        return None
    for mark, kind in (
        ("bitfold_plan", "a plan"),
        ("[network]", "a recipe"),
        ('"digest"', "the card of a network"),
        ("<html", "a web page"),
    ):
        if mark in text:
            return kind
    return "a text"
