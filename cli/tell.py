"""How commands print: a table for people, JSON for machines, and every text as it is and whole."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..model.error import printable
from ..model.zoo.tables import percent

WIDEST = 100_000
"""Columns, more than any table has."""


def out() -> Console:
    """The console of results, which takes text for what it is: no markup, no emoji, no colours of its own."""
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=True)


def err() -> Console:
    """The same for progress, beside the results."""
    return Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)


def show(table: Table, console: Console) -> None:
    """Print a table whole: rich would cut or fold in a narrow console what a reader may want to copy."""
    width = console.width
    console.width = WIDEST
    try:
        console.print(table)
    finally:
        console.width = width


def tell(figures: dict[str, Any], as_json: bool) -> None:
    """Print figures by name."""
    if as_json:
        print(json.dumps(figures))
        return
    width = max(map(len, figures))
    for key, value in figures.items():
        shown = percent(value) if key.endswith("_error") else text(value).plain
        print(f" {key.replace('_', ' '):{width}}  {shown}")


def text(value: object) -> Text:
    """A figure, with its thousands apart, or a text in one line, that is never taken for markup."""
    counted = isinstance(value, int) and not isinstance(value, bool)
    return Text(f"{value:,}" if counted else printable(str(value)))
