# amaranth: UnusedElaboratable=no
"""`bitfold simulate`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from ..model.write import write_beside
from ..sim.simulate import ENGINES, check
from .arguments import CyclesOption, JsonOption, NetArgument, PlanOption, choose_plan, load_images, load_net
from .progress import bar
from .tell import tell


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
    as_json: JsonOption = False,
) -> None:
    """Simulate the network's hardware on images and compare every logit with the network."""
    network = load_net(net)
    folding = choose_plan(network, plan, cycles)
    pixels = load_images(images)
    if waveform is not None:
        waveform.parent.mkdir(parents=True, exist_ok=True)
    with bar(Console(stderr=True), "compiling", "frames") as progress:
        report = check(
            network, folding, pixels, engine=engine, pauses=pauses, seed=seed, waveform=waveform,
            progress=progress,
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
