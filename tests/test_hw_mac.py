# amaranth: UnusedElaboratable=no
"""The multiply-accumulate array against sums of signed products."""

import numpy as np
import pytest
from arrays import check_sums, width_for
from hypothesis import given
from hypothesis import strategies as st
from machines import examples

from bitfold.hw.array.dot import ones
from bitfold.hw.array.mac import MacArray


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
    check_sums(MacArray(simd, pe, top, width_for(simd, top), chain), top, idle, seed)


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
