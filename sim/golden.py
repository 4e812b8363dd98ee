"""What a network's machine gave once, kept in a file that a person can read, for later versions to be held against."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..model.error import BadInput, short
from ..model.read import read_bytes
from ..model.write import write_beside
from .typed import Mistyped, parsed, typed

KIND, VERSION = "bitfold_golden", 1
MOST = 2**30
"""Bytes of such a file, at the most."""
SHOWN = 8
"""Images that are named where many differ."""
MEND = "record it again with --record"


@dataclass(frozen=True)
class Source:
    """Which images it was: one of `data`, `file` and `random` says it.

    Parameters
    ----------
    data : name of a data set, whose first `count` test images they are
    file : name of a .npy file
    random : seed of random ones
    digest : sha256, in hex, of their pixels
    """

    data: str | None
    file: str | None
    random: int | None
    count: int
    digest: str


@dataclass(frozen=True)
class Golden:
    """A machine's run on images.

    What has to stay is what comes first; of the rest a change is told.

    Parameters
    ----------
    network : digest
    images : as ``Source``
    cycles_per_frame : in steady state; None below 3 images
    latency_cycles : from the first frame's first beat in to its last beat out
    logits : for each image a digest of its logits, as in ``parts.Done``
    plan, verilog : digests; None where the engine reads no Verilog
    engine, version : by which it was simulated, of bitfold
    """

    network: str
    images: Source
    cycles_per_frame: float | None
    latency_cycles: int
    logits: tuple[str, ...]
    plan: str
    verilog: str | None
    engine: str
    version: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file whole or not at all; BadInput when that fails."""
        write_beside(path, (json.dumps({KIND: VERSION} | asdict(self), indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Golden:
        """The run that `save` wrote; BadInput, in one line, for any other file."""
        raw = read_bytes(path, "a golden file", MOST)
        try:
            value = parsed(raw)
            version = value.pop(KIND, None)
            if version != VERSION:
                raise Mistyped(f"its {KIND} is {short(version)}, and this bitfold reads {VERSION}")
            golden = typed(cls, value)
        except Mistyped as error:
            raise BadInput(f"{path} is not a golden file, as bitfold regress --record writes it: {error}") from None
        source = golden.images
        if len(golden.logits) != source.count:
            raise BadInput(f"{path} has {len(golden.logits)} digests for {source.count} images; {MEND}")
        if sum(each is not None for each in (source.data, source.file, source.random)) != 1:
            raise BadInput(f"{path}: its images must be of one of data, file and random; {MEND}")
        return golden


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was; `wrong` where it has to be."""

    what: str
    was: Any
    now: Any
    wrong: bool

    def __str__(self) -> str:
        was, now = (each[:12] if isinstance(each, str) and len(each) > 20 else each for each in (self.was, self.now))
        return f"{self.what}: {was} before, {now} now"


def changes(was: Golden, now: Golden) -> Iterator[Change]:
    """What differs between two runs on the same images, what has to stay first."""
    for name in ("network", "cycles_per_frame", "latency_cycles"):
        if getattr(was, name) != getattr(now, name):
            yield Change(name.replace("_", " "), getattr(was, name), getattr(now, name), True)
    differ = [image for image, pair in enumerate(zip(was.logits, now.logits, strict=True)) if pair[0] != pair[1]]
    for image in differ[:SHOWN]:
        yield Change(f"logits of image {image}", was.logits[image], now.logits[image], True)
    if len(differ) > SHOWN:
        yield Change("images whose logits differ", 0, len(differ), True)
    for name in ("plan", "verilog", "engine", "version"):
        if getattr(was, name) != getattr(now, name):
            yield Change(name, getattr(was, name), getattr(now, name), False)
