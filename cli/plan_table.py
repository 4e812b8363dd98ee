"""What a plan costs: a table of its stages, the comments of its file, the figures for a machine to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from ..hw.accelerator import Accelerator
from ..hw.area import units_by_kind
from ..hw.build import unit_name
from ..hw.device.resources import Resources, total
from ..hw.device.target import Clock, Target
from ..hw.planner import Bound
from .tell import show as show_table


@dataclass(frozen=True)
class StageFigures:
    """Of one stage: its folding, cycles a frame, the part of the slowest stage's, estimated cost.

    Of several units of a kind, which have no folding, the cycles of the slowest in the pipeline.
    """

    layer: str
    kind: str
    folding: str
    cycles: int
    busy: float
    luts: int
    ffs: int
    blocks: Mapping[str, int]


def stages(machine: Accelerator) -> list[StageFigures]:
    """The folded stages in the order of the data, then those between and around them, kind by kind."""
    parts = dict(machine.parts)
    found = []
    for path, folding in machine.plan.foldings.items():
        stage = machine.pipeline.units[unit_name(path)]
        cost = parts.pop(unit_name(path))
        busy = stage.cycles / machine.cycles
        kind = type(stage).__name__.removesuffix("Stage")
        found.append(StageFigures(path, kind, _brief(str(folding)), stage.cycles, busy, *_cost(cost)))
    cycles = {name: unit.cycles for name, unit in machine.pipeline.units.items()}
    for kind, every in units_by_kind(machine).items():
        names = [name for name in every if name in parts]
        slowest = max((cycles.get(name, 0) for name in names), default=0)
        taken = _cost(total(parts[name] for name in names))
        if names:
            found.append(StageFigures("", kind, "", slowest, slowest / machine.cycles, *taken))
    return found


def _brief(folding: str) -> str:
    return folding.strip("{ }").replace(" = ", " ")


def _cost(resources: Resources) -> tuple[int, int, Mapping[str, int]]:
    return resources.luts, resources.ffs, dict(resources.blocks)


def notes(machine: Accelerator) -> dict[str, str]:
    """The comments of the plan's file, by path."""
    return {
        stage.layer: f"{stage.cycles:,} cycles, {stage.luts:,} LUTs{_and(stage.blocks)}"
        for stage in stages(machine)
        if stage.folding
    }


def _and(blocks: Mapping[str, int]) -> str:
    return "".join(f", {count:,} {kind}" for kind, count in blocks.items())


def figures(machine: Accelerator, clock: Clock, bound: Bound | None) -> dict[str, object]:
    """All of it, the rate at a clock too, and what keeps it from being faster where that is known."""
    resources, net = machine.resources, machine.net
    return {
        "target": machine.plan.target,
        "cycles_per_frame": machine.cycles,
        "clock_mhz": clock.mhz,
        "clock_origin": clock.origin,
        "frames_per_second": clock.mhz * 1e6 / machine.cycles,
        "bound": bound and asdict(bound),
        "lanes": machine.plan.lanes(net),
        "lane_utilisation": machine.plan.utilisation(net, machine.cycles),
        "luts": resources.luts,
        "ffs": resources.ffs,
        "blocks": dict(resources.blocks),
        "stages": [asdict(stage) for stage in stages(machine)],
    }


def show(machine: Accelerator, clock: Clock, device: Target | None, bound: Bound | None, console: Console) -> None:
    """Print the stages, their sum, what it is of the device, the rate at a clock and what keeps it from more."""
    resources, net, plan = machine.resources, machine.net, machine.plan
    table = Table(box=None)
    for name in ("layer", "stage", "folding"):
        table.add_column(name)
    for name in ("cycles", "busy", "LUT", "FF", *resources.blocks):
        table.add_column(name, justify="right")
    for stage in stages(machine):
        blocks = [f"{stage.blocks[kind]:,}" if stage.blocks.get(kind) else "" for kind in resources.blocks]
        row = [stage.layer, stage.kind, stage.folding, f"{stage.cycles:,}", f"{stage.busy:.0%}"]
        table.add_row(*row, f"{stage.luts:,}", f"{stage.ffs:,}", *blocks)
    blocks = [f"{count:,}" for count in resources.blocks.values()]
    table.add_section()
    table.add_row("", "sum", "", "", "", f"{resources.luts:,}", f"{resources.ffs:,}", *blocks, style="bold")
    if device:
        shares = [f"{count / device.blocks[kind]:.0%}" for kind, count in resources.blocks.items()]
        ffs = "" if plan.family.apart else f"{resources.ffs / device.ffs:.0%}"
        table.add_row("", f"of {device.name}", "", "", "", f"{machine.cells / device.luts:.0%}", ffs, *shares)
    show_table(table, console)
    lanes = plan.lanes(net)
    work = f"; {lanes:,} lanes, {plan.utilisation(net, machine.cycles):.1%} of their cycles do work" if lanes else ""
    rate = clock.mhz * 1e6 / machine.cycles
    apart = f", {plan.family.apart:.0%} of the flip-flops take a LUT's cell" if plan.family.apart else ""
    console.print(
        f"{machine.cycles:,} cycles a frame: {rate:,.1f} frames a second at {clock}{work}; "
        f"resources are estimates{apart}"
    )
    if bound:
        console.print(str(bound), markup=False)
