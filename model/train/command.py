"""What `bitfold train` does: from a recipe and data to a network of integers, its float twin and its card."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ..card import SUFFIX, Card, card_path, twin_path
from ..error import BadInput, printable
from ..export import NoIntegerForm, export, fine, rehearsed
from ..judge import judge
from ..limits import MAX_WEIGHTS
from ..net import Net
from ..write import check_folder, check_place, write_beside
from .data import DataSet, open_data
from .device import Device, open_device
from .log import Epoch, spread
from .modules import Codes, Stream
from .networks import build
from .recipe import Recipe, load
from .run import Run, Step, Trained


@dataclass(frozen=True)
class Job:
    """What the command line asks for.

    recipe : a shipped recipe's name or a file
    output : the network's file; several seeds add their number to its name
    seed, seeds : the first seed and how many
    device, threads, bf16 : as in open_device
    epochs : in all, in place of the recipe's
    until : time.monotonic when the run must have stopped, if at a checkpoint; the last judgement is not counted
    choose : of a recipe and what tells a recipe's network, another recipe to train and words about it
    chosen : how that was asked for
    """

    recipe: str
    data: Path | None
    output: Path
    seed: int
    seeds: int
    device: str
    threads: int | None
    bf16: bool | None
    epochs: int | None = None
    until: float = math.inf
    choose: Callable[[Recipe, Callable[[Recipe], Net]], tuple[Recipe, str]] | None = None
    chosen: str = ""


def train(job: Job, console: Console) -> list[dict[str, Any]]:
    """Run the job; the figures of each seed. Other processes than the first return none.

    What is already there of a run is gone on with. BadInput in one line for all that cannot work.
    """
    recipe = load(job.recipe)
    if job.epochs is not None:
        try:
            recipe = recipe.lasting(job.epochs)
        except ValueError as error:
            raise BadInput(f"--epochs: {error}") from None
    outputs = _outputs(job)
    data = open_data(recipe.data, job.data, recipe.size)
    data = replace(data, train=cache(data.train), test=cache(data.test))  # read once for all seeds
    told = ""
    if job.choose:
        recipe, told = job.choose(recipe, lambda narrowed: rehearsal(narrowed, data))
    else:
        # What would be refused after the last step is refused before the first.
        with contextlib.suppress(NoIntegerForm):  # such a recipe is trained for its error in floating point
            rehearsal(recipe, data)
    found, curves = [], []
    with open_device(job.device, job.threads, job.bf16) as device:
        if told and device.rank == 0:
            console.print(told, highlight=False)
        for seed, output in outputs.items():
            with _progress(console, device.rank == 0) as progress:
                tell = _teller(progress, recipe, len(data.train()))
                folder = output.with_suffix(".run")
                run = Run(recipe, data, folder, seed, device, tell, job.until)
                trained = run.train()
            if trained is None:
                if device.rank == 0:
                    found.append(_unfinished(run))
                break
            if device.rank == 0:
                found.append(_finish(trained, recipe, data, job, seed, output, device, console))
                curves.append(trained.rows)
    if len(curves) > 1:
        _compare(found, curves, job.output)
    return found


def rehearsal(recipe: Recipe, data: DataSet) -> Net:
    """The network of integers that a recipe gives, but for its weights; BadInput where it would give none."""

    def untrained() -> torch.nn.Module:
        return build(recipe.network, data.input, data.mean, len(data.classes))

    with torch.device("meta"):  # without memory for the weights
        weights = sum(parameter.numel() for parameter in untrained().parameters())
    if weights > MAX_WEIGHTS:
        raise BadInput(
            f"the recipe's network has {weights:,} weights, more than {MAX_WEIGHTS:,}; lower its channels or its depth"
        )
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)  # what is planned by it must not change with the weights
        network = rehearsed(untrained(), recipe.network.bits)
    return export(network, data.input, data.classes, data.preprocessing)


def _outputs(job: Job) -> dict[int, Path]:
    """The network's file of each seed; BadInput where what belongs to one cannot be written."""
    place = job.output
    if place.suffix != SUFFIX:
        raise BadInput(f"the network's file must end in {SUFFIX}, which {place} does not")
    if not place.parent.is_dir():
        raise BadInput(f"the folder {place.parent} does not exist; create it or choose another place")
    seeds = range(job.seed, job.seed + job.seeds)
    outputs = {seed: place if job.seeds == 1 else place.with_name(f"{place.stem}-{seed}{SUFFIX}") for seed in seeds}
    for output in outputs.values():
        check_folder(output.with_suffix(".run"), "checkpoint.pt", "log.csv", "curves.png")
        for file in (output, twin_path(output), card_path(output)):
            check_place(file)
    if job.seeds > 1:
        for file in _curves(place):
            check_place(file)
    return outputs


def _unfinished(run: Run) -> dict[str, Any]:
    """What there is of a run that stopped in time."""
    total = run.recipe.epochs
    left = f", about {_span(run.rows[-1].seconds * (total - len(run.rows)))} are left" if run.rows else ""
    return {
        "seed": run.seed,
        "epochs": len(run.rows),
        "network": None,
        "checkpoint": str(run.folder / "checkpoint.pt"),
        "note": f"the time was over in epoch {len(run.rows) + 1} of {total}{left}: the same command goes on from there",
    }


