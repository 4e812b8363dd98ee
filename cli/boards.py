"""`bitfold boards`."""

from __future__ import annotations

import json

from rich.table import Table

from ..boards.board import BOARDS, Board
from .arguments import JsonOption
from .tell import out, show, text


def list_boards(as_json: JsonOption = False) -> None:
    """List the boards that bitfold builds for."""
    rows = [_row(board) for board in BOARDS.values()]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(box=None)
    for key in rows[0]:
        table.add_column(key.replace("_", " "), justify="right" if key in ("luts", "blocks", "baud") else "left")
    for row in rows:
        table.add_row(*(text(_brief(value)) for value in row.values()))
    show(table, out())


def _row(board: Board) -> dict[str, object]:
    return {
        "name": board.name,
        "board": board.title,
        "device": board.target,
        "luts": board.device.luts,
        "blocks": dict(board.device.blocks),
        "clock": board.clock.resource,
        "baud": board.baud,
        "serial_port": board.bridge,
        "makes": board.makes,
    }


def _brief(value: object) -> object:
    return ", ".join(f"{count} {kind}" for kind, count in value.items()) if isinstance(value, dict) else value
