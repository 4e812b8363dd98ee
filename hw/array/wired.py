# amaranth: UnusedElaboratable=no
"""Wired weights: dot products with weights that are constants, as one graph of shared sums.

Nothing in the graph has a sign. A node is an unsigned number u = +-value + bias, and a difference is taken with ones
above its subtrahend: x - (ones, y) = x + ~y + 1 = x - y + 2^bits. So the upper bits of a long operand beside a short
one meet a constant, and are no more than the carry's way. A node has the sign of its left operand, the longer one.
All biases are known: each result's joins its initial value in the one constant that is added last.
"""

from dataclasses import dataclass
from math import log2

import numpy as np
from amaranth import Cat, Const, Module, Signal, Value, signed
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from ..device.arithmetic import later
from ..device.component import Component
from ..device.resources import Resources
from ..device.target import FAMILIES, Family
from .dot import numbers
from .sums import share

LUTS_PER_ADDER_BIT = {
    "generic": 0.82,
    "xc7": 0.82,
    "xcup": 0.82,
    "ecp5": 1.05,
    "nexus": 1.25,
    "ice40": 1.29,
    "gowin": 1.29,
}
"""Look-up tables that Yosys makes of a bit of `WiredArray.adder_bits`: within 5 % from 27 x 16 weights on."""


@dataclass(frozen=True)
class Node:
    """A node's number u = (-value if negative else value) + bias, in lo to hi, and how it is made.

    left, right : the nodes added, none for an input
    up : left shift of the right one
    difference : the right one is subtracted
    """

    negative: bool
    bias: int
    lo: int
    hi: int
    left: int = -1
    right: int = -1
    up: int = 0
    difference: bool = False

    @property
    def bits(self) -> int:
        return self.hi.bit_length()


