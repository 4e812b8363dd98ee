# amaranth: UnusedElaboratable=no
"""Hardware as functions: streams in, streams out, in Amaranth's simulator.

While a circuit runs, its outputs are held to the stream contract: valid does not wait for ready, and what is
offered stays until it is taken. A circuit that stands still ends in HangError with the state of every stream.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from amaranth import Module, ResetInserter, Signal, Value
from amaranth.hdl._ir import Fragment, PortDirection, build_netlist
from amaranth.lib import wiring
from amaranth.lib.wiring import Component, Out
from amaranth.sim import Simulator
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.build import folded_stage
from bitfold.hw.device.protect import PROTECT
from bitfold.hw.device.target import FAMILIES, TARGETS, Family
from bitfold.hw.plan import Folding, Plan, divisors, problem
from bitfold.hw.search import foldings
from bitfold.hw.stages.conv import ConvStage
from bitfold.hw.stream.flow import Flow
from bitfold.hw.stream.stage import Stage
from bitfold.model.layers import BinaryConv, Layer, Pool, Requantise, walk
from bitfold.model.net import Net
from bitfold.model.tensor import Ints, Tensor
from bitfold.sim.pysim import roomy

UP5K = "ice40-up5k"
"""The device that has blocks with one port."""

SINGLE = replace(FAMILIES["ice40"], single_port=TARGETS[UP5K].single_port)
"""A family whose rings lie in blocks with one port, where their words come in pairs."""

EVERY_FAMILY = [*FAMILIES.values(), SINGLE]

DRAIN = 24
"""Cycles watched after the last expected transfer for one too many."""


class HangError(AssertionError):
    """No transfer for too long; `seen` is what came before."""

    def __init__(self, message: str, seen: Seen):
        super().__init__(message)
        self.seen = seen


@dataclass
class Transfers:
    """What one port transferred, and in which cycle; cycle 0 is the first after reset."""

    words: list[int] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)


class Seen(dict[str, Transfers]):
    """The Transfers of each port by name; `peeked` are the values asked for at the end."""

    peeked: tuple[int, ...] = ()


def examples(n: int, shrink: bool = True) -> settings:
    """The same `n` examples on every run, however long each takes; `shrink` finds the least that fails."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    phases = [phase for phase in Phase if shrink or phase not in (Phase.shrink, Phase.explain)]
    return settings(derandomize=True, deadline=None, max_examples=n, suppress_health_check=slow, phases=phases)


