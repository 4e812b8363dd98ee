# amaranth: UnusedElaboratable=no
"""Sliding windows: several taps and several pixels a cycle, in convolutions, pools and whole networks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from machines import (
    coming_after,
    conv_stage,
    examples,
    frame_distances,
    pack,
    random_frames,
    run_accelerator,
    run_stage,
    through,
    unpack,
)
from strategies import images, pauses, random_weights

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.plan import Folding, Plan, divisors
from bitfold.hw.stages.global_sum import PixelSumStage
from bitfold.hw.stages.max_pool import SlidingMaxPoolStage
from bitfold.hw.stages.pool import SlidingSumPoolStage
from bitfold.hw.stages.windowed import WindowedStage
from bitfold.hw.stream.flow import Flow
from bitfold.hw.window.slide import Sweep
from bitfold.hw.window.window import Geometry
from bitfold.model.layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    Layer,
    MaxPool,
    Requantise,
    Residual,
    SumPool,
    shifted_relu,
)
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor


@st.composite
def sweeps(draw: DrawFn, square: bool = False) -> Sweep:
    """Kernels of 1 to 5, strides of 1 to 4, any padding, 1 to 6 pixels at once."""
    at_once = draw(st.sampled_from([1, 1, 2, 3, 4, 6]))
    width = at_once * draw(st.integers(1, 12 // at_once))
    height = draw(st.integers(1, 6))
    kh = draw(st.integers(1, 5))
    kw = kh if square else draw(st.integers(1, 5))
    padding = tuple(draw(st.integers(0, k - 1)) for k in (kh, kh, kw, kw))
    stride = draw(st.sampled_from([s for s in (1, 2, 3, 4) if at_once == 1 or at_once % s == 0]))
    g = Geometry(height, width, (kh, kw), stride, padding)
    sweep = Sweep(g, at_once)
    if g.out_height < 1 or g.out_width < 1 or sweep.problem():
        return draw(st.just(Sweep(Geometry(4, 4, (3, 3), 1, (1, 1, 1, 1)), draw(st.sampled_from([1, 2, 4])))))
    return sweep


@given(sweeps())
@examples(200)
def test_sweep_by_brute_force(sweep):
    """Steps, needs, moves, lag and reach, from where the taps of every window lie."""
    g, at_once = sweep.geometry, sweep.pixels
    top, left = g.padding[0], g.padding[2]
    needs, steps = [], []
    for row in range(g.out_height):
        for first in range(0, g.out_width, sweep.windows):
            y = row * g.stride - top + g.kernel[0] - 1
            x = (first + sweep.windows - 1) * g.stride - left + g.kernel[1] - 1
            steps.append((y * g.width + x) // at_once)
            needs += [(steps[-1] + 1) * at_once] * sweep.windows
            youngest = (steps[-1] + 1) * at_once - 1
            assert youngest - (y * g.width + x) == sweep.younger
    np.testing.assert_array_equal(sweep.steps, steps)
    np.testing.assert_array_equal(sweep.needs, needs)
    right, down, on = sweep.moves
    expected = ([right] * (sweep.out_columns - 1) + [down]) * g.out_height
    np.testing.assert_array_equal(np.diff([*steps, steps[0] + sweep.frame_steps]), [*expected[:-1], on])
    assert sweep.lag == max(0, steps[-1] + 1 - sweep.frame_steps)
    assert sweep.costs(1).sum() == sweep.frame_steps


@given(sweeps(), st.integers(1, 9))
@examples(100)
def test_uneven_is_what_makes_flows_even(sweep, cycles):
    """An even flow in never falls short of a queue of that many words more, and never overruns it; so out."""
    for way, (times, period) in enumerate(
        [
            (step_times(sweep, cycles), sweep.costs(cycles).sum()),
            (sweep.steps - sweep.steps[0], sweep.frame_steps),
        ]
    ):
        even = np.arange(len(times)) * period / len(times)
        early = (even - times) * len(times) / period
        spread = early.max() - early.min()
        assert sweep.uneven(cycles)[way] >= spread - 1e-9
        assert way == 1 or sweep.uneven(cycles)[way] < spread + 1 - 1e-9


def step_times(sweep, cycles):
    """When each step of a frame is taken, by running through them."""
    used = set(((sweep.steps - sweep.steps[0]) % sweep.frame_steps).tolist())
    times, free, now = [], 0, 0
    for step in range(sweep.frame_steps):
        now = max(now, free if step in used else 0)
        times.append(now)
        if step in used:
            free = now + cycles
        now += 1
    assert max(now, free) == sweep.costs(cycles).sum()
    return np.array(times)


@st.composite
def conv_stages(draw: DrawFn) -> tuple[WindowedStage, Layer]:
    """A convolution with a sliding window."""
    sweep = draw(sweeps())
    g = sweep.geometry
    channels, outs = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 2, 4]))
    lo = draw(st.sampled_from([-4, 0, 3, -9]))
    t = Tensor(g.height, g.width, channels, lo, lo + draw(st.sampled_from([0, 1, 7])))
    layer = BinaryConv(random_weights((outs, *g.kernel, channels), draw(st.integers(0, 99))), g.stride, g.padding)
    area = g.kernel[0] * g.kernel[1]
    if sweep.pixels > 1:
        folding = Folding(outs, channels * area, sweep.pixels, draw(st.booleans()))
    else:
        folding = Folding(draw(st.sampled_from(divisors(outs))), channels * draw(st.sampled_from(divisors(area))))
    return conv_stage(t, layer, None, folding), layer


@st.composite
def pool_stages(draw: DrawFn) -> tuple[WindowedStage, Layer]:
    """A pool with a sliding window."""
    sweep = draw(sweeps(square=True))
    g, lo = sweep.geometry, draw(st.sampled_from([-4, 0, 3, -9]))
    t = Tensor(g.height, g.width, draw(st.sampled_from([1, 2, 3])), lo, lo + draw(st.sampled_from([0, 1, 7])))
    kind, stage = draw(st.sampled_from([(SumPool, SlidingSumPoolStage), (MaxPool, SlidingMaxPoolStage)]))
    layer = kind(g.kernel[0], g.stride, g.padding)
    if kind is SumPool:
        layer = replace(layer, valid=draw(st.booleans()))
    return stage(Flow(t, sweep.pixels * t.channels), layer, FAMILIES["generic"]), layer


def check_exact(stage, layer, idle, stall, seed):
    frames = random_frames(stage.source, 3, seed)
    np.testing.assert_array_equal(through(stage, frames, idle=idle, stall=stall, seed=seed), layer(frames))


@given(conv_stages() | pool_stages(), pauses, pauses, st.integers(0, 99))
@examples(60)
def test_stage_is_the_layer(drawn, idle, stall, seed):
    check_exact(*drawn, idle, stall, seed)


@pytest.mark.slow
@given(conv_stages() | pool_stages(), pauses, pauses, st.integers(0, 99))
@examples(600)
def test_stage_is_the_layer_at_length(drawn, idle, stall, seed):
    check_exact(*drawn, idle, stall, seed)


def check_figures(stage, layer):
    """Frames back to back take the declared cycles; and pixel by pixel, what is declared to come comes.

    After a whole frame all of it comes, though nothing follows.
    """
    frames = random_frames(stage.source, 7)
    out = run_stage(stage, pack(stage.source, frames))
    np.testing.assert_array_equal(unpack(stage.sink, out.words), layer(frames))
    assert set(frame_distances(out.cycles, stage.sink.frame_words)[3:]) == {stage.cycles}
    pixels, outputs = stage.source.tensor.pixels, stage.sink.tensor.pixels
    for come in np.unique(np.r_[stage.needs, stage.needs - stage.source.pixels].clip(0, pixels)):
        gone = (np.minimum(stage.needs, pixels) <= come).sum()
        assert coming_after(stage, come) == gone * stage.sink.frame_words // outputs


@given(conv_stages() | pool_stages())
@examples(25)
def test_figures_are_as_declared(drawn):
    check_figures(*drawn)


@pytest.mark.slow
@given(conv_stages() | pool_stages())
@examples(300)
def test_figures_are_as_declared_at_length(drawn):
    check_figures(*drawn)


def test_once_the_next_frame_has_begun_the_last_windows_wait_for_it():
    """`needs` beyond the frame: with the next frame's pixels one by one, its share of windows comes with each."""
    t = Tensor(4, 4, 1, 0, 3)
    layer = BinaryConv(random_weights((1, 3, 3, 1), 1), 1, (1, 1, 1, 1))
    stage = conv_stage(t, layer, None, Folding(1, 9))
    words = pack(stage.source, random_frames(stage.source, 2))
    late = 200
    due = [*range(17), *(late + 50 * k for k in range(15))]
    out = run_stage(stage, words, at={"i": due})
    assert stage.needs[-5:].tolist() == [17, 18, 19, 20, 21]
    before = sum(cycle < late for cycle in out.cycles)
    assert before == 12
    arrivals = np.array(due)[stage.needs[12:] - 1] + stage.latency
    np.testing.assert_array_equal(out.cycles[12:16], arrivals)


