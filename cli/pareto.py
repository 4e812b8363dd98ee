"""Rate against area: the plans of a network that nothing undercuts, drawn and as a table."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ..hw.accelerator import Accelerator
from ..hw.device.target import TARGETS
from ..hw.planner import Limits, Planner
from ..model.error import BadInput
from ..model.net import Net
from ..model.write import write_beside


logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it draws without a home too, and need not say so


def points(machines: Sequence[Accelerator], clock: float) -> list[dict[str, float]]:
    """A row for each machine: cycles, rate at `clock` MHz, resources by kind, lanes and their use."""
    kinds = sorted({kind for machine in machines for kind in machine.resources.blocks})
    rows = []
    for machine in machines:
        total, lanes = machine.resources, machine.plan.lanes(machine.net)
        row = {"cycles": machine.cycles, "frames_per_second": round(clock * 1e6 / machine.cycles, 1)}
        row |= {"cells": machine.cells} if machine.plan.family.apart else {}
        row |= {"luts": total.luts, "ffs": total.ffs} | {kind: total.blocks.get(kind, 0) for kind in kinds}
        row |= {"lanes": lanes, "utilisation": round(machine.plan.utilisation(machine.net, machine.cycles), 4)}
        rows.append(row)
    return rows


def write(net: Net, target: str, clock: float, lut_share: float, path: Path) -> list[dict[str, float]]:
    """Draw the frontier of `net` on `target` to `path` (.svg, .png or .pdf) and its points beside it as .csv.

    Returns the points. BadInput where matplotlib is missing or the file's ending is none of these.
    """
    if path.suffix not in (".svg", ".png", ".pdf"):
        raise BadInput(f"{path}: a picture ends in .svg, .png or .pdf")
    if not find_spec("matplotlib"):
        raise BadInput("drawing needs matplotlib, which is not installed: pip install 'bitfold[plot]'")
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    machines = Planner(net, target).frontier()
    rows = points(machines, clock)
    device = TARGETS.get(target)
    kind = device.family.cell if device else "LUTs"
    fits = [device is None or not Limits.of(device, lut_share).lacking(machine) for machine in machines]

    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = figure.subplots()
    cells, rates = [machine.cells for machine in machines], [row["frames_per_second"] for row in rows]
    axes.step(cells, rates, where="post", color="#9aa5b1", linewidth=1)
    for wanted, colour, label in ((True, "#0b6e99", "fits" if device else None), (False, "#c2410c", "does not fit")):
        chosen = [(x, y) for x, y, fit in zip(cells, rates, fits, strict=True) if fit is wanted]
        if chosen:
            axes.plot(*zip(*chosen, strict=True), "o", color=colour, markersize=5, label=label)
    if device:
        axes.axvline(lut_share * device.luts, color="#c2410c", linestyle="--", linewidth=1)
        label = f" {lut_share:.0%} of {device.name}'s {kind}"
        axes.text(
            lut_share * device.luts, 0.02, label, transform=axes.get_xaxis_transform(), color="#c2410c",
            rotation=90, ha="right", va="bottom", fontsize=8,
        )  # fmt: skip
        axes.legend(frameon=False, loc="upper left")
    axes.set(xscale="log", yscale="log", xlabel=f"{kind}, estimated", ylabel=f"frames a second at {clock:g} MHz")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_title(f"{net.weights:,} one-bit weights: rate against area", fontsize=11, loc="left")
    axes.grid(which="major", color="#e4e7eb", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)

    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:], dpi=150)
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_beside(path, picture.getvalue())
    write_beside(path.with_suffix(".csv"), table.getvalue().encode())
    return rows
