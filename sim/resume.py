"""The file of a run that may be killed: what it is about, and a line for each part that is finished."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO, Any

from ..model.error import BadInput, short
from ..model.read import read_bytes
from .parts import Done, Part
from .taps import Difference

KIND, VERSION = "bitfold_run", 1
MOST = 2**32
"""Bytes that are read of such a file."""


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
            self._write({"seconds": round(seconds, 3)} | asdict(done))

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write((json.dumps(line) + "\n").encode())
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def journal(path: Path, about: Mapping[str, Any], parts: list[Part]) -> Iterator[Journal]:
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
        if lines:
            _check_head(path, _parsed(lines[0]), head)
        elif not b'{"'.startswith(raw[:2]):
            _check_head(path, {}, head)
        done: dict[int, Done] = {}
        seconds = 0.0
        for number, line in enumerate(lines[1:], 2):
            found = _parsed(line)
            try:
                seconds = float(found.pop("seconds"))
                each = _done(found)
                part = parts[each.part]
                right = len(each.logits) == part.stop - part.start
            except (KeyError, TypeError, IndexError, AttributeError, ValueError):
                right = False
            if not right or each.part in done:
                raise BadInput(f"{path}: line {number} is damaged; remove the file, or name another")
            done[each.part] = each
        file.truncate(whole)
        opened = Journal(file, done, seconds)
        if not lines:
            opened._write(head)
        yield opened


def _check_head(path: Path, found: Mapping[str, Any], head: Mapping[str, Any]) -> None:
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


def _parsed(line: bytes) -> dict[str, Any]:
    """The object in a line; an empty one where there is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _done(found: dict[str, Any]) -> Done:
    """A line as ``Journal.add`` writes it; TypeError, KeyError or ValueError for others."""
    differences = tuple(Difference(**each) for each in found.pop("differences"))
    lists = {name: tuple(found.pop(name)) for name in ("logits", "classes")}
    done = Done(**lists, differences=differences, **found)
    if any(type(getattr(done, each.name)) is not int for each in fields(Done) if each.type == "int") or done.part < 0:
        raise TypeError("a count is no integer")
    return done
