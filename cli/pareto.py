"""Rate against area: the plans of a network that nothing undercuts, drawn and as a table.

For a device those that fit it, and those that do not: they are faster, or need more of its memory blocks.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ..hw.accelerator import Accelerator
from ..hw.device.target import Clock
from ..hw.planner import Limits, Planner
from ..model.error import BadInput, install
from ..model.net import Net
from ..model.write import check_place, write_beside
from .arguments import Wanted

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it draws without a home too, and need not say so


def points(machines: Sequence[Accelerator], clock: Clock, limits: Limits) -> list[dict[str, object]]:
    """A row for each machine: cycles, rate at a clock, resources by kind, lanes and their use, whether it fits."""
    kinds = sorted({kind for machine in machines for kind in machine.resources.blocks})
    rows = []
    for machine in machines:
        total, lanes = machine.resources, machine.plan.lanes(machine.net)
        row: dict[str, object] = {"cycles": machine.cycles}
        row |= {"frames_per_second": round(clock.mhz * 1e6 / machine.cycles, 1)}
        row |= {"clock_mhz": clock.mhz, "clock_origin": clock.origin}
        row |= {"cells": machine.cells} if machine.plan.family.apart else {}
        row |= {"luts": total.luts, "ffs": total.ffs} | {kind: total.blocks.get(kind, 0) for kind in kinds}
        row |= {"lanes": lanes, "utilisation": round(machine.plan.utilisation(machine.net, machine.cycles), 4)}
        row |= {"fits": not limits.lacking(machine)} if machine.plan.device else {}
        rows.append(row)
    return rows


def check(path: Path) -> None:
    """BadInput where a picture cannot be drawn to `path`, or not its points beside it; asked before the work."""
    if path.suffix not in (".svg", ".png", ".pdf"):
        raise BadInput(f"{path}: a picture ends in .svg, .png or .pdf")
    if not find_spec("matplotlib"):
        raise BadInput(f"drawing needs matplotlib, which is not installed; {install('plot')}")
    check_place(path)
    check_place(path.with_suffix(".csv"))


def write(net: Net, wanted: Wanted, path: Path) -> list[dict[str, object]]:
    """Draw the frontier of `net` on what is wanted to `path` (.svg, .png or .pdf) and its points beside it as .csv.

    Returns the points; ``check`` says beforehand where it cannot be.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    clock, device = wanted.clock, wanted.available
    limits = Limits.of(device, wanted.lut_share) if device else Limits()
    machines = Planner(net, wanted.target, wanted.weights, wanted.device, wanted.protect).frontier(limits)
    rows = points(machines, clock, limits)
    kind = device.family.cell if device else "LUTs"

    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = figure.subplots()
    for fits, colour, label in ((True, "#0b6e99", "fits" if device else None), (False, "#c2410c", "does not fit")):
        chosen = [
            (machine.cells, row["frames_per_second"])
            for machine, row in zip(machines, rows, strict=True)
            if row.get("fits", True) is fits
        ]
        if chosen:
            cells, rates = zip(*chosen, strict=True)
            axes.step(cells, rates, where="post", color="#9aa5b1", linewidth=1)
            axes.plot(cells, rates, "o", color=colour, markersize=5, label=label)
    axes.set(xscale="log", yscale="log", xlabel=f"{kind}, estimated", ylabel=f"frames a second at {clock}")
    if device:
        # The curve rises to the right: what is written keeps to the corners that it leaves free.
        most = wanted.lut_share * device.luts
        left, right = axes.get_xlim()
        early = most * most < left * right
        axes.axvline(most, color="#c2410c", linestyle="--", linewidth=1)
        axes.annotate(
            f"{wanted.lut_share:.0%} of {device.name}'s {kind}",
            (most, 0.98 if early else 0.02), (4 if early else -4, 0),
            xycoords=axes.get_xaxis_transform(), textcoords="offset points", color="#c2410c", fontsize=8,
            rotation=90, ha="left" if early else "right", va="top" if early else "bottom",
        )  # fmt: skip
        axes.legend(frameon=False, loc="lower right" if early else "upper left")
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
