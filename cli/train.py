"""`bitfold train`."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..hw.device.target import TARGETS, clock_of
from ..hw.planner import cycles_at
from ..model.error import BadInput, install
from ..model.net import Net
from ..model.zoo.tables import percent
from .arguments import DataOption, JsonOption, check_range
from .size import sized
from .tell import err, tell

if TYPE_CHECKING:
    from ..model.train.recipe import Recipe


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A .toml file, or a shipped recipe's name.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="NET", help="The network's .bitfold file.")],
    data: DataOption = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Decides weights, order and augmentation.")] = 0,
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="Train so many, from that seed on, and compare them.")
    ] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Of a processor; each number gives another network.", show_default="all"),
    ] = None,
    bf16: Annotated[
        bool | None, typer.Option("--bf16/--fp32", help="Precision of training.", show_default="what is faster")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="In all, shared out as in the recipe.", show_default="the recipe's"),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Stop in time, at a checkpoint, and say what is left.", show_default="no limit")
    ] = None,
    luts: Annotated[
        int | None,
        typer.Option(min=1, max=10**9, metavar="N", help="As many channels as so many LUTs hold at --fps and --clock."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", help=f"Of --luts: {', '.join(TARGETS)}.", show_default="generic"),
    ] = None,
    fps: Annotated[float | None, typer.Option(metavar="N", help="Of --luts: frames a second.")] = None,
    clock: Annotated[
        float | None,
        typer.Option(metavar="MHz", help="Of --luts.", show_default="what machines reach on the --target"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a recipe's network to its integers; stopped at any moment, the same command goes on."""
    began = time.monotonic()
    if minutes is not None:
        check_range("--minutes", minutes, 0.1, 1e6)
    if (luts is None) != (fps is None):
        raise BadInput("--luts and --fps belong together: how many LUTs, at how many frames a second")
    if luts is None and (target is not None or clock is not None):
        raise BadInput("--target and --clock say where and how fast the --luts are: give these too")
    target = target or "generic"
    told = clock_of(target, clock)
    if fps is not None:
        check_range("--fps", fps, 1e-6, 1e12)
    check_range("--clock", told.mhz, 1e-3, 1e6)
    missing = [name for name in ("torch", "msgspec", "matplotlib", "tensorboard") if not find_spec(name)]
    if missing:
        raise BadInput(f"training needs {missing[0]}, which is not installed; {install('train')}")
    # torch's threads spin while they wait for each other: on two processors of a virtual machine a batch took 40 times
    # as long. It must be said before torch is there.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from ..model.train import command

    until = math.inf if minutes is None else began + 60 * minutes
    job = command.Job(recipe, data, output, seed, seeds, device, threads, bf16, epochs, until)
    if luts is not None and fps is not None:
        cycles = cycles_at(fps, told.mhz)

        def choose(recipe: Recipe, untrained: Callable[[Recipe], Net]) -> tuple[Recipe, str]:
            narrowed, machine = sized(recipe, untrained, luts, target, cycles)
            rate = f"{told.mhz * 1e6 / machine.cycles:,.0f} frames a second at {told}"
            channels = f"{narrowed.network.channels} of the recipe's {recipe.network.channels} channels"
            return narrowed, f"{channels}: {machine.cells:,} of {luts:,} LUTs, {rate}"

        chosen = f"--luts {luts} --target {target} --fps {fps!r} --clock {told.mhz!r} "
        job = replace(job, choose=choose, chosen=chosen)
    found = command.train(job, err())
    if as_json and found:
        print(json.dumps(found if seeds > 1 else found[0]))
        return
    for figures in found:
        tell(figures, False)
    errors = [figures["test_error"] for figures in found if "test_error" in figures]
    if len(errors) > 1:
        mean = sum(errors) / len(errors)
        print(
            f"{len(errors)} seeds: mean {percent(mean)}, minimum {percent(min(errors))}, maximum {percent(max(errors))}"
        )
