# amaranth: UnusedElaboratable=no
"""The figures of a report: what each unit of a machine is, does and costs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np

from ..boards import implement
from ..boards.enclose import INSTANCE
from ..boards.implement import TOP, Implementation
from ..boards.place import DEVICES, Placed
from ..boards.synth import Netlist, blocks, ffs, luts
from ..hw.accelerator import Accelerator
from ..hw.area import purposes, unit_kinds, units_by_kind
from ..hw.build import unit_name
from ..hw.device.memory import Placement
from ..hw.device.resources import Resources, total
from ..hw.device.target import TARGETS, Clock, clock_of
from ..hw.plan import Folding
from ..hw.stages.global_sum import PixelSumStage
from ..hw.stages.residual import SaturatingAdd
from ..hw.stream.flow import Flow
from ..hw.stream.fork import Fork
from ..hw.stream.queue import Queue
from ..hw.verilog.names import unit_module
from ..model.card import Card
from ..model.error import BadInput
from ..model.layers import BinaryConv, Chain, Layer, Pool, Requantise, Residual, Windowed, walk
from ..model.tensor import Tensor
from ..sim.occupancy import observe
from ..sim.simulate import check_engine
from ..sim.stimulus import Progress
from .one_bit import Cost, OneBit, one_bit

CLOCKS = (25, 50, 100, 200)
"""MHz for which a report says how many frames a second pass."""

LONGEST = 10_000_000
"""Cycles of a simulation whose waveform is read back within minutes."""


@dataclass(frozen=True)
class Memory:
    """Bits that the memories in blocks hold, and bits that these blocks have."""

    stored: int
    occupied: int


@dataclass(frozen=True)
class Group:
    """What several units take together, as a Unit's."""

    units: int
    estimated: Cost
    memory: Memory
    measured: Cost | None


@dataclass(frozen=True)
class Purpose:
    """What is taken for one purpose, as the units estimate it; the words are those of ``hw.area``."""

    purpose: str
    estimated: Cost


@dataclass(frozen=True)
class Kind(Group):
    """What the units of one kind take together, and the parts of it by purpose."""

    kind: str
    purposes: tuple[Purpose, ...]


@dataclass(frozen=True)
class Store:
    """Memories of one unit that are alike.

    unit, label : the unit's name, and what a page calls it
    holds : what lies in them, in words
    kind : of their blocks; "LUT" or "FF" for what they lie in instead, "ROM" for constants in look-up tables, "" where
        synthesis decides
    count : how many they are; all that follows is of each
    width, depth : bits of a word, words
    blocks, luts, ffs : what it takes
    stored, occupied : bits that it holds, bits that its blocks have
    """

    unit: str
    label: str
    holds: str
    kind: str
    count: int
    width: int
    depth: int
    blocks: int
    luts: int
    ffs: int
    stored: int
    occupied: int


@dataclass(frozen=True)
class Unit:
    """One unit of the pipeline.

    name : in ``pipeline.units``
    label : its layer's path and, for what is no layer, what it is there
    kind : what it does, in words; of a convolution also its channels in and out
    layer : it computes a layer; the others move words: forks, queues, converters, the frame gate
    shape, bits, lanes : of its output: (height, width, channels), bits of a code, codes a word
    folding : of a convolution or pool
    cycles : a frame
    utilisation : cycles / those of the slowest stage
    macs : one-bit products a frame
    lane_utilisation : macs / (its lanes * cycles of the slowest stage); None without lanes
    weights : one-bit weights
    estimated, memory : as the unit declares them
    measured : by synthesis, where there was one
    """

    name: str
    label: str
    kind: str
    layer: bool
    shape: tuple[int, int, int]
    bits: int
    lanes: int
    folding: Folding | None
    cycles: int
    utilisation: float
    macs: int
    lane_utilisation: float | None
    weights: int
    estimated: Cost
    memory: Memory
    measured: Cost | None


@dataclass(frozen=True)
class Step:
    """Of a path: nanoseconds since the clock's edge, the signal reached then and the label of its unit; "" without."""

    ns: float
    stage: str
    signal: str


@dataclass(frozen=True)
class Timing:
    """What place and route gave.

    part : what is on the device's package, with its speed grade
    mhz_of_seeds : the clock by seed
    mhz, frames_per_second : their median, the lower one of two, and the rate at it; what follows is of its seed
    used : cells by kind, of those the device has
    path : the slowest from register to register
    wires : nanoseconds of it between cells
    """

    part: str
    mhz_of_seeds: dict[int, float]
    mhz: float
    frames_per_second: float
    used: Mapping[str, tuple[int, int]]
    path: tuple[Step, ...]
    wires: float


