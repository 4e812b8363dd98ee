"""Where a machine's area goes: its units by kind, and what each of them takes by what it is for."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.lib import wiring

from .accelerator import Accelerator
from .device.resources import Resources, Share
from .stages.channels import PadChannelsStage
from .stages.conv import ConvStage
from .stages.frames import FrameGate
from .stages.global_sum import GlobalSumStage, PixelSumStage
from .stages.pool import PoolStage, SlidingPoolStage
from .stages.requantise import RequantiseStage
from .stages.residual import SaturatingAdd
from .stages.running_pool import RunningPoolStage
from .stages.scale import ScaleStage
from .stages.table import TableStage
from .stream.converters import Narrow, Widen
from .stream.fork import Fork
from .stream.queue import Queue

UNITS: Mapping[type[wiring.Component], str] = {
    ConvStage: "convolutions",
    PoolStage: "pools",
    SlidingPoolStage: "pools",
    RunningPoolStage: "pools",
    GlobalSumStage: "sums",
    PixelSumStage: "sums",
    RequantiseStage: "requantise",
    ScaleStage: "scales",
    TableStage: "tables",
    Queue: "queues",
    Widen: "converters",
    Narrow: "converters",
    PadChannelsStage: "converters",
    Fork: "forks and adds",
    SaturatingAdd: "forks and adds",
    FrameGate: "frames",
}
"""The kind of each class of unit in a pipeline. What stands around the pipeline is of the kind "frames"."""

PURPOSES: Mapping[str, str] = {
    "arrays": "arrays",
    "line buffer": "windows",
    "weights": "weights and constants",
    "checks": "weights and constants",
    "initial values": "weights and constants",
    "constants": "weights and constants",
    "clips": "requantise",
    "table": "tables",
    "sums": "sums",
    "queue": "queues",
    "results": "result queues",
    "loads": "loads",
}
"""What each named part of a unit is for. What has no name is for what its unit is for."""


def unit_kinds(machine: Accelerator) -> dict[str, str]:
    """The kind of each unit by its name, in the order of ``machine.units``."""
    pipeline = machine.pipeline.units
    return {name: _kind(unit) if name in pipeline else "frames" for name, unit in machine.units.items()}


def units_by_kind(machine: Accelerator) -> dict[str, list[str]]:
    """The names of the units of each kind that there is."""
    kinds = unit_kinds(machine)
    found = {kind: [name for name in kinds if kinds[name] == kind] for kind in dict.fromkeys(UNITS.values())}
    return {kind: names for kind, names in found.items() if names}


def _kind(unit: wiring.Component) -> str:
    return next(kind for each, kind in UNITS.items() if isinstance(unit, each))


def purposes(resources: Resources, kind: str) -> dict[str, Resources]:
    """What a unit of a kind takes, by purpose; together it is all that the unit takes."""
    found: dict[str, Resources] = {}

    def note(name: str, part: Resources) -> None:
        purpose = PURPOSES[name] if name else kind
        found[purpose] = found.get(purpose, Resources()) + part

    for share in (*resources.shares, resources.unnamed):
        if share != Share(share.name, 0, 0):
            note(share.name, Resources(share.luts, share.ffs))
    for memory in resources.memories:
        note(memory.holds, Resources(memories=(memory,)))
    return found
