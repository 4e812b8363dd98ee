# amaranth: UnusedElaboratable=no
"""The saturating add, and the skip queue: deep enough to run at full rate, one word less than the least hangs."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import (
    UP5K,
    HangError,
    drive,
    examples,
    frame_distances,
    pack,
    random_frames,
    run_accelerator,
    tight,
    unpack,
)
from some import few
from strategies import images, pauses, random_weights

import bitfold.hw.build
from bitfold.hw.accelerator import Accelerator
from bitfold.hw.build import least_skip_depth
from bitfold.hw.plan import Folding, Plan, divisors
from bitfold.hw.planner import balance, fit
from bitfold.hw.stages.residual import SaturatingAdd
from bitfold.hw.stream.flow import Flow
from bitfold.model.layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    PadChannels,
    Requantise,
    Residual,
    Scale,
    SumPool,
    shifted_relu,
)
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor


@given(st.data(), st.integers(0, 99), pauses, pauses)
@examples(25)
def test_add_is_the_layers(data, seed, idle, stall):
    def interval():
        lo = data.draw(st.integers(-300, 300))
        return lo, lo + data.draw(st.integers(0, 300))

    channels = data.draw(st.sampled_from([1, 2, 6]))
    a, b = (Tensor(2, 3, channels, *interval(), 4) for _ in range(2))
    lanes = data.draw(st.sampled_from(divisors(channels)))
    layer = Residual(Chain(), Chain(), *interval())
    add = SaturatingAdd(Flow(a, lanes), Flow(b, lanes), layer)
    body, skip = random_frames(add.body_flow, 3, seed), random_frames(add.skip_flow, 3, seed + 1)
    feeds = {"body": pack(add.body_flow, body), "skip": pack(add.skip_flow, skip)}
    out = drive(add, feeds, {"o": 3 * add.sink.frame_words}, idle=idle, stall=stall, seed=seed)["o"]
    np.testing.assert_array_equal(unpack(add.sink, out.words), layer.add(body, skip))


def test_add_saturates_at_both_ends_and_keeps_a_word_a_cycle():
    t = Tensor(1, 1, 2, -8, 7)
    values = np.array(list(product(range(-8, 8), repeat=2)))
    add = SaturatingAdd(Flow(t, 1), Flow(t, 1), Residual(Chain(), Chain(), -8, 7))
    feeds = {"body": [a + 8 for a, _ in values.tolist()], "skip": [b + 8 for _, b in values.tolist()]}
    out = drive(add, feeds, {"o": 256})["o"]
    np.testing.assert_array_equal(np.array(out.words) - 8, values.sum(axis=1).clip(-8, 7))
    assert set(np.diff(out.cycles)) == {1}


def conv(t, kernel, outs, stride=1, seed=1):
    """A convolution whose map is as large as t's, or half as large."""
    before = (kernel - 1) // 2
    after = kernel - 1 - before if stride == 1 else max(0, kernel - 2 - before)
    pad = (before, after, before, after)
    return BinaryConv(random_weights((outs, kernel, kernel, t.channels), seed), stride, pad, 3)


def residual(t, kernels, more=None, inner=()):
    """Activation and convolution for each kernel, one more residual inside, then back to t's fraction bits.

    With `more` channels to append, or 0, the block halves the map.
    """
    layers = []
    here, outs = t, t.channels + (more or 0)
    for index, kernel in enumerate(kernels):
        relu = shifted_relu(4, here.frac, 2)
        stride = 2 if more is not None and index == 0 else 1
        layers += [relu, conv(relu.infer(here), kernel, outs, stride, index + 1)]
        here = Chain(tuple(layers)).infer(t)
    layers.append(Requantise(here.frac - t.frac, -(2**15), 2**15 - 1))
    if inner:
        layers.append(residual(layers[-1].infer(here), inner))
    skip = ()
    if more is not None:
        skip = (SumPool(2, 2, scale=2), Requantise(2, -(2**15), 2**15 - 1))
        skip += (PadChannels(more),) if more else ()
    return Residual(Chain(tuple(layers)), Chain(skip))


