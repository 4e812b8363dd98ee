"""The report as one HTML page that opens anywhere: no fonts, scripts or pictures from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..hw.accelerator import Accelerator
from ..hw.plan import Folding
from .drawing import LEVELS, chart, draw
from .figures import Cost, Figures


def render(figures: Figures, accelerator: Accelerator) -> str:
    """The page of a machine's figures."""
    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": "{:,}".format, "share": share, "blocks": blocks, "rate": rate, "fold": fold}
    simulation = figures.simulation
    return environment.get_template("page.html.j2").render(
        f=figures,
        units={unit.name: unit for unit in figures.units},
        drawing=draw(accelerator, figures),
        chart=chart(simulation, figures.cycles) if simulation and simulation.streams else None,
        levels=LEVELS,
        limit=limit(figures),
        used=lambda kind: any(unit.kind.startswith(kind) for unit in figures.units if not unit.layer),
        largest=max((unit.measured or unit.estimated).luts for unit in figures.units),
        deviation=deviation,
        version=version("bitfold"),
    )


def share(value: float, digits: int = 1) -> str:
    """A share as percents."""
    return f"{100 * value:.{digits}f} %"


def rate(value: float) -> str:
    """Frames a second, with three digits or more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def fold(folding: Folding) -> str:
    """PE × SIMD, and what goes beyond."""
    pixels = f", {folding.pixels} px" if folding.pixels > 1 else ""
    return f"{folding.pe} × {folding.simd}{pixels}{', wired' if folding.wired else ''}"


def blocks(counts: Mapping[str, int]) -> str:
    """Memory blocks by kind."""
    return ", ".join(f"{n:,} {kind}" for kind, n in counts.items()) or "0"


def deviation(cost: Cost, measured: Cost) -> str:
    """How far an estimate of look-up tables lies above what was measured."""
    if not measured.luts:
        return "" if not cost.luts else "∞"
    return f"{100 * (cost.luts - measured.luts) / measured.luts:+.0f} %".replace("-", "−")


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
