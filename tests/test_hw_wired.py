# amaranth: UnusedElaboratable=no
"""Wired weights against sums of signed codes."""

from itertools import product

import numpy as np
import pytest
from amaranth import Value
from amaranth.back import verilog
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st
from machines import examples

from bitfold.hw.array.dot import numbers
from bitfold.hw.array.wired import WiredArray, wired_adder_bits
from bitfold.hw.device.target import FAMILIES

SHAPES = {"3x3, 16 to 16": (144, 16, 15), "dense": (64, 64, 255), "first layer": (27, 16, 255), "narrow": (36, 8, 3)}


def run_array(array, windows, idle, seed):
    """Results of one window after the other, and the cycles that each took."""
    rng = np.random.default_rng(seed)
    bits = array.top.bit_length()
    results, started, lags = [], [], []

    async def bench(ctx):
        cycle, waiting, end = 0, list(windows), None
        while end is None or cycle < end:
            if ctx.get(array.done):
                lags.append(cycle - started[len(results)])
                results.append([ctx.get(value) for value in numbers(array.results, len(array.initial))])
            taken = bool(waiting) and rng.random() >= idle
            ctx.set(array.valid, taken)
            # Codes beside no `valid` must not matter.
            ctx.set(Value.cast(array.codes), int(rng.integers(2)) * -1 % (1 << len(array.codes)))
            if taken:
                started.append(cycle)
                ctx.set(array.codes, sum(int(code) << k * bits for k, code in enumerate(waiting.pop(0))))
            elif not waiting and end is None:
                end = cycle + array.latency + 2
            await ctx.tick()
            cycle += 1

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results, lags


def width_of(inputs, top, initial):
    """Bits that the results need."""
    return int(inputs * top + np.abs(initial).max()).bit_length() + 1


@pytest.mark.parametrize("family", ["generic", "xc7"])
@given(
    st.integers(1, 20),
    st.integers(1, 6),
    st.integers(1, 255),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.sampled_from([0.0, 0.5]),
    st.integers(0, 999),
)
@examples(40)
def test_array_sums_signed_codes_and_has_its_latency(family, inputs, outputs, top, ones, idle, seed):
    rng = np.random.default_rng(seed)
    weights = rng.random((outputs, inputs)) < ones
    if outputs > 2:
        weights[1], weights[2] = weights[0], ~weights[0]
    initial = rng.integers(-50, 50, outputs)
    windows = rng.integers(0, top, (20, inputs), endpoint=True)
    windows[0], windows[1] = 0, top
    windows[2:4] = np.where(weights[-1], top, 0), np.where(weights[-1], 0, top)
    array = WiredArray(weights, top, initial, width_of(inputs, top, initial), FAMILIES[family])
    results, lags = run_array(array, windows, idle, seed)
    np.testing.assert_array_equal(results, windows @ np.where(weights, 1, -1).T + initial)
    assert set(lags) == {array.latency}


@pytest.mark.parametrize("family", ["generic", "xc7"])
@pytest.mark.parametrize("top", [1, 2, 3])
def test_every_array_of_two_inputs_and_two_outputs(family, top):
    """A difference may be no longer than what is subtracted: xc7's whole - 2 * part of codes of one bit."""
    windows = list(product(range(top + 1), repeat=2))
    for signs in product([False, True], repeat=4):
        weights = np.array(signs).reshape(2, 2)
        array = WiredArray(weights, top, np.zeros(2, np.int64), width_of(2, top, np.zeros(1)), FAMILIES[family])
        results, _ = run_array(array, windows, 0.0, 0)
        np.testing.assert_array_equal(results, windows @ np.where(weights, 1, -1).T)


def array_of(shape, family="generic"):
    inputs, outputs, top = SHAPES[shape]
    rng = np.random.default_rng(0)
    initial = rng.integers(-50, 50, outputs)
    weights = rng.random((outputs, inputs)) < 0.5
    return WiredArray(weights, top, initial, width_of(inputs, top, initial), FAMILIES[family])


def test_equal_weights_give_equal_verilog():
    first, second = (verilog.convert(array_of("first layer", "xc7"), name="top") for _ in range(2))
    assert first == second


@pytest.mark.parametrize("shape", SHAPES)
def test_adder_bits_are_estimated_within_a_tenth(shape):
    array = array_of(shape)
    estimate = wired_adder_bits(*SHAPES[shape], array.width)
    assert abs(estimate / array.adder_bits - 1) < 0.1


def test_one_input_takes_the_register_of_the_results_only():
    array = WiredArray(np.array([[True], [False]]), 1, np.array([0, 3]), 4)
    assert array.latency == 1
    assert (array.adder_bits, array.register_bits) == (8, 9)