def drive(
    circuit: Component,
    feeds: Mapping[str, Sequence[int]],
    counts: Mapping[str, int | None],
    *,
    idle: float = 0.0,
    stall: float | Mapping[str, float] = 0.0,
    seed: int = 0,
    at: Mapping[str, Sequence[int]] | None = None,
    patience: int = 300,
    peek: Sequence[Value] = (),
    reset_after: int | None = None,
) -> Seen:
    """Run a circuit until every port has transferred what it should.

    Parameters
    ----------
    feeds : words for each input stream
    counts : transfers to expect of each output stream; None for what comes until nothing moves any more
    idle, stall : probability of a pause in each cycle, on the way in, on the way out (of each, or by name)
    seed : of the pauses
    at : the earliest cycle in which each word of an input is offered
    patience : cycles without any transfer after which the circuit stands still
    peek : signals to read when it is over
    reset_after : words of the first input after which, 9 cycles later, a cycle of reset comes

    Raises
    ------
    HangError : the circuit stands still and transfers are missing
    AssertionError : an output breaks the stream contract, or gives more than it should
    """
    ins = {name: getattr(circuit, name) for name in feeds}
    outs = {name: getattr(circuit, name) for name in counts}
    payloads = {name: Value.cast(port.payload) for name, port in (ins | outs).items()}
    seen = Seen({name: Transfers() for name in (*ins, *outs)})
    stalls = dict.fromkeys(outs, stall) if isinstance(stall, float) else {**dict.fromkeys(outs, 0.0), **stall}
    rng = random.Random(seed)
    reset = Signal()

    def complete() -> bool:
        fed = all(len(seen[name].words) == len(words) for name, words in feeds.items())
        return fed and all(len(seen[name].words) >= (n or 0) for name, n in counts.items())

    async def bench(ctx):
        offered = dict.fromkeys(ins, False)
        held: dict[str, int | None] = dict.fromkeys(outs)
        cycle = quiet = 0
        countdown = None if reset_after is None else 9
        drain = DRAIN if None not in counts.values() else patience
        while quiet < patience and not (complete() and quiet >= drain):
            resetting = countdown == 0
            waiting = countdown is not None and len(seen[next(iter(ins))].words) >= reset_after
            if waiting:
                countdown = None if resetting else countdown - 1
            ctx.set(reset, resetting)
            for name, port in ins.items():
                done = len(seen[name].words)
                if not offered[name] and not waiting and done < len(feeds[name]):
                    due = at is None or name not in at or cycle >= at[name][done]
                    if due and (not idle or rng.random() >= idle):
                        ctx.set(payloads[name], feeds[name][done])
                        offered[name] = True
                ctx.set(port.valid, offered[name])
            for port in outs.values():
                ctx.set(port.ready, 0)
            taking = []
            for name, port in outs.items():
                before = ctx.get(port.valid), ctx.get(payloads[name])
                word = before[1] if before[0] else None
                assert held[name] in (None, word), f"{name} changed an offer in cycle {cycle}"
                held[name] = word
                if resetting:
                    held[name] = None
                elif not stalls[name] or rng.random() >= stalls[name]:
                    ctx.set(port.ready, 1)
                    after = ctx.get(port.valid), ctx.get(payloads[name])
                    assert before == after, f"{name}: what is offered depends on ready in cycle {cycle}"
                    if word is not None:
                        taking.append((name, word))
                        held[name] = None
            for name, port in ins.items():
                if offered[name] and ctx.get(port.ready):
                    taking.append((name, feeds[name][len(seen[name].words)]))
                    offered[name] = False
            for name, word in taking:
                seen[name].words.append(word)
                seen[name].cycles.append(cycle)
            for name, n in counts.items():
                assert n is None or len(seen[name].words) <= n, f"{name} gave too much in cycle {cycle}"
            quiet = 0 if taking or resetting else quiet + 1
            await ctx.tick()
            cycle += 1
        if not complete():
            wanted = {**{name: len(words) for name, words in feeds.items()}, **counts}
            states = "".join(
                f"\n  {name}: valid {ctx.get(port.valid)} ready {ctx.get(port.ready)}, "
                f"{len(seen[name].words)} of {wanted[name]} words"
                for name, port in (ins | outs).items()
                if wanted[name] is not None
            )
            raise HangError(f"nothing moved in the {patience} cycles up to cycle {cycle}{states}", seen)
        seen.peeked = tuple(ctx.get(signal) for signal in peek)

    simulator = Simulator(ResetInserter(reset)(circuit))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    roomy(simulator.run)
    return seen


class Series(Stage):
    """Stages one after the other, as one."""

    def __init__(self, *stages: Stage):
        self.stages = stages
        self.latency = sum(stage.latency for stage in stages)
        super().__init__(stages[0].source, stages[-1].sink)

    @property
    def cycles(self) -> int:
        return max(stage.cycles for stage in self.stages)

    def elaborate(self, platform):
        m = Module()
        m.submodules += self.stages
        for before, after in pairwise(self.stages):
            wiring.connect(m, before.o, after.i)
        wiring.connect(m, wiring.flipped(self.i), self.stages[0].i)
        wiring.connect(m, self.stages[-1].o, wiring.flipped(self.o))
        return m


def evaluate(build: Callable[[Value], Value], shape: object, values: Iterable[int]) -> list[int]:
    """A combinational function of one signal of the shape, on each of the values."""
    m, x = Module(), Signal(shape)
    built = build(x)
    y = Signal(built.shape())
    m.d.comb += y.eq(built)
    results = []

    async def bench(ctx):
        for value in values:
            ctx.set(x, int(value))
            results.append(ctx.get(y))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return results


def pack(flow: Flow, array: Ints) -> list[int]:
    """The words of frames [N, height, width, channels]."""
    bits = flow.tensor.bits
    codes = (array.astype(object) - flow.tensor.lo).reshape(-1, flow.lanes)
    return [sum(code << lane * bits for lane, code in enumerate(word)) for word in codes.tolist()]


def unpack(flow: Flow, words: Sequence[int]) -> Ints:
    """The frames int64 [N, height, width, channels] in whole frames' words."""
    t, mask = flow.tensor, (1 << flow.tensor.bits) - 1
    values = [(word >> lane * t.bits & mask) + t.lo for word in words for lane in range(flow.lanes)]
    return np.array(values, np.int64).reshape(-1, *t.shape)


