"""The multiply-accumulate array: multiplexers and adders, no multiplier.

All PEs see the same SIMD activations. Each pair of activations a, b is added and subtracted once for all
PEs, s = a + b and d = a - b; a PE then has +-s when its two weights agree and +-d when they differ, chosen
by a multiplexer. It negates by inverting, -x = ~x + 1, and leaves the +1 of each negation to a constant:
how many there are in a whole dot product depends on the weights alone, so `correction` counts them and
the accumulator's initial value holds them.
"""

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray


def correction(weights: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The +1s that MacArray leaves out of each dot product.

    weights: bool [..., SIMD], the weights in the order and words in which the array sees them.
    Returns int64 [...]: the pairs whose first weight is -1.
    """
    return (~weights[..., 0::2]).sum(axis=-1)


class MacArray(wiring.Component):
    """PE dot products of SIMD unsigned codes and +-1 a cycle, accumulated from `first` to `last`.

    It is a plain pipeline without back-pressure: whoever starts a dot product has a place for its result.

    Parameters
    ----------
    simd, pe : inputs and outputs in parallel
    top : the largest code
    width : bits of the signed accumulators; the true results must fit, what they pass through need not

    Members
    -------
    valid, first, last : In(1), a word is given; it is the first, the last of a dot product
    codes : In(simd codes)
    weights : In(pe * simd), bit p * simd + s is the weight of input s for output p; 1 is +1
    initial : In(pe signed accumulators), taken with the first word where `starting` says so
    starting : Out(1), `initial` is taken
    done : Out(1), `results` are given for this cycle
    results : Out(pe signed accumulators)

    Timing
    ------
    `done` comes `latency` cycles after the cycle that has `last`.
    """

    def __init__(self, simd: int, pe: int, top: int, width: int):
        # A constant input still has codes of one bit: Verilog has no signal of none.
        self.simd, self.pe, self.top, self.width = simd, pe, max(1, top), width
        pairs = -(-simd // 2)
        self.levels = (pairs - 1).bit_length()
        self.latency = 2 + self.levels + 1
        accumulators = data.ArrayLayout(signed(width), pe)
        super().__init__(
            {
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "codes": In(simd * self.top.bit_length()),
                "weights": In(pe * simd),
                "initial": In(accumulators),
                "starting": Out(1),
                "done": Out(1),
                "results": Out(accumulators),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits = self.top.bit_length()
        codes = [self.codes[lane * bits : (lane + 1) * bits] for lane in range(self.simd)]
        later = Signal.like(self.weights)
        m.d.sync += later.eq(self.weights)

        def register(value, lo, hi, name):
            held = Signal(range(lo, hi + 1), name=name, reset_less=True)
            m.d.sync += held.eq(value)
            return held

        sums, differences = [], []
        for k in range(0, self.simd, 2):
            a, b = codes[k], codes[k + 1] if k + 1 < self.simd else Const(0, 1)
            sums.append(register(a + b, 0, 2 * self.top, f"sum{k}"))
            differences.append(register(a - b, -self.top, self.top, f"difference{k}"))

        totals = []
        for p in range(self.pe):
            terms = []
            for k, (s, d) in enumerate(zip(sums, differences, strict=True)):
                at = p * self.simd + 2 * k
                positive = later[at]
                other = later[at + 1] if 2 * k + 1 < self.simd else positive
                chosen = Mux(positive == other, s, d)
                term = Mux(positive, chosen, ~chosen)
                terms.append((register(term, -2 * self.top - 1, 2 * self.top, f"term{p}_{k}"), 1))
            level = 0
            while len(terms) > 1:
                joined = []
                for k in range(0, len(terms), 2):
                    parts = terms[k : k + 2]
                    count = sum(n for _, n in parts)
                    total = sum((value for value, _ in parts[1:]), parts[0][0])
                    lo, hi = count * (-2 * self.top - 1), count * 2 * self.top
                    joined.append((register(total, lo, hi, f"tree{p}_{level}_{k}"), count))
                terms = joined
                level += 1
            totals.append(terms[0][0])

        flags = Signal(3)
        flags_in = Cat(self.valid, self.valid & self.first, self.valid & self.last)
        for stage in range(2 + self.levels):
            held = flags if stage == 1 + self.levels else Signal(3, name=f"flags{stage}")
            m.d.sync += held.eq(flags_in)
            flags_in = held
        m.d.comb += self.starting.eq(flags[1])
        m.d.sync += self.done.eq(flags[2])
        with m.If(flags[0]):
            for p, total in enumerate(totals):
                m.d.sync += self.results[p].eq(Mux(flags[1], self.initial[p], self.results[p]) + total)
        return m
