# amaranth: UnusedElaboratable=no
"""Pools over windows and whole maps, against their layers and their declared figures."""

from dataclasses import replace
from itertools import product as product_of

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from machines import (
    coming_after,
    examples,
    frame_distances,
    pack,
    random_frames,
    run_stage,
    through,
    unpack,
)
from strategies import max_pools, pauses, sum_pools, tensors

from bitfold.hw.device.target import FAMILIES
from bitfold.hw.plan import divisors
from bitfold.hw.stages.factor import ChosenFactor
from bitfold.hw.stages.global_sum import GlobalSumStage
from bitfold.hw.stages.max_pool import MaxPoolStage
from bitfold.hw.stages.pool import SumPoolStage
from bitfold.hw.stages.running_pool import RunningPoolStage
from bitfold.hw.stream.flow import Flow
from bitfold.hw.stream.stage import Stage
from bitfold.model.layers import GlobalSum, Layer, MaxPool, SumPool
from bitfold.model.tensor import Tensor


@st.composite
def pool_stages(draw: DrawFn, side: int = 6) -> tuple[Stage, Layer]:
    """A stage and its layer, with lanes that make it fast enough."""
    t = draw(tensors(side))
    family = draw(st.sampled_from(list(FAMILIES.values())))
    layer = draw(st.just(GlobalSum()) | sum_pools(t) | max_pools(t))
    kind = {GlobalSum: GlobalSumStage, SumPool: SumPoolStage, MaxPool: MaxPoolStage}[type(layer)]
    lanes = [lanes for lanes in divisors(t.channels) if kind(Flow(t, lanes), layer, family).cycles <= 400]
    return kind(Flow(t, draw(st.sampled_from(lanes or [t.channels]))), layer, family), layer


@given(pool_stages(), pauses, pauses, st.integers(0, 99))
@examples(45)
def test_stage_is_the_layer(drawn, idle, stall, seed):
    stage, layer = drawn
    frames = random_frames(stage.source, 3, seed)
    out = through(stage, frames, idle=idle, stall=stall, seed=seed)
    np.testing.assert_array_equal(out, layer(frames))


def check_figures(stage, layer):
    """Back to back, and pixel by pixel."""
    frames = random_frames(stage.source, 7)
    out = run_stage(stage, pack(stage.source, frames))
    np.testing.assert_array_equal(unpack(stage.sink, out.words), layer(frames))
    assert set(frame_distances(out.cycles, stage.sink.frame_words)[3:]) == {stage.cycles}
    for pixels in np.unique(np.r_[stage.needs, stage.needs - 1]):
        assert coming_after(stage, pixels) == (stage.needs <= pixels).sum() * stage.sink.words


@given(pool_stages(side=5))
@examples(25)
def test_figures_are_as_declared(drawn):
    check_figures(*drawn)


@pytest.mark.slow
@given(pool_stages())
@examples(100)
def test_figures_are_as_declared_at_length(drawn):
    check_figures(*drawn)


@st.composite
def running_pools(draw: DrawFn) -> tuple[RunningPoolStage, Layer]:
    """A pool whose windows lie side by side, and its layer."""
    size, rows, columns, words = (draw(st.integers(*bounds)) for bounds in ((2, 3), (1, 3), (1, 4), (4, 9)))
    lanes = draw(st.integers(1, 3))
    bits, lo = draw(st.integers(1, 9)), draw(st.sampled_from([0, -7, 5, -600]))
    t = Tensor(rows * size, columns * size, words * lanes, lo, lo + 2**bits - 1)
    layer = draw(st.sampled_from([SumPool(size, size), SumPool(size, size, valid=True), MaxPool(size, size)]))
    assert RunningPoolStage.takes(t, layer, lanes)
    return RunningPoolStage(Flow(t, lanes), layer, draw(st.sampled_from(list(FAMILIES.values())))), layer


@given(running_pools(), pauses, pauses, st.integers(0, 99))
@examples(45)
def test_a_running_pool_is_the_layer(drawn, idle, stall, seed):
    stage, layer = drawn
    frames = random_frames(stage.source, 3, seed)
    frames[1] = stage.source.tensor.hi
    np.testing.assert_array_equal(through(stage, frames, idle=idle, stall=stall, seed=seed), layer(frames))


@given(running_pools())
@examples(25)
def test_a_running_pools_figures_are_as_declared(drawn):
    check_figures(*drawn)
    stage, _ = drawn
    words = pack(stage.source, random_frames(stage.source, 1))
    out = run_stage(stage, words, at={"i": [*range(len(words) - 1), last := len(words) + 50]})
    assert out.cycles[-1] == last + stage.latency
    assert stage.cycles == stage.source.frame_words


def test_a_running_pool_takes_windows_side_by_side_of_pixels_of_some_words():
    t = Tensor(6, 6, 12, 0, 15)
    assert RunningPoolStage.takes(t, SumPool(2, 2), 3)
    assert RunningPoolStage.takes(t, MaxPool(3, 3), 1)
    others = [SumPool(3, 2), SumPool(2, 3), MaxPool(4, 4), SumPool(1, 1), SumPool(2, 2, (0, 1, 0, 1))]
    assert not any(RunningPoolStage.takes(t, layer, 1) for layer in others)
    assert not RunningPoolStage.takes(t, SumPool(2, 2), 6)


