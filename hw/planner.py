# amaranth: UnusedElaboratable=no
"""The planner: the smallest machine that is fast enough, or the fastest that fits.

What a stage of each folding takes in cycles and resources, the stage itself declares. A plan takes for each layer the
cheapest folding that is fast enough, so that one number, the cycles of a frame, decides a whole plan, and the fastest
plan that fits is found by bisection. What is cheap depends on what is scarce: where a plan does not fit, it is tried
again with memory blocks dearer and cheaper beside look-up tables.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from math import lcm

import numpy as np

from ..model.error import BadInput
from ..model.layers import BinaryConv, Layer, Requantise, SumPool, walk
from ..model.net import Net
from ..model.tensor import Tensor
from .accelerator import Accelerator
from .array.wired import LUTS_PER_ADDER_BIT, wired_adder_bits
from .build import folded_stage, unit_name
from .device.resources import Resources
from .device.target import TARGETS, Target
from .plan import Folding, Plan, divisors, most_lanes, problem
from .stream.beat import WIDEST, sample_shape, value_shape

WIRED = 10_000
"""Most weights of a layer that are wired: up to so many the search for shared sums takes about a second."""


@dataclass(frozen=True)
class Option:
    """A folding of one layer: its cycles a frame, its lanes (none of a pool), its stage's cells, blocks and flip-flops.

    Those are 0 where the device has as many flip-flops as look-up tables: there they are not what it lacks.
    """

    folding: Folding
    cycles: int
    lanes: int
    cells: int
    blocks: int
    ffs: int


Price = Callable[[Option], tuple[float, int]]
"""By which the cheapest option is taken."""


@dataclass(frozen=True)
class Limits:
    """What a plan may take: lanes, look-up tables, flip-flops, memory blocks by kind; None where it does not matter.

    cells : look-up tables, and flip-flops that take the place of one
    most_blocks : what the blocks of all kinds together can stand in for
    """

    lanes: int | None = None
    cells: int | None = None
    ffs: int | None = None
    blocks: Mapping[str, int] | None = None
    most_blocks: int | None = None

    @classmethod
    def of(cls, device: Target, lut_share: float) -> Limits:
        """A device's, of its look-up tables and flip-flops the part `lut_share`."""
        ram, single = device.family.blocks[0], device.single_port
        most = device.blocks[ram.kind] + (device.blocks[single.kind] * (single.bits // ram.bits) if single else 0)
        return cls(None, int(lut_share * device.luts), int(lut_share * device.ffs), device.blocks, most)

    def hopeless(self, chosen: Collection[Option]) -> bool:
        """Whether the folded stages alone take more."""
        taken = (
            (self.lanes, sum(option.lanes for option in chosen)),
            (self.cells, sum(option.cells for option in chosen)),
            (self.most_blocks, sum(option.blocks for option in chosen)),
        )
        return any(most is not None and count > most for most, count in taken)

    def lacking(self, machine: Accelerator) -> list[str]:
        """What the machine takes more of, a line each, with the stage that takes most of it."""
        total, units, family = machine.resources, machine.parts, machine.plan.family
        lacks = []
        if self.lanes is not None and (lanes := machine.plan.lanes(machine.net)) > self.lanes:
            lacks.append(f"{lanes:,} lanes of {self.lanes:,}")
        if self.cells is not None and (cells := machine.cells) > self.cells:
            name = max(units, key=lambda name: units[name].cells(family))
            lacks.append(f"{cells:,} {family.cell} of {self.cells:,}, most of them in {name}")
        elif self.ffs is not None and total.ffs > self.ffs:
            name = max(units, key=lambda name: units[name].ffs)
            lacks.append(f"{total.ffs:,} flip-flops of {self.ffs:,}, most of them in {name}")
        if self.blocks is not None:
            for kind, count in total.blocks.items():
                if count > self.blocks.get(kind, 0):
                    name = max(units, key=lambda name: units[name].blocks.get(kind, 0))
                    lacks.append(f"{count:,} {kind} of {self.blocks.get(kind, 0):,}, most of them in {name}")
        return lacks


def foldings(layer: BinaryConv | SumPool, t: Tensor) -> Iterator[Folding]:
    """Every folding of a layer, `t` its input; wired ones of at most WIRED weights."""
    channels = layer.infer(t).channels
    if isinstance(layer, SumPool):
        whole = layer.kernel**2
        every = [Folding(pe) for pe in divisors(channels)] + [Folding(channels, whole)]
    else:
        area = layer.kernel[0] * layer.kernel[1]
        whole = area * t.channels
        inputs = [*divisors(t.channels), *(t.channels * taps for taps in divisors(area)[1:])]
        every = [Folding(pe, simd) for simd in inputs for pe in divisors(channels)]
    every += [Folding(channels, whole, pixels) for pixels in divisors(t.width)[1:]]
    if isinstance(layer, BinaryConv) and layer.weights.size <= WIRED:
        every += [Folding(channels, whole, pixels, wired=True) for pixels in divisors(t.width)]
    return (folding for folding in dict.fromkeys(every) if not problem(folding, layer, t))


class Planner:
    """Plans of one network for one device.

    Parameters
    ----------
    net : the network
    target : a key of ``target.TARGETS``, or "generic"; BadInput where there is no such device
    """

    def __init__(self, net: Net, target: str = "generic"):
        if target not in ("generic", *TARGETS):
            raise BadInput(f'no device is called "{target}"; there are {", ".join(TARGETS)}')
        self.net, self.target = net, target
        self.device: Target | None = TARGETS.get(target)
        self.family = Plan({}, target=target).family

    @cached_property
    def layers(self) -> dict[str, tuple[BinaryConv | SumPool, Tensor, Requantise | None]]:
        """By path: each layer that is folded, its input, and the Requantise that becomes part of its stage."""
        seen: list[tuple[str, Layer, Tensor]] = []
        walk(self.net.body, self.net.input, lambda path, layer, t: seen.append((path, layer, t)))
        found: dict[str, tuple[BinaryConv | SumPool, Tensor, Requantise | None]] = {}
        for (path, layer, t), after in zip(seen, [*seen[1:], None], strict=True):
            if isinstance(layer, BinaryConv | SumPool):
                beside = after is not None and path.rpartition(".")[0] == after[0].rpartition(".")[0]
                fused = beside and isinstance(layer, BinaryConv) and isinstance(after[1], Requantise)
                found[path] = layer, t, after[1] if fused else None
        return found

    @cached_property
    def options(self) -> dict[str, list[Option]]:
        """By path: the foldings worth having, the fastest and dearest first."""
        known: dict[object, list[Option]] = {}
        found = {}
        for path, (layer, t, follows) in self.layers.items():
            shape = layer.weights.shape if isinstance(layer, BinaryConv) else layer.kernel
            # Layers of one shape cost the same; of the constants only their presence and reach count.
            addend = None if follows is None else (int(np.min(follows.addend)), int(np.max(follows.addend)))
            clip = None if follows is None else (follows.shift, follows.lo, follows.hi)
            key = type(layer), shape, layer.stride, layer.padding, t, clip, addend
            if key not in known:
                known[key] = self._worth(layer, t, follows)
            found[path] = known[key]
        return found

    def _worth(self, layer: BinaryConv | SumPool, t: Tensor, follows: Requantise | None) -> list[Option]:
        """The foldings that no other undercuts in everything, the fastest first."""
        every = [self._option(layer, t, follows, folding) for folding in foldings(layer, t)]
        every.sort(key=lambda option: (option.cycles, option.cells, option.blocks, option.ffs, option.lanes))
        best: list[Option] = []
        for o in every:
            if not any(
                b.cells <= o.cells and b.blocks <= o.blocks and b.ffs <= o.ffs and b.lanes <= o.lanes for b in best
            ):
                best.append(o)
        return best

    def _option(self, layer: BinaryConv | SumPool, t: Tensor, follows: Requantise | None, folding: Folding) -> Option:
        stage = folded_stage(layer, t, follows, replace(folding, wired=False), self.family)
        if folding.wired:
            # The sums that constants share are looked for when the machine is made; how many there will be is
            # known well enough, and that each bit of them has a register and half as many again delay others.
            width, top = stage.scaler.width, stage.taken.hi - stage.taken.lo
            bits = wired_adder_bits(layer.fan_in, len(layer.weights), top, width) * len(stage.arrays)
            array = Resources(round(bits * LUTS_PER_ADDER_BIT[self.family.name]), round(1.5 * bits))
            resources = stage.outer_resources(self.family) + array
        else:
            resources = stage.resources(self.family)
        lanes = 0 if isinstance(layer, SumPool) else folding.lanes(layer.stride)
        ffs = resources.ffs if self.device and self.device.ffs < self.device.luts else 0
        return Option(folding, stage.cycles, lanes, resources.cells(self.family), sum(resources.blocks.values()), ffs)

    def area(self, scarcity: float = 1.0) -> Price:
        """What an option takes of the device, its blocks `scarcity` times as dear as its look-up tables."""
        if self.device is None:
            return lambda option: (option.cells, option.cycles)
        luts, ffs = self.device.luts, self.device.ffs
        blocks = self.device.blocks[self.family.blocks[0].kind]
        return lambda option: (
            option.cells / luts + option.ffs / ffs + scarcity * option.blocks / blocks,
            option.cycles,
        )

    @cached_property
    def inputs(self) -> list[Plan]:
        """Plans of the beats of input that tools take, the slowest first, without foldings.

        Of whole pixels, or of parts where a whole one is too wide.
        """
        t = self.net.input
        bits = sample_shape(t).width
        if t.channels * bits <= WIDEST:
            pixels = [n for n in divisors(t.width) if n * t.channels * bits <= WIDEST]
            return [Plan({}, input_pixels=n, target=self.target) for n in pixels]
        lanes = [n for n in divisors(t.channels) if n * bits <= WIDEST]
        return [Plan({}, input_lanes=n, target=self.target) for n in lanes]

    def machine(self, cycles: int, price: Price | None = None, limits: Limits | None = None) -> Accelerator | None:
        """The machine of the cheapest plan that takes at most `cycles` a frame, by area where no price is given.

        None where it takes more than the limits. BadInput where nothing is as fast.
        """
        price = price or self.area()
        t, out = self.net.input, self.net.output
        widest = most_lanes(out.channels, value_shape(out).width)
        lanes = [n for n in divisors(out.channels) if n <= widest and out.pixels * out.channels // n <= cycles]
        inputs = [plan for plan in self.inputs if plan.source(t).frame_words <= cycles]
        if not lanes or not inputs:
            least = max(out.pixels * out.channels // widest, self.inputs[-1].source(t).frame_words)
            raise BadInput(f"the frame takes at least {least:,} cycles to come and to go; {cycles:,} were asked")
        allowed = dict.fromkeys(self.options, cycles)
        while True:
            chosen = {path: self._cheapest(path, most, price) for path, most in allowed.items()}
            if limits and limits.hopeless(chosen.values()):
                return None
            foldings = {path: option.folding for path, option in chosen.items()}
            # Parts of a pixel as the first layer takes them, or so that a converter has little to hold.
            simd = next(iter(foldings.values()), Folding(1)).simd
            beats = min(inputs, key=lambda plan: lcm(plan.input_lanes, simd) if plan.input_lanes else 0)
            machine = Accelerator(self.net, replace(beats, foldings=foldings, output_lanes=lanes[0]))
            if machine.cycles <= cycles:
                return machine if limits is None or not limits.lacking(machine) else None
            # A stage between the folded ones is too slow: it goes at the lanes of the folded stage before it.
            name, slowest = max(machine.pipeline.stages, key=lambda entry: entry[1].cycles)
            before = list(machine.pipeline.units)[: list(machine.pipeline.units).index(name)]
            paths = [path for path in chosen if unit_name(path) in before]
            if not paths:
                raise BadInput(
                    f"{name} ({type(slowest).__name__}) takes {slowest.cycles:,} cycles a frame; {cycles:,} were asked"
                )
            path = max(paths, key=lambda path: before.index(unit_name(path)))
            allowed[path] = chosen[path].cycles - 1

    def _cheapest(self, path: str, cycles: int, price: Price) -> Option:
        options = self.options[path]
        count = bisect_right(options, cycles, key=lambda option: option.cycles)
        if count:
            return min(options[:count], key=price)
        layer, t, _ = self.layers[path]
        raise BadInput(
            f'layer "{path}" ({type(layer).__name__}) takes at least {options[0].cycles:,} cycles a frame of its '
            f"{t.height}x{t.width} pixels, folded {options[0].folding}; {cycles:,} were asked"
        )

    def within(self, cycles: int, limits: Limits) -> Accelerator | None:
        """A machine of at most `cycles` a frame within the limits, None where none is found."""
        prices = [self.area(scarcity) for scarcity in ((1.0, 4.0, 0.25, 16.0) if self.device else (1.0,))]
        if limits.lanes is not None:
            prices = [lambda option: (option.lanes, option.cells)]
        try:
            machines = (self.machine(cycles, price, limits) for price in prices)
            return next((machine for machine in machines if machine), None)
        except BadInput:
            return None

    def fastest(self, limits: Limits) -> Accelerator | None:
        """The fastest machine within the limits, None where not even the smallest is."""
        found, low, high = None, 0, len(self.paces)
        while low < high:
            middle = (low + high) // 2
            machine = self.within(self.paces[middle], limits)
            if machine is not None:
                found, high = machine, middle
            else:
                low = middle + 1
        return found

    @cached_property
    def paces(self) -> list[int]:
        """The cycles a frame that a plan may be asked for, ascending; the last are those of the smallest."""
        cycles = {option.cycles for options in self.options.values() for option in options}
        return sorted({*(cycles or [self.net.input.pixels]), self.smallest.cycles})

    @cached_property
    def smallest(self) -> Accelerator:
        """The machine with the least of everything."""
        return self.machine(2**62)

    def frontier(self, points: int = 32) -> list[Accelerator]:
        """Machines from the smallest to the fastest, none of which another undercuts in both cells and cycles."""
        steps = np.unique(np.geomspace(self.paces[0], self.paces[-1], points).round().astype(int))
        machines = [machine for cycles in steps if (machine := self.within(int(cycles), Limits()))]
        best: list[Accelerator] = []
        for machine in sorted(machines, key=lambda machine: (machine.cells, machine.cycles)):
            if not best or machine.cycles < best[-1].cycles:
                best.append(machine)
        return best


def balance(net: Net, cycles: int, target: str = "generic") -> Plan:
    """The smallest plan that takes at most `cycles` a frame; BadInput names the stage that cannot be as fast."""
    return Planner(net, target).machine(cycles).plan


def fit(net: Net, lanes: int) -> Plan:
    """The fastest plan of at most `lanes` lanes that keeps nine tenths of them busy.

    Where none does, the fastest of so many lanes; where none is as small, the smallest.
    """
    planner, limits = Planner(net), Limits(lanes=lanes)
    fastest = planner.fastest(limits)
    if fastest is None:
        return planner.smallest.plan
    slower = planner.paces[bisect_right(planner.paces, fastest.cycles) :]
    machines = chain([fastest], (machine for cycles in slower if (machine := planner.within(cycles, limits))))
    busy = (machine for machine in machines if machine.plan.utilisation(net, machine.cycles) >= 0.9)
    return next(busy, fastest).plan


def fit_device(net: Net, target: str, lut_share: float = 0.8) -> Plan:
    """The fastest plan that a device holds in `lut_share` of its LUTs and in all its memory blocks.

    BadInput says what the smallest plan lacks there, where most of it goes, and which device would do.
    """
    planner = Planner(net, target)
    if planner.device is None:
        raise BadInput(f"the fastest plan that fits needs a device; there are {', '.join(TARGETS)}")
    limits = Limits.of(planner.device, lut_share)
    if found := planner.fastest(limits):
        return found.plan
    lacks = " and ".join(limits.lacking(planner.smallest))
    raise BadInput(f"{target} does not hold even the smallest plan, which takes {lacks}; {_larger(net, lut_share)}")


def meet(net: Net, fps: float, clock: float, target: str = "generic", lut_share: float = 0.8) -> Plan:
    """The smallest plan that gives `fps` frames a second at a clock of `clock` MHz, and fits the device.

    BadInput says which stage or memory is the limit, and what can be had instead.
    """
    planner = Planner(net, target)
    cycles = int(clock * 1e6 / fps)
    try:
        machine = planner.machine(cycles)
    except BadInput as error:
        most = planner.fastest(Limits())
        instead = f"at {clock:g} MHz ask for at most {_rate(clock, most):,} frames a second" if most else ""
        raise BadInput(f"{error}: {instead}, or raise the clock") from None
    if planner.device is None:
        return machine.plan
    limits = Limits.of(planner.device, lut_share)
    if fits := planner.within(cycles, limits):
        return fits.plan
    lacks = " and ".join(limits.lacking(machine))
    slower = planner.fastest(limits)
    instead = (
        f"the fastest that fits gives {_rate(clock, slower):,}" if slower
        else f"no plan fits {target}; {_larger(net, lut_share)}"
    )  # fmt: skip
    raise BadInput(f"{fps:,g} frames a second at {clock:g} MHz take {lacks}; {instead}")


def _rate(clock: float, machine: Accelerator) -> int:
    """Whole frames a second at a clock in MHz."""
    return int(clock * 1e6 / machine.cycles)


def _larger(net: Net, lut_share: float) -> str:
    """Which device would do."""
    for device in sorted(TARGETS.values(), key=lambda device: device.luts):
        ram = device.family.blocks[0]
        if net.weights <= device.blocks[ram.kind] * ram.bits + 64 * device.luts:
            planner = Planner(net, device.name)
            if planner.within(2**62, Limits.of(device, lut_share)):
                return f"{device.name} holds it"
    return "no device that bitfold knows holds it: narrow the network"
