# amaranth: UnusedElaboratable=no
"""`bitfold report`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from ..hw.accelerator import Accelerator
from ..model import places
from ..model.error import printable
from ..model.write import check_place, write_beside
from .arguments import (
    CacheOption,
    CyclesOption,
    JsonOption,
    NetArgument,
    PlanOption,
    card_of,
    choose_plan,
    load_net,
    net_path,
)
from .progress import bar, steps
from .tell import err, tell


def report(
    net: NetArgument,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="PAGE.html", help="The page; it needs no other file.")
    ] = Path("report.html"),
    plan: PlanOption = None,
    cycles: CyclesOption = None,
    frames: Annotated[
        int,
        typer.Option(min=0, help="Random frames to simulate, for each stage's occupancy over time; 0 leaves it out."),
    ] = 3,
    synth: Annotated[
        bool,
        typer.Option(
            "--synth", help="Synthesise, place and route for the plan's target: measured resources, the clock."
        ),
    ] = False,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML page about the machine: pipeline, what one bit costs, cost and work of each stage, occupancy."""
    from ..boards.implement import implement
    from ..report import figures as figures_of  # here, because no other command needs its libraries
    from ..report.page import render

    check_place(output)
    network = load_net(net)
    card = card_of(net, net_path(net), network)
    kept = places.cache(cache)
    accelerator = Accelerator(network, choose_plan(network, plan, cycles, kept))
    figures_of.check(accelerator, frames, synth)
    console = err()
    implementation = simulation = None
    if frames:
        with bar(console, "compiling", "frames") as progress:
            simulation = figures_of.simulate(accelerator, frames, progress, kept)
    if synth:
        with steps(console) as begin:
            implementation = implement(accelerator, cache=kept, say=begin)
    figures = figures_of.gather(printable(Path(net).stem), accelerator, implementation, simulation, card)
    write_beside(output, render(figures, accelerator).encode())
    if as_json:
        print(json.dumps(dataclasses.asdict(figures)))
    else:
        told = {"report": str(output), "cycles_per_frame": figures.cycles, "lanes": figures.lanes}
        tell({**told, "exact": str(simulation.exact)} if simulation else told, False)
    if simulation and not simulation.exact:
        raise typer.Exit(1)
