"""The ECP5's memory blocks have registers for the words they give: flip-flops behind a block are moved into it.

A word comes out of a block 5.8 ns after the clock, and out of its own register after 0.9. Yosys 0.70 leaves those
registers unused (YosysHQ/yosys#5814); nextpnr and the bitstream know them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

Cell: TypeAlias = dict[str, Any]
"""As Yosys' write_json has it."""


def absorb(netlist: Path, top: str) -> int:
    """Move what can be moved in the flat netlist of module `top`; how many words of blocks that were.

    A word moves whole or not at all: each bit that is used goes to the input of one flip-flop and nowhere else, and all
    of them have the block's clock, begin with 0, are never reset and share their enable.
    """
    text = json.loads(netlist.read_text(encoding="utf-8"))
    module = text["modules"][top]
    cells: dict[str, Cell] = module["cells"]
    loads: dict[Any, list[tuple[str, str]]] = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                for bit in bits:
                    loads[bit].append((name, port))
    for port in module["ports"].values():
        for bit in port["bits"]:
            loads[bit].append(("", ""))
    moved = 0
    for block in [cell for cell in cells.values() if cell["type"] == "DP16KD"]:
        widths = [int(block["parameters"][f"DATA_WIDTH_{port}"], 2) for port in "AB"]
        # A word of 36 bits leaves through both ports.
        for ports in ("AB",) if 36 in widths else ("A", "B"):
            found = _registers(block, ports, cells, loads)
            if not found:
                continue
            registers, enable = found
            for port in ports:
                block["parameters"][f"REGMODE_{port}"] = "OUTREG"
                block["connections"][f"OCE{port}"] = list(enable)
            for output, register in registers.items():
                block["connections"][output] = cells.pop(register)["connections"]["Q"]
            moved += 1
    if moved:
        netlist.write_text(json.dumps(text), encoding="utf-8")
    return moved


def _registers(
    block: Cell, ports: str, cells: Mapping[str, Cell], loads: Mapping[Any, list[tuple[str, str]]]
) -> tuple[dict[str, str], tuple[Any, ...]] | None:
    """The flip-flop behind each output of `ports` that is used, and the enable of all; None where none can move."""
    found, controls = {}, set()
    for output, bits in block["connections"].items():
        if not output.startswith(tuple(f"DO{port}" for port in ports)) or not bits or bits[0] not in loads:
            continue
        [(name, port), *others] = loads[bits[0]]
        if others or port != "DI" or cells[name]["type"] != "TRELLIS_FF":
            return None
        found[output] = name
        controls.add(_control(cells[name]))
    if len(controls) != 1:
        return None
    [(clock, enable, plain)] = controls
    return (found, enable) if plain and clock == tuple(block["connections"][f"CLK{ports[-1]}"]) else None


def _control(register: Cell) -> tuple[tuple[Any, ...], tuple[Any, ...], bool]:
    """A flip-flop's clock and enable, and whether a block's register can be the same otherwise."""
    parameters = {name: str(value).strip() for name, value in register["parameters"].items()}
    ends = register["connections"]
    always, never = ("1",), ("0",)
    enable = {"1": always, "0": never, "CE": tuple(ends.get("CE", always))}.get(parameters.get("CEMUX", "CE"))
    plain = (
        enable is not None
        and parameters.get("CLKMUX", "CLK") == "CLK"
        and parameters.get("REGSET", "RESET") == "RESET"
        and tuple(ends.get("LSR", never)) == never
    )
    return tuple(ends["CLK"]), enable or always, plain
