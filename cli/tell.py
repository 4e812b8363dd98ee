"""What a command says at its end: a table for people, JSON for machines."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from ..model.zoo.tables import percent


def tell(figures: dict[str, Any], as_json: bool) -> None:
    """Print figures by name."""
    if as_json:
        print(json.dumps(figures))
        return
    table = Table(show_header=False, box=None)
    for key, value in figures.items():
        table.add_row(key.replace("_", " "), percent(value) if key.endswith("_error") else text(value))
    Console().print(table)


def text(value: object) -> str:
    """A figure, with its thousands apart."""
    return f"{value:,}" if isinstance(value, int) else str(value)