@pytest.mark.parametrize(("pixels", "simd", "pe"), [(1, 9, 4), (1, 3, 4), (1, 9, 1), (4, 9, 4)])
def test_latency_counts_from_the_step_that_completes_the_window(pixels, simd, pe):
    """Of four pixels at once the windows reach a step further, which nothing but the end of the frame completes."""
    t = Tensor(3, 4, 1, 0, 3)
    layer = BinaryConv(random_weights((4, 3, 3, 1), 2), 1, (0, 0, 1, 1))
    stage = conv_stage(t, layer, None, Folding(pe, simd, pixels))
    words = pack(stage.source, random_frames(stage.source, 1))
    last = 150
    out = run_stage(stage, words, at={"i": [*range(len(words) - 1), last]})
    assert min(cycle for cycle in out.cycles if cycle > last) == last + (pixels == 4) + stage.latency


BOUNDS = [(1, 16, 64), (2, 16, 32), (4, 16, 16), (1, 4, 256)]


@pytest.mark.parametrize(("pixels", "pe", "cycles"), BOUNDS)
def test_4_to_16_channels_on_8x8_take_as_many_cycles_as_steps(pixels, pe, cycles):
    t = Tensor(8, 8, 4, -8, 7, 4)
    layer = BinaryConv(random_weights((16, 3, 3, 4), 1), 1, (1, 1, 1, 1), 3)
    relu = shifted_relu(4, 7, 4)
    stage = conv_stage(t, layer, relu, Folding(pe, 36, pixels))
    frames = random_frames(stage.source, 4)
    out = run_stage(stage, pack(stage.source, frames))
    np.testing.assert_array_equal(unpack(stage.sink, out.words), relu(layer(frames)))
    assert frame_distances(out.cycles, stage.sink.frame_words) == [cycles] * 3
    assert stage.cycles == cycles


