"""Files are written beside and renamed, so that nobody ever sees half of one."""

import os
from pathlib import Path

from .error import BadInput


def write_beside(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step; BadInput when the folder cannot be written."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise BadInput(f"{path}: cannot be written: {error.strerror}") from None
