# amaranth: UnusedElaboratable=no
"""The cheapest foldings of a whole network, for many cycles a frame and many prices at once.

What a folding costs is more than its own stage: what follows runs at its lanes, and converters lie between lanes that
differ. But all that the layers behind a point see of those before it is the number of lanes there. So the cheapest way
to each number of lanes, layer by layer, gives the cheapest plan. Each cost is asked of the stages themselves: a few of
them are built as the machine would have them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..model.layers import (
    BinaryConv,
    Chain,
    Layer,
    MaxPool,
    PadChannels,
    Pool,
    Requantise,
    Residual,
    Scale,
    SumPool,
    Table,
    Windowed,
)
from ..model.tensor import Tensor
from .array.wired import LUTS_PER_ADDER_BIT, wired_adder_bits
from .build import End, Pipeline, even_depth, folded_stage, padded_lanes, steps, unpadded
from .device.component import Component, Port
from .device.resources import Resources, total
from .plan import Folding, Plan, divisors, problem
from .stages.channels import PadChannelsStage
from .stages.conv import ConvStage
from .stages.residual import SaturatingAdd
from .stages.running_pool import RunningPoolStage
from .stages.windowed import WindowedStage
from .stream.flow import Flow
from .stream.fork import Fork

WIRED = 10_000
"""Most weights of a layer that are wired: up to so many the search for shared sums takes about a second."""


NOWHERE = Port(Component({}), "o")
"""Where what nobody builds begins."""

SELDOM = 2**62
"""Cycles a frame with which every word comes seldom."""

MORE_TURNS = 8
"""More windows that take turns are not looked at."""

MORE_LANES = 64
"""Foldings of more times the lanes that a number of cycles needs are not looked at."""


class Cost(NamedTuple):
    """What plans are priced by: lanes, look-up tables with the flip-flops that take the place of one, blocks."""

    lanes: float = 0
    cells: float = 0
    ffs: float = 0
    blocks: float = 0


@dataclass(frozen=True)
class Part:
    """Stages one behind the other: what they cost, the cycles of the slowest, the lanes behind them.

    lead : pixels by which their input must run ahead of an even flow
    """

    cost: Cost
    cycles: int = 0
    lanes: int = 0
    lead: float = 0.0


@dataclass(frozen=True)
class Option(Part):
    """A folding of one layer, as a part with the queues around it; `source` lanes go in."""

    folding: Folding = field(kw_only=True)
    source: int = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class Step:
    """A layer; those that cost the same are one Step, so that each cost is found once.

    source, sink : the tensors in and out
    follows : the Requantise that becomes part of a convolution's stage
    inner : of a chain its steps, of a residual its body and its skip
    head : as a residual's skip, without the channels that it appends at its end
    """

    layer: Layer
    source: Tensor
    sink: Tensor
    follows: Requantise | None = None
    inner: tuple[Step, ...] = ()

    @cached_property
    def head(self) -> Step:
        layer, padding = unpadded(self.layer)
        return self if padding is None else Step(layer, self.source, self.inner[-1].source, inner=self.inner[:-1])

    @property
    def rate(self) -> float:
        """Pixels in for a pixel out."""
        return self.source.pixels / self.sink.pixels

    @property
    def stride(self) -> int:
        """Of a layer that is folded."""
        assert isinstance(self.layer, Windowed)
        return self.layer.stride

    @property
    def products(self) -> int:
        """Products, additions or comparisons of a layer that is folded."""
        match self.layer:
            case BinaryConv():
                return self.sink.pixels * self.layer.weights.size
            case SumPool() | MaxPool():
                return self.sink.pixels * self.layer.kernel**2 * self.sink.channels
        raise TypeError(f"no plan folds a layer of kind {type(self.layer).__name__}")


def foldings(layer: Windowed, t: Tensor, wired: bool = True) -> Iterator[Folding]:
    """Every folding of a layer, `t` its input; `wired` ones of at most WIRED weights."""
    channels = layer.infer(t).channels
    if isinstance(layer, Pool):
        whole = layer.kernel**2
        every = [Folding(pe) for pe in divisors(channels)] + [Folding(channels, whole)]
    else:
        area = layer.kernel[0] * layer.kernel[1]
        whole = area * t.channels
        inputs = [*divisors(t.channels), *(t.channels * taps for taps in divisors(area)[1:])]
        turns = [count for count in divisors(layer.infer(t).width) if count <= MORE_TURNS]
        every = [Folding(pe, simd, turns=count) for count in turns for simd in inputs for pe in divisors(channels)]
    every += [Folding(channels, whole, pixels) for pixels in divisors(t.width)[1:]]
    if wired and isinstance(layer, BinaryConv) and layer.weights.size <= WIRED:
        every += [Folding(channels, whole, pixels, wired=True) for pixels in divisors(t.width)]
    return (folding for folding in dict.fromkeys(every) if not problem(folding, layer, t))


class Costs:
    """What the stages of one network's layers cost under a plan's target, weights and blocks; each is built once.

    Parameters
    ----------
    plan : without foldings
    cheaper : the same where blocks are worth less, whose steps these are, and whose stages serve here too
    """

    def __init__(self, plan: Plan, cheaper: Costs | None = None):
        self.plan = plan
        self.family = self.plan.family
        self.fork = Part(self._cost(Fork(Flow(Tensor(1, 1, 1, 0, 1), 1)).resources(self.family)))
        self.folded: list[tuple[str, Step]] = cheaper.folded if cheaper else []
        self._known: dict[object, Step] = cheaper._known if cheaper else {}
        self._stages: dict[tuple[Step, Folding], WindowedStage | RunningPoolStage] = cheaper._stages if cheaper else {}
        self._cheaper = cheaper
        self._looked_at: dict[Step, list[Folding]] = {}
        self._options: dict[tuple[Step, Folding], Option] = {}
        self._parts: dict[object, Part] = {}
        self._pairs: dict[tuple[Step, int], tuple[Part, Part]] = {}

    def step(self, layer: Layer, t: Tensor, path: str = "", follows: Requantise | None = None) -> Step:
        """The Step of a layer; of the layers inside that are folded, path and Step join `folded`, in order."""
        dot = path + "." if path else ""
        inner: tuple[Step, ...] = ()
        match layer:
            case Chain():
                sink = t
                for index, one, fused in steps(layer):
                    inner += (self.step(one, sink, f"{dot}{index}", fused),)
                    sink = (fused or one).infer(one.infer(sink) if fused else sink)
            case Residual():
                inner = (self.step(layer.body, t, dot + "body"), self.step(layer.skip, t, dot + "skip"))
        # The binary point costs nothing; of the weights only their number counts, and of the constants in their
        # accumulators whether they are there and how far they reach.
        key: tuple[object, ...] = (type(layer), replace(t, frac=0), inner)
        match layer:
            case BinaryConv():
                addend = None if follows is None else (np.min(follows.addend), np.max(follows.addend))
                clip = None if follows is None else (follows.shift, follows.lo, follows.hi)
                key += (layer.weights.shape, layer.stride, layer.padding, clip, addend)
            case SumPool():
                key += (layer.kernel, layer.stride, layer.padding, layer.valid)
            case MaxPool():
                key += (layer.kernel, layer.stride, layer.padding)
            case Requantise():
                key += (layer.shift, layer.lo, layer.hi, None if layer.offset is None else layer.offset.tobytes())
            case Scale():
                key += (layer.factors.tobytes(),)
            case Table():
                key += (layer.lo, layer.values.tobytes())
            case PadChannels():
                key += (layer.channels,)
            case Residual():
                key += (layer.lo, layer.hi)
        if key not in self._known:
            sink = layer.infer(t)
            self._known[key] = Step(layer, t, follows.infer(sink) if follows else sink, follows, inner)
        found = self._known[key]
        if isinstance(layer, Windowed):
            self.folded.append((path, found))
        return found

    @property
    def steps(self) -> Collection[Step]:
        """All of the network's, each once."""
        return self._known.values()

    def options(self, step: Step, lanes: float = np.inf) -> list[Option]:
        """The foldings of a step of at most so many lanes, the fastest first."""
        found = [self._option(step, folding) for folding in self._foldings(step) if folding.lanes(step.stride) <= lanes]
        return sorted(found, key=lambda option: (option.cycles, option.cost.cells))

    def _foldings(self, step: Step) -> list[Folding]:
        """Those of a step that are looked at: of windows that take turns such as save memory blocks."""
        assert isinstance(step.layer, Windowed)
        if step not in self._looked_at:
            every = foldings(step.layer, step.source, wired=not self.plan.loadable)
            self._looked_at[step] = [folding for folding in every if folding.turns == 1 or self._saves(step, folding)]
        return self._looked_at[step]

    def _saves(self, step: Step, folding: Folding) -> bool:
        """Whether windows that take turns save a block, and one more than fewer of them do."""
        if self.plan.protected:
            return False
        stage = self._stage(step, replace(folding, turns=1))
        assert isinstance(stage, ConvStage)
        fewer = (stage.weight_blocks(turns, self.family) for turns in divisors(folding.turns)[:-1])
        blocks = stage.weight_blocks(1, self.family) and stage.weight_blocks(folding.turns, self.family)
        return all(blocks < others for others in fewer)

    def _option(self, step: Step, folding: Folding) -> Option:
        if (step, folding) in self._options:
            return self._options[step, folding]
        layer, stage = step.layer, self._stage(step, folding)
        assert isinstance(layer, Windowed)
        if folding.wired:
            # The sums that constants share are looked for when the machine is made; how many there will be is
            # known well enough, and that each bit of them has a register and half as many again delay others.
            width, top = stage.scaler.width, stage.taken.hi - stage.taken.lo
            bits = wired_adder_bits(layer.fan_in, len(layer.weights), top, width) * len(stage.arrays)
            array = Resources(round(bits * LUTS_PER_ADDER_BIT[self.family.name]), round(1.5 * bits))
            resources = stage.outer_resources(self.family) + array
        else:
            resources = stage.resources(self.family)
        lanes = 0 if isinstance(layer, Pool) else folding.lanes(layer.stride)
        around: Part
        if self._cheaper and not stage.uneven:
            around = replace(self._cheaper._option(step, folding), cost=Cost())
        else:
            around = self._part(
                stage.source, lambda pipeline, end: pipeline.add_folded(end, "stage", stage), without="stage"
            )
        cost = Cost(*map(sum, zip(around.cost, self._cost(resources, lanes), strict=True)))
        option = Option(cost, around.cycles, around.lanes, around.lead, folding=folding, source=stage.source.lanes)
        return self._options.setdefault((step, folding), option)

    def _stage(self, step: Step, folding: Folding) -> WindowedStage | RunningPoolStage:
        """The stage of a folding, its weights in memories; what it takes may be asked for blocks of any worth."""
        assert isinstance(step.layer, Windowed)
        key = step, replace(folding, wired=False)
        loaded = self.family if self.plan.loadable else None
        if loaded:  # memories that are loaded are cut where blocks of this worth end
            return folded_stage(step.layer, step.source, step.follows, key[1], self.family, loaded)
        if key not in self._stages:
            stage = folded_stage(step.layer, step.source, step.follows, key[1], self.family, protect=self.plan.protect)
            self._stages[key] = stage
        return self._stages[key]

    def between(self, step: Step, lanes: int) -> tuple[Part, Part]:
        """The stages of a layer that no plan folds behind so many lanes: for any words, and for such as come seldom."""
        if (step, lanes) not in self._pairs:
            any_time, seldom = (
                self._part(
                    Flow(step.source, lanes), lambda pipeline, end: pipeline.grow(end, step.layer, ""), cycles=cycles
                )
                for cycles in (0, SELDOM)
            )
            self._pairs[step, lanes] = any_time, seldom
        return self._pairs[step, lanes]

    def converted(self, t: Tensor, lanes: int, wanted: int) -> Part:
        """The converters from some lanes to others."""
        key = replace(t, frac=0), lanes, wanted
        if key not in self._parts:
            self._parts[key] = self._part(Flow(t, lanes), lambda pipeline, end: pipeline.convert(end, "", wanted))
        return self._parts[key]

    def padded(self, step: Step, lanes: int) -> Part:
        """The zero channels alone, which words of so many lanes get."""
        key = step, lanes
        if key not in self._parts:
            stage = PadChannelsStage(Flow(step.source, lanes), step.layer)
            self._parts[key] = self._part(stage.source, lambda pipeline, end: pipeline.add(end, "padded", stage))
        return self._parts[key]

    def queued(self, flow: Flow, depth: int) -> Part:
        """A queue."""
        key = replace(flow.tensor, frac=0), flow.lanes, depth, "queue"
        if key not in self._parts:
            self._parts[key] = self._part(flow, lambda pipeline, end: pipeline.queue(end, "queue", depth))
        return self._parts[key]

    def joined(self, step: Step, lanes: int) -> tuple[Part, Part]:
        """The addition that closes a residual: for any words, and for such as come seldom."""
        if (step, lanes) not in self._pairs:
            assert isinstance(step.layer, Residual)
            body, skip = (inner.sink for inner in step.inner)
            flows = Flow(body, lanes), Flow(replace(skip, frac=body.frac), lanes)
            adds = (SaturatingAdd(*flows, step.layer, cycles) for cycles in (0, SELDOM))
            any_time, seldom = (Part(self._cost(add.resources(self.family)), add.cycles) for add in adds)
            self._pairs[step, lanes] = any_time, seldom
        return self._pairs[step, lanes]

    def _part(self, source: Flow, grow: Callable[[Pipeline, End], End], without: str = "", cycles: int = 0) -> Part:
        """What `grow` appends to an end where a frame takes so long; the resources of a unit may be known better."""
        pipeline = Pipeline(self.plan)
        end = grow(pipeline, pipeline.start(source, NOWHERE, cycles))
        taken = total(unit.resources(self.family) for name, unit in pipeline.units.items() if name != without)
        slowest = max((stage.cycles for _, stage in pipeline.stages), default=0)
        return Part(self._cost(taken), slowest, end.flow.lanes, float(end.lead))

    def _cost(self, resources: Resources, lanes: int = 0) -> Cost:
        cells = resources.luts + self.family.apart * resources.ffs
        return Cost(lanes, cells, resources.ffs, sum(resources.blocks.values()))


