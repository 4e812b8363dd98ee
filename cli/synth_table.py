"""What a machine takes of a device: a table of its stages, its clock, and the same for a machine to read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from .tell import show as show_table

if TYPE_CHECKING:
    from ..report.figures import Figures
    from ..report.one_bit import Cost


def rows(figures: Figures) -> Iterator[tuple[str, str, int | None, Cost]]:
    """Of each stage its name, its kind, its cycles a frame and its measured cost; then of what is between and around.

    The figures are of a machine that was synthesised.
    """
    for unit in figures.units:
        if unit.layer and unit.measured:
            yield unit.label, unit.kind, unit.cycles, unit.measured
    for name, group in (("between them", figures.moving), ("around them", figures.around)):
        if group.measured:
            yield "", name, None, group.measured


def figures(found: Figures) -> dict[str, object]:
    """All of it."""
    measured, timing = found.measured, found.timing
    assert measured
    return {
        "network": found.network,
        "digest": found.digest,
        "target": found.target,
        "cycles_per_frame": found.cycles,
        "lanes": found.lanes,
        **asdict(measured),
        "available": {"luts": found.luts_available, "ffs": found.ffs_available, "blocks": found.blocks_available},
        "stages": [
            {"stage": stage, "kind": kind, "cycles": cycles, **asdict(cost)}
            for stage, kind, cycles, cost in rows(found)
        ],
        "timing": asdict(timing) if timing else None,
        "refused": found.refused,
    }


def show(found: Figures, console: Console) -> None:
    """Print the stages, their sum, what place and route uses, the clock and the slowest path."""
    from ..report.page import slowest_path

    measured, timing = found.measured, found.timing
    assert measured
    kinds = list(measured.blocks)
    table = Table(box=None)
    for name in ("stage", "kind"):
        table.add_column(name)
    for name in ("cycles", "LUT", "FF", *kinds):
        table.add_column(name, justify="right")
    for stage, kind, cycles, cost in rows(found):
        blocks = [f"{cost.blocks[each]:,}" if cost.blocks.get(each) else "" for each in kinds]
        table.add_row(stage, kind, f"{cycles:,}" if cycles else "", f"{cost.luts:,}", f"{cost.ffs:,}", *blocks)
    table.add_section()
    blocks = [f"{count:,}" for count in measured.blocks.values()]
    table.add_row("", "sum, by Yosys", "", f"{measured.luts:,}", f"{measured.ffs:,}", *blocks, style="bold")
    available = [(measured.luts, found.luts_available), (measured.ffs, found.ffs_available)]
    available += [(count, found.blocks_available.get(kind)) for kind, count in measured.blocks.items()]
    table.add_row("", f"of {found.target}", "", *(f"{used / most:.0%}" if most else "" for used, most in available))
    show_table(table, console)
    if found.refused:
        console.print(found.refused)
    if timing:
        _show_placed(found, console)
        console.print(slowest_path(timing))
    elif not found.refused:
        console.print(f"No clock is proven: there is no place and route for {found.target} here.")


def _show_placed(found: Figures, console: Console) -> None:
    timing = found.timing
    assert timing
    used = ", ".join(f"{used:,} {kind} of {most:,} ({used / most:.0%})" for kind, (used, most) in timing.used.items())
    console.print(f"Placed and routed between registers, across the borders of stages: {used}.")
    seeds = timing.mhz_of_seeds
    median = f", median of {', '.join(f'{mhz:.1f}' for mhz in seeds.values())}" if len(seeds) > 1 else ""
    console.print(
        f"{timing.mhz:.1f} MHz on {timing.part}{median}: {timing.frames_per_second:,.1f} frames a second of "
        f"{found.cycles:,} cycles"
    )
