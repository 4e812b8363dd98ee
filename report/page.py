"""The report as one HTML page that opens anywhere: no fonts, scripts or pictures from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from itertools import groupby

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined

from ..hw.accelerator import Accelerator
from ..hw.plan import Folding
from .drawing import Chart, chart, draw
from .figures import Figures, Simulation, Store, Timing, Unit
from .one_bit import Cost, columns, notes, rate, rows, summary


def environment(*loaders: BaseLoader) -> Environment:
    """The templates of this folder, and before them those that others load; with the filters that they use."""
    found = Environment(
        loader=ChoiceLoader([*loaders, PackageLoader(__package__, ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "count": "{:,}".format,
        "share": share,
        "blocks": blocks,
        "rate": rate,
        "fold": fold,
        "place": place,
        "lies": lies,
        "sort_of": sort_of,
    }
    return found


def render(figures: Figures, accelerator: Accelerator) -> str:
    """The page of a machine's figures."""
    simulation = figures.simulation
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            f=figures,
            units={unit.name: unit for unit in figures.units},
            drawing=draw(accelerator, figures),
            charts=charts(figures) if simulation else [],
            busy={unit.unit: unit.steady for unit in simulation.units} if simulation else {},
            steady=steady(simulation) if simulation else "",
            setters=setters(figures),
            ahead=ahead(figures),
            limit=limit(figures),
            filled=filled(figures),
            sorts=sorts(figures),
            beyond=sum(memory.count * memory.stored for memory in figures.memories if in_logic(memory)),
            slowest=slowest_path(figures.timing) if figures.timing else "",
            used=lambda kind: any(unit.kind.startswith(kind) for unit in figures.units if not unit.layer),
            largest=max((unit.measured or unit.estimated).luts for unit in figures.units),
            deviation=deviation,
            bit_columns=columns(figures.one_bit),
            bit_rows=rows(figures.one_bit),
            bit_notes=[summary(figures.one_bit), *notes(figures.one_bit)],
            version=version("bitfold"),
        )
    )


def share(value: float, digits: int = 1) -> str:
    """A share as percents."""
    return f"{100 * value:.{digits}f} %"


def fold(folding: Folding) -> str:
    """PE × SIMD, and what goes beyond; behind an arrow the lanes on which results go on."""
    pixels = f", {folding.pixels} px" if folding.pixels > 1 else ""
    out = f" → {folding.out}" if folding.out else ""
    return f"{folding.pe} × {folding.simd}{pixels}{', wired' if folding.wired else ''}{out}"


def place(unit: Unit) -> str:
    """Where a unit stands, without what its kind says as well."""
    path, _, part = unit.label.rpartition(" ")
    return path if path and part in unit.kind.split(" ") else unit.label


def blocks(counts: Mapping[str, int]) -> str:
    """Memory blocks by kind."""
    return ", ".join(f"{n:,} {kind}" for kind, n in counts.items()) or "0"


LIES = {"LUT": "look-up tables", "FF": "flip-flops", "ROM": "constants in look-up tables", "": "as synthesis decides"}
"""Where memories lie that lie in no blocks, by their kind."""

SORTS = {
    "weights": "weights",
    "initial values": "constants",
    "constants": "constants",
    "table": "tables",
    "line buffer": "line buffers",
    "skip queue": "queues",
    "queue": "queues",
    "results": "queues",
    "sums": "sums",
}
"""The sort of what a memory holds, by which a page colours it."""


def lies(memory: Store) -> str:
    """Where a memory lies, in words."""
    return LIES.get(memory.kind, memory.kind)


def sort_of(memory: Store) -> str:
    """The sort of what it holds."""
    return SORTS[memory.holds]


def in_logic(memory: Store) -> bool:
    """Whether it holds weights and lies in no block."""
    return memory.holds == "weights" and not memory.blocks


def filled(figures: Figures) -> list[list[Store]]:
    """The memories in blocks, those of a unit together."""
    blocks = [memory for memory in figures.memories if memory.blocks]
    return [list(group) for _, group in groupby(blocks, key=lambda memory: memory.unit)]


def sorts(figures: Figures) -> dict[str, tuple[int, float]]:
    """Of each sort that lies in blocks, how many these are and how full."""
    found = {}
    for sort in dict.fromkeys(SORTS.values()):
        memories = [memory for memory in figures.memories if memory.blocks and sort_of(memory) == sort]
        if memories:
            stored = sum(memory.count * memory.stored for memory in memories)
            occupied = sum(memory.count * memory.occupied for memory in memories)
            found[sort] = sum(memory.count * memory.blocks for memory in memories), stored / occupied
    return found


