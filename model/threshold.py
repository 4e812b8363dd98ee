"""Batch normalisation and sign as one comparison: BatchShift (BitFlow-Net, doi 10.1109/ACCESS.2019.2945488)."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .error import BadInput


@dataclass(frozen=True)
class Threshold:
    """Per channel, whether signs[c] * x >= least[c], in exact arithmetic.

    Parameters
    ----------
    signs : +1 or -1
    least : a rational number, or an infinite float: -inf is always reached, inf never
    """

    signs: tuple[int, ...]
    least: tuple[Fraction | float, ...]

    @classmethod
    def of(cls, gamma: NDArray[Any], beta: NDArray[Any], mean: NDArray[Any], sigma: NDArray[Any]) -> Threshold:
        """Whether gamma * (x - mean) / sigma + beta >= 0 (DESIGN 2.9).

        Parameters
        ----------
        gamma, beta, mean, sigma : float64 [C], each taken as exactly the number it is; sigma > 0, gamma of either
            sign or 0

        BadInput where one of them is not finite, or sigma not positive.
        """
        signs: list[int] = []
        least: list[Fraction | float] = []
        for channel, numbers in enumerate(zip(gamma, beta, mean, sigma, strict=True)):
            if not all(map(math.isfinite, numbers)) or numbers[3] <= 0:
                raise BadInput(f"channel {channel}'s normalisation has numbers that are none, or no deviation > 0")
            g, b, m, s = (Fraction(float(number)) for number in numbers)
            signs.append(-1 if g < 0 else 1)
            least.append(signs[-1] * (m - b * s / g) if g else -math.inf if b >= 0 else math.inf)
        return cls(tuple(signs), tuple(least))

    def floats(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(signs, least), [C]: `least` rounded up, which judges every float64 as the exact number does."""
        return np.array(self.signs, np.float64), np.array([_up(each) for each in self.least])

    def of_multiples(self, factors: Sequence[Fraction]) -> Threshold:
        """The same of x = factor * y, as a comparison of y."""
        signs, least = list(self.signs), list(self.least)
        for channel, factor in enumerate(factors):
            if factor:
                signs[channel] *= 1 if factor > 0 else -1
                least[channel] /= abs(factor)
            else:
                least[channel] = -math.inf if least[channel] <= 0 else math.inf
        return Threshold(tuple(signs), tuple(least))

    def of_sums(self, addends: Sequence[Fraction]) -> Threshold:
        """The same of x = y + addend, as a comparison of y."""
        return Threshold(
            self.signs,
            tuple(least - sign * addend for sign, least, addend in zip(self.signs, self.least, addends, strict=True)),
        )

    def integers(self, lo: int, hi: int) -> NDArray[np.int64]:
        """`least`, [C], for integers whose signs[c] * q all lie in [lo, hi]: in [lo, hi + 1]."""
        return np.array(
            [lo if each <= lo else hi + 1 if each > hi else math.ceil(each) for each in self.least], np.int64
        )


def _up(number: Fraction | float) -> float:
    """The least float that is no smaller."""
    try:
        near = float(number)
    except OverflowError:
        return math.inf if number > 0 else -sys.float_info.max
    return near if near >= number else math.nextafter(near, math.inf)
