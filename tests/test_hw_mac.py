# amaranth: UnusedElaboratable=no
"""The multiply-accumulate array against sums of signed products."""

import numpy as np
import pytest
from amaranth import Value
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st
from machines import examples

from bitfold.hw.mac import MacArray, correction

LENGTHS = [1, 3, 1, 1, 2, 5]
"""Words of the dot products of a run."""


def run_array(array, codes, weights, initial, idle, seed):
    """Results of one dot product after the other; the cycles that `starting` and `done` took to come."""
    rng = np.random.default_rng(seed)
    bits = array.top.bit_length()
    schedule = []
    for length in LENGTHS:
        for k in range(length):
            while rng.random() < idle:
                schedule.append(None)
            schedule.append((k == 0, k == length - 1))
    results, lags, taken = [], [], []

    async def bench(ctx):
        word = 0
        for cycle, slot in enumerate(schedule + [None] * (array.latency + 1)):
            if ctx.get(array.done):
                results.append([ctx.get(array.results[p]) for p in range(array.pe)])
                lags.append(cycle - ends[len(results) - 1])
            ctx.set(Value.cast(array.initial), 0)
            if ctx.get(array.starting):
                for p in range(array.pe):
                    ctx.set(array.initial[p], int(initial[len(taken), p]))
                taken.append(cycle)
            ctx.set(array.valid, slot is not None)
            ctx.set(array.first, slot[0] if slot else 1)
            ctx.set(array.last, slot[1] if slot else 1)
            if slot:
                ctx.set(array.codes, sum(int(code) << k * bits for k, code in enumerate(codes[word])))
                ctx.set(array.weights, sum(int(bit) << k for k, bit in enumerate(weights[word].ravel())))
                word += 1
            await ctx.tick()

    ends = [cycle for cycle, slot in enumerate(schedule) if slot and slot[1]]
    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results, lags


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 20), st.sampled_from([0.0, 0.5]), st.integers(0, 999))
@examples(30)
def test_array_sums_signed_codes_and_has_its_latency(simd, pe, top, idle, seed):
    rng = np.random.default_rng(seed)
    words = sum(LENGTHS)
    codes = rng.integers(0, top, (words, simd), endpoint=True)
    codes[::3] = top
    weights = rng.random((words, pe, simd)) < 0.5
    weights[-5:] = False
    initial = rng.integers(-50, 50, (len(LENGTHS), pe))
    starts = np.cumsum([0, *LENGTHS[:-1]])
    products = (np.where(weights, 1, -1) * codes[:, None]).sum(axis=-1)
    expected = initial + np.add.reduceat(products, starts)
    corrected = initial + np.add.reduceat(correction(weights), starts)
    width = int(max(abs(expected).max(), abs(products).max(), 64)).bit_length() + 1
    array = MacArray(simd, pe, top, width)
    results, lags = run_array(array, codes, weights, corrected, idle, seed)
    np.testing.assert_array_equal(results, expected)
    assert set(lags) == {array.latency}


def test_correction_counts_the_pairs_whose_first_weight_is_minus_one():
    weights = np.array([[0, 0, 1, 0, 0], [1, 1, 0, 1, 1]], np.bool_)
    np.testing.assert_array_equal(correction(weights), [2, 1])


@pytest.mark.parametrize(("simd", "latency"), [(1, 3), (2, 3), (3, 4), (4, 4), (8, 5), (16, 6), (17, 7)])
def test_latency_grows_by_a_register_a_level(simd, latency):
    assert MacArray(simd, 1, 3, 8).latency == latency
