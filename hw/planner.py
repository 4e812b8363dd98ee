# amaranth: UnusedElaboratable=no
"""The planner: the smallest machine that is fast enough, or the fastest that fits.

The search finds the cheapest plan for a number of cycles a frame and a price. What is cheap depends on what is scarce:
where a plan does not fit, it is looked for again with memory blocks dearer and cheaper beside look-up tables, and the
dearer they are the larger are the memories that lie in look-up tables instead. The fastest plan that fits is found by
bisection over the cycles that a frame can take.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from math import inf

import numpy as np

from ..model.error import BadInput
from ..model.layers import Windowed
from ..model.net import Net
from ..model.shape import shape
from .accelerator import Accelerator
from .device.protect import PROTECT
from .device.target import TARGETS, Target
from .plan import WEIGHTS, Plan, divisors, most_lanes
from .search import Cost, Costs, Option, Search
from .stream.beat import WIDEST, sample_shape, value_shape

DEARER = {20: 6, 10: 4, 5: 3}
"""Where a block's price is that of so many times the LUTs that the family's are worth, times that they count as worth.

By area alone no device's are as dear: a plan that has not to make up for blocks leaves memories where they cost least.
"""


@dataclass(frozen=True)
class Limits:
    """What a plan may take: lanes, look-up tables, flip-flops, memory blocks by kind; None where it does not matter.

    cells : look-up tables, and flip-flops that take the place of one
    most_blocks : what the blocks of all kinds together can stand in for
    lut_rams : look-up tables of memories
    """

    lanes: int | None = None
    cells: int | None = None
    ffs: int | None = None
    blocks: Mapping[str, int] | None = None
    most_blocks: int | None = None
    lut_rams: int | None = None

    @classmethod
    def of(cls, device: Target, lut_share: float) -> Limits:
        """A device's, of its look-up tables and flip-flops the part `lut_share`."""
        if not 0 < lut_share <= 1:
            raise BadInput(f"lut_share is the part of a device to use, above 0 and at most 1, not {lut_share}")
        ram, single = device.family.blocks[0], device.single_port
        most = device.blocks[ram.kind] + (device.blocks[single.kind] * (single.bits // ram.bits) if single else 0)
        lut_rams = None if device.lut_rams is None else int(lut_share * device.lut_rams)
        return cls(None, int(lut_share * device.luts), int(lut_share * device.ffs), device.blocks, most, lut_rams)

    @property
    def _most(self) -> tuple[int | None, ...]:
        """Of each kind of Cost."""
        return self.lanes, self.cells, self.ffs, self.most_blocks

    def hold(self, cost: Cost) -> bool:
        """Whether a plan of that cost may fit."""
        return all(limit is None or count <= limit for count, limit in zip(cost, self._most, strict=True))

    def shares(self, cost: Cost) -> list[float]:
        """Of each limit the part that a plan of that cost takes."""
        return [0 if limit is None else count / max(1, limit) for count, limit in zip(cost, self._most, strict=True)]

    def over(self, machine: Accelerator) -> dict[str, str]:
        """What the machine takes more of, and a line for each, with the stage that takes most of it."""
        total, units, family = machine.resources, machine.parts, machine.plan.family
        over = {}
        if self.lanes is not None and (lanes := machine.plan.lanes(machine.net)) > self.lanes:
            over["lanes"] = f"{lanes:,} lanes of {self.lanes:,}"
        if self.cells is not None and (cells := machine.cells) > self.cells:
            name = max(units, key=lambda name: units[name].cells(family))
            over[family.cell] = f"{cells:,} {family.cell} of {self.cells:,}, most of them in {name}"
        elif self.ffs is not None and total.ffs > self.ffs:
            name = max(units, key=lambda name: units[name].ffs)
            over["flip-flops"] = f"{total.ffs:,} flip-flops of {self.ffs:,}, most of them in {name}"
        memories = sum(memory.luts for memory in total.memories if memory.kind == "LUT")
        if self.lut_rams is not None and memories > self.lut_rams:
            over["LUTs as memories"] = f"{memories:,} LUTs as memories of {self.lut_rams:,}"
        if self.blocks is not None:
            for kind, count in total.blocks.items():
                if count > self.blocks.get(kind, 0):
                    name = max(units, key=lambda name: units[name].blocks.get(kind, 0))
                    over[kind] = f"{count:,} {kind} of {self.blocks.get(kind, 0):,}, most of them in {name}"
        return over

    def lacking(self, machine: Accelerator) -> list[str]:
        """What the machine takes more of, a line each."""
        return list(self.over(machine).values())


@dataclass(frozen=True)
class Bound:
    """What keeps a plan from being faster.

    by : what the next faster plans take too much of, as ``Limits.over`` calls it; "layer", "input beat" or
        "output beat" where no plan is faster
    cycles : a frame of the next faster plans; None where there is none
    why : the same in words
    """

    by: tuple[str, ...]
    cycles: int | None
    why: str

    def __str__(self) -> str:
        return f"bound by {', '.join(self.by)}: {self.why}"


@dataclass(frozen=True)
class Found:
    """A plan that the search has found, for what it costs without the ends of the machine."""

    price: float
    cost: Cost
    plan: Plan


class Planner:
    """Plans of one network for one device.

    Parameters
    ----------
    net : the network
    target : a key of ``target.TARGETS``, or "generic"; BadInput where there is no such device
    weights : one of plan.WEIGHTS; where they are loaded the plans are for all networks of the shape
    device : what there is of the target's family, where it is not the target's own
    protect : one of protect.PROTECT
    """

    CASES = 256
    """Cases of one search at most, for the sake of memory."""

    def __init__(
        self,
        net: Net,
        target: str = "generic",
        weights: str = WEIGHTS[0],
        device: Target | None = None,
        protect: str = PROTECT[0],
    ):
        if target not in ("generic", *TARGETS):
            raise BadInput(f'no device is called "{target}"; there are {", ".join(TARGETS)}')
        self.net = shape(net) if weights == "loadable" else net
        self.device: Target | None = device or TARGETS.get(target)
        self.plan = Plan({}, target=target, weights=weights, protect=protect)
        self.costs = Costs(self.plan)
        self._costs: dict[int | None, Costs] = {None: self.costs}
        self.body = self.costs.step(self.net.body, self.net.input)
        self._machines: dict[str, Accelerator] = {}

    def limits(self, lut_share: float) -> Limits:
        """Of the device, `lut_share` of its look-up tables and flip-flops; BadInput where there is no device."""
        if self.device is None:
            raise BadInput(f"the fastest plan that fits needs a device; there are {', '.join(TARGETS)}")
        return Limits.of(self.device, lut_share)

    def _at(self, block_luts: int | None) -> Costs:
        """The costs where a memory block is worth so many look-up tables."""
        if block_luts not in self._costs:
            self._costs[block_luts] = Costs(replace(self.plan, block_luts=block_luts), self.costs)
        return self._costs[block_luts]

    def block_luts(self, price: Cost) -> int | None:
        """How many look-up tables a block is worth in plans of a price; None for the family's."""
        least = self.plan.family.worth
        times = next((times for dear, times in DEARER.items() if price.blocks >= dear * least * price.cells > 0), None)
        return times and times * least

    def area(self, scarcity: float = 1.0) -> Cost:
        """The price of what a plan takes of the device, its blocks `scarcity` times as dear as its look-up tables.

        Flip-flops have a price where a device has fewer of them than look-up tables.
        """
        if self.device is None:
            return Cost(cells=1)
        luts, ffs = self.device.luts, self.device.ffs
        blocks = self.device.blocks[self.costs.family.blocks[0].kind]
        return Cost(0, 1 / luts, 1 / ffs if ffs < luts else 0, scarcity / blocks)

    def prices(self, limits: Limits) -> list[Cost]:
        """By which plans within the limits are looked for."""
        if limits.lanes is not None:
            return [Cost(lanes=1, cells=1e-8)]
        scarcities = [2.0**k for k in (0, 1, -1, 2, -2, 3, -3, 4, -4, 6, -6, 12, -12)] if self.device else [1.0]
        return [self.area(scarcity) for scarcity in scarcities]

    def most_lanes(self, limits: Limits) -> float:
        """Of a layer: a lane takes more than half a look-up table."""
        return min(np.inf if n is None else n for n in (limits.lanes, limits.cells and 2 * limits.cells))

    def search(self, cycles: Sequence[int], prices: Sequence[Cost], lanes: float = np.inf) -> list[list[Found]]:
        """For each of so many cycles a frame, the cheapest plan at each price; none where nothing is as fast.

        lanes : most of a layer
        """
        found: list[list[Found]] = [[] for _ in cycles]
        beats = [self._beats(count) for count in cycles]
        alike: dict[int | None, list[Cost]] = {}
        for price in prices:
            alike.setdefault(self.block_luts(price), []).append(price)
        for lanes_in in sorted({plan.source(self.net.input).lanes for plan in beats if plan}):
            places = [at for at, plan in enumerate(beats) if plan and plan.source(self.net.input).lanes == lanes_in]
            step = max(1, self.CASES // len(prices))
            for start in range(0, len(places), step):
                for worth, some in alike.items():
                    self._search(found, cycles, beats, some, lanes, places[start : start + step], worth)
        return found

    @cached_property
    def inputs(self) -> list[Plan]:
        """Plans of the beats of input that tools take, the slowest first, without foldings.

        Of whole pixels, or of parts where a whole one is too wide.
        """
        t = self.net.input
        bits = sample_shape(t).width
        if t.channels * bits <= WIDEST:
            pixels = [n for n in divisors(t.width) if n * t.channels * bits <= WIDEST]
            return [replace(self.plan, input_pixels=n) for n in pixels]
        lanes = [n for n in divisors(t.channels) if n * bits <= WIDEST]
        return [replace(self.plan, input_lanes=n) for n in lanes]

    @cached_property
    def outputs(self) -> list[int]:
        """Lanes of the beats of output that tools take, the slowest first."""
        out = self.net.output
        widest = most_lanes(out.channels, value_shape(out).width)
        return [lanes for lanes in divisors(out.channels) if lanes <= widest]

    def _beats(self, cycles: int) -> Plan | None:
        """The narrowest beats with which a frame comes and goes in time, as a plan without foldings."""
        t, out = self.net.input, self.net.output
        lanes = next((n for n in self.outputs if out.pixels * out.channels // n <= cycles), None)
        source = next((plan for plan in self.inputs if plan.source(t).frame_words <= cycles), None)
        return replace(source, output_lanes=lanes) if source and lanes else None

    def _search(
        self,
        found: list[list[Found]],
        cycles: Sequence[int],
        beats: Sequence[Plan],
        prices: Sequence[Cost],
        lanes: float,
        places: Sequence[int],
        block_luts: int | None,
    ) -> None:
        """Those at `places`, which have the same beats of input, at prices by which a block is worth the same."""
        each = [(at, price) for at in places for price in prices]
        costs = self._at(block_luts)
        search = Search(
            costs,
            np.array([cycles[at] for at, _ in each]),
            np.array([price for _, price in each]),
            lanes,
        )
        ways = search.ways(self.body, (beats[places[0]].source(self.net.input).lanes,))
        ends = {
            count: search.behind(
                ways, search.straight([costs.converted(self.net.output, at, count) for at in ways.lanes]), 1.0
            )
            for count in {beats[at].output_lanes for at in places}
        }
        paths = [path for path, _ in costs.folded]
        for case, (at, _) in enumerate(each):
            end = ends[beats[at].output_lanes]
            if end.lanes and np.isfinite(end.price[0, 0, case]):
                parts = end.trace(end.lanes[0], 0, case)
                cost = Cost(*np.sum([part.cost for part in parts], axis=0)) if parts else Cost()
                foldings = [part.folding for part in parts if isinstance(part, Option)]
                plan = replace(beats[at], foldings=dict(zip(paths, foldings, strict=True)), block_luts=block_luts)
                found[at].append(Found(float(end.price[0, 0, case]), cost, plan))

    def build(self, plan: Plan) -> Accelerator:
        """The machine of a plan."""
        key = plan.dumps()
        if key not in self._machines:
            self._machines[key] = Accelerator(self.net, plan)
        return self._machines[key]

    def machine(self, cycles: int, price: Cost | None = None) -> Accelerator:
        """The machine of the cheapest plan that takes at most `cycles` a frame, by area where no price is given.

        BadInput where nothing is as fast.
        """
        (found,) = self.search([cycles], [price or self.area()])
        if not found:
            raise BadInput(f"{self._too_slow(cycles).why}; {cycles:,} were asked")
        return self.build(found[0].plan)

    def _too_slow(self, cycles: int) -> Bound:
        """What keeps every plan from being as fast."""
        if self._beats(cycles) is None:
            out = self.net.output
            ways = {
                "input beat": self.inputs[-1].source(self.net.input).frame_words,
                "output beat": out.pixels * out.channels // self.outputs[-1],
            }
            by = max(ways, key=ways.__getitem__)
            return Bound((by,), None, f"the frame takes at least {ways[by]:,} cycles to come and to go")
        for path, step in self.costs.folded:
            fastest = self.costs.options(step)[0]
            if fastest.cycles > cycles:
                why = (
                    f'layer "{path}" ({type(step.layer).__name__}) takes at least {fastest.cycles:,} cycles a frame of '
                    f"its {step.source.height}x{step.source.width} pixels, folded {fastest.folding}"
                )
                return Bound(("layer",), None, why)
        machine = self.fastest(Limits())
        name, stage = max(machine.pipeline.stages, key=lambda entry: entry[1].cycles)
        return Bound(("layer",), None, f"{name} ({type(stage).__name__}) takes {stage.cycles:,} cycles a frame")

    def bound(self, machine: Accelerator, limits: Limits) -> Bound:
        """What keeps the fastest machine within the limits of a device from being faster.

        The plans at the next faster pace tell: of those that take too much of the same the nearest, and none that takes
        too much of more than another.
        """
        paces = self.paces()
        for cycles in reversed(paces[: bisect_left(paces, machine.cycles)]):
            (found,) = self.search([cycles], self.prices(limits))
            if not found:
                return self._too_slow(cycles)
            nearest: dict[frozenset[int], Found] = {}
            for one in sorted(found, key=lambda one: -max(limits.shares(one.cost))):
                nearest[frozenset(at for at, share in enumerate(limits.shares(one.cost)) if share > 1)] = one
            fewest = [one for key, one in nearest.items() if not any(other < key for other in nearest)]
            over = [limits.over(self.build(one.plan)) for one in reversed(fewest)]
            if all(over):
                by = tuple(dict.fromkeys(name for one in over for name in one))
                takes = " or ".join(dict.fromkeys(" and ".join(one.values()) for one in over))
                return Bound(by, cycles, f"the next faster plan, of {cycles:,} cycles a frame, takes {takes}")
        return self._too_slow(machine.cycles - 1)

    def within(self, cycles: int, limits: Limits) -> Accelerator | None:
        """A machine of at most `cycles` a frame within the limits, None where none is found."""
        return self._fitting(self.search([cycles], self.prices(limits), self.most_lanes(limits))[0], limits)

    def _fitting(self, found: Iterable[Found], limits: Limits) -> Accelerator | None:
        """The machine of the smallest of the plans found that is within the limits."""
        price = np.array(self.prices(limits)[0])
        machines = (
            self.build(one.plan) for one in sorted(found, key=lambda one: price @ one.cost) if limits.hold(one.cost)
        )
        return next((machine for machine in machines if not limits.lacking(machine)), None)

    def fastest(self, limits: Limits) -> Accelerator | None:
        """The fastest machine within the limits, None where not even the smallest is."""
        paces = self.paces(self.most_lanes(limits))
        found, low, high = None, 0, len(paces)
        while low < high:
            middle = (low + high) // 2
            machine = self.within(paces[middle], limits)
            if machine is not None:
                found, high = machine, middle
            else:
                low = middle + 1
        return found

    def paces(self, lanes: float = np.inf) -> list[int]:
        """The cycles a frame that a plan of at most `lanes` a layer may be asked for, ascending.

        The last are those of the smallest plan.
        """
        t, out = self.net.input, self.net.output
        found = {plan.source(t).frame_words for plan in self.inputs}
        found |= {out.pixels * out.channels // lanes for lanes in self.outputs}
        for step in self.costs.steps:
            if isinstance(step.layer, Windowed):
                found |= {option.cycles for option in self.costs.options(step, lanes)}
            for t in (step.source, step.sink):
                found |= {t.pixels * count for count in divisors(t.channels)}
        return sorted(found)

    @cached_property
    def smallest(self) -> Accelerator:
        """The machine with the least of everything."""
        return self.machine(2**62)

    def lacking(self, limits: Limits) -> list[str]:
        """What even the plan with the least of it takes more of, a line each; else what the smallest plan does.

        Of blocks the least is that of a plan whose look-up tables the limits hold.
        """
        apart = replace(limits, blocks=None, most_blocks=None)
        if cells := apart.lacking(self.machine(2**62, self.area(2.0**-12))):
            return [f"at least {line}" for line in cells]
        (found,) = self.search([2**62], self.prices(limits))
        narrow = (
            self.build(one.plan) for one in sorted(found, key=lambda one: one.cost.blocks) if apart.hold(one.cost)
        )
        fewest = next((machine for machine in narrow if not apart.lacking(machine)), self.smallest)
        blocks = Limits(blocks=limits.blocks).lacking(fewest)
        return [f"at least {line}" for line in blocks] or limits.lacking(self.smallest)

    def frontier(self, limits: Limits | None = None, points: int = 32) -> list[Accelerator]:
        """Machines from the smallest to the fastest, none of which another undercuts in both cells and cycles.

        But what is within the limits is undercut only by what is too. About as many as `points` of each kind.
        """
        limits, paces = limits or Limits(), self.paces()
        every = [sorted(found, key=lambda one: one.cost.cells) for found in self.search(paces, self.prices(Limits()))]
        machines: dict[str, Accelerator] = {}
        for bounds in (Limits(), limits):
            # The least at each pace, where it is less than at all faster ones.
            falling: list[tuple[int, list[Found]]] = []
            for cycles, found in zip(paces, every, strict=True):
                hold = [one for one in found if bounds.hold(one.cost)]
                if hold and (not falling or hold[0].cost.cells < falling[-1][1][0].cost.cells):
                    falling.append((cycles, hold))
            for at in _spread([cycles for cycles, _ in falling], points):
                built = (self.build(one.plan) for one in falling[at][1])
                if machine := next((machine for machine in built if not bounds.lacking(machine)), None):
                    machines[machine.plan.dumps()] = machine
        best: list[Accelerator] = []
        fits = {key: not limits.lacking(machine) for key, machine in machines.items()}
        for key, machine in sorted(machines.items(), key=lambda entry: (entry[1].cells, entry[1].cycles)):
            rivals = [other for other in best if fits[other.plan.dumps()] or not fits[key]]
            if all(machine.cycles < other.cycles for other in rivals):
                best.append(machine)
        return best


def _spread(cycles: Sequence[int], points: int) -> list[int]:
    """Places in an ascending sequence: all, or so many at about even ratios, the first and the last among them."""
    if len(cycles) <= points:
        return list(range(len(cycles)))
    steps = np.geomspace(cycles[0], cycles[-1], points)
    return sorted({int(np.abs(np.log(np.array(cycles) / step)).argmin()) for step in steps})


def balance(net: Net, cycles: int, target: str = "generic", weights: str = WEIGHTS[0]) -> Plan:
    """The smallest plan that takes at most `cycles` a frame; BadInput names the stage that cannot be as fast."""
    return Planner(net, target, weights).machine(cycles).plan


def fit(net: Net, lanes: int, weights: str = WEIGHTS[0]) -> Plan:
    """The fastest plan of at most `lanes` lanes that keeps nine tenths of them busy.

    Where none does, the fastest of so many lanes; where none is as small, the smallest.
    """
    planner, limits = Planner(net, weights=weights), Limits(lanes=lanes)
    fastest = planner.fastest(limits)
    if fastest is None:
        return planner.smallest.plan
    paces = planner.paces(planner.most_lanes(limits))
    slower = paces[bisect_right(paces, fastest.cycles) :]
    found = (one.plan for found in planner.search(slower, planner.prices(limits), lanes) for one in found)
    machines = chain([fastest], map(planner.build, found))
    busy = (machine for machine in machines if machine.plan.utilisation(net, machine.cycles) >= 0.9)
    return next(busy, fastest).plan


def fit_device(
    net: Net,
    target: str,
    lut_share: float = 0.8,
    weights: str = WEIGHTS[0],
    device: Target | None = None,
    protect: str = PROTECT[0],
) -> Plan:
    """The fastest plan that a device holds in `lut_share` of its LUTs and in all its memory blocks.

    It is the target's, or another `device` of its family. BadInput says what the smallest plan lacks there, where most
    of it goes, and which device would do.
    """
    return fastest_on_device(Planner(net, target, weights, device, protect), lut_share).plan


def fastest_on_device(planner: Planner, lut_share: float) -> Accelerator:
    """The machine of that plan, and BadInput, by a planner of the device."""
    limits = planner.limits(lut_share)
    if found := planner.fastest(limits):
        return found
    lacks = " and ".join(planner.lacking(limits))
    larger = _larger(planner, lut_share)
    raise BadInput(f"{planner.device.name} does not hold even the smallest plan, which takes {lacks}; {larger}")


def cycles_at(fps: float, clock: float) -> int:
    """Cycles that a frame may take at `fps` frames a second and `clock` MHz; BadInput unless both are above 0."""
    for name, value in {"fps": fps, "clock": clock}.items():
        if not 0 < value < inf:
            raise BadInput(f"{name} is a number above 0, not {value}")
    return int(min(clock * 1e6 / fps, 2**62))


def meet(
    net: Net,
    fps: float,
    clock: float,
    target: str = "generic",
    lut_share: float = 0.8,
    weights: str = WEIGHTS[0],
    device: Target | None = None,
    protect: str = PROTECT[0],
) -> Plan:
    """The smallest plan that gives `fps` frames a second at a clock of `clock` MHz, and fits the device.

    It is the target's, or another `device` of its family.
    BadInput says which stage or memory is the limit, and what can be had instead.
    """
    cycles = cycles_at(fps, clock)
    planner = Planner(net, target, weights, device, protect)
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
        else f"no plan fits {planner.device.name}; {_larger(planner, lut_share)}"
    )  # fmt: skip
    raise BadInput(f"{fps:,g} frames a second at {clock:g} MHz take {lacks}; {instead}")


def _rate(clock: float, machine: Accelerator) -> int:
    """Whole frames a second at a clock in MHz."""
    return int(clock * 1e6 / machine.cycles)


def _larger(planner: Planner, lut_share: float) -> str:
    """Which device would do for what a planner plans."""
    net, plan = planner.net, planner.plan
    for device in sorted(TARGETS.values(), key=lambda device: device.luts):
        ram = device.family.blocks[0]
        if net.weights <= device.blocks[ram.kind] * ram.bits + 64 * device.luts:
            other = Planner(net, device.name, plan.weights, protect=plan.protect)
            if other.within(2**62, Limits.of(device, lut_share)):
                return f"{device.name} holds it"
    return "no device that bitfold knows holds it: narrow the network"
