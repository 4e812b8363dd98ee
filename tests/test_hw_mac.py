# amaranth: UnusedElaboratable=no
"""The multiply-accumulate array against sums of signed products."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st
from machines import examples

from bitfold.hw.array.mac import MacArray, numbers, ones

LENGTHS = [1, 3, 1, 1, 2, 5]
"""Words of the dot products of a run."""


def run_array(array, codes, weights, initial, idle, seed):
    """Results of one dot product after the other; the cycles from each one's last word to `done`."""
    rng = np.random.default_rng(seed)
    schedule = []
    for length in LENGTHS:
        for k in range(length):
            while rng.random() < idle:
                schedule.append(None)
            schedule.append((k == 0, k == length - 1))
    schedule += [None] * (array.latency + 1)
    results, lags, taken = [], [], []
    steering = [pack_bits(rows) for rows in array.steering(weights)]
    shifts = [array.pe * inputs.start for inputs in array.positions]
    # What each position is given, cycle by cycle: the weights of the word that came 1 + k cycles before.
    given = [[0] * (1 + k) for k in range(len(steering))]

    async def bench(ctx):
        word = 0
        for cycle, slot in enumerate(schedule):
            if ctx.get(array.done):
                results.append([ctx.get(value) for value in numbers(array.results, array.pe)])
                lags.append(cycle - ends[len(results) - 1])
            ctx.set(array.initial, 0)
            if ctx.get(array.starting):
                for value, number in zip(numbers(array.initial, array.pe), initial[len(taken)], strict=True):
                    ctx.set(value, int(number))
                taken.append(cycle)
            ctx.set(array.valid, slot is not None)
            ctx.set(array.first, slot[0] if slot else 1)
            ctx.set(array.last, slot[1] if slot else 1)
            for feed, rows in zip(given, steering, strict=True):
                feed.append(rows[word] if slot else 0)
            ctx.set(array.weights, sum(feed[cycle] << shift for feed, shift in zip(given, shifts, strict=True)))
            if slot:
                ctx.set(array.codes, sum(int(code) << k * array.bits for k, code in enumerate(codes[word])))
                word += 1
            await ctx.tick()

    ends = [cycle for cycle, slot in enumerate(schedule) if slot and slot[1]]
    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results, lags


def pack_bits(rows):
    return [sum(int(bit) << k for k, bit in enumerate(row)) for row in rows]


@given(
    st.integers(1, 9) | st.sampled_from([16, 21]),
    st.integers(1, 4),
    st.integers(1, 20),
    st.sampled_from([1, 2, 3, 8]),
    st.sampled_from([0.0, 0.5]),
    st.integers(0, 999),
)
@examples(40)
def test_array_sums_signed_codes_and_has_its_latency(simd, pe, top, chain, idle, seed):
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
    width = int(max(abs(expected).max(), abs(products).max(), 64)).bit_length() + 1
    array = MacArray(simd, pe, top, width, chain)
    half = 1 << width - 1
    corrected = initial + np.add.reduceat(array.correction(ones(weights[..., None, :]), 1), starts)
    corrected = (corrected + half) % (2 * half) - half
    results, lags = run_array(array, codes, weights, corrected, idle, seed)
    np.testing.assert_array_equal(results, expected)
    assert set(lags) == {array.latency}


def test_steering_inverts_where_the_first_weight_is_minus_one_and_takes_the_difference_where_two_differ():
    weights = np.array([[[0, 0, 1, 0, 0]], [[1, 1, 0, 1, 1]]], np.bool_)
    tree, chain = MacArray(5, 1, 3, 8, 1), MacArray(5, 1, 3, 8, 2)
    expected = np.array([[1, 0, 0, 1, 1], [0, 0, 1, 1, 0]], np.bool_)
    np.testing.assert_array_equal(np.concatenate(tree.steering(weights), axis=1), expected)
    for rows, inputs in zip(chain.steering(weights), chain.positions, strict=True):
        np.testing.assert_array_equal(rows, expected[:, inputs.start : inputs.stop])


@pytest.mark.parametrize(("chain", "added"), [(1, 0), (2, 1), (8, 2)])
def test_correction_takes_back_what_the_terms_are_too_large_by(chain, added):
    """Codes of 2 bits: 7 for an inverted sum, 4 for a difference, 3 for an inverted one and for an inverted code."""
    weights = np.array([[0, 0, 1, 1, 0], [1, 0, 0, 1, 1]], np.bool_)
    array = MacArray(5, 1, 3, 8, chain)
    each = np.array([-7 - 3 - added, -4 - 3 - added])
    np.testing.assert_array_equal(array.correction(ones(weights[:, None]), 1), each)
    assert array.correction(ones(weights), 2) == each.sum()


@pytest.mark.parametrize(
    ("simd", "chain", "latency"),
    [
        *[(1, 1, 3), (2, 1, 3), (3, 1, 4), (4, 1, 4), (8, 1, 5), (16, 1, 6), (17, 1, 7)],
        *[(1, 8, 3), (4, 2, 4), (16, 8, 10), (16, 4, 7), (18, 8, 8)],
    ],
)
def test_latency_grows_by_a_register_a_level_and_a_position(simd, chain, latency):
    assert MacArray(simd, 1, 3, 8, chain).latency == latency
