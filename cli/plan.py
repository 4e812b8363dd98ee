# amaranth: UnusedElaboratable=no
"""`bitfold plan`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..hw.accelerator import Accelerator
from ..hw.device.protect import PROTECT
from ..hw.device.target import clock_of
from ..hw.plan import WEIGHTS
from ..model.error import BadInput, printable
from ..model.write import check_place
from . import pareto as rate_against_area
from . import plan_table
from .arguments import (
    ClockOption,
    DeviceOption,
    FpsOption,
    JsonOption,
    LoadableOption,
    NetArgument,
    TargetOption,
    Wanted,
    device_of,
    load_net,
)
from .tell import err, out


def plan(
    net: NetArgument,
    fps: FpsOption = None,
    clock: ClockOption = None,
    target: TargetOption = "generic",
    device: DeviceOption = None,
    lut_share: Annotated[float, typer.Option(help="The part of the device's LUTs and flip-flops to use.")] = 0.8,
    loadable: LoadableOption = False,
    protect: Annotated[
        str, typer.Option(help=f"Check bits behind read-only weights, against flipped bits: {', '.join(PROTECT)}.")
    ] = PROTECT[0],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="PLAN.toml", help="Where to write the plan.")
    ] = None,
    pareto: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw rate against LUTs, and write the points to FILE.csv.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Plan how far each layer is unrolled: the smallest machine for a rate, or the fastest for a device."""
    if fps is None and target == "generic" and pareto is None:
        raise BadInput(
            "say how fast with --fps and --clock, or where with --target, or ask for the choice with --pareto"
        )
    wanted = Wanted(
        fps, clock_of(target, clock), target, lut_share, WEIGHTS[loadable], device_of(device, target), protect
    )
    wanted.check()
    if pareto is not None:
        rate_against_area.check(pareto)
    if output is not None:
        check_place(output)
    network = load_net(net)
    console = err()
    if pareto is not None:
        with console.status("planning"):
            rows = rate_against_area.write(network, wanted, pareto)
        if as_json:
            print(json.dumps(rows))
        else:
            print(printable(f"{len(rows)} plans drawn in {pareto}, their figures in {pareto.with_suffix('.csv')}"))
        return
    with console.status("planning"):
        found, bound = wanted.bound_plan(network)
        machine = Accelerator(network, found)
    if output is not None:
        found.save(output, plan_table.notes(machine))
    if as_json:
        print(json.dumps(plan_table.figures(machine, wanted.clock, bound)))
    else:
        plan_table.show(machine, wanted.clock, wanted.available, bound, out())
