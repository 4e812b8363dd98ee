"""`bitfold zoo`."""

from __future__ import annotations

import json

from rich.table import Table

from ..model import zoo
from ..model.zoo.tables import percent
from .arguments import JsonOption
from .tell import out, show, text


def list_zoo(as_json: JsonOption = False) -> None:
    """List the networks that ship with bitfold."""
    keys = ("name", "data", "bits", "weights", "bytes", "test_error", "float_test_error")
    rows = [{key: getattr(zoo.card(name), key) for key in keys} for name in zoo.names()]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(box=None)
    for key in keys:
        table.add_column(key.replace("_", " "), justify="left" if key in ("name", "data") else "right")
    for row in rows:
        table.add_row(*(percent(row[key]) if "error" in key else text(row[key]) for key in keys))
    show(table, out())
