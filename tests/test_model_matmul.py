"""Exactness at the borders of float32, float64 and int32."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitfold.model import matmul
from bitfold.model.layers import BinaryConv


def ones(x):
    """Sum of the row x, computed by exact_matmul."""
    return int(matmul.exact_matmul(np.array([x], np.int64), np.ones((len(x), 1), np.float32))[0, 0])


@pytest.mark.parametrize("border", [2**24, 2**31, 2**53])
@pytest.mark.parametrize("beyond", [-1, 0, 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_sums_at_a_border_are_exact(border, beyond, sign):
    assert ones([sign * border // 2, sign * border // 2 + sign * beyond]) == sign * border + sign * beyond


@pytest.mark.parametrize("limit", [2**24, 2**53])
def test_the_test_above_would_see_a_float_used_too_far(limit, monkeypatch):
    monkeypatch.setattr(matmul, "sums_below", lambda at, x, terms=1: at == limit)
    assert ones([limit // 2, limit // 2 + 1]) != limit + 1


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


def test_sums_below_trusts_the_dtype_before_it_looks():
    unread = np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), (2**50,), (0,))
    assert matmul.sums_below(2**24, unread, 2**17 - 1)
    assert matmul.sums_below(1, np.empty(0, np.int64))
