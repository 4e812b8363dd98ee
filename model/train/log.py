"""What a run tells: a table of its epochs, TensorBoard's events, a picture of the curves."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..write import write_beside

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it draws without a home too, and need not say so


@dataclass(frozen=True)
class Epoch:
    """The end of an epoch.

    phase : the schedule's name, train or tune
    number : within its phase, from 1
    rate : the learning rate at its end
    loss, error : means over the (augmented) training images; errors are shares in [0, 1]
    test_error : over the test images, of the network as it trains
    seconds : it took
    """

    phase: str
    number: int
    rate: float
    loss: float
    error: float
    test_error: float
    seconds: float


class Log:
    """The files of a run's folder: log.csv, TensorBoard's events, curves.png."""

    def __init__(self, folder: Path, title: str, rows: Sequence[Epoch]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder
        self.title = title
        self.rows = list(rows)
        # What a run that was killed told of later epochs is void.
        self.events: Any = SummaryWriter(str(folder), purge_step=len(self.rows) + 1)
        self._table()

    def add(self, epoch: Epoch) -> None:
        """One more epoch."""
        self.rows.append(epoch)
        for name in ("rate", "loss", "error", "test_error", "seconds"):
            self.events.add_scalar(name, getattr(epoch, name), len(self.rows))
        self.events.flush()
        self._table()

    def _table(self) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, [field.name for field in fields(Epoch)], lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(row) for row in self.rows)
        write_beside(self.folder / "log.csv", text.getvalue().encode())

    def draw(self) -> None:
        """Draw the curves anew."""
        if self.rows:
            write_beside(self.folder / "curves.png", curves(self.rows, self.title))

    def close(self) -> None:
        """Finish TensorBoard's file."""
        self.events.close()


def curves(rows: Sequence[Epoch], title: str) -> bytes:
    """Errors, loss and learning rate over the epochs: a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    errors, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    epochs = range(1, len(rows) + 1)
    test = [100 * row.test_error for row in rows]
    dot = "." if len(rows) < 10 else ""
    errors.plot(epochs, [100 * row.error for row in rows], "tab:gray", marker=dot, label="training images (augmented)")
    errors.plot(epochs, test, "tab:blue", marker=dot, label=f"test images, {test[-1]:.2f} % at the end")
    errors.set(title=title)
    _error_axis(errors, "error (%)")
    below.plot(epochs, [row.loss for row in rows], "tab:gray", marker=dot)
    below.set(xlabel="epoch", ylabel="loss")
    below.grid(alpha=0.3)
    below.locator_params(axis="x", integer=True)
    rate = below.twinx()
    rate.plot(epochs, [row.rate for row in rows], "tab:orange", marker=dot)
    rate.set_ylabel("learning rate", color="tab:orange")
    for index, row in enumerate(rows[1:], 1):
        if row.phase != rows[index - 1].phase:
            for axes in (errors, below):
                axes.axvline(index + 0.5, color="black", linestyle=":", linewidth=1)
            place = (index + 0.5, 0.03)
            errors.annotate(f" {row.phase}", place, xycoords=("data", "axes fraction"), fontsize="small")
    return _png(figure)


def spread(runs: Sequence[Sequence[Epoch]], title: str) -> bytes:
    """Test errors of several seeds: mean, minimum and maximum over the epochs (arXiv 1907.06916, figures 5 and 6)."""
    from matplotlib.figure import Figure

    errors = [[100 * row.test_error for row in rows] for rows in zip(*runs, strict=True)]
    epochs = range(1, len(errors) + 1)
    mean = [sum(row) / len(row) for row in errors]
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(epochs, [min(row) for row in errors], [max(row) for row in errors], alpha=0.3, label="all seeds")
    dot = "." if len(mean) < 10 else ""
    axes.plot(epochs, mean, marker=dot, label=f"mean, {mean[-1]:.2f} % at the end")
    axes.set(title=title, xlabel="epoch")
    axes.locator_params(axis="x", integer=True)
    _error_axis(axes, "test error (%)")
    return _png(figure)


def _error_axis(axes: Any, label: str) -> None:
    """Errors on a logarithmic axis, with numbers that a reader can tell apart."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_ylabel(label)
    if axes.dataLim.y1 > 0:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}" if high < 4 * low else NullFormatter())
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="upper right")


def _png(figure: Any) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()
