"""Exactness at the borders of float32, float64 and int32."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitfold.model import matmul
from bitfold.model.layers import BinaryConv


def product(values, signs):
    """The row of values times signs [len(values), N], as a convolution computes it."""
    conv = BinaryConv((np.asarray(signs) > 0).T[:, None, None])
    return conv(np.array(values, np.int64).reshape(1, 1, 1, -1)).ravel().tolist()


def ones(x):
    """Sum of the row x."""
    return product(x, np.ones((len(x), 1)))[0]


@pytest.mark.parametrize("border", [2**24, 2**31, 2**53, 2**60])
@pytest.mark.parametrize("beyond", [-1, 0, 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_sums_at_a_border_are_exact(border, beyond, sign):
    assert ones([sign * border // 2, sign * border // 2 + sign * beyond]) == sign * border + sign * beyond


@pytest.mark.parametrize("limit", [2**24, 2**53])
def test_the_test_above_would_see_a_float_used_too_far(limit, monkeypatch):
    monkeypatch.setattr(matmul, "sums_below", lambda at, x, terms=1: at in (limit, 2**53))
    assert ones([limit // 2, limit // 2 + 1]) != limit + 1


@given(
    st.lists(st.integers(-(2**58), 2**58), min_size=1, max_size=16),
    st.sampled_from([0, 1, 23, 24, 25, 29, 30, 31]),
    st.integers(0, 2**16),
)
def test_sums_of_wide_values_are_exact(values, low, seed):
    values = [value >> low << low for value in values]  # all bits in the upper part, or in both
    signs = np.random.default_rng(seed).choice([-1, 1], (len(values), 3))
    assert product(values, signs) == (np.array(values, object) @ signs.astype(object)).tolist()


def test_a_convolution_beyond_float32_is_exact(monkeypatch):
    conv = BinaryConv(np.ones((1, 3, 3, 64), np.bool_))
    x = np.full((1, 3, 3, 64), 2**15 - 1, np.int16)
    assert conv(x).item() == 576 * (2**15 - 1) > 2**24
    x[0, 0, 0, 0] -= 1
    assert conv(x).item() == 576 * (2**15 - 1) - 1
    monkeypatch.setattr(matmul, "sums_below", lambda *_: True)
    assert conv(x).item() != 576 * (2**15 - 1) - 1


@given(
    st.lists(st.integers(-(2**62), 2**62 - 1), min_size=1, max_size=4),
    st.integers(1, 1000),
    st.integers(0, 62),
)
def test_sums_below_is_the_bound_of_any_sum(values, terms, exponent):
    worst = terms * max(map(abs, values))
    assert matmul.sums_below(2**exponent, np.array(values), terms) == (worst < 2**exponent)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_sums_below_at_exactly_the_limit(dtype):
    """-2^(bits - 1) is the one value that the dtype's own bound and the values must both count."""
    least = int(np.iinfo(dtype).min)
    for terms in (1, 3):
        for x in (np.array([least], dtype), np.array([0, least + 1], dtype), np.array([5], dtype)):
            worst = terms * max(abs(int(value)) for value in x)
            for limit in (worst - 1, worst, worst + 1, -least * terms, -least * terms + 1):
                assert matmul.sums_below(limit, x, terms) == (worst < limit), (x, terms, limit)


def test_sums_below_trusts_the_dtype_before_it_looks():
    unread = np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), (2**50,), (0,))
    assert matmul.sums_below(2**24, unread, 2**17 - 1)
    assert matmul.sums_below(1, np.empty(0, np.int64))