class WiredArray(Component):
    """All dot products of a window of unsigned codes with constant weights of +-1, a window a cycle.

    It is a plain pipeline without back-pressure: whoever gives a window has a place for its results.

    Parameters
    ----------
    weights : bool [C_out, K], True is +1
    top : the largest code
    initial : int [C_out], added to each dot product
    width : bits of the signed results, which must fit
    family : for which the adders are written

    Attributes
    ----------
    latency : cycles from `valid` to `done`

    Members
    -------
    valid : In(1), a window is given
    codes : In(K codes)
    done : Out(1), `results` are given for this cycle
    results : Out(C_out * width), as `mac.numbers` divides them

    Timing
    ------
    `done` comes `latency` cycles after `valid`: one for each adder on the longest way, one for the constants.
    Each adder has a register, and so has each cycle that an operand waits.
    """

    def __init__(
        self,
        weights: NDArray[np.bool_],
        top: int,
        initial: NDArray[np.int64],
        width: int,
        family: Family = FAMILIES["generic"],
    ):
        # A constant input still has codes of one bit: Verilog has no signal of none.
        self.top, self.width, self.family = max(1, top), width, family
        self.initial = [int(value) for value in initial]
        # Yosys computes bit 0 of a difference twice on xc7, unless a bit below it takes the carry away.
        self.borrow = int(family.fabric == "xc7")
        self.sums = share(weights, self.top)
        self.nodes = self._represent()
        self.latency = 1 + max(self.sums.levels)
        super().__init__(
            {
                "valid": In(1),
                "codes": In(self.sums.inputs * self.top.bit_length()),
                "done": Out(1),
                "results": Out(len(weights) * width),
            }
        )

    def _represent(self) -> list[Node]:
        """The nodes, inputs first."""
        sums = self.sums
        values = [(self.top * int(c[c < 0].sum()), self.top * int(c[c > 0].sum())) for c in sums.coefficients]
        nodes = [Node(False, 0, 0, self.top) for _ in range(sums.inputs)]
        for (a, b), (lo, hi) in zip(sums.adders, values[sums.inputs :], strict=True):
            # The right operand is the shifted or the shorter one.
            if a.shift or (not b.shift and nodes[a.node].bits < nodes[b.node].bits):
                a, b = b, a
            x, y = nodes[a.node], nodes[b.node]
            negative = a.negative ^ x.negative
            difference = negative != b.negative ^ y.negative
            bias = x.bias + (((1 << y.bits) - self.borrow - y.bias if difference else y.bias) << b.shift)
            if negative:
                lo, hi = -hi, -lo
            nodes.append(Node(negative, bias, lo + bias, hi + bias, a.node, b.node, b.shift, difference))
        return nodes

    @property
    def adder_bits(self) -> int:
        """Bits of all sums, results included."""
        return sum(node.bits for node in self.nodes[self.sums.inputs :]) + len(self.initial) * self.width

    @property
    def register_bits(self) -> int:
        """Bits of all registers: a sum's own, those in which it or a code waits, the results, the flags."""
        last = list(self.sums.levels)
        for node, (a, b) in enumerate(self.sums.adders, self.sums.inputs):
            for operand in (a.node, b.node):
                last[operand] = max(last[operand], self.sums.levels[node] - 1)
        for term in self.sums.outputs:
            last[term.node] = self.latency - 1
        held = sum(
            node.bits * (until - level + (level > 0))
            for node, level, until in zip(self.nodes, self.sums.levels, last, strict=True)
        )
        return held + len(self.initial) * self.width + self.latency

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        return Resources(round(self.adder_bits * LUTS_PER_ADDER_BIT[family.name]), self.register_bits)

    def elaborate(self, platform):
        m = Module()
        held: dict[tuple[int, int], Value] = {}

        def register(value, bits, name):
            kept = Signal(bits, name=name, reset_less=True)
            m.d.sync += kept.eq(value)
            return kept

        def at(node, cycle):
            """The node's value in a cycle, delayed by registers."""
            if (node, cycle) not in held:
                earlier = at(node, cycle - 1)
                held[node, cycle] = register(earlier, len(earlier), f"node{node}_{cycle}")
            return held[node, cycle]

        bits = self.top.bit_length()
        for k in range(self.sums.inputs):
            held[k, 0] = self.codes[k * bits : (k + 1) * bits]
        for k, node in enumerate(self.nodes[self.sums.inputs :], self.sums.inputs):
            cycle = self.sums.levels[k]
            x, y = at(node.left, cycle - 1), at(node.right, cycle - 1)
            x = Cat(x, Const(0, max(0, node.up - len(x))))
            low, high, size = x[: node.up], x[node.up :], node.bits - node.up
            if node.difference:
                spare = max(0, size - len(y))
                ones = Const((1 << spare) - 1, spare)
                total = (Cat(Const(0, self.borrow), high) - Cat(Const(1, self.borrow), y, ones))[self.borrow :]
            else:
                total = high + y
            held[k, cycle] = register(Cat(low, total[:size]), node.bits, f"node{k}_{cycle}")

        ends = zip(self.sums.outputs, self.initial, numbers(self.results, len(self.initial)), strict=True)
        for p, (term, initial, end) in enumerate(ends):
            node = self.nodes[term.node]
            negative = term.negative ^ node.negative
            value = at(term.node, self.latency - 1) << term.shift
            bias = node.bias << term.shift
            result = initial + bias - value if negative else value + (initial - bias)
            m.d.comb += end.eq(register(result, signed(self.width), f"result{p}"))

        m.d.comb += self.done.eq(later(m, self.valid, self.latency))
        return m


def wired_adder_bits(inputs: int, outputs: int, top: int, width: int) -> int:
    """What WiredArray's `adder_bits` will be for random weights, without looking for the sums.

    Fitted to 16 and more inputs, 8 and more outputs, at most 9,216 weights: within a tenth.
    """
    k, c = log2(inputs), log2(outputs)
    pairs = inputs * outputs / (k + c + 5)
    return round(pairs * (3.43 * log2(top + 1) + 11.5) - 0.53 * outputs * k - 0.25 * inputs * k) + outputs * width