def random_frames(flow: Flow, n: int, seed: int = 0) -> Ints:
    """`n` frames of the flow's type; every second one holds the interval's two ends only."""
    rng, t = np.random.default_rng(seed), flow.tensor
    frames = rng.integers(t.lo, t.hi, (n, *t.shape), dtype=np.int64, endpoint=True)
    frames[1::2] = rng.choice([t.lo, t.hi], frames[1::2].shape)
    return frames


def run_stage(stage: Stage, words: Sequence[int], expected: int | None = None, **pauses) -> Transfers:
    """Words through a stage; by default as many come out as whole frames in make."""
    if expected is None:
        expected = len(words) * stage.sink.frame_words // stage.source.frame_words
    patience = int((200 + stage.cycles + stage.latency) / _working(pauses))
    return drive(stage, {"i": words}, {"o": expected}, patience=patience, **pauses)["o"]


def through(stage: Stage, frames: Ints, **pauses) -> Ints:
    """Frames through a stage, as arrays."""
    return unpack(stage.sink, run_stage(stage, pack(stage.source, frames), **pauses).words)


def frame_distances(cycles: Sequence[int], frame_words: int) -> list[int]:
    """Cycles from each frame's last word to the next one's."""
    return np.diff(cycles[frame_words - 1 :: frame_words]).tolist()


