# amaranth: UnusedElaboratable=no
"""`bitfold synth`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..hw.accelerator import Accelerator
from ..hw.device.target import TARGETS
from ..hw.plan import Plan
from ..model import places
from ..model.error import BadInput, printable
from . import synth_table
from .arguments import (
    CacheOption,
    CyclesOption,
    JsonOption,
    LoadableOption,
    NetArgument,
    PlanOption,
    check_range,
    choose_plan,
    load_net,
    weights_of,
)
from .progress import steps
from .tell import err, out

MOST_SEEDS = 1000
"""More than anybody waits for."""


def synth(
    net: NetArgument,
    target: Annotated[
        str | None, typer.Option(metavar="DEVICE", help=f"{', '.join(TARGETS)}; without it the plan's.")
    ] = None,
    plan: PlanOption = None,
    cycles: CyclesOption = None,
    loadable: LoadableOption = False,
    seeds: Annotated[
        int, typer.Option(metavar="N", help="Place and route with the seeds 1 to N; the clock is the median.")
    ] = 1,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Synthesise, place and route: what each stage takes of the device, the clock, the slowest path.

    Without a plan: the fastest that fits the device. Status 1 where the device does not hold the machine.
    """
    from ..boards import implement  # here, because no other command needs these
    from ..report.figures import gather

    check_range("--seeds", seeds, 1, MOST_SEEDS)
    if target is None and plan is not None and cycles is None:
        target = Plan.load(plan).target
    if target not in TARGETS:
        asked = f'no device is called "{target}"' if target not in (None, "generic") else "say where with --target"
        raise BadInput(f"{asked}; there are {', '.join(TARGETS)}")
    implement.check(target)
    weights = weights_of(loadable, plan)
    network = load_net(net)
    kept = places.cache(cache)
    with steps(err()) as begin:
        begin("planning")
        machine = Accelerator(network, choose_plan(network, plan, cycles, kept, target, weights))
        found = implement.implement(machine, range(1, seeds + 1), cache=kept, say=begin)
    figures = gather(printable(Path(net).stem), machine, found)
    if as_json:
        print(json.dumps(synth_table.figures(figures)))
    else:
        synth_table.show(figures, out())
    if figures.refused:
        raise typer.Exit(1)