STREAM = Tensor(6, 4, 2, -(2**15), 2**15 - 1, 4)
STEM = (BinaryConv(random_weights((2, 1, 1, 2), 5)), Requantise(0, -(2**15), 2**15 - 1))
"""Goes before the fork, so that the words there have the plan's lanes."""
IDENTITY = {
    "1x1": residual(STREAM, [1]),
    "3x3": residual(STREAM, [3]),
    "3x3 3x3": residual(STREAM, [3, 3]),
    "5x5 1x1": residual(STREAM, [5, 1]),
    "3x3 with 1x1 inside": residual(STREAM, [3], inner=[1]),
    "3x3 with 3x3 inside": residual(STREAM, [3], inner=[3]),
}
DOWN = {
    "3x3 halving": residual(STREAM, [3], more=0),
    "3x3 3x3 halving and padding": residual(STREAM, [3, 3], more=2),
    "1x1 halving": residual(STREAM, [1], more=0),
}


SLOW_SKIP = {f"{name}, exchanged": Residual(layer.skip, layer.body) for name, layer in (IDENTITY | DOWN).items()} | {
    "pooled skip": Residual(Chain(), Chain((SumPool(3, 1, (1, 1, 1, 1)),))),
    "3x3 and 3x3 3x3": Residual(residual(STREAM, [3]).body, residual(STREAM, [3, 3]).body),
}
"""Where the body's words have to wait for the skip's."""


@pytest.mark.parametrize("name", few(SLOW_SKIP, 3))
def test_a_skip_slower_than_its_body_neither_hangs_nor_slows(name):
    net = Net(STREAM, Chain((*STEM, SLOW_SKIP[name])))
    for cycles in (700, 10**6):
        plan = balance(net, cycles)
        batch = images(net, 12)
        machine = Accelerator(net, plan)
        run = run_accelerator(machine, batch)
        np.testing.assert_array_equal(run.logits, net(batch))
        ends = np.array(run.cycles).reshape(len(batch), -1)[:, -1]
        assert set(np.diff(ends[4:])) == {machine.cycles}


def run_with(depth, layer, monkeypatch, lanes=1, frames=3):
    """A residual alone, with skip queues as deep as `depth` says; the network's own logits and the machine's."""
    net = Net(STREAM, Chain((*STEM, layer)))
    plan = Plan({path: Folding(lanes, lanes) for path in balance(net, 10**6).foldings})
    monkeypatch.setattr(bitfold.hw.build, "skip_depth", depth)
    batch = images(net, frames)
    return net(batch), run_accelerator(Accelerator(net, plan), batch).logits


@pytest.mark.parametrize("block", [*IDENTITY, *DOWN])
def test_least_depth_does_not_hang(block, monkeypatch):
    expected, got = run_with(least_skip_depth, (IDENTITY | DOWN)[block], monkeypatch)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("block", IDENTITY)
def test_least_depth_does_not_hang_with_two_lanes(block, monkeypatch):
    expected, got = run_with(least_skip_depth, IDENTITY[block], monkeypatch, lanes=2)
    np.testing.assert_array_equal(got, expected)


CUTS = [(block, lanes, cut) for block in IDENTITY for lanes in (1, 2) for cut in range(1 + ("inside" in block))]
"""The residual to cut: an inner one comes first. A queue of no words cannot be cut."""
CUTS = [cut for cut in CUTS if cut not in (("1x1", 2, 0), ("3x3 with 1x1 inside", 2, 0))]


@pytest.mark.parametrize(("block", "lanes", "cut"), CUTS)
def test_one_word_less_hangs(block, lanes, cut, monkeypatch):
    calls = []

    def depth(body, skip):
        calls.append(least_skip_depth(body, skip))
        return calls[-1] - (len(calls) == cut + 1)

    with pytest.raises(HangError, match=r"nothing moved in the \d+ cycles(.|\n)*i: valid 1 ready 0"):
        run_with(depth, IDENTITY[block], monkeypatch, lanes)
    assert len(calls) == 1 + ("inside" in block)


