# amaranth: UnusedElaboratable=no
"""Runs of words through an array of dot products, in Amaranth's simulator, against sums of signed products."""

import numpy as np
from amaranth.sim import Simulator

from bitfold.hw.array.dot import numbers, ones

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


def check_sums(array, top, idle, seed):
    """Random words, with pauses: every result, and its latency."""
    rng = np.random.default_rng(seed)
    words, simd, pe = sum(LENGTHS), array.simd, array.pe
    codes = rng.integers(0, top, (words, simd), endpoint=True)
    codes[::3] = top
    weights = rng.random((words, pe, simd)) < 0.5
    weights[-5:] = False
    weights[-6:-3] = True
    initial = rng.integers(-50, 50, (len(LENGTHS), pe))
    starts = np.cumsum([0, *LENGTHS[:-1]])
    products = (np.where(weights, 1, -1) * codes[:, None]).sum(axis=-1)
    expected = initial + np.add.reduceat(products, starts)
    half = 1 << array.width - 1
    assert -half <= min(expected.min(), products.min()) <= max(expected.max(), products.max()) < half
    corrected = initial + np.add.reduceat(array.correction(ones(weights[..., None, :]), 1), starts)
    corrected = (corrected + half) % (2 * half) - half
    results, lags = run_array(array, codes, weights, corrected, idle, seed)
    np.testing.assert_array_equal(results, expected)
    assert set(lags) == {array.latency}


def width_for(simd, top):
    """Bits that hold any sum of the run."""
    return (max(LENGTHS) * simd * top + 50).bit_length() + 1
