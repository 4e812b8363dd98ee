"""Normalisation and sign as one comparison, against the definition in exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitfold.model.error import BadInput
from bitfold.model.threshold import Threshold

FINITE = st.floats(-1e300, 1e300)
SIGMA = st.floats(1e-300, 1e300)


def reached(gamma, beta, mean, sigma, x) -> bool:
    """gamma * (x - mean) / sigma + beta >= 0, rounding nothing."""
    g, b, m, s, x = (Fraction(each) for each in (gamma, beta, mean, sigma, x))
    return g * (x - m) + b * s >= 0


def of(gamma, beta, mean, sigma) -> Threshold:
    return Threshold.of(*(np.array([each], np.float64) for each in (gamma, beta, mean, sigma)))


def judged(threshold: Threshold, x: float) -> bool:
    """As the network in eval mode does."""
    signs, least = threshold.floats()
    return bool(signs[0] * x >= least[0])


@given(FINITE | st.just(0.0), FINITE, FINITE, SIGMA, FINITE)
def test_any_floats(gamma, beta, mean, sigma, x):
    threshold = of(gamma, beta, mean, sigma)
    assert judged(threshold, x) == reached(gamma, beta, mean, sigma, x)
    near = threshold.floats()[1][0]
    for other in (near, math.nextafter(near, math.inf), math.nextafter(near, -math.inf)):
        if math.isfinite(other):
            assert judged(threshold, threshold.signs[0] * other) == reached(
                gamma, beta, mean, sigma, threshold.signs[0] * other
            )


def batch_shift_cases(count: int, seed: int) -> int:
    """Draws normalisations of small numbers, so that sums tie often, and compares the bits of integer sums.

    x = a * y for a binary layer's scale a, of either sign here, and sums y in [-n, n] of n's parity: of each
    normalisation the sums next to its threshold, both ends and two others. The number of differences.
    """
    rng = np.random.default_rng(seed)
    differences = drawn = 0
    while drawn < count:
        n = int(rng.integers(1, 600))
        a = Fraction(int(rng.choice([-1, 1]) * rng.integers(1, 50)), 2 ** int(rng.integers(0, 8)))
        gamma, beta, mean = (float(rng.integers(-6, 7)) / 2 ** int(rng.integers(0, 3)) for _ in range(3))
        mean *= float(rng.integers(1, n + 1))
        sigma = float(rng.integers(1, 9)) / 4
        threshold = of(gamma, beta, mean, sigma).of_multiples([a])
        # y = 2z - (the sum of the weights), z counting from 0: the machine's integers.
        total = int(rng.integers(0, n + 1)) * 2 - n
        machine = threshold.of_multiples([Fraction(2)]).of_sums([Fraction(-total, 2)])
        sign = machine.signs[0]
        lo, hi = ((total - n) // 2, (total + n) // 2)
        lo, hi = (lo, hi) if sign > 0 else (-hi, -lo)
        least = int(machine.integers(lo, hi)[0])
        assert lo <= least <= hi + 1
        centre = least * sign
        for z in {
            centre - 1,
            centre,
            centre + 1,
            lo * sign,
            hi * sign,
            *map(int, rng.integers(lo, hi, 2, endpoint=True) * sign),
        }:
            if lo <= z * sign <= hi:
                y = 2 * z - total
                differences += (sign * z >= least) != reached(gamma, beta, mean, sigma, a * y)
                drawn += 1
    return differences


def test_batch_shift_is_exact():
    assert batch_shift_cases(20_000, seed=0) == 0


@pytest.mark.slow
def test_batch_shift_is_exact_a_million_times():
    assert batch_shift_cases(1_000_000, seed=1) == 0


@pytest.mark.parametrize(
    ("beta", "always"), [(0.0, True), (-0.0, True), (5e-324, True), (-5e-324, False), (1.0, True), (-1.0, False)]
)
def test_a_gamma_of_0_decides_by_beta_alone(beta, always):
    threshold = of(0.0, beta, 3.0, 1.0)
    assert all(judged(threshold, x) == always for x in (-1e300, 0.0, 1e300))
    assert threshold.integers(-4, 4).tolist() == [-4 if always else 5]
    assert threshold.of_multiples([Fraction(0)]).integers(-4, 4).tolist() == [-4 if always else 5]


def test_a_factor_of_0_decides_by_the_threshold():
    assert [of(1.0, 0.0, mean, 1.0).of_multiples([Fraction(0)]).integers(-4, 4)[0] for mean in (-1.0, 0.0, 1.0)] == [
        -4,
        -4,
        5,
    ]


def test_a_threshold_beyond_every_float():
    for gamma, mean, beta, least in ((5e-324, 0.0, -1e300, math.inf), (5e-324, 0.0, 1e300, -1.7976931348623157e308)):
        assert of(gamma, beta, mean, 1e300).floats()[1][0] == least


@pytest.mark.parametrize("spoilt", range(4))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(spoilt, value):
    numbers = [1.0, 1.0, 1.0, 1.0]
    numbers[spoilt] = value
    with pytest.raises(BadInput, match="channel 0's normalisation has numbers that are none, or no deviation > 0"):
        of(*numbers)


def test_a_deviation_of_0_is_refused():
    with pytest.raises(BadInput, match="no deviation > 0"):
        of(1.0, 1.0, 1.0, 0.0)


def test_integers_stay_within_what_values_can_tell_apart():
    got = [int(of(1.0, 0.0, mean, 1.0).integers(-4, 4)[0]) for mean in (-6, -5, -4.5, -4, -3.5, 3.5, 4, 4.5, 5, 6)]
    assert got == [-4, -4, -4, -4, -3, 4, 4, 5, 5, 5]
