"""Dot products of codes of one bit: agreements are counted, and parities are shared.

A code c agrees with a weight of bit n (1 is -1) where c ^ n is 1. The sum of w * c is the number of agreements less
that of the weights that are -1, a constant. A full adder makes of three agreements a bit that counts one and a bit
that counts two. The former is their parity: that of the three codes, made once for all PEs, xor that of the three
weights, which the memory holds. So it takes nothing, and may go into the next full adder at once. Only the bits that
count two, half as many as inputs, are made for each PE.
"""

import numpy as np
from amaranth import Module, Signal, Value
from numpy.typing import NDArray

from ..device.arithmetic import later
from .dot import DotArray


def majority(a: Value, b: Value, c: Value) -> Value:
    """What a full adder carries."""
    return (a & b) | (a & c) | (b & c)


def register(m: Module, value: Value, name: str) -> Signal:
    """The value a cycle later, without a reset."""
    held = Signal(len(value), name=name, reset_less=True)
    m.d.sync += held.eq(value)
    return held


class PopcountArray(DotArray):
    """What the arrays for codes of one bit have in common.

    Attributes
    ----------
    carried : inputs that are left, 0 or 1; the last one's agreement is the accumulators' carry
    """

    carried: int

    def correction(self, each: NDArray[np.int64], words: int) -> NDArray[np.int64]:
        return each.sum(axis=0) - self.simd * words

    def spare(self, m: Module, last_code: Value) -> list[Value]:
        """Each output's agreement of the input that is left, when its total comes; none where none is left."""
        if not self.carried:
            return []
        code = register(m, last_code, "last_code")
        bits = [code ^ self.weight(p, len(self.positions) - 1, self.simd - 1) for p in range(self.pe)]
        # With a reset, lest it be a shift register.
        cycles = self.latency - len(self.positions) - 1
        return [later(m, bit, cycles, f"carried{p}_") for p, bit in enumerate(bits)]
