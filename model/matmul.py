"""Exact integer matrix products at the speed of BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tensor import Ints


def sums_below(limit: int, x: Ints, terms: int = 1) -> bool:
    """Whether every sum of `terms` values of x is below `limit` in magnitude.

    The dtype proves it where it can; only else are the values looked at.
    """
    if terms * -int(np.iinfo(x.dtype).min) < limit or not x.size:
        return True
    return terms * max(-int(x.min()), int(x.max())) < limit


def exact_matmul(x: Ints, signs: NDArray[Any]) -> Ints:
    """x [..., K] @ signs [K, N] (entries +-1) as [M, N], exact: int32, or int64 where the sums may need it.

    The K products may be spread over several trailing axes of `x`. float32 holds every integer below 2^24
    and float64 below 2^53, so BLAS computes the exact sums, in whatever order it adds, wherever
    K * max|x| stays below (DESIGN 2.12); beyond, numpy's integer product does.
    """
    fan_in = len(signs)
    kind: type[np.float32 | np.float64 | np.int64] = np.int64
    if sums_below(2**24, x, fan_in):
        kind = np.float32
    elif sums_below(2**53, x, fan_in):
        kind = np.float64
    wide = np.int32 if kind is np.float32 or sums_below(2**31, x, fan_in) else np.int64
    sums: Ints = (x.astype(kind, order="C").reshape(-1, fan_in) @ signs.astype(kind, copy=False)).astype(wide)
    return sums
