# amaranth: UnusedElaboratable=no
"""Scale: a factor for each channel, without a multiplier.

A product is the sum of shifted codes, one for each bit of the factor, in a registered adder tree. Nothing in it
has a sign: a negative factor multiplies the inverted code, f * code = |f| * ~code - |f| * (2^bits - 1), and what
that leaves over joins the other constants of the channel, f * lo of the input - lo of the output, which enter the
tree as one more term. All sums are taken modulo the width of the output's codes, in which the result lies.
"""

from collections import Counter

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from numpy.typing import NDArray

from ...model.layers import Scale
from ..array.constants import ConstantTable, LoadedTable, pack_rows, table_resources
from ..device.arithmetic import later, tree
from ..device.memory import alike
from ..device.resources import Resources, add_constant, adder, total
from ..device.target import Family
from ..stream.flow import Flow
from ..stream.load import LoadLink
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

    def __init__(self, source: Flow, layer: Scale, family: Family, loadable: bool = False, cycles: int = 0):
        self.layer, self.family = layer, family
        sink = Flow(layer.infer(source.tensor), source.lanes)
        self.factors = source.rows(layer.factors)
        self.size_bits = max(map(abs, layer.extremes)).bit_length()
        widths = self.size_bits + 1, sink.tensor.bits
        count, lanes = self.factors.shape
        self.loaded = [LoadedTable(count, lanes, width, family) for width in widths] if loadable else []
        link = LoadLink([(table.row_bits, count) for table in self.loaded]) if loadable else None
        super().__init__(source, sink, link)
        self.constants = self.constant_rows(self.factors)
        self.tables = tuple(zip((self.factor_rows(self.factors), self.constants), widths, strict=True))
        sizes = np.abs(self.factors)
        self.shifts = [[k for k in range(self.size_bits) if (column >> k & 1).any()] for column in sizes.T]
        # `any` alone gives objects in numpy 1
        self.added = np.ones(lanes, np.bool_) if loadable else (self.constants != 0).any(axis=0)
        terms = max(len(shifts) + int(more) for shifts, more in zip(self.shifts, self.added, strict=True))
        self.levels = max(0, terms - 1).bit_length()
        self.latency = self.levels + 1
        self.results = ResultQueue(self.sink, self.latency, cycles)
        self.storage, self.interval = source.held(self.results.credits), self.results.interval

    def resources(self, family: Family) -> Resources:
        found = self.results.resources(family) + Resources(3, self.levels)
        if self.loaded:
            tables = total(table.resources(family) for table in self.loaded)
            found += tables.named("constants") + self.link.resources(family)
            bits = self.sink.tensor.bits
            each = self._lane_resources((), tuple(range(self.size_bits)), True, 0, bits, family)
            return found + each * self.source.lanes
        for rows, width in self.tables:
            found += table_resources(rows, width, family).named("constants")
        lanes = Counter(map(self._like, range(self.source.lanes)))
        return sum((self._lane_resources(*like, family) * count for like, count in lanes.items()), found)

    def _like(self, lane: int) -> tuple[tuple[int, ...], tuple[int, ...], bool, int, int]:
        """What a lane takes hangs on.

        The bits that all its factors have, those that some have, whether signs differ, its constant if it has one,
        and how many bits of its constants differ.
        """
        factors, constants = self.factors[:, lane], self.constants[:, lane]
        wires = tuple(k for k in self.shifts[lane] if (np.abs(factors) >> k & 1).all())
        chosen = tuple(k for k in self.shifts[lane] if k not in wires)
        signs = bool((factors < 0).any() and not (factors < 0).all())
        return wires, chosen, signs, int(constants[0]), int(np.bitwise_or.reduce(constants ^ constants[0])).bit_count()

    def _lane_resources(
        self, wires: tuple[int, ...], chosen: tuple[int, ...], signs: bool, constant: int, differ: int, family: Family
    ) -> Resources:
        """Of one lane's tree."""
        bits, top = self.source.tensor.bits, (1 << self.sink.tensor.bits) - 1
        # Where a term is chosen by a bit of the factor, the same look-up table inverts it; on xc7 it is the adder's
        # own for the right term of two.
        luts, ffs = bits if signs and wires else 0, 0.0
        terms = [(k, (1 << k + bits) - 1, k in chosen) for k in sorted((*wires, *chosen))]
        # Of lanes with few words many registers of constants are alike.
        every = differ * self.source.lanes
        waiting = differ * alike(every, len(self.constants)) / every if differ else 0
        if differ:
            terms.append((0, top, False))
        for _ in range(self.levels):
            joined = []
            for k in range(0, len(terms), 2):
                pair = terms[k : k + 2]
                masked = sum(mask for _, _, mask in (pair[:1] if family.inputs == 6 else pair))
                most, low = min(top, sum(most for _, most, _ in pair)), min(low for low, _, _ in pair)
                if len(pair) == 2:
                    luts += adder(max(0, most.bit_length() - 1 - max(low for low, _, _ in pair)), family)
                luts += masked * bits
                ffs += waiting if pair == [(0, top, False)] else max(0, most.bit_length() - low)
                joined.append((low, most, False))
            terms = joined
        if constant and not differ:
            luts += add_constant(self.sink.tensor.bits - ((constant & -constant).bit_length() - 1), family)
        return Resources(luts, round(ffs))

    def contents(self, layer: Scale) -> list[list[int]]:
        factors = self.source.rows(layer.factors)
        rows = self.factor_rows(factors), self.constant_rows(factors)
        return [pack_rows(values, width) for values, (_, width) in zip(rows, self.tables, strict=True)]

    def constant_rows(self, factors: NDArray[np.int64]) -> NDArray[np.object_]:
        """[words, lanes]: what is added to each product, modulo the width of the output's codes."""
        source, sink = self.source.tensor, self.sink.tensor
        inverted = (1 << source.bits) - 1
        factors = factors.astype(object)
        return (factors * (source.lo + inverted * (factors < 0)) - sink.lo) % (1 << sink.bits)

    def factor_rows(self, factors: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [words, lanes]: the sizes, and above them a bit that says negative."""
        return np.abs(factors) | (factors < 0).astype(np.int64) << self.size_bits

    def elaborate(self, platform):
        m = Module()
        width = self.sink.tensor.bits
        factors, constants = self.loaded or (ConstantTable(rows, bits, self.family) for rows, bits in self.tables)
        if self.loaded:
            self.add_link(m, *self.loaded)
        m.submodules.factors = factors
        m.submodules.constants = constants
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
            if self.added[lane]:
                terms.append((constants.row[lane].as_unsigned(), top))
            product, _ = tree(m, terms, self.levels, f"sum{lane}", top) if terms else (Const(0), 0)
            codes.append(Cat(product, Const(0, width))[:width])
        m.d.comb += [results.result.eq(Cat(codes)), results.done.eq(later(m, take, self.levels))]
        return m