def deviation(cost: Cost, measured: Cost) -> str:
    """How far an estimate of look-up tables lies above what was measured."""
    if not measured.luts:
        return "" if not cost.luts else "∞"
    return f"{100 * (cost.luts - measured.luts) / measured.luts:+.0f} %".replace("-", "−")


def charts(figures: Figures) -> list[Chart]:
    """The strips of what computes a layer or closes a residual; then those of all else."""
    assert figures.simulation
    layers = {unit.name for unit in figures.units if unit.layer or unit.kind == "add"}
    others = {unit.name for unit in figures.units} - layers
    found = (chart(figures.simulation, names) for names in (layers, others))
    return [strips for strips in found if strips.strips]


def steady(simulation: Simulation) -> str:
    """Over which cycles shares are, and what that means for them."""
    n = simulation.frames
    if n == 1:
        return (
            "With one frame there are no steady cycles: shares are of the whole run, in which every stage also waits "
            "for the pipeline to fill and to drain. Ask for three frames or more."
        )
    if n == 2:
        return (
            "Shares are over the second frame of each stage, from one end mark to the other. No frame follows it, so "
            "each stage is starved at its end; with three frames or more it is not."
        )
    first, last = n // 2 + 1, n - 1
    frames = f"frame {first}" if first == last else f"frames {first} to {last}"
    return f"Shares are over {frames} of each stage (underlined), in which the pipeline neither fills nor drains."


def setters(figures: Figures) -> str:
    """How busy what sets the rate was, in a sentence."""
    found = figures.simulation
    busy = sorted(unit.steady.busy for unit in found.units if unit.unit in figures.limiting) if found else []
    if not found or not busy or found.frames == 1:
        return ""
    who = "The stage that sets the rate is" if len(busy) == 1 else "Those that set the rate are"
    low, high = share(busy[0]), share(busy[-1])
    return f"{who} busy in {low if low == high else f'{low[:-2]} to {high}'} of these cycles."


def ahead(figures: Figures) -> str:
    """A warning where stages before the slowest have not been held up yet, for there are buffers between."""
    found = figures.simulation.cycles_per_input if figures.simulation else None
    if found is None or found > 0.98 * figures.cycles:
        return ""
    return (
        f"Frames still enter every {found:,.6g} cycles, faster than the {figures.cycles:,} in which they can pass: "
        "buffers before the slowest stage are filling, and what lies before them is busier than it will be. "
        "Simulate more frames to see it held up."
    )


def limit(figures: Figures) -> str:
    """What holds the machine's rate where it is, in a sentence or two."""
    units = {unit.name: unit for unit in figures.units}
    if not figures.limiting:
        return f"The input limits: a frame takes {figures.cycles:,} cycles to enter."
    names = [units[name].label for name in figures.limiting]
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    verb = "limits" if len(names) == 1 else "limit together"
    text = f"{'Stage' if len(names) == 1 else 'Stages'} {shown} {verb}: {figures.cycles:,} cycles a frame."
    if figures.next_limit:
        other = units[figures.next_limit]
        kind = f" ({'width converter' if other.kind in ('widen', 'narrow') else other.kind})"
        text += (
            f" Were {'it' if len(names) == 1 else 'all of them'} unrolled further, {other.label}{kind} would be next: "
            f"{other.cycles:,} cycles, {figures.cycles / other.cycles:.2f} times the rate."
        )
    return text


def slowest_path(timing: Timing) -> str:
    """The slowest path in words: through which units it goes, and there through which signals."""
    places = []
    for stage, steps in groupby(timing.path, key=lambda step: step.stage):
        signals = dict.fromkeys(re.sub(r"(\[\d+\])+$", "", step.signal) for step in steps)
        named = ", ".join(filter(None, signals))
        places.append(f"{stage} ({named})" if stage and named else stage or named)
    if not places:
        return "No path leads from register to register."
    length = timing.path[-1].ns
    text = f"The slowest path takes {length:.1f} ns, {timing.wires:.1f} of them in wires: "
    if len(places) == 1:
        return f"{text}inside {places[0]}."
    first, *between, last = places
    return f"{text}from {first} {''.join(f'through {place} ' for place in between)}to {last}."
