"""Files are written beside and renamed, so that nobody ever sees half of one."""

import os
import secrets
from pathlib import Path

from .error import BadInput


def check_place(path: str | os.PathLike[str]) -> None:
    """BadInput where ``write_beside`` is bound to fail; to be asked before the work whose result it writes."""
    place = Path(os.path.realpath(path))
    if place.is_dir():
        reason = "Is a directory"
    elif not place.parent.is_dir():
        reason = "No such file or directory"
    elif not os.access(place.parent, os.W_OK):
        reason = "Permission denied"
    else:
        return
    raise BadInput(f"{path} cannot be written: {reason}; choose another place")


def write_beside(path: str | os.PathLike[str], content: bytes) -> None:
    """Put `content` at `path` in one step: a reader sees the old file or the new one, whole.

    A link is followed. BadInput when the file cannot be written.
    """
    place = Path(os.path.realpath(path))
    beside = place.with_name(f".bitfold-{secrets.token_hex(4)}")  # the name itself may be as long as names get
    try:
        with open(beside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, place)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}; choose another place") from None
    finally:
        beside.unlink(missing_ok=True)
