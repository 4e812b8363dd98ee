"""Memory blocks that netlists have, and of which Yosys has no model."""

from pathlib import Path

BLOCKS = {"ecp5": Path(__file__).with_name("dp16kd.v"), "xc7": Path(__file__).with_name("ramb.v")}
"""A family's models, in Verilog."""


def with_blocks(netlist: str, family: str) -> str:
    """The Verilog of a netlist and the models of a family's memories."""
    return netlist + (BLOCKS[family].read_text(encoding="utf-8") if family in BLOCKS else "")