def _finish(
    trained: Trained, recipe: Recipe, data: DataSet, job: Job, seed: int, output: Path, device: Device, console: Console
) -> dict[str, Any]:
    """Export, judge on the test images, save; the figures."""

    def integers(network: torch.nn.Module) -> Net:
        return export(network, data.input, data.classes, data.preprocessing)

    rows = trained.rows
    figures: dict[str, Any] = {"seed": seed, "epochs": len(rows), "seconds": round(sum(row.seconds for row in rows), 1)}
    network = trained.network if trained.twin else fine(trained.network)
    try:
        nets = [integers(network)]
    except BadInput as error:
        return figures | {
            "float_test_error": rows[-1].test_error,
            "network": None,
            "checkpoint": str(output.with_suffix(".run") / "checkpoint.pt"),
            "note": str(error),
        }
    if trained.twin:
        try:
            nets.append(integers(fine(trained.twin)))
        except BadInput as error:
            figures["note"] = f"the float twin is left out: {error}"
    net, *twins = nets
    test = data.test()
    with _progress(console, shown=True) as progress:
        task = progress.add_task("judge", total=len(test), state="")
        verdict = judge(nets, test.batch, test.labels, lambda done, _: progress.update(task, completed=done))
    errors = [(len(test) - right) / len(test) for right in verdict.right]
    twin_path(output).unlink(missing_ok=True)
    for twin in twins:
        twin.save(twin_path(output))
    net.save(output)
    options = job.chosen + ("" if job.epochs is None else f"--epochs {job.epochs} ") + device.options
    several = f"torchrun --nproc-per-node {device.world} -m " if device.world > 1 else ""
    card = Card(
        name=output.stem,
        data=recipe.data,
        recipe=Path(job.recipe).stem,
        settings=msgspec.to_builtins(recipe),
        hardware=device.name,
        torch=str(torch.__version__),
        date=datetime.date.today().isoformat(),
        command=f"{several}bitfold train {job.recipe} --data DIR -o {output.name} --seed {seed} {options}",
        bits=next(each.bits for each in network.modules() if isinstance(each, Codes) and not isinstance(each, Stream)),
        weights=net.weights,
        bytes=output.stat().st_size,
        digest=net.digest(),
        images=len(test),
        test_error=errors[0],
        float_test_error=errors[1] if twins else None,
        seed=seed,
        epochs=len(rows),
        seconds=figures["seconds"],
    )
    card.save(card_path(output))
    return figures | {
        "test_error": card.test_error,
        "float_test_error": card.float_test_error,
        "network": str(output),
        "weights": card.weights,
        "bytes": card.bytes,
        "digest": card.digest,
    }


def _curves(output: Path) -> tuple[Path, Path]:
    """Where several seeds are compared, in numbers and as a picture."""
    return output.with_suffix(".seeds.csv"), output.with_suffix(".seeds.png")


def _compare(found: list[dict[str, Any]], curves: list[tuple[Epoch, ...]], output: Path) -> None:
    """The mean, minimum and maximum over the seeds, epoch by epoch."""
    numbers, picture = _curves(output)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["epoch", "mean", "minimum", "maximum"])
    for number, rows in enumerate(zip(*curves, strict=True), 1):
        errors = [row.test_error for row in rows]
        table.writerow([number, statistics.fmean(errors), min(errors), max(errors)])
    write_beside(numbers, text.getvalue().encode())
    write_beside(picture, spread(curves, f"{printable(output.stem)}, {len(curves)} seeds"))


def _progress(console: Console, shown: bool) -> Progress:
    columns = (
        TextColumn("{task.description:5}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not shown)


def _teller(progress: Progress, recipe: Recipe, images: int) -> Callable[[Step | Epoch], None]:
    """What to call with what happens: it moves a bar for each phase and one for the epoch, of so many images.

    After the first epoch it says how fast that was and when all will have ended.
    """
    phases: dict[str, TaskID] = {
        name: progress.add_task(name, total=schedule.epochs, state="") for name, schedule in recipe.schedules.items()
    }
    batches = progress.add_task("epoch", total=None, state="")
    names = list(phases)
    forecast = True

    def tell(news: Step | Epoch) -> None:
        nonlocal forecast
        if isinstance(news, Step):
            progress.update(phases[news.phase], completed=news.epoch - 1 + news.done / news.total)
            progress.update(batches, completed=news.done, total=news.total)
            return
        state = f"loss {news.loss:.4f}, error {news.error:.2%} training, {news.test_error:.2%} test"
        progress.update(phases[news.phase], completed=news.number, state=state)
        if progress.disable:
            return
        if not progress.console.is_terminal:
            progress.console.print(f"{news.phase} {news.number}: {state}, {news.seconds:.0f} s", highlight=False)
        if forecast:
            forecast = False
            later = sum(recipe.schedules[name].epochs for name in names[names.index(news.phase) :]) - news.number
            seconds = later * news.seconds
            end = datetime.datetime.now() + datetime.timedelta(seconds=seconds)
            speed = f"{images / max(news.seconds, 1e-3):,.0f} images/s"
            progress.console.print(f"{speed}: ends in about {_span(seconds)}, at {end:%H:%M:%S}", highlight=False)

    return tell


def _span(seconds: float) -> str:
    """A time as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
