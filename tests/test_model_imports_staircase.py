"""Thresholds as a line's steps: the same codes for every integer, with the fewest bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import examples
from numpy.testing import assert_array_equal

from bitfold.model.error import BadInput
from bitfold.model.imports.graphs import staircase
from bitfold.model.imports.graphs.staircase import Staircase
from bitfold.model.layers import Chain, Requantise, Scale


def apply(layers, x, channels):
    """The layers' codes of integers x [n], for each channel."""
    return Chain(layers)(np.broadcast_to(x[:, None, None, None], (len(x), 1, 1, channels)))[:, 0, 0]


def stairs(base, thresholds, falls=None):
    thresholds = np.array(thresholds, np.int64)
    return Staircase(base, thresholds, np.zeros(len(thresholds), bool) if falls is None else np.array(falls))


@pytest.fixture(autouse=True)
def exact_factors(monkeypatch):
    """Of as many bits as a Scale may have, so that every step is exact."""
    monkeypatch.setattr(staircase, "FACTOR_BITS", 24)


@given(st.integers(0, 2**32), st.integers(1, 4), st.sampled_from([1, 3, 15, 255]), st.integers(1, 3000))
@examples(150)
def test_lines_give_the_codes_of_evenly_spaced_thresholds(seed, channels, n, reach):
    random = np.random.default_rng(seed)
    slope = np.exp(random.uniform(-1, 1, (channels, 1))) * (n + 1) / reach
    thresholds = np.ceil((np.arange(1, n + 1) - random.normal(0, n, (channels, 1))) / slope)
    given = stairs(int(random.integers(-9, 9)), thresholds, random.random(channels) < 0.5)
    lo, hi = sorted(int(each) for each in random.integers(-reach, reach + 1, 2))
    layers = given.layers(lo, hi)
    x = np.arange(lo, hi + 1)
    assert_array_equal(apply(layers, x, channels), given(np.broadcast_to(x[:, None], (len(x), channels))))


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=6), st.integers(-20, 0), st.integers(1, 20))
@examples(300)
def test_no_shorter_shift_would_do(thresholds, lo, hi):
    """By the bounds that each x sets for an offset; where no line has the steps, that is said."""
    given = stairs(0, [thresholds])
    x = np.arange(lo, hi + 1)
    want = given(x[:, None])[:, 0]
    least, most = want > want.min(), want < want.max()

    def possible(factor, shift):
        at_least = (want * 2**shift - factor * x)[least]
        at_most = ((want + 1) * 2**shift - 1 - factor * x)[most]
        return at_least.max(initial=-(10**9)) <= at_most.min(initial=10**9)

    shifts = [shift for shift in range(9) if any(possible(factor, shift) for factor in range(2 ** (shift + 3)))]
    try:
        layers = given.layers(lo, hi)
    except BadInput:
        assert shifts == []
        return
    assert_array_equal(apply(layers, x, 1)[:, 0], want)
    if layers:
        assert layers[-1].shift == shifts[0]


def test_what_all_channels_share_needs_no_factor():
    layers = stairs(0, [[5, 7, 9], [-4, -2, 0]]).layers(-100, 100)
    assert [type(layer) for layer in layers] == [Requantise]
    assert layers[0].shift == 1
    one = stairs(0, [[3], [-8]], [False, True]).layers(-9, 9)
    assert isinstance(one[0], Scale)
    assert_array_equal(one[0].factors, [1, -1])


NEVER = [10**6] * 13
"""Thresholds that no x reaches."""


def test_channels_that_need_factors_of_their_own_get_plain_ones():
    """The first one's steps allow 23 of 64 alone; the other's two, any from 13 to 21, of which 16 is one bit."""
    steep = np.ceil((np.arange(1, 16) - 0.5) / (23 / 64))
    [scale, requantise] = stairs(0, [steep, [94, 98, *NEVER]]).layers(-100, 100)
    assert (scale.factors.tolist(), requantise.shift) == ([23, 16], 6)


def test_channels_share_a_factor_where_one_serves_all():
    """Both have the slope 3/8; alone, the second one would do with 1/2."""
    steps = np.ceil((np.arange(1, 16) - 0.5) / (3 / 8))
    [scale, requantise] = stairs(0, [steps, [48, 50, *NEVER]]).layers(-50, 50)
    assert (scale.factors.tolist(), requantise.shift) == ([3, 3], 3)


def test_halves_add_up():
    random = np.random.default_rng(5)
    given = Staircase(-3, random.integers(-50, 50, (4, 7)), np.array([False, True, False, True]))
    x = np.broadcast_to(np.arange(-60, 60)[:, None], (120, 4))
    one, other = given.halves()
    assert_array_equal(one(x) + other(x), given(x))
    assert_array_equal(np.ptp(one(x), 0), 4)


def test_what_changes_nothing_is_left_out():
    assert stairs(-2, [[-1, 0, 1]] * 3).layers(-2, 1) == ()
    assert stairs(-4, [[-3, -2, -1, 0, 1, 2, 3]] * 3).layers(-2, 1) == ()
    [clip] = stairs(-2, [[-1, 0, 1]] * 3).layers(-5, 5)
    assert (clip.shift, clip.lo, clip.hi, clip.offset) == (0, -2, 1, None)


@pytest.mark.parametrize("thresholds", [[[50], [60]], [[-50, -50], [-50, 50]], [[], []]])
def test_constants(thresholds):
    given = stairs(3, np.reshape(thresholds, (2, -1)))
    x = np.arange(-9, 10)
    assert_array_equal(apply(given.layers(-9, 9), x, 2), given(np.stack([x, x], 1)))


@pytest.mark.parametrize("thresholds", [[1, 2, 10, 11], [0, 1000, 1001], [-6, 6, 16]])
def test_uneven_steps_have_no_line(thresholds):
    with pytest.raises(BadInput, match=r"^its levels lie too unevenly for a factor and a shift; space them evenly$"):
        stairs(0, [thresholds]).layers(-5000, 5000)
    [clip] = stairs(0, [thresholds]).layers(-5000, 0)  # the others are out of reach
    assert (clip.lo, clip.hi) in ((0, 0), (0, 1))


def test_scales_too_far_apart_have_no_line():
    thresholds = [[1, 2, 3], [-(10**7), 10**7, 3 * 10**7]]
    with pytest.raises(
        BadInput, match=r"^its channels have scales too far apart for factors of 24 bits; give them nearer ones$"
    ):
        stairs(0, thresholds).layers(-(10**8), 10**8)


def test_a_line_of_too_few_bits_misses_little(monkeypatch):
    random = np.random.default_rng(3)
    slope = 256 / 1e6 * np.exp(random.normal(0, 0.3, (8, 1)))
    given = stairs(-128, np.ceil((np.arange(1, 256) - random.normal(128, 20, (8, 1))) / slope))
    x = np.unique(random.integers(-(10**6), 10**6, 200_000))
    want = given(np.broadcast_to(x[:, None], (len(x), 8)))
    for bits, share in ((16, 1e-3), (8, 0.3)):
        monkeypatch.setattr(staircase, "FACTOR_BITS", bits)
        monkeypatch.setattr(staircase, "SLACK", 1.0)
        layers = given.layers(-(10**6), 10**6)
        assert layers[0].extremes[1] < 2**bits
        error = np.abs(apply(layers, x, 8) - want)
        assert 0 < error.max() <= 1
        assert error.mean() < share
    monkeypatch.setattr(staircase, "SLACK", 2**-6)
    with pytest.raises(BadInput, match=r"for factors of 8 bits; "):
        given.layers(-(10**6), 10**6)
