"""The multiply-accumulate array: multiplexers and adders, no multiplier and no sign.

All PEs see the same SIMD activations. For each pair of codes a, b of A bits, two numbers of A + 1 bits are made once
for all PEs: the sum s = a + b and the difference d = 2^A + a - b. A PE has +-s where its two weights agree and +-d
where they differ; it negates by inverting, ~x = (2^(A+1) - 1) - x. So all terms are unsigned and as narrow as s, and
what they are too large by depends on the weights alone: `correction` counts it for a whole dot product, and the
accumulator's initial value holds it.

The terms are added in *chains*, one pair after the other, each with a register: a 6-input LUT in front of a carry
chooses and adds at once. A registered tree joins the chains. A pair at position k of its chain is added k cycles after
the first: its codes are delayed here, once for all PEs, and its weights must come k cycles later.
"""

from itertools import pairwise

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal
from numpy.typing import NDArray

from ..device.arithmetic import tree
from ..device.resources import Resources, adder
from ..device.target import Family
from .dot import DotArray, tree_resources


class MacArray(DotArray):
    """The array for codes of any bits.

    Parameters
    ----------
    simd, pe, width : as DotArray's
    top : the largest code
    chain : most pairs added one after the other; 1 makes a tree of all pairs
    turns : as DotArray's
    """

    def __init__(self, simd: int, pe: int, top: int, width: int, chain: int, turns: int = 1):
        pairs = -(-simd // 2)
        self.chains = -(-pairs // chain)
        edges = [*range(0, simd, 2 * self.chains), simd]
        positions = [range(start, stop) for start, stop in pairwise(edges)]
        self.levels = (self.chains - 1).bit_length()
        # A constant input still has codes of one bit: Verilog has no signal of none.
        latency = 1 + len(positions) + self.levels + 1
        super().__init__(simd, pe, max(1, top.bit_length()), width, positions, latency, turns)

    def steering(self, weights: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        """Of each pair whether its term is inverted, and whether it is the difference."""
        bits = ~weights
        bits[..., 1::2] ^= bits[..., 0 : self.simd - 1 : 2]
        return self.split(bits)

    def correction(self, each: NDArray[np.int64], words: int) -> NDArray[np.int64]:
        first, second, single = each
        half = 2**self.bits
        pairs, odd = divmod(self.simd, 2)
        # Where a weight is +1 its bit is 1. An inverted sum or difference is too large by 2 half - 1, a difference by
        # half the more, an inverted single code by half - 1.
        surplus = (2 * half - 1) * (pairs * words - first) + half * (first - second)
        surplus += (half - 1) * (odd * words - single)
        added_to_others = pairs + odd - self.chains
        return -surplus - added_to_others * words

    def resources(self, family: Family, *, constant: bool = False) -> Resources:
        shared, each, most = self.chain_resources(family, constant=constant)
        each += tree_resources(most, family) + self.accumulator_resources(family, constant=constant)
        return shared + each * self.pe

    def chain_resources(self, family: Family, *, constant: bool = False) -> tuple[Resources, Resources, list[int]]:
        """What is shared by all outputs; one output's chains; the largest value of each of these."""
        pairs, odd = divmod(self.simd, 2)
        wide = self.bits + 1
        luts = pairs * 2 * adder(self.bits, family)
        ffs = pairs * 2 * wide + odd * self.bits
        # The largest value of each chain so far, one output's.
        most = [0] * self.chains
        each_luts = each_ffs = 0
        for inputs in self.positions:
            for chain in range(self.chains):
                lanes = len(inputs[2 * chain : 2 * chain + 2])
                bits = self.bits + max(0, lanes - 1)
                if lanes and most[chain]:
                    before = most[chain].bit_length()
                    # xc7's adder chooses its term, and takes the bits above it as they are.
                    each_luts += (
                        min(bits + 1, before) if family.inputs == 6 else adder(max(bits, before), family) + bits
                    )
                    most[chain] += 2**bits
                elif lanes and constant:
                    # All PEs have one of the same four terms, the inverted ones behind look-up tables.
                    luts, ffs = luts + 2 * bits, ffs + min(4, self.pe) * bits
                    most[chain] = 2**bits - 1
                    continue
                elif lanes:
                    each_luts += bits
                    most[chain] = 2**bits - 1
                each_ffs += most[chain].bit_length()
        return self.frame_resources() + Resources(luts, ffs), Resources(each_luts, each_ffs), most

    def elaborate(self, platform):
        m = Module()

        def register(value, limit, name):
            held = Signal(range(limit + 1), name=name, reset_less=True)
            m.d.sync += held.eq(value)
            return held, limit

        # sums[p][c] is chain c of output p so far, and the largest it can be.
        sums: list[list] = [[None] * self.chains for _ in range(self.pe)]
        for k, (inputs, codes) in enumerate(zip(self.positions, self.waiting_codes(m), strict=True)):
            for chain in range(self.chains):
                lanes = inputs[2 * chain : 2 * chain + 2]
                name = f"{k}_{chain}"
                if not lanes:
                    for p in range(self.pe):
                        sums[p][chain] = register(*sums[p][chain], f"partial{p}_{name}")
                    continue
                a, *b = (codes[self.bits * i :][: self.bits] for i in range(2 * chain, 2 * chain + len(lanes)))
                limit = 2 ** (self.bits + len(b)) - 1
                s, _ = register(a + b[0] if b else a, limit, f"sum{name}")
                d, _ = register(Cat(a, Const(1)) - b[0], limit, f"difference{name}") if b else (s, limit)
                for p in range(self.pe):
                    invert, *differ = (self.weight(p, k, place) for place in lanes)
                    chosen = Mux(differ[0], d, s) if b else s
                    term = chosen ^ invert.replicate(len(s))
                    value, most = term, limit
                    if k:
                        # before + term + 1, written so that Yosys puts the choice of the term into the adder's LUTs.
                        before, most = sums[p][chain]
                        most += limit + 1
                        value = before - ~Cat(term, Const(0, most.bit_length() - len(term)))
                    sums[p][chain] = register(value, most, f"partial{p}_{name}")

        self.accumulate(m, [tree(m, row, self.levels, f"tree{p}")[0] for p, row in enumerate(sums)])
        return m