Trace = Callable[[int, int, int], list[Part]]
"""Of lanes behind a step, the place of those before it and a case: the parts on the way, in order."""


@dataclass(frozen=True)
class Ways:
    """The cheapest ways through a step: for each number of lanes behind it, each before it, and each case.

    lanes : behind it
    price : float64 [lanes behind, lanes before, cases], infinite where there is no way
    lead : the same, pixels by which the step's input runs ahead of an even flow
    origin : int64, the same, what the way was made of: its own trace reads it
    """

    lanes: list[int]
    price: NDArray[np.float64]
    lead: NDArray[np.float64]
    origin: NDArray[np.int64]
    trace: Trace


class _Best:
    """The cheapest of what is offered for each number of lanes: price, lead and origin, each [lanes before, cases]."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape
        self.rows: dict[int, tuple[NDArray, NDArray, NDArray]] = {}

    def offer(self, lanes: int, price: NDArray, lead: NDArray | float, origin: NDArray | int = 0) -> None:
        """Lanes that are never to be had are not kept."""
        if lanes in self.rows:
            better = price < self.rows[lanes][0]
            offered = zip((price, lead, origin), self.rows[lanes], strict=True)
            self.rows[lanes] = tuple(np.where(better, new, old) for new, old in offered)
        elif np.isfinite(price).any():
            self.rows[lanes] = tuple(np.broadcast_to(value, self.shape) for value in (price, lead, origin))

    def ways(self, trace: Callable[[int, int, int, int], list[Part]]) -> Ways:
        """All of them; `trace` is told the origin too."""
        lanes = list(self.rows)
        price, lead, origin = (
            np.array([row[k] for row in self.rows.values()]).reshape(len(lanes), *self.shape) for k in range(3)
        )
        return Ways(
            lanes, price, lead, origin,
            lambda out, at, case: trace(out, at, case, int(origin[lanes.index(out), at, case])),
        )  # fmt: skip


class Search:
    """The cheapest ways through steps in every case: within its cycles a frame, at its price.

    Parameters
    ----------
    costs : of the stages
    cycles : int64 [cases]
    prices : float64 [cases, 4], of each kind of Cost
    lanes : most of a folding
    """

    def __init__(self, costs: Costs, cycles: NDArray[np.int64], prices: NDArray[np.float64], lanes: float = np.inf):
        self.costs, self.cycles, self.prices, self.lanes = costs, cycles, prices, lanes
        self._known: dict[tuple[Step, tuple[int, ...]], Ways] = {}

    def ways(self, step: Step, lanes: Sequence[int]) -> Ways:
        """The ways from each of the lanes before a step to all those behind it."""
        if (key := (step, tuple(lanes))) not in self._known:
            match step.layer:
                case _ if not lanes:
                    self._known[key] = self.straight([])
                case Chain():
                    self._known[key] = self._chain(step, lanes)
                case Residual():
                    self._known[key] = self._residual(step, lanes)
                case BinaryConv() | SumPool() | MaxPool():
                    self._known[key] = self._fold(step, lanes)
                case _:
                    kinds = zip(*(self.costs.between(step, count) for count in lanes), strict=True)
                    self._known[key] = self.straight(*kinds)
        return self._known[key]

    def straight(self, *kinds: Sequence[Part]) -> Ways:
        """The ways where there is one part of each kind for each of the lanes before."""
        best = _Best(len(kinds[0]) if kinds else 0, len(self.cycles))
        for kind, parts in enumerate(kinds):
            for at, part in enumerate(parts):
                price = np.full(best.shape, np.inf)
                price[at] = self._price([part])[0]
                best.offer(part.lanes, price, part.lead, kind)
        return best.ways(lambda out, at, case, kind: [kinds[kind][at]])

    def behind(self, first: Ways, then: Ways, rate: float) -> Ways:
        """One after the other: `then` begins at the lanes behind `first`, which takes `rate` pixels for one."""
        best = _Best(*first.price.shape[1:])
        for middle in range(len(first.lanes)):
            for out, count in enumerate(then.lanes):
                if np.isfinite(then.price[out, middle]).any():
                    price = first.price[middle] + then.price[out, middle]
                    best.offer(count, price, first.lead[middle] + rate * then.lead[out, middle], middle)
        return best.ways(
            lambda out, at, case, middle: first.trace(first.lanes[middle], at, case) + then.trace(out, middle, case)
        )

    def _price(self, parts: Sequence[Part]) -> NDArray[np.float64]:
        """[parts, cases], infinite where one is too slow."""
        prices = np.array([part.cost for part in parts]) @ self.prices.T
        return np.where(self.cycles < np.array([[part.cycles] for part in parts]), np.inf, prices)

    def _fold(self, step: Step, lanes: Sequence[int]) -> Ways:
        # With many times the lanes that are needed a folding is never cheaper.
        needed = -(-step.products // int(self.cycles.min()))
        options = self.costs.options(step, min(self.lanes, MORE_LANES * needed))
        sources = sorted({option.source for option in options})
        place = np.array([sources.index(option.source) for option in options])
        before = [[self.costs.converted(step.source, count, source) for source in sources] for count in lanes]
        converted = np.array([self._price(parts) for parts in before])
        ahead = np.array([[part.lead for part in parts] for parts in before])
        prices, leads = self._price(options), np.array([option.lead for option in options])
        best = _Best(len(lanes), len(self.cycles))
        for out in sorted({option.lanes for option in options}):
            chosen = np.array([k for k, option in enumerate(options) if option.lanes == out])
            every = converted[:, place[chosen]] + prices[chosen]
            origin = chosen[every.argmin(axis=1)]
            lead = np.take_along_axis(ahead, place[origin], axis=1) + leads[origin]
            best.offer(out, every.min(axis=1), lead, origin)
            for fewer in divisors(options[chosen[0]].folding.pe):
                if fewer == out:
                    continue
                narrow = self.costs.converted(step.sink, out, fewer)
                price = every.min(axis=1) + self._price([narrow])
                best.offer(fewer, price, lead + step.rate * narrow.lead, origin)

        def trace(out: int, at: int, case: int, origin: int) -> list[Part]:
            option = options[origin]
            parts: list[Part] = [before[at][place[origin]], option]
            if option.lanes != out:
                parts = [parts[0], replace(option, folding=replace(option.folding, out=out))]
                parts.append(self.costs.converted(step.sink, option.lanes, out))
            return parts

        return best.ways(trace)

    def _chain(self, step: Step, lanes: Sequence[int]) -> Ways:
        shape = len(lanes), len(self.cycles)
        price = np.full((len(lanes), *shape), np.inf)
        price[range(len(lanes)), range(len(lanes))] = 0
        nothing = np.zeros(price.shape, np.int64)
        ways, rate = [Ways(list(lanes), price, nothing, nothing, lambda *at: [])], 1.0
        inners = []
        for inner in step.inner:
            inners.append(self.ways(inner, ways[-1].lanes))
            ways.append(self.behind(ways[-1], inners[-1], rate))
            rate *= inner.rate

        def trace(out: int, at: int, case: int) -> list[Part]:
            # Step by step from the end: a long chain must not recurse.
            parts: list[Part] = []
            for first, then, joined in zip(ways[-2::-1], inners[::-1], ways[:0:-1], strict=True):
                middle = int(joined.origin[joined.lanes.index(out), at, case])
                parts = then.trace(out, middle, case) + parts
                out = first.lanes[middle]
            return parts

        return replace(ways[-1], trace=trace)

    def _residual(self, step: Step, lanes: Sequence[int]) -> Ways:
        """Body and skip from the same lanes, the skip brought to the body's, with the queues and the sum."""
        (inner, outer), costs = step.inner, self.costs
        body, skip = self.ways(inner, lanes), self.ways(outer.head, lanes)
        best, joins = _Best(len(lanes), len(self.cycles)), {}
        for count, price, ahead in zip(body.lanes, body.price, body.lead, strict=True):
            # As the machine does it: a queue in the skip, and one in the body where the skip is the slower one.
            possible, waits = np.isfinite(price), {}
            side, asides = _Best(len(lanes), len(self.cycles)), [self._aside(outer, at, count) for at in skip.lanes]
            for at, (before, flow, after) in enumerate(asides):
                if flow not in waits:
                    waits[flow] = self._queues(flow, ahead / inner.rate, possible)
                _, dear, more = waits[flow]
                fixed = sum(self._price([part])[0] for part in before + after)
                behind = skip.lead[at] + outer.rate * (more + sum(part.lead for part in before + after))
                side.offer(count, skip.price[at] + fixed + dear, behind, at)
            if not side.rows:
                continue
            beside, behind, chosen = side.rows[count]
            possible &= np.isfinite(beside)
            also, dearer, more = self._queues(Flow(inner.sink, count), behind / outer.rate, possible & (behind > ahead))
            fixed = self._price([costs.fork])[0] + self._price(costs.joined(step, count)).min(axis=0)
            lead = np.maximum(ahead + inner.rate * more, behind)
            best.offer(count, price + beside + dearer + fixed, lead)
            joins[count] = chosen, asides, waits, also

        def trace(out: int, at: int, case: int, origin: int) -> list[Part]:
            chosen, asides, waits, also = joins[out]
            from_skip = int(chosen[at, case])
            before, flow, after = asides[from_skip]
            parts = body.trace(out, at, case) + skip.trace(skip.lanes[from_skip], at, case) + before + after
            queues = (flow, waits[flow][0]), (Flow(inner.sink, out), also)
            parts += [costs.queued(flow, int(depths[at, case])) for flow, depths in queues if depths[at, case]]
            adds = costs.joined(step, out)
            return [*parts, costs.fork, adds[self._price(adds)[:, case].argmin()]]

        return best.ways(trace)

    def _aside(self, skip: Step, lanes: int, wanted: int) -> tuple[list[Part], Flow, list[Part]]:
        """From so many lanes of a skip to those wanted: what comes before its queue, what is in this, what follows."""
        head, convert = skip.head, self.costs.converted
        if head is skip:
            return [convert(skip.sink, lanes, wanted)], Flow(skip.sink, wanted), []
        padding = skip.inner[-1]
        assert isinstance(padding.layer, PadChannels)
        at = padded_lanes(Flow(padding.source, lanes), padding.layer)
        padded = self.costs.padded(padding, at)
        return (
            [convert(padding.source, lanes, at)],
            Flow(padding.source, at),
            [padded, convert(padding.sink, padded.lanes, wanted)],
        )

    def _queues(self, flow: Flow, lag: NDArray, where: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Depths, prices and leads of the queues beside a branch that lags so many pixels, `where` one is wanted."""
        pixels = np.ceil(np.where(where, lag, 0) - 1e-6).astype(np.int64)
        depths = np.where(where, even_depth(pixels, flow), 0)
        price, lead = np.zeros(depths.shape), np.zeros(depths.shape)
        for depth in np.unique(depths[where]):
            part = self.costs.queued(flow, int(depth))
            price = np.where(depths == depth, self._price([part])[0], price)
            lead[depths == depth] = part.lead
        return depths, price, lead
