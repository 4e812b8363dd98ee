"""The tables of the zoo's networks in the READMEs, from their cards."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ..card import Card
from ..error import BadInput
from ..write import write_beside
from . import card, names

Columns = dict[str, Callable[[Card], str]]

FIGURES: Columns = {
    "name": lambda card: card.name,
    "data": lambda card: card.data,
    "bits of an activation": lambda card: str(card.bits),
    "weights": lambda card: f"{card.weights:,}",
    "bytes": lambda card: f"{card.bytes:,}",
    "test images": lambda card: f"{card.images:,}",
    "test error": lambda card: percent(card.test_error),
    "of its float twin": lambda card: percent(card.float_test_error),
}

MAKING: Columns = {
    "recipe": lambda card: card.recipe,
    "seed": lambda card: str(card.seed),
    "epochs": lambda card: str(card.epochs),
    "hardware": lambda card: card.hardware,
    "date": lambda card: card.date,
}

_HERE = Path(__file__).parent

TABLES: dict[Path, Columns] = {_HERE.parents[1] / "README.md": FIGURES, _HERE / "README.md": FIGURES | MAKING}
"""The files of the repository that hold the table between <!-- zoo --> and <!-- /zoo -->, and its columns there."""


def percent(share: float | None) -> str:
    """A share in [0, 1] for a reader."""
    return "" if share is None else f"{100 * share:.2f} %"


def table(columns: Columns, cards: Sequence[Card]) -> str:
    """Markdown, a row for each card."""
    rows = [list(columns), ["---"] * len(columns), *([tell(card) for tell in columns.values()] for card in cards)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def renewed(text: str, columns: Columns, cards: Sequence[Card]) -> str:
    """The text with the table of these cards between its markers; BadInput when it has none."""
    pieces = re.split(r"(?<=<!-- zoo -->\n)(?:.*\n)*?(?=<!-- /zoo -->)", text)
    if len(pieces) != 2:
        raise BadInput("there is no one place between a line <!-- zoo --> and a line <!-- /zoo -->; add these lines")
    return table(columns, cards).join(pieces)


def rewrite() -> None:
    """Write every table anew, each file whole or not at all; BadInput when a file is missing or lacks the place."""
    cards = [card(name) for name in names()]
    for path, columns in TABLES.items():
        try:
            text = renewed(path.read_text(encoding="utf-8"), columns, cards)
        except FileNotFoundError:
            raise BadInput(f"{path} does not exist: the tables are written in a copy of the repository") from None
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from None
        write_beside(path, text.encode())
