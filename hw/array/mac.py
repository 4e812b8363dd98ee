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
from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from ..device.arithmetic import tree
from ..device.resources import Resources, adder
from ..device.target import Family


def numbers(value: Value, count: int) -> list[Value]:
    """A value as `count` signed numbers, the first in the lowest bits."""
    width = len(value) // count
    return [value[k * width : (k + 1) * width].as_signed() for k in range(count)]


def ones(weights: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many weights of a dot product are +1: of the first of pairs, of the second, of those without another.

    weights : bool [..., words, SIMD], in the words in which the array sees them
    Returns int64 [3, ...].
    """
    paired = weights.shape[-1] // 2 * 2
    places = weights[..., 0:paired:2], weights[..., 1:paired:2], weights[..., paired:]
    return np.array([some.sum(axis=(-2, -1), dtype=np.int64) for some in places])


class MacArray(wiring.Component):
    """PE dot products of SIMD unsigned codes and +-1 a cycle, accumulated from `first` to `last`.

    It is a plain pipeline without back-pressure: whoever starts a dot product has a place for its result.

    Parameters
    ----------
    simd, pe : inputs and outputs in parallel
    top : the largest code
    width : bits of the signed accumulators; the true results must fit, what they pass through need not
    chain : most pairs added one after the other; 1 makes a tree of all pairs

    Members
    -------
    valid, first, last : In(1), a word is given; it is the first, the last of a dot product
    codes : In(simd codes)
    weights : In(pe * simd), the bits of `steering`, one position of the chains after the other
    initial : In(pe * width), the accumulators' initial `numbers`, taken with the first word where `starting` says so
    starting : Out(1), `initial` is taken
    done : Out(1), `results` are given for this cycle
    results : Out(pe * width), the `numbers` that the accumulators hold

    Attributes
    ----------
    positions : for each position of the chains its range of inputs; it takes the bits pe * start to pe * stop
        of `weights`

    Timing
    ------
    The weights of position k come 1 + k cycles after the codes; `done` comes `latency` cycles after the cycle
    that has `last`.
    """

    def __init__(self, simd: int, pe: int, top: int, width: int, chain: int):
        # A constant input still has codes of one bit: Verilog has no signal of none.
        self.simd, self.pe, self.bits, self.width = simd, pe, max(1, top.bit_length()), width
        pairs = -(-simd // 2)
        self.chains = -(-pairs // chain)
        edges = [*range(0, simd, 2 * self.chains), simd]
        self.positions = tuple(range(start, stop) for start, stop in pairwise(edges))
        self.levels = (self.chains - 1).bit_length()
        self.latency = 1 + len(self.positions) + self.levels + 1
        super().__init__(
            {
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "codes": In(simd * self.bits),
                "weights": In(pe * simd),
                "initial": In(pe * width),
                "starting": Out(1),
                "done": Out(1),
                "results": Out(pe * width),
            }
        )

    def steering(self, weights: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        """What the array wants instead of the weights, for each position of the chains.

        weights : bool [words, PE, SIMD], 1 is +1
        Returns bool [words, PE * inputs of the position]: of each pair whether its term is inverted, and whether
        it is the difference.
        """
        bits = ~weights
        bits[..., 1::2] ^= bits[..., 0 : self.simd - 1 : 2]
        return [bits[..., inputs.start : inputs.stop].reshape(len(bits), -1) for inputs in self.positions]

    def correction(self, each: NDArray[np.int64], words: int) -> NDArray[np.int64]:
        """What must be added to the sum of a dot product's terms to make it the dot product.

        each : int64 [3, ...], of each dot product's weights the `ones`
        words : of a dot product
        Returns int64 [...].
        """
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
        """What it takes of a device of the family; `constant` where the weights are always the same."""
        pairs, odd = divmod(self.simd, 2)
        wide = self.bits + 1
        luts = pairs * 2 * adder(self.bits, family)
        ffs = (pairs * 2 * wide + odd * self.bits) + 3 * (self.latency - 1) + 1 + min(4, self.pe) + min(16, self.pe)
        ffs += sum((self.simd - inputs.start) * self.bits for inputs in self.positions[1:])
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
        while len(most) > 1:
            pairs = [most[k : k + 2] for k in range(0, len(most), 2)]
            each_luts += sum(adder(max(pair).bit_length(), family) for pair in pairs if len(pair) == 2)
            most = [sum(pair) for pair in pairs]
            each_ffs += sum(value.bit_length() for value in most)
        each_luts += self.width if family.inputs == 6 or constant else 2 * self.width
        each_ffs += self.width
        return Resources(luts + self.pe * each_luts + 1, ffs + self.pe * each_ffs)

    def elaborate(self, platform):
        m = Module()

        def register(value, limit, name):
            held = Signal(range(limit + 1), name=name, reset_less=True)
            m.d.sync += held.eq(value)
            return held, limit

        # sums[p][c] is chain c of output p so far, and the largest it can be.
        sums: list[list] = [[None] * self.chains for _ in range(self.pe)]
        codes = self.codes
        for k, inputs in enumerate(self.positions):
            if k:
                # With a reset, lest synthesis spend LUTs on shift registers.
                later = Signal((self.simd - inputs.start) * self.bits, name=f"codes{k}")
                m.d.sync += later.eq(codes[-len(later) :])
                codes = later
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
                    at = self.pe * inputs.start + p * len(inputs) + 2 * chain
                    chosen = Mux(self.weights[at + 1], d, s) if b else s
                    term = chosen ^ self.weights[at].replicate(len(s))
                    value, most = term, limit
                    if k:
                        # before + term + 1, written so that Yosys puts the choice of the term into the adder's LUTs.
                        before, most = sums[p][chain]
                        most += limit + 1
                        value = before - ~Cat(term, Const(0, most.bit_length() - len(term)))
                    sums[p][chain] = register(value, most, f"partial{p}_{name}")

        totals = [tree(m, row, self.levels, f"tree{p}") for p, row in enumerate(sums)]

        flags = [Cat(self.valid, self.valid & self.first, self.valid & self.last)]
        for stage in range(self.latency - 1):
            flags.append(Signal(3, name=f"flags{stage}"))
            m.d.sync += flags[-1].eq(flags[-2])
        valid, first, last = flags[-1]
        # One flag for the multiplexers of all accumulators would be the slowest path: its last two registers are up to
        # four and sixteen. Their initial value, which means nothing while `valid` is 0, and their reset keep synthesis
        # from making one register of those that hold the same.
        firsts = [flags[-3][1]]
        for level in range(2):
            sources, firsts = firsts, []
            for k in range(min(4 * len(sources), self.pe)):
                source, kind = k % len(sources), k // len(sources)
                firsts.append(Signal(name=f"first{level}_{k}", init=kind & 1, reset_less=bool(kind & 2)))
                m.d.sync += firsts[-1].eq(sources[source])
        m.d.comb += self.starting.eq(first)
        m.d.sync += self.done.eq(last)
        with m.If(valid):
            accumulators = zip(totals, numbers(self.initial, self.pe), numbers(self.results, self.pe), strict=True)
            for p, ((total, _), initial, result) in enumerate(accumulators):
                m.d.sync += result.eq(Mux(firsts[p % len(firsts)], initial, result) + total)
        return m
