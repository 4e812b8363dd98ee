"""What a run needs to go on as if it had never stopped."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from ..error import BadInput
from ..write import write_beside

FORMAT = 1


def save(path: Path, identity: dict[str, Any], state: dict[str, Any]) -> None:
    """Put the state at `path`, whole or not at all."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "identity": identity, "state": state}, buffer)
    write_beside(path, buffer.getvalue())


def load(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The state that `save` put there, on the processor; None where there is none.

    BadInput when it is another run's, or no checkpoint.
    """
    mend = f"remove {path.parent} to start again, or choose another output"
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        form, its, state = found["format"], dict(found["identity"]), dict(found["state"])
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError, EOFError, LookupError, TypeError, ValueError, pickle.UnpicklingError):
        raise BadInput(f"{path} is no checkpoint of bitfold's; {mend}") from None
    if form != FORMAT:
        raise BadInput(f"{path} was written by another version of bitfold; {mend}")
    for key, value in identity.items():
        if its.get(key) != value:
            raise BadInput(f"{path} is of another run, its {key} is {its.get(key)}, not {value}; {mend}")
    return state
