"""What `bitfold check` measures on a test set, and how it is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..model.card import Card, card_path, twin_path
from ..model.error import BadInput
from ..model.judge import agreement, judge
from ..model.net import Net
from ..model.train.data import DATA, DataSet, open_data
from ..model.zoo.tables import percent
from .arguments import check_card
from .progress import bar
from .tell import show as show_table
from .tell import text

MATRIX_CLASSES = 20
"""The most classes whose confusions are printed as a matrix."""

LETTERS = 7
"""Of a class's name at the head of the matrix, where the console is wide enough."""

WORST = 5
"""Confusions that are listed."""


@dataclass(frozen=True)
class Accuracy:
    """How a network does on a test set.

    Parameters
    ----------
    net : as it was asked for
    data : name of the data set
    images, right : in its test set, and those the network gets right
    accuracy, test_error : shares in [0, 1]
    classes : names, by label
    confusion : images by label (row) and class given (column)
    float_accuracy : of the float twin, in [0, 1]; None where there is none
    agreement : share of the images that get the same class from both, in [0, 1]; None where there is no twin
    """

    net: str
    data: str
    images: int
    right: int
    accuracy: float
    test_error: float
    classes: tuple[str, ...]
    confusion: list[list[int]]
    float_accuracy: float | None
    agreement: float | None


@dataclass(frozen=True)
class Checked:
    """How several networks do on one test set, alone and with their logits summed."""

    data: str
    images: int
    ensemble_accuracy: float
    nets: tuple[Accuracy, ...]


def measure(files: Mapping[str, Path], folder: Path | None, data_name: str | None, console: Console) -> Checked:
    """Judge the networks in these files, by the names they were asked for, and their float twins.

    The data set is `data_name` or what the cards say, its files in `folder`; BadInput when neither says it, or
    when a network is not made for it. Progress goes to the console.
    """
    nets = {name: Net.load(path) for name, path in files.items()}
    twins = {name: Net.load(twin) for name, path in files.items() if (twin := twin_path(path)).exists()}
    cards = {name: Card.load(file) for name, path in files.items() if (file := card_path(path)).exists()}
    size = next(iter(nets.values())).input.shape
    data = open_data(data_name or _data_name(files, cards), folder, size)
    for name, card in cards.items():
        check_card(card, name, files[name], nets[name])
    for name, net in [*nets.items(), *twins.items()]:
        check_fits(name, net, data, cards[name].data if name in cards else None)
    test = data.test()
    with bar(console, "reading", "images") as progress:
        verdict = judge([*nets.values()], test.batch, test.labels, progress)
    found = []
    for name, right, classes, confusion in zip(nets, verdict.right, verdict.classes, verdict.confusion, strict=True):
        float_accuracy = agreeing = None
        if name in twins:
            with bar(console, "reading", "images, float twin") as progress:
                beside = judge([twins[name]], test.batch, test.labels, progress)
            float_accuracy = beside.right[0] / len(test)
            agreeing = agreement(classes, beside.classes[0])
        found.append(
            Accuracy(
                net=name,
                data=data.name,
                images=len(test),
                right=right,
                accuracy=right / len(test),
                test_error=(len(test) - right) / len(test),
                classes=data.classes,
                confusion=confusion.tolist(),
                float_accuracy=float_accuracy,
                agreement=agreeing,
            )
        )
    return Checked(data.name, len(test), verdict.ensemble_right / len(test), tuple(found))


def _data_name(files: Mapping[str, Path], cards: Mapping[str, Card]) -> str:
    """The one data set that all the networks' cards name."""
    found = {}
    for name, path in files.items():
        if name not in cards:
            raise BadInput(
                f"{card_path(path)} is not there to name the data set of {name}: add --set, one of {', '.join(DATA)}"
            )
        found[cards[name].data] = name
    if len(found) > 1:
        each = " and ".join(f"{name} to {data}" for data, name in found.items())
        raise BadInput(f"{each} belong by their cards: check them apart, or name one data set with --set")
    return next(iter(found))


