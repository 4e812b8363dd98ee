"""`bitfold check`."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from . import accuracy
from .arguments import DataOption, JsonOption, net_path
from .tell import err, out


def check(
    nets: Annotated[list[str], typer.Argument(metavar="NET...", help="As elsewhere; several are judged together too.")],
    data: DataOption = None,
    data_name: Annotated[
        str | None, typer.Option("--set", metavar="NAME", help="Data set; else the one named by the card beside NET.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge networks by a whole test set: accuracy, confusions, and their float twins beside them."""
    checked = accuracy.measure({name: net_path(name) for name in nets}, data, data_name, err())
    if as_json:
        print(json.dumps(dataclasses.asdict(checked if len(checked.nets) > 1 else checked.nets[0])))
    else:
        accuracy.show(checked, out())