@given(st.sampled_from([2, 3, 4]), st.data(), pauses, pauses, st.integers(0, 9))
@examples(10)
def test_pixel_sums_add_neighbours(count, data, idle, stall, seed):
    t = Tensor(2, 12, 2, -3, data.draw(st.sampled_from([-3, 4])))
    stage = PixelSumStage(Flow(t, 2 * 12), count)
    frames = random_frames(stage.source, 3, seed)
    summed = frames.reshape(3, 2, 12 // count, count, 2).sum(axis=3)
    np.testing.assert_array_equal(through(stage, frames, idle=idle, stall=stall, seed=seed), summed)


STREAM = (-(2**15), 2**15 - 1)


def residual_net(down: bool) -> Net:
    """A stem, a residual that halves the map or keeps it, a head."""
    stride, pad = (2, (0, 1, 0, 1)) if down else (1, (1, 1, 1, 1))
    t = Tensor(8, 8, 1, -8, 7, 0)
    body = Chain(
        (
            shifted_relu(3, 4, 2),
            BinaryConv(random_weights((2, 3, 3, 2), 2), stride, pad, 2),
            shifted_relu(3, 4, 2),
            BinaryConv(random_weights((2, 3, 3, 2), 3), 1, (1, 1, 1, 1), 2),
            Requantise(0, *STREAM),
        )
    )
    skip = Chain((SumPool(2, 2, scale=2), Requantise(2, *STREAM))) if down else Chain()
    stem = (BinaryConv(random_weights((2, 3, 3, 1), 1), 1, (1, 1, 1, 1)), Requantise(-4, *STREAM))
    head = (shifted_relu(3, 4, 2), GlobalSum(), BinaryConv(random_weights((3, 1, 1, 2), 4)))
    return Net(t, Chain((*stem, Residual(body, skip), *head)))


def residual_plan(down: bool, pixels: int) -> Plan:
    """`pixels` a cycle wherever the map is whole, and as many as fill half the row where it is halved."""
    inner = max(1, pixels // 2) if down else pixels
    foldings = {
        "0": Folding(2, 9, pixels),
        "2.body.1": Folding(2, 18, pixels),
        "2.body.3": Folding(2, 18, inner),
        "5": Folding(3, 2),
    }
    if down:
        foldings["2.skip.0"] = Folding(2, 4, pixels)
    return Plan(foldings, 3, pixels)


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("pixels", [1, 2, 4, 8])
def test_a_residual_network_takes_a_cycle_for_each_beat(down, pixels):
    net, plan = residual_net(down), residual_plan(down, pixels)
    machine = Accelerator(net, plan)
    assert machine.cycles == 64 // pixels
    batch = images(net, 24)
    run = run_accelerator(machine, batch)
    np.testing.assert_array_equal(run.logits, net(batch))
    assert set(frame_distances(run.cycles, 1)[8:]) == {64 // pixels}
    pausing = run_accelerator(Accelerator(net, plan), batch[:5], idle=0.4, stall=0.4, seed=1)
    np.testing.assert_array_equal(pausing.logits, net(batch[:5]))
