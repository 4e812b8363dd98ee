"""`bitfold build`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..boards.board import BOARDS, board
from ..boards.build import build as build_board
from ..boards.build import check_output, check_tools
from ..boards.record import Record
from ..hw.plan import Plan
from ..model.card import SUFFIX
from .arguments import (
    CacheOption,
    JsonOption,
    LoadableOption,
    NetArgument,
    PlanOption,
    check_range,
    load_net,
    net_path,
    starting,
    weights_of,
)
from .progress import steps
from .tell import err, tell


def build(
    net: NetArgument,
    board_name: Annotated[
        str,
        typer.Option(
            "--board",
            metavar="BOARD",
            help=f"One of {', '.join(BOARDS)}; see bitfold boards.",
            autocompletion=starting(lambda: BOARDS),
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="New folder for the files.")],
    plan: PlanOption = None,
    loadable: LoadableOption = False,
    seeds: Annotated[
        int, typer.Option(metavar="N", help="Seeds of place and route to try at each clock; the best is kept.")
    ] = 1,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a bitstream for a board, or the project that its maker's tools run."""
    found = board(board_name)
    check_range("--seeds", seeds, 1, 100)
    check_output(output)
    check_tools(found)
    weights = weights_of(loadable, plan)
    network = load_net(net)
    name = net_path(net).name.removesuffix(SUFFIX)
    chosen = Plan.load(plan) if plan else None
    with steps(err()) as begin:
        record = build_board(
            network, name, found, output, plan=chosen, weights=weights, seeds=seeds, cache=cache, say=begin
        )
    if as_json:
        print(json.dumps(asdict(record)))
    else:
        tell(_figures(record, output), False)


def _figures(record: Record, output: Path) -> dict[str, object]:
    """What a person wants to know."""
    fmax = {"fmax": f"{record.fmax / 1e6:.1f} MHz, seed {record.seed}"} if record.fmax else {}
    used = {name: f"{used:,} of {available:,}" for name, (used, available) in record.used.items() if available > 1}
    made = output / (record.bitstream or "build_top.sh")
    return {
        ("bitstream" if record.bitstream else "project"): str(made),
        "board": record.board,
        "clock": f"{record.clock / 1e6:g} MHz",
        **fmax,
        **used,
        "cycles_per_frame": record.cycles,
        "frames_per_second": f"{record.frames_per_second:,.1f} without the serial line",
        "serial_line": f"{record.baud:,} baud",
        "seconds": f"{record.seconds:.0f}",
        "memory": f"{record.gibibytes:.1f} GiB",
    }
