"""Shared sums: the graph's coefficients against the weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import examples

from bitfold.hw.array.sums import share


def rebuilt(sums):
    """int [outputs, inputs]: what the graph computes."""
    return np.stack([(-1) ** t.negative * (sums.coefficients[t.node] << t.shift) for t in sums.outputs])


@given(st.integers(1, 40), st.integers(1, 12), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(0, 999))
@examples(100)
def test_the_graph_has_the_weights_as_coefficients(inputs, outputs, share_of_ones, seed):
    weights = np.random.default_rng(seed).random((outputs, inputs)) < share_of_ones
    np.testing.assert_array_equal(rebuilt(share(weights, 15)), np.where(weights, 1, -1))


def test_equal_and_opposite_outputs_cost_no_adder():
    row = np.random.default_rng(0).random(20) < 0.5
    other = row ^ (np.arange(20) < 6)
    for weights in (np.stack([row]), np.stack([row, row, ~row])):
        assert len(share(weights, 15).adders) == 19
    two = share(np.stack([row, other]), 15)
    assert share(np.stack([row, ~other, ~row, other]), 15).adders == two.adders
    assert len(two.adders) == 20, "the six that differ are a part of all twenty, and one adder takes them away twice"


@pytest.mark.parametrize(("inputs", "outputs", "most"), [(144, 16, 475), (64, 64, 820), (27, 16, 107)])
def test_random_weights_take_no_more_adders_than_they_did(inputs, outputs, most):
    weights = (np.random.default_rng(0).random((inputs, outputs)) < 0.5).T
    assert len(share(weights, 15).adders) <= most


def test_equal_weights_give_equal_graphs():
    weights = np.random.default_rng(1).random((16, 72)) < 0.5
    assert share(weights, 15) == share(weights.copy(), 15)