def conv_foldings(layer: BinaryConv, t: Tensor, *, lanes: int = 256, cycles: int = 500) -> list[Folding]:
    """Legal foldings that a simulator can bear, the smallest first, those of a sliding window among them.

    No windows take turns: `turned` lets some do.
    """
    pixels = layer.infer(t).pixels
    folds = [fold for fold in foldings(layer, t) if fold.lanes(layer.stride) <= lanes and fold.turns == 1]
    folds.sort(key=lambda fold: fold.lanes(layer.stride))
    work = pixels * layer.weights.size
    return [fold for fold in folds if work // fold.lanes(layer.stride) <= cycles] or folds[-1:]


@st.composite
def turned(draw: DrawFn, folding: Folding, layer: BinaryConv, t: Tensor) -> Folding:
    """The folding, or the same of windows that take turns."""
    ways = [replace(folding, turns=turns) for turns in divisors(layer.infer(t).width)]
    return draw(st.sampled_from([folding, *(way for way in ways if not problem(way, layer, t))]))


def conv_stage(
    t: Tensor, layer: BinaryConv, follows: Requantise | None, folding: Folding, family: Family = FAMILIES["generic"]
) -> ConvStage:
    """The stage of a folding, with the words that it takes."""
    return folded_stage(layer, t, follows, folding, family)


def pool_foldings(layer: Pool, t: Tensor, *, lanes: int = 512) -> list[Folding]:
    """Legal foldings, the smallest first, those of a sliding window among them where a simulator can bear them."""
    return [fold for fold in foldings(layer, t) if not fold.slides(1) or fold.lanes(layer.stride) <= lanes]


def tight(monkeypatch: pytest.MonkeyPatch, **blocks: int) -> None:
    """Let the UP5K have other numbers of blocks."""
    monkeypatch.setitem(TARGETS, UP5K, replace(TARGETS[UP5K], blocks=blocks))


@st.composite
def plans(draw: DrawFn, net: Net) -> Plan:
    """Any folding that a simulator can bear, on any device."""
    chosen = {}
    protect = draw(st.sampled_from(PROTECT))

    def visit(path: str, layer: Layer, t: Tensor) -> None:
        if isinstance(layer, BinaryConv):
            folding = draw(st.sampled_from(conv_foldings(layer, t)))
            chosen[path] = folding if protect != PROTECT[0] else draw(turned(folding, layer, t))
        elif isinstance(layer, Pool):
            chosen[path] = draw(st.sampled_from(pool_foldings(layer, t)))
        if path in chosen and draw(st.booleans()):
            folding = chosen[path]
            chosen[path] = replace(folding, out=draw(st.sampled_from(divisors(folding.pe))))

    walk(net.body, net.input, visit)
    at_once = [pixels for pixels in divisors(net.input.width) if pixels * net.input.channels <= 64]
    lanes = draw(st.sampled_from(divisors(net.output.channels)))
    target = draw(st.sampled_from(["generic", *TARGETS]))
    worth = None if target == "generic" else draw(st.sampled_from([None, 20, 1000]))
    how = {"block_luts": worth, "protect": protect}
    if draw(st.integers(0, 2)) == 2:
        parts = draw(st.sampled_from(divisors(net.input.channels)))
        return Plan(chosen, lanes, 1, target, parts, **how)
    return Plan(chosen, lanes, draw(st.sampled_from(at_once or [1])), target, **how)


def coming_after(stage: Stage, pixels: int) -> int:
    """How many words come out of a fresh stage after the words of `pixels` pixels and no more."""
    words = pack(stage.source, random_frames(stage.source, 1))
    words = words[: pixels * stage.source.frame_words // stage.source.tensor.pixels]
    patience = 60 + stage.cycles + stage.latency
    return len(drive(stage, {"i": words}, {"o": None}, patience=patience)["o"].words)


def beats(accelerator: Accelerator, frames: Sequence[Ints]) -> list[int]:
    """Input words of frames [pixels, channels] of any length; samples are raw and may lie outside."""
    payload = accelerator.i.payload
    sample = payload.shape()["pixel"].shape.elem_shape.width
    words = []
    for frame in frames:
        beats = frame.reshape(-1, payload.shape()["pixel"].shape.length).tolist()
        for index, beat in enumerate(beats):
            word = sum((value & (1 << sample) - 1) << lane * sample for lane, value in enumerate(beat))
            words.append(word | (index == len(beats) - 1) << len(beat) * sample)
    return words


@dataclass(frozen=True)
class Run:
    """What came out of an Accelerator.

    logits : int64 [N, H, W, C]
    best : int64 [N, H, W], with each pixel's last word
    cycles : of each output word
    counters : (short frames, long frames)
    """

    logits: Ints
    best: Ints
    cycles: list[int]
    counters: tuple[int, ...]


def run_accelerator(machine: Accelerator, frames: Sequence[Ints], good: int | None = None, **pauses) -> Run:
    """Frames [..., channels] of any length through a machine; `good` of them, or all, will come out."""
    t, lanes = machine.net.output, machine.plan.output_lanes
    frame_words = t.pixels * t.channels // lanes
    n = len(frames) if good is None else good
    words = beats(machine, [frame.reshape(-1, frame.shape[-1]) for frame in frames])
    once = sum(stage.cycles + stage.latency for _, stage in machine.pipeline.stages)
    patience = int((200 + 2 * once + 2 * machine.plan.source(machine.net.input).frame_words) / _working(pauses))
    counters = [machine.short_frames, machine.long_frames]
    done = drive(machine, {"i": words}, {"o": n * frame_words}, patience=patience, peek=counters, **pauses)
    out = done["o"]
    fields = [machine.o.payload.shape().from_bits(word) for word in out.words]
    lasts = [word.last for word in fields]
    assert lasts == ([0] * (frame_words - 1) + [1]) * n, "last is not with each frame's last word"
    logits = np.array([[word.values[lane] for lane in range(lanes)] for word in fields], np.int64)
    best = np.array([word.best for word in fields], np.int64).reshape(n, t.height, t.width, -1)[..., -1]
    return Run(logits.reshape(n, *t.shape), best, out.cycles, done.peeked)


def ready_to_valid(circuit: Component) -> list[str]:
    """Combinational paths from any stream's ready to any stream's offer, as "o.ready > o.valid"."""
    readies: dict[str, Value] = {}
    offers: dict[str, Value] = {}
    ports = []
    for path, member, value in circuit.signature.flatten(circuit):
        name = ".".join(map(str, path))
        given = member.flow == Out
        value = Value.cast(value)
        ports.append((name, value, PortDirection.Output if given else PortDirection.Input))
        if given and path[-1] != "ready":
            offers[name] = value
        elif not given and path[-1] == "ready":
            readies[name] = value
    netlist = build_netlist(Fragment.get(circuit, None), ports=ports)
    sources = {net: name for name, value in readies.items() for net in netlist.signals[value]}

    @cache
    def reached(net) -> frozenset[str]:
        """The ready signals that a net depends on; the netlist has no cycles."""
        if net in sources:
            return frozenset({sources[net]})
        if net.is_const:
            return frozenset()
        edges = netlist.cells[net.cell].comb_edges_to(net.bit)
        return frozenset().union(*(reached(netlist.resolve_net(source)) for source, _ in edges))

    return sorted(
        f"{ready} > {offer}"
        for offer, value in offers.items()
        for ready in frozenset().union(*map(reached, netlist.signals[value]))
    )


def _working(pauses: Mapping[str, object]) -> float:
    """The share of cycles in which both sides move."""
    return (1 - pauses.get("idle", 0)) * (1 - pauses.get("stall", 0))
