"""`bitfold demo`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from ..model import places
from . import demonstration
from .arguments import CacheOption, JsonOption
from .tell import err, out


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the Verilog.")] = Path("bitfold-demo"),
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """The whole way on the shipped digits network: plan, Verilog, simulation, comparison."""
    found = demonstration.run(output, places.cache(cache), err() if as_json else out())
    if as_json:
        print(json.dumps(dataclasses.asdict(found)))
    if not found.exact:
        raise typer.Exit(1)
