"""In which numbers a matrix product of integers is exact: the narrowest, for speed."""

from __future__ import annotations

import numpy as np

from .tensor import Ints

LOWER_BITS = 24
"""Of numbers that are summed in two parts, because no float holds their sums: of the part that is never negative."""


def sums_below(limit: int, x: Ints, terms: int = 1) -> bool:
    """Whether every sum of `terms` values of x is below `limit` in magnitude.

    The dtype proves it where it can; only else are the values looked at.
    """
    if terms * -int(np.iinfo(x.dtype).min) < limit or not x.size:
        return True
    return terms * max(-int(x.min()), int(x.max())) < limit


def sums_dtype(x: Ints, terms: int) -> type[np.int32 | np.int64]:
    """int32, or int64 where a sum of `terms` values of x may need it."""
    return np.int32 if sums_below(2**31, x, terms) else np.int64


def floats_for(x: Ints, terms: int) -> type[np.float32 | np.float64] | None:
    """The floats that hold all sums of `terms` values of x or of their opposites, None where there are none."""
    if sums_below(2**24, x, terms):
        return np.float32
    return np.float64 if sums_below(2**53, x, terms) else None
