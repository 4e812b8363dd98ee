"""Trained networks that ship with the project; README.md says how each was made."""

from __future__ import annotations

from pathlib import Path

from ..card import SUFFIX, TWIN_SUFFIX, Card, card_path
from ..error import BadInput, suggest
from ..net import Net

_HERE = Path(__file__).parent


def names() -> list[str]:
    """The networks' names, sorted; float twins do not count."""
    files = (file.name for file in _HERE.glob(f"*{SUFFIX}") if not file.name.endswith(TWIN_SUFFIX))
    return sorted(name.removesuffix(SUFFIX) for name in files)


def path(name: str) -> Path:
    """The file of the network `name`; BadInput lists the names there are."""
    if name not in names():
        raise BadInput(f"the zoo has no network {name!r}; {suggest(name, names())}it has {', '.join(names())}")
    return _HERE / f"{name}{SUFFIX}"


def load(name: str) -> Net:
    """The network `name`; BadInput lists the names there are."""
    return Net.load(path(name))


def card(name: str) -> Card:
    """The card of the network `name`; BadInput lists the names there are."""
    return Card.load(card_path(path(name)))
