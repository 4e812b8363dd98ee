# amaranth: UnusedElaboratable=no
"""Scale: a factor for each channel, without a multiplier.

A product is the sum of shifted codes, one for each bit of the factor, in a registered adder tree. Nothing in it
has a sign: a negative factor multiplies the inverted code, f * code = |f| * ~code - |f| * (2^bits - 1), and what
that leaves over joins the other constants of the channel, f * lo of the input - lo of the output, which enter the
tree as one more term. All sums are taken modulo the width of the output's codes, in which the result lies.
"""

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from numpy.typing import NDArray

from ...model.layers import Scale
from ..array.constants import ConstantTable
from ..device.arithmetic import later, tree
from ..device.resources import Resources, adder
from ..device.target import Family
from ..stream.flow import Flow
from ..stream.results import ResultQueue
from ..stream.stage import Stage


class ScaleStage(Stage):
    """A Scale on every lane, a word a cycle.

    The tree of a lane has a term for each bit that any of the lane's factors has, and bits that all of them have
    are wires. It is a plain pipeline without stall: a word enters only when it has a place in the result queue.

    Attributes
    ----------
    levels : of adders, each registered: ceil(log2(terms)) of the lane with the most terms

    Timing
    ------
    A word is offered ``latency = levels + 1`` cycles after it is taken.
    """

    def __init__(self, source: Flow, layer: Scale, family: Family):
        self.family = family
        super().__init__(source, Flow(layer.infer(source.tensor), source.lanes))
        self.factors = source.rows(layer.factors)
        self.size_bits = max(map(abs, layer.extremes)).bit_length()
        self.constants = self.constant_rows()
        self.tables = (
            ConstantTable(self.factor_rows(), self.size_bits + 1, family),
            ConstantTable(self.constants, self.sink.tensor.bits, family),
        )
        sizes = np.abs(self.factors)
        self.shifts = [[k for k in range(self.size_bits) if (column >> k & 1).any()] for column in sizes.T]
        added = (self.constants != 0).any(axis=0)  # `any` alone gives objects in numpy 1
        terms = max(len(shifts) + int(more) for shifts, more in zip(self.shifts, added, strict=True))
        self.levels = max(0, terms - 1).bit_length()
        self.latency = self.levels + 1
        self.results = ResultQueue(self.sink, self.latency)
        self.storage = source.held(self.results.credits)

    def resources(self, family: Family) -> Resources:
        width = self.sink.tensor.bits
        found = self.results.resources(family) + Resources(3, self.levels)
        for table in self.tables:
            found += table.resources(family)
        sizes = np.abs(self.factors)
        for lane, shifts in enumerate(self.shifts):
            bits = self.source.tensor.bits
            negated = (self.factors[:, lane] < 0).any() and not (self.factors[:, lane] < 0).all()
            luts = bits if negated else 0
            if family.inputs == 4:
                luts += bits * sum(1 for k in shifts if not (sizes[:, lane] >> k & 1).all())
            terms = [k + bits for k in shifts] + [width] * bool((self.constants[:, lane] != 0).any())
            least = [*shifts, 0]
            ffs = 0
            for _ in range(self.levels):
                joined = [terms[k : k + 2] for k in range(0, len(terms), 2)]
                starts = [least[k : k + 2] for k in range(0, len(terms), 2)]
                luts += sum(
                    adder(min(width, max(pair)) - max(low), family)
                    for pair, low in zip(joined, starts, strict=True)
                    if len(pair) == 2
                )
                terms = [min(width, max(pair) + len(pair) - 1) for pair in joined]
                least = [min(low) for low in starts]
                ffs += sum(bits - low for bits, low in zip(terms, least, strict=True))
            found += Resources(luts, ffs)
        return found

    def constant_rows(self) -> NDArray[np.object_]:
        """[words, lanes]: what is added to each product, modulo the width of the output's codes."""
        source, sink = self.source.tensor, self.sink.tensor
        inverted = (1 << source.bits) - 1
        factors = self.factors.astype(object)
        return (factors * (source.lo + inverted * (factors < 0)) - sink.lo) % (1 << sink.bits)

    def factor_rows(self) -> NDArray[np.int64]:
        """int64 [words, lanes]: the sizes, and above them a bit that says negative."""
        return np.abs(self.factors) | (self.factors < 0).astype(np.int64) << self.size_bits

    def elaborate(self, platform):
        m = Module()
        width = self.sink.tensor.bits
        m.submodules.factors = factors = self.tables[0]
        m.submodules.constants = constants = self.tables[1]
        m.submodules.results = results = self.results
        take = Signal()
        m.d.comb += [
            self.i.ready.eq(results.room),
            take.eq(self.i.valid & self.i.ready),
            factors.next.eq(take),
            constants.next.eq(take),
            results.enter.eq(take),
        ]
        wiring.connect(m, results.o, wiring.flipped(self.o))

        codes = []
        top = (1 << width) - 1
        for lane, code in enumerate(self.source.codes(self.i.payload)):
            factor = factors.row[lane]
            code = Mux(factor[self.size_bits], ~code, code)
            # Each term with the most it can be.
            terms = [(Mux(factor[k], code, 0) << k, (1 << k + len(code)) - 1) for k in self.shifts[lane]]
            if (self.constants[:, lane] != 0).any():
                terms.append((constants.row[lane].as_unsigned(), top))
            product, _ = tree(m, terms, self.levels, f"sum{lane}", top) if terms else (Const(0), 0)
            codes.append(Cat(product, Const(0, width))[:width])
        m.d.comb += [results.result.eq(Cat(codes)), results.done.eq(later(m, take, self.levels))]
        return m
