"""Files are written beside and renamed, so that nobody ever sees half of one."""

import errno
import os
import secrets
from pathlib import Path

from .error import BadInput


def check_place(path: str | os.PathLike[str]) -> None:
    """BadInput where ``write_beside`` is bound to fail; to be asked before the work whose result it writes."""
    place = Path(os.path.realpath(path))
    try:
        if place.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        beside = _beside(place)
        open(beside, "xb").close()
        beside.unlink()
    except OSError as error:
        raise _refused(path, error) from None


def write_beside(path: str | os.PathLike[str], content: bytes) -> None:
    """Put `content` at `path` in one step: a reader sees the old file or the new one, whole.

    A link is followed. BadInput when the file cannot be written.
    """
    place = Path(os.path.realpath(path))
    beside = _beside(place)
    try:
        with open(beside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, place)
    except OSError as error:
        raise _refused(path, error) from None
    finally:
        beside.unlink(missing_ok=True)


def _beside(place: Path) -> Path:
    return place.with_name(f".bitfold-{secrets.token_hex(4)}")  # the name itself may be as long as names get


def _refused(path: str | os.PathLike[str], error: OSError) -> BadInput:
    return BadInput(f"{path} cannot be written: {error.strerror}; choose another place")