def check_fits(name: str, net: Net, data: DataSet, own: str | None) -> None:
    """BadInput where a network is not made for a data set; `own` is the one its card names."""
    if own == data.name:
        mend = "its card names this data set: fetch network and card again, or remove the card and give --set"
    elif own:
        mend = f"leave --set away, for by its card {name} belongs to {own}"
    else:
        mend = f"--set must name the data set that {name} was trained on"
    if net.input.shape != data.input.shape:
        takes, has = ("x".join(map(str, t.shape)) for t in (net.input, data.input))
        raise BadInput(f"{name} takes images of {takes}, those of {data.name} are {has}; {mend}")
    if net.output.channels != len(data.classes):
        raise BadInput(f"{name} tells {net.output.channels} classes apart, {data.name} has {len(data.classes)}; {mend}")
    if net.classes and net.classes != data.classes:
        has, other = next(pair for pair in zip(net.classes, data.classes, strict=True) if pair[0] != pair[1])
        raise BadInput(f"{name} has the class {has!r} where {data.name} has {other!r}; {mend}")


def show(checked: Checked, console: Console) -> None:
    """Print what was measured: of one network with its confusions, of several a line each."""
    if len(checked.nets) > 1:
        _show_all(checked, console)
        return
    [net] = checked.nets
    table = Table(show_header=False, box=None)
    table.add_row("network", text(net.net))
    table.add_row("data", f"{net.images:,} test images of {net.data}")
    table.add_row("accuracy", f"{percent(net.accuracy)}, {net.right:,} right")
    table.add_row("test error", percent(net.test_error))
    if net.float_accuracy is not None:
        table.add_row("float twin", f"{percent(net.float_accuracy)}, the same class for {percent(net.agreement)}")
    show_table(table, console)
    _show_matrix(net, console)
    _show_worst(net, console)


def _show_all(checked: Checked, console: Console) -> None:
    table = Table(box=None)
    for index, title in enumerate(("network", "accuracy", "test error", "float twin", "same class")):
        table.add_column(title, justify="right" if index else "left")
    for net in checked.nets:
        figures = (net.accuracy, net.test_error, net.float_accuracy, net.agreement)
        table.add_row(text(net.net), *map(percent, figures))
    table.add_row("all together", percent(checked.ensemble_accuracy), percent(1 - checked.ensemble_accuracy))
    console.print(f"{checked.images:,} test images of {checked.data}")
    show_table(table, console)


def _show_matrix(net: Accuracy, console: Console) -> None:
    """The confusion matrix, a row a label, its heads as long as the console allows; none where it does not fit."""
    count = max(len(str(cell)) for row in net.confusion for cell in row)
    label = max(len("label"), *map(len, net.classes))
    column = (console.width - label - 2) // len(net.classes) - 1
    if len(net.classes) > MATRIX_CLASSES or column < count:
        return
    heads = _shortened(net.classes, min(column, max(count, LETTERS)))
    table = Table(box=None, padding=(0, 1, 0, 0), title="class given", title_style="", title_justify="center")
    table.add_column("label", style="dim")
    for head in heads:
        table.add_column(Text(head), justify="right")
    for row, (name, cells) in enumerate(zip(net.classes, net.confusion, strict=True)):
        texts = [
            Text(str(cell) if cell else "·", style="bold green" if row == given else "" if cell else "dim")
            for given, cell in enumerate(cells)
        ]
        table.add_row(text(name), *texts)
    console.print()
    show_table(table, console)


def _shortened(names: Sequence[str], width: int) -> list[str]:
    return [name if len(name) <= width else name[: width - 1] + "…" for name in names]


def _show_worst(net: Accuracy, console: Console) -> None:
    """The most frequent confusions."""
    confusion = np.array(net.confusion)
    totals = confusion.sum(axis=1)
    np.fill_diagonal(confusion, 0)
    order = np.argsort(-confusion, axis=None, kind="stable")[:WORST]
    rows, columns = np.unravel_index(order, confusion.shape)
    table = Table(show_header=False, box=None, padding=(0, 1, 0, 0))
    for row, column in zip(rows, columns, strict=True):
        if count := int(confusion[row, column]):
            label, given = net.classes[row], net.classes[column]
            table.add_row(text(label), "taken for", text(given), f"{count:,} of {totals[row]:,}")
    if table.row_count:
        console.print()
        console.print("most frequent confusions")
        show_table(table, console)