@dataclass(frozen=True)
class States:
    """Cycles in which a unit does something, as ``sim.occupancy`` tells them apart.

    transfers : a word leaves
    computing : none does, and it works on words to come
    stalled : it stands still, and what follows does not take its word
    starved : it has nothing to work on
    """

    transfers: int
    computing: int
    stalled: int
    starved: int

    @property
    def cycles(self) -> int:
        return self.transfers + self.computing + self.stalled + self.starved

    def share(self, *states: str) -> float:
        """The share of the cycles in any of these states."""
        return float(sum(getattr(self, state) for state in states) / max(1, self.cycles))

    @property
    def busy(self) -> float:
        """The share of the cycles in which a word leaves it or it computes."""
        return self.share("transfers", "computing")


@dataclass(frozen=True)
class Busy:
    """How a unit spent a simulation.

    unit : its name
    words : that leave it in a frame
    bins : its states in each bin of time
    ends : the cycle of each frame's last word
    steady_span : the first of its steady cycles and the first one beyond, see ``sim.occupancy.steady_span``
    steady : its states in these
    """

    unit: str
    words: int
    bins: list[States]
    ends: list[int]
    steady_span: tuple[int, int]
    steady: States


@dataclass(frozen=True)
class Simulation:
    """A simulation of random frames, back to back.

    exact : every logit was the network's
    cycles_per_frame : measured in steady state; None below three frames
    cycles_per_input : the same where frames enter: fewer while buffers before the slowest stage still fill
    edges : the cycles at which the bins of time begin, and the end
    entered, left : the cycles of each frame's last pixel in and last word out
    units : those of the pipeline, in the order of the data
    """

    frames: int
    exact: bool
    cycles: int
    cycles_per_frame: float | None
    cycles_per_input: float | None
    edges: list[int]
    entered: list[int]
    left: list[int]
    units: list[Busy]


@dataclass(frozen=True)
class Figures:
    """All that a report says.

    cycles : a frame, in steady state: those of the slowest stage
    limiting : names of the units that take as many
    next_limit : name of the slowest unit below them, None where there is none
    lane_utilisation : of all lanes together; None without lanes
    input_pixels, input_lanes, output_lanes : pixels, values a beat
    frames_per_second : by clock in MHz
    clock : of the target, see ``hw.device.target.Clock``
    luts_available, ffs_available, blocks_available : the target's; None and {} without one
    timing : after place and route, where there was one
    refused : what the target lacks, where synthesis or place and route has found that it does not hold the machine
    estimated, memory, measured : of the whole machine
    memories : all of them, in the order of the data, those around the pipeline last
    weight_memory : of those in blocks that hold weights
    kinds, purposes : the machine by kind of unit, and by what its logic and its memories are for
    moving : what only moves words: forks, adds, queues, converters
    around : what checks frames and finds the class, before and behind the pipeline
    one_bit : the answer to what one bit costs, at the clock that place and route gave, where there was one
    """

    network: str
    digest: str
    input: Tensor
    output: Tensor
    classes: int
    weights: int
    macs: int
    target: str
    family: str
    input_pixels: int
    input_lanes: int
    output_lanes: int
    lanes: int
    lane_utilisation: float | None
    cycles: int
    limiting: tuple[str, ...]
    next_limit: str | None
    frames_per_second: dict[int, float]
    clock: Clock
    luts_available: int | None
    ffs_available: int | None
    blocks_available: dict[str, int]
    estimated: Cost
    memory: Memory
    measured: Cost | None
    memories: tuple[Store, ...]
    weight_memory: Memory
    kinds: tuple[Kind, ...]
    purposes: tuple[Purpose, ...]
    timing: Timing | None
    refused: str | None
    moving: Group
    around: Group
    units: tuple[Unit, ...]
    simulation: Simulation | None
    one_bit: OneBit


def declared(resources: Resources) -> tuple[Cost, Memory]:
    """What a unit or the whole machine says it takes."""
    return Cost.of(resources), filled(resources.memories)


def filled(memories: Iterable[Placement]) -> Memory:
    """What those in blocks hold."""
    blocks = [memory for memory in memories if memory.blocks]
    return Memory(sum(memory.stored for memory in blocks), sum(memory.occupied for memory in blocks))


