"""`bitfold program`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..boards.program import program as load
from .tell import err, tell


def program(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that bitfold build has made.")],
    flash: Annotated[bool, typer.Option("--flash", help="Into the flash memory, to stay without power.")] = False,
) -> None:
    """Load a built bitstream into its board."""
    with err().status("loading"):
        record = load(folder, flash=flash)
    tell({"board": record.board, "network": record.network, "clock": f"{record.clock / 1e6:g} MHz"}, False)