CLIP = Requantise(0, -8, 7)
SHORT = {
    "neither": Residual(Chain(), Chain()),
    "body": Residual(Chain((CLIP,)), Chain()),
    "skip": Residual(Chain(), Chain((CLIP,))),
    "both": Residual(Chain((CLIP,)), Chain((CLIP,))),
}


@pytest.mark.parametrize("branches", SHORT)
@pytest.mark.parametrize("lanes", [1, 4, 16])
@pytest.mark.parametrize("single", [False, True])
def test_branches_that_hold_few_words_neither_hang_nor_slow(branches, lanes, single, monkeypatch):
    """Where a queue is a block of memory, its words come later than such a branch's."""
    if single:
        tight(monkeypatch, EBR=0, SPRAM=99)
    stem = BinaryConv(random_weights((16, 1, 1, 1), 1))
    net = Net(Tensor(6, 6, 1, -8, 7), Chain((stem, SHORT[branches])))
    machine = Accelerator(net, Plan({"0": Folding(lanes)}, lanes, target=UP5K if single else "generic"))
    batch = images(net, 6)
    run = run_accelerator(machine, batch)
    np.testing.assert_array_equal(run.logits, net(batch))
    assert set(frame_distances(run.cycles, len(run.cycles) // 6)[1:]) == {machine.cycles}


def test_no_pairs_wait_where_the_other_branch_holds_up_the_fork(monkeypatch):
    """The second word of a pair would never come: the first waits for it, and the fork for the first."""
    tight(monkeypatch, EBR=0, SPRAM=99)
    stem = BinaryConv(random_weights((256, 1, 1, 1), 1))
    tail = (GlobalSum(), CLIP, BinaryConv(random_weights((2, 1, 1, 256), 2)))
    net = Net(Tensor(3, 3, 1, -8, 7), Chain((stem, SHORT["neither"], CLIP, *tail)))
    machine = Accelerator(net, Plan({"0": Folding(1), "5": Folding(2, 4)}, target=UP5K))
    assert machine.pipeline.single
    assert machine.parts["layer_1_queue"].blocks["EBR"] > 0
    batch = images(net, 2)
    np.testing.assert_array_equal(run_accelerator(machine, batch).logits, net(batch))


def down_net(channels, blocks):
    """A stem, a block at full size, and blocks that halve the map and double the channels."""
    t = Tensor(8, 8, 1, -8, 7, 0)
    layers = [conv(t, 3, channels), Requantise(-1, -(2**15), 2**15 - 1)]
    here = Chain(tuple(layers)).infer(t)
    for kernels, more in blocks:
        layers.append(residual(here, kernels, more))
        here = layers[-1].infer(here)
    return Net(t, Chain(tuple(layers)))


NETS = {
    "identity": Net(STREAM, Chain((*STEM, IDENTITY["3x3 3x3"], IDENTITY["5x5 1x1"]))),
    "nested": Net(STREAM, Chain((*STEM, IDENTITY["3x3 with 3x3 inside"]))),
    "halving": down_net(2, [([3, 3], None), ([3, 3], 2)]),
    "halving twice": down_net(1, [([3], 1), ([3, 3], 2), ([3], None)]),
    "scaled": Net(STREAM, Chain((*STEM, Residual(Chain((Scale(np.array([-5, 90]), 4), Requantise(4, -999, 999))))))),
    "1x1 halving": down_net(4, [([1], 0), ([3, 3], None)]),
}


@pytest.mark.parametrize(("name", "lanes"), few(product(NETS, (16, 1, 10**6)), 4))
def test_steady_state_takes_the_slowest_stages_cycles(name, lanes):
    """With the smallest plan, with the fastest balanced one of 16 lanes, and with the fastest of all."""
    net, frames = NETS[name], 7 if lanes == 1 else 24
    machine = Accelerator(net, fit(net, lanes))
    batch = images(net, frames)
    run = run_accelerator(machine, batch)
    np.testing.assert_array_equal(run.logits, net(batch))
    distances = frame_distances(run.cycles, len(run.cycles) // frames)
    # Behind the last frame none holds a sliding window up.
    assert set(distances[3:-1]) == {machine.cycles}