def cost_of(family: str, cells: Mapping[str, int]) -> Cost:
    """What a netlist's cells cost."""
    return Cost(luts(family, cells), ffs(cells), blocks(cells))


def check(accelerator: Accelerator, frames: int, synth: bool) -> None:
    """Before the work of minutes: BadInput where there is no device to synthesise for, or the frames take too long."""
    if synth and accelerator.plan.target == "generic":
        raise BadInput(f"--synth needs a plan for a device: its target must be one of {', '.join(TARGETS)}")
    if synth:
        implement.check(accelerator.plan.target)
    if frames:
        check_engine("verilator")
    if (cycles := frames * accelerator.cycles) > LONGEST:
        raise BadInput(
            f"{frames} frames take {cycles:,} cycles to simulate, more than {LONGEST:,}: ask for fewer --frames, or 0"
        )


def simulate(
    accelerator: Accelerator, frames: int, progress: Progress | None = None, cache: Path | None = None
) -> Simulation:
    """Random frames through the Verilog; BadInput where Verilator is missing.

    `cache` is a folder for what is kept between runs, None the user's.
    """
    net, t = accelerator.net, accelerator.net.input
    images = np.random.default_rng(0).integers(t.lo, t.hi, (frames, *t.shape), dtype=np.int64, endpoint=True)
    found = observe(net, accelerator.plan, images, cache=cache, progress=progress)
    units = [
        Busy(
            unit.name,
            unit.words,
            [States(*cycles) for cycles in unit.counts.T.tolist()],
            unit.ends.tolist(),
            unit.steady_span,
            States(*unit.steady.tolist()),
        )
        for unit in found.units
    ]
    steady = found.entered[frames // 2 - 1 : frames - 1] if frames > 2 else None
    return Simulation(
        frames,
        bool((found.run.logits == net(images)).all()),
        found.run.cycles,
        found.run.cycles_per_frame,
        float(np.diff(steady).mean()) if steady is not None else None,
        found.edges.tolist(),
        found.entered.tolist(),
        found.run.last_cycles.tolist(),
        units,
    )


def gather(
    name: str,
    accelerator: Accelerator,
    implementation: Implementation | None = None,
    simulation: Simulation | None = None,
    card: Card | None = None,
) -> Figures:
    """The figures of a machine, with what ``implement`` and ``simulate`` found; people call its network `name`.

    card : the network's, where it has one
    """
    netlist = implementation.netlist if implementation else None
    net, plan, cycles = accelerator.net, accelerator.plan, accelerator.cycles
    pipeline, units = accelerator.pipeline.units, tuple(_units(accelerator, netlist))
    slowest = tuple(unit.name for unit in units if unit.cycles == cycles)
    below = [unit for unit in units if unit.cycles < cycles]
    lanes = plan.lanes(net)
    target = plan.device
    estimated, memory = declared(accelerator.resources)
    labels = _labels(accelerator, units)
    moving = [unit.name for unit in units if not unit.layer]
    around = [part for part in accelerator.parts if part not in pipeline]
    timing = None
    if implementation and implementation.placed:
        timing = _timing(accelerator, labels, implementation.placed)
    return Figures(
        network=name,
        digest=net.digest(),
        input=net.input,
        output=net.output,
        classes=len(net.classes),
        weights=net.weights,
        macs=sum(unit.macs for unit in units),
        target=plan.target,
        family=plan.family.name,
        input_pixels=plan.input_pixels,
        input_lanes=plan.source(net.input).lanes,
        output_lanes=plan.output_lanes,
        lanes=lanes,
        lane_utilisation=plan.utilisation(net, cycles) if lanes else None,
        cycles=cycles,
        limiting=slowest,
        next_limit=max(below, key=lambda unit: unit.cycles).name if slowest and below else None,
        frames_per_second={clock: clock * 1e6 / cycles for clock in CLOCKS},
        clock=clock_of(plan.target),
        luts_available=target.luts if target else None,
        ffs_available=target.ffs if target else None,
        blocks_available=dict(target.blocks) if target else {},
        estimated=estimated,
        memory=memory,
        measured=cost_of(netlist.family, netlist.cells) if netlist else None,
        memories=tuple(_stores(accelerator, labels)),
        weight_memory=filled(each for each in accelerator.resources.memories if each.holds == "weights"),
        kinds=tuple(_kinds(accelerator, netlist)),
        purposes=_purposes(accelerator, accelerator.parts),
        timing=timing,
        refused=implementation.refused if implementation else None,
        moving=_group(accelerator, netlist, moving, [unit_module(TOP, part) for part in moving]),
        around=_group(accelerator, netlist, around, [TOP]),
        units=units,
        simulation=simulation,
        one_bit=one_bit(
            accelerator,
            Clock(round(timing.mhz, 1), "placed and routed") if timing else clock_of(plan.target),
            card,
            simulated=simulation.left[0] if simulation and simulation.left else None,
        ),
    )


def _labels(accelerator: Accelerator, units: Sequence[Unit]) -> dict[str, str]:
    """What a page calls each unit, those around the pipeline too."""
    return {part: part.replace("_", " ") for part in accelerator.parts} | {unit.name: unit.label for unit in units}


def _stores(accelerator: Accelerator, labels: Mapping[str, str]) -> Iterator[Store]:
    """All memories, unit by unit; those around the pipeline last."""
    parts, pipeline = accelerator.parts, accelerator.pipeline.units
    for name in (*pipeline, *(part for part in parts if part not in pipeline)):
        for memory, count in Counter(parts[name].memories).items():
            yield Store(
                unit=name,
                label=labels[name],
                holds="skip queue" if memory.holds == "queue" and name.endswith("_queue") else memory.holds,
                kind=memory.kind,
                count=count,
                width=memory.width,
                depth=memory.depth,
                blocks=memory.blocks,
                luts=memory.luts,
                ffs=memory.ffs,
                stored=memory.stored,
                occupied=memory.occupied,
            )


def _kinds(accelerator: Accelerator, netlist: Netlist | None) -> Iterator[Kind]:
    """The kinds of unit that there are. What stands around the pipeline is in the netlist's top module."""
    pipeline = accelerator.pipeline.units
    for kind, names in units_by_kind(accelerator).items():
        modules = dict.fromkeys(unit_module(TOP, name) if name in pipeline else TOP for name in names)
        group = _group(accelerator, netlist, names, list(modules))
        yield Kind(**vars(group), kind=kind, purposes=_purposes(accelerator, names))


def _purposes(accelerator: Accelerator, names: Iterable[str]) -> tuple[Purpose, ...]:
    """What units take, by purpose; what takes most look-up tables first."""
    kinds, found = unit_kinds(accelerator), dict[str, Resources]()
    for name in names:
        for purpose, part in purposes(accelerator.parts[name], kinds[name]).items():
            found[purpose] = found.get(purpose, Resources()) + part
    parts = sorted(found.items(), key=lambda each: (-each[1].luts, -each[1].ffs))
    return tuple(Purpose(purpose, declared(part)[0]) for purpose, part in parts)


def _timing(accelerator: Accelerator, labels: Mapping[str, str], placed: Mapping[int, Placed]) -> Timing:
    """The clock of all seeds, and what is behind their median."""
    mhz = {seed: one.fmax for seed, one in placed.items()}
    median = median_low(mhz.values())
    one = next(one for one in placed.values() if one.fmax == median)
    path = tuple(Step(step.ns, *_located(step.signal, labels)) for step in one.path)
    rate = median * 1e6 / accelerator.cycles
    return Timing(DEVICES[accelerator.plan.target].part, mhz, median, rate, one.used, path, one.wires)


def _located(signal: str, labels: Mapping[str, str]) -> tuple[str, str]:
    """The label of the unit whose signal it is, by its name in the netlist, and what it is called there."""
    signal = signal.removeprefix(f"{INSTANCE}.").removeprefix("accelerator.")
    owners = [name for name in labels if re.match(rf"{re.escape(name)}([._]|$)", signal)]
    if not owners:
        return "", signal
    owner = max(owners, key=len)
    return labels[owner], signal.removeprefix(owner).lstrip("._")


def _group(accelerator: Accelerator, netlist: Netlist | None, parts: Sequence[str], modules: Sequence[str]) -> Group:
    """The parts of a machine, which are these modules of its netlist."""
    estimated, memory = declared(total(accelerator.parts[part] for part in parts))
    measured = None
    if netlist:
        measured = sum((cost_of(netlist.family, netlist.modules.get(m, {})) for m in modules), Cost(0, 0, {}))
    return Group(len(parts), estimated, memory, measured)


def _units(accelerator: Accelerator, netlist: Netlist | None) -> Iterator[Unit]:
    """The units in the order in which they were built, which is that of the data."""
    net, plan = accelerator.net, accelerator.plan
    layers: dict[str, tuple[str, Layer, Tensor]] = {}

    def visit(path: str, layer: Layer, t: Tensor) -> None:
        layers[unit_name(path)] = path, layer, t

    walk(net.body, net.input, visit)
    units = accelerator.pipeline.units
    flows = outputs(accelerator)
    for name, unit in units.items():
        flow, macs, weights, folding, lane_utilisation = flows[name], 0, 0, None, None
        key = _owner(name, layers)
        path, layer, t = layers.get(key, ("", None, net.input))
        computes = key == name and not isinstance(layer, Chain | Residual)
        if computes and layer is not None:
            kind = _kind(layer, t)
            folding = plan.foldings[path] if isinstance(layer, Windowed) else None
            if isinstance(layer, BinaryConv):
                weights, macs = layer.weights.size, layer.infer(t).pixels * layer.weights.size
                lane_utilisation = macs / (plan.foldings[path].lanes(layer.stride) * accelerator.cycles)
                after = unit_name(re.sub(r"\d+$", lambda index: str(int(index[0]) + 1), path))
                if after in layers and isinstance(layers[after][1], Requantise):
                    kind += ", requantise"
        else:
            kind = _auxiliary(unit)
        estimated, memory = declared(unit.resources(plan.family))
        cells = netlist.modules.get(unit_module(TOP, name), {}) if netlist else {}
        yield Unit(
            name=name,
            label=f"{path} {name.removeprefix(key).strip('_').replace('_', ' ')}".strip(),
            kind=kind,
            layer=computes,
            shape=flow.tensor.shape,
            bits=flow.tensor.bits,
            lanes=flow.lanes,
            folding=folding,
            cycles=unit.cycles,
            utilisation=unit.cycles / accelerator.cycles,
            macs=macs,
            lane_utilisation=lane_utilisation,
            weights=weights,
            estimated=estimated,
            memory=memory,
            measured=cost_of(netlist.family, cells) if netlist else None,
        )


def _owner(name: str, layers: Mapping[str, Any]) -> str:
    """The longest key of a layer that `name` is or begins with, or ""."""
    while name and name not in layers:
        name = name.rpartition("_")[0]
    return name


def _kind(layer: Layer, t: Tensor) -> str:
    """What a layer does to a map such as `t`, in words; at the end channels in and out, where they matter."""
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(layer).__name__).lower()
    if isinstance(layer, BinaryConv):
        words = f"conv {layer.kernel[0]}×{layer.kernel[1]}"
    elif isinstance(layer, Pool):
        words += f" {layer.kernel}×{layer.kernel}"
    if isinstance(layer, Windowed) and layer.stride > 1:
        words += f" /{layer.stride}"
    channels = layer.infer(t).channels
    return f"{words} {t.channels}→{channels}" if channels != t.channels or isinstance(layer, BinaryConv) else words


