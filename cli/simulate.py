"""`bitfold simulate`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ..model import places
from ..model.error import BadInput
from ..model.write import check_place, write_beside
from ..sim.shipped import shipped
from ..sim.simulate import ENGINES, check_options
from . import junit
from .arguments import CacheOption, CyclesOption, DataOption, JsonOption, NetArgument, PlanOption, choose_plan, load_net
from .images import CountOption, ImagesOption, SetOption, open_images
from .simulation import DaskOption, How, JobsOption, run
from .tell import err, tell


def simulate(
    net: NetArgument,
    images: ImagesOption = None,
    data_name: SetOption = None,
    data: DataOption = None,
    count: CountOption = None,
    plan: PlanOption = None,
    cycles: CyclesOption = None,
    verilog: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Simulate the files that bitfold verilog wrote there, with their plan."),
    ] = None,
    netlist: Annotated[
        bool, typer.Option("--netlist", help="Simulate what Yosys makes of the Verilog for the plan's device.")
    ] = False,
    engine: Annotated[str, typer.Option(help=f"One of {', '.join(ENGINES)}.")] = ENGINES[0],
    pauses: Annotated[float, typer.Option(help="Probability of a pause in each cycle, on both sides.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the pauses.")] = 0,
    jobs: JobsOption = None,
    dask: DaskOption = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep what is finished there, and go on from it if the run is killed."),
    ] = None,
    waveform: Annotated[Path | None, typer.Option(metavar="FILE.vcd", help="Write a waveform.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="LOGITS.npy", help="Save the logits the machine gave."),
    ] = None,
    junit_file: Annotated[
        Path | None,
        typer.Option("--junit", metavar="FILE.xml", help="Write a test case an image, as CI services read them."),
    ] = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate the network's hardware on images and compare every logit with the network."""
    check_options(engine, pauses, seed, waveform)
    how = How(jobs, dask, resume, waveform, output is not None, netlist)
    how.check()
    for place in (output, junit_file, resume):
        if place is not None:
            check_place(place)
    if verilog is not None and (plan is not None or cycles is not None):
        raise BadInput("the plan of --verilog DIR lies there: leave out --plan and --cycles")
    if netlist and (verilog is not None or engine == "amaranth"):
        other = "--verilog" if verilog is not None else "--engine amaranth"
        raise BadInput(f"--netlist is of the plan's own Verilog: leave out {other}")
    network = load_net(net)
    chosen = open_images(net, network, images, data_name, data, count)
    kept = places.cache(cache)
    ship = shipped(verilog, network) if verilog is not None else None
    folding = ship.plan if ship else choose_plan(network, plan, cycles, kept)
    ran = run(
        network, folding, chosen, engine=engine, pauses=pauses, seed=seed, how=how, cache=kept, console=err(), ship=ship
    )  # fmt: skip
    if output is not None and ran.logits is not None:
        _save_array(output, ran.logits)
    if junit_file is not None:
        write_beside(junit_file, junit.render(ran, net, chosen.name))
    tell(ran.figures(), as_json)
    if ran.fault:
        raise RuntimeError(ran.fault)
    if not ran.result.exact:
        raise typer.Exit(1)


def _save_array(path: Path, array: NDArray[np.integer[Any]]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_beside(path, buffer.getvalue())