@pytest.mark.parametrize(("lo", "hi"), [(-4, 3), (0, 15), (5, 8), (-9, -2)])
def test_padding_is_real_0_also_outside_the_interval(lo, hi):
    stage = SumPoolStage(Flow(Tensor(3, 4, 2, lo, hi), 1), layer := SumPool(3, 1, (1, 1, 2, 0)), FAMILIES["generic"])
    frames = random_frames(stage.source, 2)
    np.testing.assert_array_equal(through(stage, frames), layer(frames))


VALID = [
    SumPool(3, 1, (1, 1, 1, 1), valid=True),
    SumPool(3, 2, (1, 1, 0, 2), valid=True),
    SumPool(2, 1, (0, 1, 1, 1), valid=True),
    SumPool(5, 2, (2, 2, 2, 2), valid=True),
]


@pytest.mark.parametrize("layer", VALID, ids=str)
@pytest.mark.parametrize(("lo", "hi"), [(-4, 3), (5, 8), (-3, -3)])
def test_a_mean_counts_valid_pixels_only(layer, lo, hi):
    stage = SumPoolStage(Flow(Tensor(5, 4, 2, lo, hi), 1), layer, FAMILIES["generic"])
    frames = random_frames(stage.source, 3)
    np.testing.assert_array_equal(through(stage, frames, idle=0.2, stall=0.2), layer(frames))
    assert stage.factor.levels == (2 if layer.kernel == 5 else 1)


def test_factors_are_chosen_among_shifts():
    assert ChosenFactor([4, 6, 9]).shifts == [(2, 2, 3), (None, 1, 0)]
    assert ChosenFactor([1, 2, 4]).shifts == [(0, 1, 2)]
    assert [ChosenFactor(factors).levels for factors in ([1], [1, 2], [4, 6, 9], [144, 225])] == [0, 1, 1, 2]


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6, unique=True), st.integers(1, 9))
@examples(25)
def test_a_chosen_factor_is_a_product(factors, bits):
    chosen = ChosenFactor(sorted(factors))
    m, number, key = Module(), Signal(bits), Signal(range(len(factors)))
    product = chosen.times(m, number, key, "product", 2**bits * max(factors) - 1)
    m.d.sync += Signal().eq(0)
    found = {}

    async def bench(ctx):
        for at, value in product_of(range(len(factors)), {0, 1, 2**bits - 1}):
            ctx.set(number, value)
            ctx.set(key, at)
            await ctx.tick().repeat(chosen.levels or 1)
            found[at, value] = ctx.get(product)

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == {(at, value): chosen.factors[at] * value for at, value in found}


@pytest.mark.parametrize(("lo", "hi"), [(-4, 3), (5, 8), (-9, -2), (-3, -3)])
def test_padding_never_wins_a_maximum(lo, hi):
    stage = MaxPoolStage(Flow(Tensor(3, 4, 2, lo, hi), 1), layer := MaxPool(3, 1, (1, 1, 2, 0)), FAMILIES["generic"])
    frames = random_frames(stage.source, 3)
    frames[2] = lo
    np.testing.assert_array_equal(through(stage, frames), layer(frames))


@pytest.mark.parametrize("kind", [(SumPool, SumPoolStage), (MaxPool, MaxPoolStage)], ids=["sum", "max"])
@pytest.mark.parametrize("lanes", [1, 2])
def test_pool_latency_counts_from_the_step_that_reads_the_last_tap(lanes, kind):
    layer, pool = kind
    stage = pool(Flow(Tensor(2, 2, 2, 0, 3), lanes), layer(2, 2), FAMILIES["generic"])
    words = pack(stage.source, random_frames(stage.source, 1))
    last = 100
    out = run_stage(stage, words, at={"i": [*range(len(words) - 1), last]})
    assert out.cycles[-1] == last + 1 + stage.latency


def test_global_sum_comes_with_the_last_pixel_and_takes_a_cycle_a_word():
    stage = GlobalSumStage(Flow(Tensor(3, 2, 4, -3, 3), 2), GlobalSum(), FAMILIES["generic"])
    out = run_stage(stage, pack(stage.source, random_frames(stage.source, 3)))
    assert out.cycles == [start + stage.latency for start in (10, 11, 22, 23, 34, 35)]
    assert (stage.cycles, stage.lead) == (12, 6)


@pytest.mark.parametrize("words", [2, 3, 4, 7])
def test_sums_in_a_block_are_asked_for_two_words_ahead(words):
    family = replace(FAMILIES["ecp5"], worth=1)
    stage = GlobalSumStage(Flow(Tensor(2, 3, words, -3, 7), 1), GlobalSum(), family)
    assert stage.ahead == (2 if words > 3 else 1)
    frames = random_frames(stage.source, 4)
    np.testing.assert_array_equal(through(stage, frames), GlobalSum()(frames))
    np.testing.assert_array_equal(through(stage, frames, idle=0.4, stall=0.4, seed=1), GlobalSum()(frames))
