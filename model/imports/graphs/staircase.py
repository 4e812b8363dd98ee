"""Thresholds as a Scale and a Requantise, exactly: the cheapest line whose steps lie where they do.

A channel's code is `base` plus the number of its thresholds that an integer x reaches, so it is a staircase, and

    code = clip((factor * x + offset) >> shift, base, base + n)

has the same steps on all of an interval where its line passes between them: not below a step's corner at its
threshold t, and below it at t - 1. Each pair of thresholds bounds the slope factor / 2^shift; between the bounds any
slope has such an offset. The least shift for which every channel has a factor is found, so factors have few bits.

Where `FACTOR_BITS` are too few for that, the line is the one that misses the least, no step by more than `SLACK` of a
code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, frexp, inf

import numpy as np
from numpy.typing import NDArray

from ...error import BadInput
from ...layers import MAX_FACTOR, Layer, Requantise, Scale

FACTOR_BITS = 12
"""Of a factor, sign apart: each is an adder. Sums of a few hundred products need 9 to 12 for exact steps of 4 bits."""

MAX_SHIFT = 60

SLACK = 2**-4
"""Of a code. Where steps lie evenly, a line of `FACTOR_BITS` misses those of 4-bit codes by 2^-9 at most."""


class Uneven(BadInput):
    """No line has such steps."""


@dataclass(frozen=True, eq=False)
class Staircase:
    """The codes of each channel.

    Parameters
    ----------
    base : the lowest code
    thresholds : int64 [C, n]; a code is `base` plus the number of these that x reaches, or -x where the channel falls
    falls : bool [C]
    """

    base: int
    thresholds: NDArray[np.int64]
    falls: NDArray[np.bool_]

    def __call__(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
        """The codes of x [..., C]."""
        upwards = np.where(self.falls, -x, x)[..., None]
        codes: NDArray[np.int64] = self.base + (upwards >= self.thresholds).sum(-1)
        return codes

    def halves(self) -> tuple[Staircase, Staircase]:
        """Two whose sum it is: of every second threshold, and of those between."""
        thresholds = np.sort(self.thresholds)
        return Staircase(self.base, thresholds[:, ::2], self.falls), Staircase(0, thresholds[:, 1::2], self.falls)

    def layers(self, lo: int, hi: int) -> tuple[Layer, ...]:
        """A Requantise, before it a Scale where it needs one, with these codes for all x in [lo, hi].

        Layers that change nothing are left out. Uneven where no line has such steps, other BadInput where only lines of
        more bits have them.
        """
        upwards = [(-hi, -lo) if falls else (lo, hi) for falls in self.falls]
        least, most = np.array(upwards).T[..., None]
        # Codes that no x has, the line need not have either.
        always, ever = int((self.thresholds <= least).sum(1).min()), int((self.thresholds <= most).sum(1).max())
        thresholds = np.clip(np.sort(self.thresholds), least, most + 1)[:, always:ever]
        channels = [_Channel(each, *ends) for each, ends in zip(thresholds, upwards, strict=True)]
        if any(np.greater_equal(*channel.slopes) for channel in channels):
            raise Uneven("its levels lie too unevenly for a factor and a shift; space them evenly")
        shift, factors = _exact(channels) or _rounded(channels)
        lines = [channel.offset(factor, shift) for channel, factor in zip(channels, factors, strict=True)]
        if any(missed > SLACK * 2**shift for _, missed in lines):
            raise BadInput(
                f"its channels have scales too far apart for factors of {FACTOR_BITS} bits; give them nearer ones"
            )
        signed = np.where(self.falls, -np.array(factors), factors)
        base, top = self.base + always, self.base + ever
        rounding = 1 << (shift - 1) if shift else 0  # a Requantise adds it
        offset = np.array([each + (base << shift) - rounding for each, _ in lines], np.int64)
        scale = () if (signed == 1).all() else (Scale(signed),)
        if not scale and not shift and not offset.any() and base <= lo and hi <= top:
            return ()
        return (*scale, Requantise(shift, base, top, offset if offset.any() else None))


@dataclass(frozen=True, eq=False)
class _Channel:
    """Thresholds in order, of x in [lo, hi]: lo for those that all reach, hi + 1 for those that none does."""

    thresholds: NDArray[np.int64]
    lo: int
    hi: int

    @cached_property
    def sides(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Steps, counted from 1, that some x reaches, and those that some x does not."""
        steps = np.arange(1, len(self.thresholds) + 1)
        return steps[self.thresholds <= self.hi], steps[self.thresholds > self.lo]

    @cached_property
    def slopes(self) -> tuple[float, float]:
        """The open interval in which slopes lie."""
        reached, missed = self.sides
        run = self.thresholds[missed - 1][None, :] - 1 - self.thresholds[reached - 1][:, None]
        rise = missed[None, :] - reached[:, None]
        below, above = run > 0, run < 0
        least = (rise[above] / run[above]).max() if above.any() else -inf
        return least, (rise[below] / run[below]).min() if below.any() else inf

    @property
    def slope(self) -> float:
        """The one in the middle; 0 where any would do."""
        least, most = self.slopes
        if most == inf:
            return max(least, 0.0)
        return max(least + most, 0.0) / 2 if least > -inf else most / 2

    def factors(self, shift: int) -> tuple[int, int]:
        """The least and the largest factor with such a slope."""
        least, most = self.slopes
        return (
            max(0, floor(least * 2**shift) + 1) if least > -inf else 0,
            min(MAX_FACTOR, ceil(most * 2**shift) - 1) if most < inf else MAX_FACTOR,
        )

    def offset(self, factor: int, shift: int) -> tuple[int, int]:
        """The one in the middle between what the steps allow, and by how much it misses what a step demands."""
        reached, missed = self.sides
        least = [(int(step) << shift) - factor * int(self.thresholds[step - 1]) for step in reached]
        most = [(int(step) << shift) - 1 - factor * (int(self.thresholds[step - 1]) - 1) for step in missed]
        if not least or not most:
            return (max(least) if least else min(most, default=0)), 0
        middle = (max(least) + min(most)) // 2
        return middle, max(0, max(least) - middle, middle - min(most))


