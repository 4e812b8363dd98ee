"""What one bit costs: how well a network does, what its machine takes and gives, and what 8 bits would take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..hw.accelerator import Accelerator
from ..hw.array.multiplied import BITS
from ..hw.baseline import baseline
from ..hw.device.resources import Resources
from ..hw.device.target import Clock, Target
from ..hw.verilog.latency import latency
from ..model.card import Card
from ..model.zoo.tables import percent

DECLARED = "declared"
"""Of a latency that the stages declare."""
SIMULATED = "simulated"


@dataclass(frozen=True)
class Cost:
    """Look-up tables, flip-flops and memory blocks by kind."""

    luts: int
    ffs: int
    blocks: Mapping[str, int]

    @classmethod
    def of(cls, resources: Resources) -> Cost:
        """What units declare."""
        return cls(resources.luts, resources.ffs, dict(resources.blocks))

    def __add__(self, other: Cost) -> Cost:
        kinds = {**self.blocks, **other.blocks}
        blocks = {kind: self.blocks.get(kind, 0) + other.blocks.get(kind, 0) for kind in kinds}
        return Cost(self.luts + other.luts, self.ffs + other.ffs, blocks)


@dataclass(frozen=True)
class Judged:
    """What a card says of a test set: how many images, which share of them is wrong, and of the float twin's.

    The weights of the twin have one bit, too.
    """

    data: str
    images: int
    test_error: float
    float_test_error: float | None


@dataclass(frozen=True)
class Eight:
    """The baseline: the same machine with weights of `bits` bits, see ``hw.baseline``.

    lanes : products a cycle that are multiplied: so many DSPs, where they do it
    luts_a_lane, own_luts_a_lane : of an array that multiplies, and of the machine's own
    in_luts, in_dsps : the whole machine where look-up tables multiply, and beside the DSPs
    """

    bits: int
    lanes: int
    luts_a_lane: float
    own_luts_a_lane: float
    in_luts: Cost
    in_dsps: Cost


@dataclass(frozen=True)
class OneBit:
    """The answer in one place.

    judged : None where the network has no card
    weights : bits of them
    cycles, frames_per_second, clock : a frame in steady state, the rate and the clock that it is told at
    latency, latency_us, latency_origin : cycles and microseconds from a frame's first beat in to its last out where it
        is alone; SIMULATED or DECLARED
    cost : estimated
    device, luts, ffs, blocks, dsps : its name and what it has; None and {} without one
    eight : None where there is none to compare with
    """

    judged: Judged | None
    weights: int
    lanes: int
    cycles: int
    clock: Clock
    frames_per_second: float
    latency: int
    latency_us: float
    latency_origin: str
    cost: Cost
    device: str | None
    luts: int | None
    ffs: int | None
    blocks: Mapping[str, int]
    dsps: int | None
    eight: Eight | None


def judged(card: Card | None) -> Judged | None:
    """What the card says, where there is one."""
    return Judged(card.data, card.images, card.test_error, card.float_test_error) if card else None


def one_bit(
    machine: Accelerator,
    clock: Clock,
    card: Card | None = None,
    *,
    device: Target | None = None,
    simulated: int | None = None,
) -> OneBit:
    """Of a machine at a clock, and on another device than its plan's where one is named.

    card : of its network; None where there is none
    simulated : the latency that a simulation has given, in cycles
    """
    plan, device = machine.plan, device or machine.plan.device
    cycles = latency(machine) if simulated is None else simulated
    return OneBit(
        judged=judged(card),
        weights=machine.net.weights,
        lanes=plan.lanes(machine.net),
        cycles=machine.cycles,
        clock=clock,
        frames_per_second=clock.mhz * 1e6 / machine.cycles,
        latency=cycles,
        latency_us=cycles / clock.mhz,
        latency_origin=DECLARED if simulated is None else SIMULATED,
        cost=Cost.of(machine.resources),
        device=device.name if device else None,
        luts=device.luts if device else None,
        ffs=device.ffs if device else None,
        blocks=dict(device.blocks) if device else {},
        dsps=device.dsps if device else None,
        eight=_eight(machine),
    )


def _eight(machine: Accelerator) -> Eight | None:
    found = baseline(machine)
    if not found:
        return None
    return Eight(
        BITS,
        found.lanes,
        found.multiplied.luts / found.lanes,
        found.arrays.luts / found.lanes,
        Cost.of(found.in_luts),
        Cost.of(found.in_dsps),
    )


@dataclass(frozen=True)
class Cell:
    """A figure in words; `over` where the device has not so much."""

    text: str
    over: bool = False


def columns(answer: OneBit) -> list[str]:
    """What stands above the cells of each row."""
    bits = f"{answer.eight.bits} bits" if answer.eight else ""
    return ["one bit", f"{bits}, in LUTs", f"{bits}, in DSPs"] if bits else ["one bit"]


def rows(answer: OneBit) -> list[tuple[str, list[Cell]]]:
    """The table: of each row what it tells, and of the machine and its baseline in LUTs and in DSPs how much."""
    eight = answer.eight
    costs = [answer.cost, eight.in_luts, eight.in_dsps] if eight else [answer.cost]
    kinds = list(dict.fromkeys(kind for cost in costs for kind in cost.blocks))
    found = [
        ("LUTs", [_counted(cost.luts, answer.luts) for cost in costs]),
        ("flip-flops", [_counted(cost.ffs, answer.ffs) for cost in costs]),
        *((kind, [_counted(cost.blocks.get(kind, 0), answer.blocks.get(kind)) for cost in costs]) for kind in kinds),
    ]
    weights = [answer.weights]
    if eight:
        found.append(("DSPs", [Cell("0"), Cell("0"), _counted(eight.lanes, answer.dsps)]))
        each = f"{eight.own_luts_a_lane:.1f}", f"{eight.luts_a_lane:.1f}", "0, and a DSP"
        found.append(("LUTs a product", [Cell(text) for text in each]))
        weights += [answer.weights * eight.bits] * 2
    found.append(("bits of weights", [_counted(bits, None) for bits in weights]))
    for name, text in (
        ("cycles a frame", f"{answer.cycles:,}"),
        ("frames a second", rate(answer.frames_per_second)),
    ):
        found.append((name, [Cell(text)] * len(costs)))
    alone = f"{answer.latency:,} cycles, {answer.latency_us:,.1f} µs"
    found.append(("latency", [Cell(alone), *[Cell("about the same")] * (len(costs) - 1)]))
    if answer.judged:
        errors = {"test error": answer.judged.test_error, "of the float twin": answer.judged.float_test_error}
        for name, error in errors.items():
            if error is not None:
                found.append((name, [Cell(percent(error)), *[Cell("not known")] * (len(costs) - 1)]))
    return found


def summary(answer: OneBit) -> str:
    """How much more the baseline takes, in a sentence; or that there is none."""
    eight = answer.eight
    if not eight:
        return "There is no baseline: it is for weights in read-only memories without check bits."
    blocks, own = (sum(cost.blocks.values()) for cost in (eight.in_luts, answer.cost))
    memory = f" The memories would take {blocks / own:.1f} times the blocks." if own else ""
    return (
        f"With weights of {eight.bits} bits the same machine would take {_times(eight.in_luts, answer.cost)} the LUTs, "
        f"or {_times(eight.in_dsps, answer.cost)} the LUTs and {eight.lanes:,} DSPs.{memory}"
    )


def notes(answer: OneBit) -> list[str]:
    """What has to be said beside the table, in sentences."""
    eight = answer.eight
    found = [f"Resources are estimates, the rate is at {answer.clock}, and the latency is {answer.latency_origin}."]
    if answer.device is None:
        found.append("A plan for any device leaves memories to synthesis: they are in no figure.")
    if not eight:
        return found
    found.append(
        f"With {eight.bits} bits folding, windows, queues and requantises are the same, words of weights are "
        f"{eight.bits} times as wide, and a product is made in LUTs, or in a DSP."
    )
    if left := answer.lanes - eight.lanes:
        found.append(f"{left:,} of {answer.lanes:,} lanes have no memory of weights and stay as they are.")
    if answer.judged:
        found.append(
            f"How well weights of {eight.bits} bits would do is not known: those of the float twin have one bit, too."
        )
    return found


def _times(cost: Cost, own: Cost) -> str:
    times = cost.luts / own.luts
    return f"{times:.1f} times" if times >= 1 else f"{times:.2f} times"


def _counted(count: int, most: int | None) -> Cell:
    """How many, and which part that is of what the device has."""
    share = f" ({100 * count / most:.0f} %)" if most else ""
    return Cell(f"{count:,}{share}", most is not None and count > most)


def rate(value: float) -> str:
    """Frames a second, with three digits or more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
