"""Files are written beside and renamed, so that nobody ever sees half of one."""

import os
import secrets
from pathlib import Path

from .error import BadInput


def write_beside(path: str | os.PathLike[str], content: bytes) -> None:
    """Put `content` at `path` in one step: a reader sees the old file or the new one, whole.

    A link is followed. BadInput when the file cannot be written.
    """
    place = Path(os.path.realpath(path))
    beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
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
