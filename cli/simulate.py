# amaranth: UnusedElaboratable=no
"""`bitfold simulate`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ..model import places
from ..model.write import check_place, write_beside
from ..sim.simulate import ENGINES, check, check_options
from .arguments import (
    CacheOption,
    CyclesOption,
    JsonOption,
    NetArgument,
    PlanOption,
    choose_plan,
    load_images,
    load_net,
)
from .progress import bar
from .tell import err, tell


def simulate(
    net: NetArgument,
    images: Annotated[Path, typer.Option(metavar="X.npy", help="Integers [N, height, width, channels].")],
    plan: PlanOption = None,
    cycles: CyclesOption = None,
    engine: Annotated[str, typer.Option(help=f"One of {', '.join(ENGINES)}.")] = ENGINES[0],
    pauses: Annotated[float, typer.Option(help="Probability of a pause in each cycle, on both sides.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the pauses.")] = 0,
    waveform: Annotated[Path | None, typer.Option(metavar="FILE.vcd", help="Write a waveform.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="LOGITS.npy", help="Save the logits the machine gave."),
    ] = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate the network's hardware on images and compare every logit with the network."""
    check_options(engine, pauses, seed, waveform)
    if output is not None:
        check_place(output)
    network = load_net(net)
    pixels = network.input.check(load_images(images))
    folding = choose_plan(network, plan, cycles)
    kept = places.cache(cache)
    with bar(err(), "compiling", "frames") as progress:
        report = check(
            network, folding, pixels, engine=engine, pauses=pauses, seed=seed, waveform=waveform,
            cache=kept, progress=progress,
        )  # fmt: skip
    if output is not None:
        _save_array(output, report.run.logits)
    figures = {
        "images": report.images,
        "mismatching_logits": report.mismatching_logits,
        "mismatching_classes": report.mismatching_classes,
        "cycles_per_frame": report.run.cycles_per_frame,
        "ideal_cycles_per_frame": report.ideal_cycles,
        "cycles": report.run.cycles,
        "first_difference": str(report.first) if report.first else None,
    }
    tell(figures, as_json)
    if not report.exact:
        raise typer.Exit(1)


def _save_array(path: Path, array: NDArray[np.integer[Any]]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_beside(path, buffer.getvalue())
