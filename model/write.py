"""Files are written beside and renamed, so that nobody ever sees half of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .error import BadInput


def check_place(path: str | os.PathLike[str]) -> None:
    """BadInput where ``write_beside`` is bound to fail; to be asked before the work whose result it writes."""
    with _beside(path) as (_, beside):
        beside.touch(exist_ok=False)


def check_folder(folder: str | os.PathLike[str], *names: str) -> None:
    """BadInput where no folder can be made there, or the files of these names not be written into it; makes none."""
    place = Path(os.path.realpath(folder))
    try:
        there = next(each for each in (place, *place.parents) if each.exists())
    except OSError as error:
        raise _refused(folder, error.strerror) from None
    if not there.is_dir():
        raise _refused(folder, "Not a directory")
    if there == place:
        for name in names:
            check_place(place / name)
    elif not os.access(there, os.W_OK | os.X_OK):
        raise _refused(folder, "Permission denied")


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder, made with those above it where it is not there; BadInput where that fails."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise _refused(folder, error.strerror) from None
    return Path(folder)


def write_beside(path: str | os.PathLike[str], content: bytes) -> None:
    """Put `content` at `path` in one step: a reader sees the old file or the new one, whole.

    A link is followed. BadInput when the file cannot be written.
    """
    with _beside(path) as (place, beside):
        with open(beside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, place)


@contextmanager
def _beside(path: str | os.PathLike[str]) -> Iterator[tuple[Path, Path]]:
    """Where a path leads, and a new name beside it, of which nothing is left; an OSError becomes BadInput."""
    place = Path(os.path.realpath(path))
    beside = place.with_name(f".bitfold-{secrets.token_hex(4)}")  # the name itself may be as long as names get
    try:
        if place.is_dir():
            raise _refused(path, "Is a directory")
        if place.exists() and not place.is_file():  # renaming would put a file in a device's place
            raise _refused(path, "Not a regular file")
        yield place, beside
    except OSError as error:
        raise _refused(path, error.strerror) from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _refused(path: str | os.PathLike[str], reason: str | None) -> BadInput:
    return BadInput(f"{os.fspath(path)} cannot be written: {reason}; choose another place")