def _exact(channels: list[_Channel]) -> tuple[int, list[int]] | None:
    """The least shift for which factors of `FACTOR_BITS` miss no step, and these."""
    for shift in range(MAX_SHIFT + 1):
        factors = _factors([channel.factors(shift) for channel in channels])
        if factors is not None:
            return (shift, factors) if max(factors) < 2**FACTOR_BITS else None
    return None


def _rounded(channels: list[_Channel]) -> tuple[int, list[int]]:
    """The largest shift that leaves factors `FACTOR_BITS`, and these."""
    slopes = [channel.slope for channel in channels]
    shift = max(0, min(MAX_SHIFT, FACTOR_BITS - frexp(max(slopes))[1]))
    return shift, [min(2**FACTOR_BITS - 1, round(slope * 2**shift)) for slope in slopes]


def _factors(ranges: list[tuple[int, int]]) -> list[int] | None:
    """One factor for all where the ranges have one in common, else one for each; 0 only where nothing else is left."""
    if any(least > most for least, most in ranges):
        return None
    ranges = [(max(1, least), most) if most else (0, 0) for least, most in ranges]
    least, most = max(least for least, _ in ranges), min(most for _, most in ranges)
    if least <= most:
        return [_simplest(least, most)] * len(ranges)
    return [_simplest(*each) for each in ranges]


def _simplest(least: int, most: int) -> int:
    """The number between that has the fewest bits: the smallest that the largest power of two divides."""
    powers = (1 << bit for bit in range(max(0, least - 1).bit_length(), -1, -1))
    return next(at for at in (-(-least // power) * power for power in powers) if at <= most)
