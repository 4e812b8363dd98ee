"""`python -m bitfold.model.train RECIPE -o FILE`: train, export, judge on the held-out images, save."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..error import BadInput


def run(recipe_name: str, output: Path, seed: int, threads: int) -> str:
    """Train a recipe to `output`; what came out, in one line. BadInput as in the parts."""
    try:
        import torch
    except ImportError:
        raise BadInput("training needs torch, which is not installed: pip install 'bitfold[train]'") from None
    from ..export import export
    from .data import DATA
    from .loop import Epoch
    from .recipes import RECIPES, train

    if recipe_name not in RECIPES:
        raise BadInput(f"there is no recipe {recipe_name!r}; there is {', '.join(sorted(RECIPES))}")
    if not output.parent.is_dir():
        raise BadInput(f"the folder {output.parent} does not exist; create it or choose another place")
    torch.set_num_threads(threads)
    recipe = RECIPES[recipe_name]
    data = DATA[recipe.data]()

    columns = (
        TextColumn("{task.description:5}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {
            name: progress.add_task(name, total=schedule.epochs, state="")
            for name, schedule in recipe.schedules.items()
        }

        def report(name: str, epoch: Epoch) -> None:
            state = f"loss {epoch.loss:.4f}, {epoch.accuracy:.2%} of the training images"
            progress.update(tasks[name], completed=epoch.number, state=state)

        network = train(recipe, data, seed, report)
    net = export(network, data.input, data.classes, data.preprocessing)
    net.save(output)
    right = int((net.classify(data.held_out.images) == data.held_out.labels).sum())
    return (
        f"{output}: {net.weights} weights, {output.stat().st_size} bytes, "
        f"{right} of {len(data.held_out)} held-out images right ({right / len(data.held_out):.2%}), "
        f"digest {net.digest()[:12]}"
    )


def command(
    recipe: Annotated[str, typer.Argument(help="What to train: digits.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the network goes.")],
    seed: Annotated[int, typer.Option(min=0, help="Decides weights, order and augmentation.")] = 0,
    threads: Annotated[
        int, typer.Option(min=1, help="More are faster, but sum in another order: another network.")
    ] = 1,
) -> None:
    """Train a network and save its integers."""
    try:
        print(run(recipe, output, seed, threads))
    except BadInput as error:
        print(f"bitfold: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(command)
