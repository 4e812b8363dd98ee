# amaranth: UnusedElaboratable=no
"""The planner: the smallest machine that is fast enough, or the fastest that fits.

What a stage of each folding takes in cycles and resources, the stage itself declares. A plan takes for each layer the
cheapest folding that is fast enough, so that one number, the cycles of a frame, decides a whole plan, and the fastest
plan that fits is found by bisection. What is cheap depends on what is scarce: where a plan does not fit, it is tried
again with memory blocks dearer and cheaper beside look-up tables.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..model.error import BadInput
from ..model.layers import BinaryConv, Layer, Requantise, SumPool, walk
from ..model.net import Net
from ..model.tensor import Tensor
from .accelerator import Accelerator
from .conv import ConvStage
from .plan import Folding, Plan, divisors, problem
from .pool import SlidingPoolStage, SumPoolStage
from .resources import Resources
from .stream import Flow
from .target import TARGETS, Target
from .wired import LUTS_PER_ADDER_BIT, wired_adder_bits

WIRED = 10_000
"""Most weights of a layer that are wired: with more, the search for shared sums takes minutes."""


@dataclass(frozen=True)
class Option:
    """A folding of one layer, its cycles a frame, and what part of the device's look-up tables and blocks it takes."""

    folding: Folding
    cycles: int
    luts: float
    blocks: float

    def price(self, scarcity: float) -> float:
        """What it costs where a device's blocks are so many times as scarce as its look-up tables."""
        return self.luts + scarcity * self.blocks


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
        """Of each number of cycles the foldings that no other undercuts, the fastest first."""
        every = [Option(folding, *self._cost(layer, t, follows, folding)) for folding in foldings(layer, t)]
        every.sort(key=lambda option: (option.cycles, option.luts, option.blocks))
        best: list[Option] = []
        for option in every:
            if not any(other.luts <= option.luts and other.blocks <= option.blocks for other in best):
                best.append(option)
        return best

    def _cost(
        self, layer: BinaryConv | SumPool, t: Tensor, follows: Requantise | None, folding: Folding
    ) -> tuple[int, float, float]:
        """Cycles of a layer's stage, and what part of the look-up tables and blocks it takes."""
        if isinstance(layer, SumPool):
            sliding = folding.slides(1)
            flow = Flow(t, folding.pixels * t.channels if sliding else folding.pe)
            stage = (SlidingPoolStage if sliding else SumPoolStage)(flow, layer, self.family)
            return stage.cycles, *self.shares(stage.resources(self.family))
        flow = Flow(t, folding.pixels * t.channels if folding.slides(t.channels) else folding.simd)
        conv = ConvStage(flow, layer, follows, replace(folding, wired=False), self.family)
        if not folding.wired:
            return conv.cycles, *self.shares(conv.resources(self.family))
        # The sums that constants share are looked for when the machine is made: here their number is known well enough.
        top, width = conv.taken.hi - conv.taken.lo, conv.scaler.width
        bits = wired_adder_bits(layer.fan_in, len(layer.weights), top, width) * len(conv.arrays)
        array = Resources(round(bits * LUTS_PER_ADDER_BIT[self.family.name]))
        return conv.cycles, *self.shares(conv.outer_resources(self.family) + array)

    def shares(self, resources: Resources) -> tuple[float, float]:
        """The part of the device's look-up tables and of its memory blocks; for a generic one, of 100,000 and none."""
        if self.device is None:
            return resources.luts / 100_000, 0.0
        blocks = sum(count / self.device.blocks[kind] for kind, count in resources.blocks.items())
        return resources.luts / self.device.luts, blocks

    def machine(self, cycles: int, scarcity: float = 1.0) -> Accelerator:
        """The machine of the smallest plan that takes at most `cycles` a frame; BadInput as for balance.

        scarcity : how many times as dear as a device's look-up tables its blocks are
        """
        t, out = self.net.input, self.net.output
        lanes = [n for n in divisors(out.channels) if out.pixels * out.channels // n <= cycles]
        pixels = [p for p in divisors(t.width) if t.pixels // p <= cycles]
        if not lanes or not pixels:
            least = max(out.pixels, t.height)
            raise BadInput(f"the frame takes at least {least:,} cycles to come and to go; {cycles:,} were asked")
        allowed = dict.fromkeys(self.options, cycles)
        while True:
            chosen = {path: self._cheapest(path, most, scarcity) for path, most in allowed.items()}
            foldings = {path: option.folding for path, option in chosen.items()}
            machine = Accelerator(self.net, Plan(foldings, lanes[0], pixels[0], self.target))
            if machine.cycles <= cycles:
                return machine
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

    def _cheapest(self, path: str, cycles: int, scarcity: float) -> Option:
        options = self.options[path]
        count = bisect_right(options, cycles, key=lambda option: option.cycles)
        if count:
            return min(options[:count], key=lambda option: (option.price(scarcity), option.cycles))
        layer, t, _ = self.layers[path]
        raise BadInput(
            f'layer "{path}" ({type(layer).__name__}) takes at least {options[0].cycles:,} cycles a frame of its '
            f"{t.height}x{t.width} pixels, folded {options[0].folding}; {cycles:,} were asked"
        )

    def fitting(self, cycles: int, accepts: Callable[[Accelerator], bool]) -> Accelerator | None:
        """A machine of at most `cycles` a frame that is accepted, None where none is found."""
        for scarcity in (1.0, 4.0, 0.25, 16.0, 1 / 16) if self.device else (1.0,):
            try:
                machine = self.machine(cycles, scarcity)
            except BadInput:
                return None
            if accepts(machine):
                return machine
        return None

    def fastest(self, accepts: Callable[[Accelerator], bool]) -> Accelerator | None:
        """The fastest machine that is accepted, None where not even the smallest is."""
        paces = self.paces
        found, low, high = None, 0, len(paces)
        while low < high:
            middle = (low + high) // 2
            machine = self.fitting(paces[middle], accepts)
            if machine is not None:
                found, high = machine, middle
            else:
                low = middle + 1
        return found

    @cached_property
    def paces(self) -> list[int]:
        """The cycles a frame that a plan may be asked for, ascending."""
        cycles = {option.cycles for options in self.options.values() for option in options}
        return sorted(cycles) or [self.net.input.pixels]

    def smallest(self) -> Accelerator:
        """The machine with the least of everything."""
        return self.machine(2**62)

    def frontier(self, points: int = 32) -> list[Accelerator]:
        """Machines from the smallest to the fastest, none of which another undercuts in both LUTs and cycles."""
        steps = np.unique(np.geomspace(self.paces[0], self.paces[-1], points).round().astype(int))
        machines = [machine for cycles in steps if (machine := self.fitting(int(cycles), lambda _: True))]
        best: list[Accelerator] = []
        for machine in sorted(machines, key=lambda machine: (machine.resources.luts, machine.cycles)):
            if not best or machine.cycles < best[-1].cycles:
                best.append(machine)
        return best


def lacking(machine: Accelerator, device: Target, lut_share: float) -> list[str]:
    """What `device` has too little of for the machine, of its LUTs at most the part `lut_share`; a line each."""
    total = machine.resources
    lacks = []
    if total.luts > lut_share * device.luts:
        name = max(machine.pipeline.units, key=lambda name: machine.pipeline.units[name].resources(device.family).luts)
        lacks.append(f"{total.luts:,} LUTs of {lut_share:.0%} of {device.luts:,}, most of them in {name}")
    for kind, count in total.blocks.items():
        if count > device.blocks.get(kind, 0):
            units = machine.pipeline.units
            name = max(units, key=lambda name: units[name].resources(device.family).blocks.get(kind, 0))
            lacks.append(f"{count} {kind} of {device.blocks.get(kind, 0)}, most of them in {name}")
    return lacks


def unit_name(path: str) -> str:
    """Name of the stage of the layer at `path`."""
    return "layer_" + (path.replace(".", "_") or "body")


def balance(net: Net, cycles: int, target: str = "generic") -> Plan:
    """The smallest plan that takes at most `cycles` a frame; BadInput names the stage that cannot be as fast."""
    return Planner(net, target).machine(cycles).plan


def fit(net: Net, lanes: int) -> Plan:
    """The fastest plan of at most `lanes` lanes, or the smallest one where none is as small."""
    planner = Planner(net)
    found = planner.fastest(lambda machine: machine.plan.lanes(net) <= lanes)
    return (found or planner.smallest()).plan


def fit_device(net: Net, target: str, lut_share: float = 0.8) -> Plan:
    """The fastest plan that a device holds in `lut_share` of its LUTs and in all its memory blocks.

    BadInput says what the smallest plan lacks there, where most of it goes, and which device would do.
    """
    planner = Planner(net, target)
    found = planner.fastest(lambda machine: not lacking(machine, TARGETS[target], lut_share))
    if found is not None:
        return found.plan
    lacks = " and ".join(lacking(planner.smallest(), TARGETS[target], lut_share))
    raise BadInput(f"{target} does not hold even the smallest plan, which takes {lacks}; {_larger(net, lut_share)}")


def meet(net: Net, fps: float, clock: float, target: str = "generic", lut_share: float = 0.8) -> Plan:
    """The smallest plan that gives `fps` frames a second at a clock of `clock` MHz, and fits the device.

    BadInput says which stage or memory is the limit, and what can be had instead.
    """
    planner = Planner(net, target)
    try:
        machine = planner.machine(int(clock * 1e6 / fps))
    except BadInput as error:
        most = planner.fastest(lambda machine: True)
        instead = f"at {clock:g} MHz ask for at most {_rate(clock, most):,} frames a second" if most else ""
        raise BadInput(f"{error}: {instead}, or raise the clock") from None
    device = TARGETS.get(target)
    if device is None or not (lacks := lacking(machine, device, lut_share)):
        return machine.plan

    def fits(machine: Accelerator) -> bool:
        return not lacking(machine, device, lut_share)

    if other := planner.fitting(machine.cycles, fits):
        return other.plan
    slower = planner.fastest(fits)
    instead = (
        f"the fastest that fits gives {_rate(clock, slower):,}" if slower
        else f"no plan fits {target}; {_larger(net, lut_share)}"
    )  # fmt: skip
    raise BadInput(f"{fps:,g} frames a second at {clock:g} MHz take {' and '.join(lacks)}; {instead}")


def _rate(clock: float, machine: Accelerator) -> int:
    """Whole frames a second at a clock in MHz."""
    return int(clock * 1e6 / machine.cycles)


def _larger(net: Net, lut_share: float) -> str:
    for device in sorted(TARGETS.values(), key=lambda device: device.luts):
        if not lacking(Planner(net, device.name).smallest(), device, lut_share):
            return f"{device.name} holds it"
    return "no device that bitfold knows holds it: narrow the network"