def _auxiliary(unit: Any) -> str:
    if isinstance(unit, Queue):
        return f"queue of {unit.depth:,}"
    if isinstance(unit, SaturatingAdd):
        return "add"
    if isinstance(unit, PixelSumStage):
        return f"sum of {unit.count} pixels"
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(unit).__name__).lower()


def outputs(accelerator: Accelerator) -> dict[str, Flow]:
    """What each unit's output carries, and "input" too; a fork gives what it is given."""
    units = accelerator.pipeline.units
    image = accelerator.net.input
    flows = {"input": accelerator.plan.source(image)}
    for giver, _, taker in links(accelerator):
        if giver in units and not isinstance(units[giver], Fork):
            flows[giver] = units[giver].sink
        if taker in units and isinstance(units[taker], Fork):
            flows[taker] = flows[giver]
    return flows


def links(accelerator: Accelerator) -> list[tuple[str, str, str]]:
    """(unit that gives, its port, unit that takes) of each stream, in the order of the data.

    "input" and "output" are what lies outside.
    """
    owners = {
        id(getattr(unit, port)): (name, port)
        for name, unit in accelerator.pipeline.units.items()
        for port in unit.signature.members
    }
    return [
        (*owners.get(id(source), ("input", "o")), owners.get(id(sink), ("output", "i"))[0])
        for source, sink in accelerator.pipeline.links
    ]
