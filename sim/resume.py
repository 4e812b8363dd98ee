"""The file of a run that may be killed: what it is about, and a line for each part that is finished."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ..model.error import BadInput, short
from ..model.read import read_bytes
from .parts import Done, Part
from .typed import Mistyped, parsed, typed

KIND, VERSION = "bitfold_run", 1
MOST = 2**32
"""Bytes that are read of such a file."""


@dataclass(frozen=True)
class Line:
    """A finished part; `seconds` is what all took so far."""

    seconds: float
    done: Done


class Journal:
    """An open file of a run.

    done : what was finished before, by the number of the part
    seconds : what that took
    """

    def __init__(self, file: IO[bytes], done: dict[int, Done], seconds: float) -> None:
        self._file, self.done, self.seconds = file, done, seconds

    def add(self, done: Done, seconds: float) -> None:
        """One more part; `seconds` is what all took so far. What has a fault is not kept: it is to be run again."""
        if not done.fault:
            self._write(asdict(Line(round(seconds, 3), done)))

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write((json.dumps(line) + "\n").encode())
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def journal(path: Path, about: Mapping[str, Any], parts: Sequence[Part]) -> Iterator[Journal]:
    """The file at `path`, begun where there is none; held against others while it is used.

    `about` is what makes a run that run, by name, of values of JSON. BadInput where the file is another's, or damaged.
    """
    head = {KIND: VERSION, **about}
    try:
        file = open(path, "a+b")  # noqa: SIM115  closed below
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}; choose another place") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadInput(f"{path} is used by another run that goes on; wait for it, or name another file") from None
        raw = read_bytes(path, "the file of a run", MOST)
        lines = raw.split(b"\n")
        whole = len(raw) - len(lines.pop())  # a run that was killed may have left a part of a line
        if lines or not b'{"'.startswith(raw[:2]):
            _check_head(path, lines[0] if lines else b"", head)
        done: dict[int, Done] = {}
        seconds = 0.0
        for number, line in enumerate(lines[1:], 2):
            try:
                found = typed(Line, parsed(line))
                _check_line(found, parts, done)
            except Mistyped as error:
                raise BadInput(f"{path}: line {number} is damaged: {error}; remove it, or name another file") from None
            seconds = found.seconds
            done[found.done.part] = found.done
        file.truncate(whole)
        opened = Journal(file, done, seconds)
        if not lines:
            opened._write(head)
        yield opened


def _check_head(path: Path, line: bytes, head: Mapping[str, Any]) -> None:
    try:
        found = parsed(line)
    except Mistyped:
        found = {}
    if KIND not in found:
        raise BadInput(f"{path} is not the file of a run; name another, or one that is not there yet")
    for name, value in head.items():
        if found.get(name) != value:
            was, now = (each[:12] if isinstance(each, str) else each for each in (found.get(name), value))
            what = "version" if name == KIND else name
            raise BadInput(
                f"{path} is of another run: there {what} is {short(was)}, here {short(now)}; name another file, or "
                "remove it"
            )


def _check_line(line: Line, parts: Sequence[Part], done: Mapping[int, Done]) -> None:
    """Mistyped where a line is not of a part of the run that has none yet."""
    index = line.done.part
    if not 0 <= index < len(parts) or index in done:
        raise Mistyped(f"part {index} is none of the run's, or was there before")
    part, count = parts[index], parts[index].stop - parts[index].start
    inside = all(part.start <= difference.image < part.stop for difference in line.done.differences)
    if len(line.done.logits) != count or len(line.done.classes) not in (0, count) or not inside:
        raise Mistyped(f"part {index} has images {part.start} to {part.stop - 1}, and the line others")
