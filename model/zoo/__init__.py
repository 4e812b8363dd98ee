"""Trained networks that ship with the project; README.md says how each was made."""

from __future__ import annotations

from pathlib import Path

from ..error import BadInput
from ..net import Net

_HERE = Path(__file__).parent
_SUFFIX = ".bitfold"


def names() -> list[str]:
    """The networks' names, sorted."""
    return sorted(file.stem for file in _HERE.glob(f"*{_SUFFIX}"))


def path(name: str) -> Path:
    """The file of the network `name`; BadInput lists the names there are."""
    if name not in names():
        raise BadInput(f"the zoo has no network {name!r}; it has {', '.join(names())}")
    return _HERE / f"{name}{_SUFFIX}"


def load(name: str) -> Net:
    """The network `name`; BadInput lists the names there are."""
    return Net.load(path(name))
