"""Files that take long to make, kept under a key in a folder that many processes share."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from pathlib import Path

LIMIT = 2 << 30
"""Bytes above which the files that were used longest ago go."""
AGE = 30 * 86_400
"""Seconds without use after which a file goes."""
FRESH = 3_600
"""Seconds after its use in which a file stays, for it may be about to be read."""

_NAME = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}")


def key(*parts: bytes) -> str:
    """The key for what is made of these parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:32]


def find(folder: Path, name: str) -> Path | None:
    """The file kept as `name`, whole; None where there is none. One that was cut short or changed is removed."""
    for path in folder.glob(f"{name}-*"):
        with contextlib.suppress(FileNotFoundError):
            if path.name == _called(name, path):
                os.utime(path)
                return path
            path.unlink()
    return None


def keep(folder: Path, name: str, made: Path) -> Path:
    """Move the file `made`, of the same file system, to where ``find`` finds it; then tidy the folder."""
    path = folder / _called(name, made)
    _sync(made)
    os.replace(made, path)
    _sync(folder)
    tidy(folder)
    return path


def tidy(folder: Path) -> None:
    """Remove what has not been used for long, and what was used longest ago while the rest is too large."""
    known = []
    for path in folder.iterdir():
        if _NAME.fullmatch(path.name):
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                known.append((time.time() - found.st_mtime, found.st_size, path))
    size = 0
    for age, bytes_, path in sorted(known):
        size += bytes_
        if age > FRESH and (age > AGE or size > LIMIT):
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _called(name: str, path: Path) -> str:
    with path.open("rb") as file:
        return f"{name}-{hashlib.file_digest(file, 'sha256').hexdigest()[:32]}"
