"""Dot products of codes of one bit: agreements are counted, and parities are shared.

A code c agrees with a weight of bit n (1 is -1) where c ^ n is 1. The sum of w * c is the number of agreements less
that of the weights that are -1, a constant. A full adder makes of three agreements a bit that counts one and a bit
that counts two. The former is their parity: that of the three codes, made once for all PEs, xor that of the three
weights, which the memory holds. So it takes nothing, and may go into the next full adder at once. Only the bits that
count two, half as many as inputs, are made for each PE.
"""

import numpy as np
from amaranth import Value
from numpy.typing import NDArray

from .dot import DotArray


def majority(a: Value, b: Value, c: Value) -> Value:
    """What a full adder carries."""
    return (a & b) | (a & c) | (b & c)


class PopcountArray(DotArray):
    """What the arrays for codes of one bit have in common."""

    def correction(self, each: NDArray[np.int64], words: int) -> NDArray[np.int64]:
        return each.sum(axis=0) - self.simd * words
