"""Agreements counted in a tree of full adders, for LUTs of four inputs.

What a full adder of three agreements carries takes two LUTs: ((x ^ y) | (x ^ z)) ^ (x ^ y ^ z), or with x alone at the
end, ((x ^ y) & (x ^ z)) ^ x. Each parity is one of codes xor one of weights. Three full adders and a fourth behind
them, a *group* of nine inputs, are steered by nine parities of weights such that no LUT has more than four inputs; the
parity of a group becomes a bit of each PE. All full adders behind that take two LUTs, for the sum and for the carry.
"""

from dataclasses import dataclass
from functools import lru_cache, reduce
from heapq import heappop, heappush
from operator import xor

import numpy as np
from amaranth import Cat, Module, Signal
from numpy.typing import NDArray

from ..device.memory import alike
from ..device.resources import Resources
from ..device.target import Family
from .popcount import PopcountArray, majority, register

GROUP = 9
"""Most inputs of a group."""
LEVELS = 2
"""Full adders one behind the other in a cycle."""


@dataclass(frozen=True)
class Adder:
    """A full adder, or a half one of two bits. Bits are numbered; `total` is in the column of its bits, `carry` above.

    level : full adders on the longest way to it, itself included
    """

    bits: tuple[int, ...]
    total: int
    carry: int
    level: int


@dataclass(frozen=True)
class Counter:
    """Full adders that make one number of bits which count 1 and 2.

    adders : each behind those whose bits it takes
    totals : the bits of the number, the lowest first
    levels : of each bit, the level of its adder; 0 for those that are given
    """

    adders: tuple[Adder, ...]
    totals: tuple[int, ...]
    levels: tuple[int, ...]

    @property
    def cycles(self) -> int:
        """Registers from the bits to the number."""
        return -(-max(self.levels[bit] for bit in self.totals) // LEVELS)

    @property
    def waits(self) -> dict[int, tuple[int, int]]:
        """Of each bit the first cycle in which it is in a register, counted from the given bits', and the last."""
        until = dict.fromkeys(self.totals, self.cycles)
        for adder in self.adders:
            for bit in adder.bits:
                until[bit] = max(until.get(bit, 0), (adder.level - 1) // LEVELS)
        return {bit: (-(-self.levels[bit] // LEVELS), last) for bit, last in until.items()}


@lru_cache(256)
def counter(singles: int, doubles: int) -> Counter:
    """Full adders for so many bits that count 1, the first ones, and so many that count 2."""
    levels = [0] * (singles + doubles)
    # Heaps of (level, bit): the earliest come first.
    columns = [[(0, bit) for bit in range(singles)], [(0, bit) for bit in range(singles, singles + doubles)]]
    adders: list[Adder] = []
    totals = []
    for place, column in enumerate(columns):
        while len(column) > 1:
            taken = [heappop(column) for _ in range(min(3, len(column)))]
            level, new = 1 + taken[-1][0], len(levels)
            adders.append(Adder(tuple(bit for _, bit in taken), new, new + 1, level))
            levels += [level, level]
            if place + 1 == len(columns):
                columns.append([])
            heappush(column, (level, new))
            heappush(columns[place + 1], (level, new + 1))
        totals += [bit for _, bit in column]
    adders.sort(key=lambda adder: adder.level)
    return Counter(tuple(adders), tuple(totals), tuple(levels))


@lru_cache(256)
def groups(inputs: int) -> tuple[tuple[range, ...], ...]:
    """An odd number of inputs as an odd number of groups: of three parts with three inputs or one, or of one input."""
    count = -(-inputs // GROUP) | 1
    found = []
    start = 0
    for left in range(count, 0, -1):
        size = min(-(-(inputs - start) // left) | 1, GROUP)
        triples = max(0, (size - 3) // 2)
        parts = []
        for k in range(3 if size > 1 else 1):
            parts.append(range(start, start + (3 if k < triples else 1)))
            start = parts[-1].stop
        found.append(tuple(parts))
    return tuple(found)


class PopcountTree(PopcountArray):
    """The array for codes of one bit and LUTs of four inputs.

    Where there are an even number of inputs the last one is the accumulators' carry.

    Parameters
    ----------
    simd, pe, width : as DotArray's
    """

    def __init__(self, simd: int, pe: int, width: int, turns: int = 1):
        self.carried = (simd + 1) % 2
        self.groups = groups(simd - self.carried)
        self.doubles = (simd - self.carried - len(self.groups)) // 2
        self.counter = counter(len(self.groups), self.doubles)
        super().__init__(simd, pe, 1, width, [range(simd)], 2 + self.counter.cycles + 1, turns)

    def steering(self, weights: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        """Where a part has its first weight, its parity; but for a group's first part, whether that differs from the
        first part's. Where it has its others, whether they differ from its first. The weight that is left as it is.
        """
        bits = ~weights
        given = bits.copy()
        for first, *others in self.groups:
            for part in (first, *others):
                given[..., part[0]] = np.logical_xor.reduce(bits[..., part], axis=-1)
                given[..., part[1:]] ^= bits[..., part[:1]]
            for part in others:
                given[..., part[0]] ^= given[..., first[0]]
        return self.split(given)

    def resources(self, family: Family, *, constant: bool = False) -> Resources:
        count = self.counter
        triples = sum(len(part) == 3 for parts in self.groups for part in parts)
        joined = sum(len(parts) == 3 for parts in self.groups)
        alone = sum(len(first) == 1 for first, *_ in self.groups)
        # The parities of a part or a group, of its first two and of its first and last.
        shared = Resources(3 * (triples + joined), 3 * (triples + joined) + alone + self.carried)
        waits = sum(1 + last - first for first, last in count.waits.values())
        each = Resources(2 * len(count.adders) + self.carried, waits + self.carried * (1 + count.cycles))
        each += self.accumulator_resources(family, constant=constant, carried=bool(self.carried))
        luts = self.simd - self.carried
        if constant:
            # All PEs have some of the eight functions of three inputs, and of the two parities.
            made = self.doubles * alike(self.pe, 3) + len(self.groups) * min(2, self.pe)
            given = len(self.groups) + self.doubles
            shared += Resources(made, made)
            each += Resources(0, -given)
        else:
            each += Resources(luts)
        return self.frame_resources() + shared + each * self.pe

    def elaborate(self, platform):
        m = Module()

        def parity(*parts):
            return reduce(xor, (self.codes[k] for inputs in parts for k in inputs))

        # For all outputs: the parities of groups, of parts, of a group's first part and another, of inputs of a part.
        wholes, parities, apart, unlike = {}, {}, {}, {}
        for first, *others in self.groups:
            if others:
                wholes[first] = register(m, parity(first, *others), f"whole{first[0]}")
            for part in (first, *others):
                if part is first or len(part) == 3:
                    parities[part] = register(m, parity(part), f"part{part[0]}")
                if part is not first:
                    apart[part] = register(m, parity(first, part), f"apart{part[0]}")
                for k in part[1:]:
                    unlike[k] = register(m, parity(part[:1], [k]), f"unlike{k}")

        totals = []
        for p in range(self.pe):
            weights = [self.weight(p, 0, k) for k in range(self.simd)]
            singles, doubles = [], []
            for first, *others in self.groups:
                start = weights[first[0]]
                for part in (first, *others):
                    if len(part) == 3:
                        b, c = (unlike[k] ^ weights[k] for k in part[1:])
                        odd = parities[part] ^ weights[part[0]]
                        carry = (b | c) ^ (odd if part is first else odd ^ start)
                        doubles.append(register(m, carry, f"double{p}_{part[0]}"))
                if others:
                    b, c = (apart[part] ^ weights[part[0]] for part in others)
                    doubles.append(register(m, (b & c) ^ parities[first] ^ start, f"double{p}_group{first[0]}"))
                    odd = wholes[first] ^ start ^ weights[others[0][0]] ^ weights[others[1][0]]
                else:
                    odd = parities[first] ^ start
                singles.append(register(m, odd, f"single{p}_{first[0]}"))
            totals.append(self._count(m, p, singles + doubles))
        self.accumulate(m, totals, self.spare(m, self.codes[-1]))
        return m

    def _count(self, m, p, given):
        """The number of an output's bits, as many cycles later as its counter has."""
        held = {(bit, 0): value for bit, value in enumerate(given)}

        def at(bit, cycle):
            if (bit, cycle) not in held:
                held[bit, cycle] = register(m, at(bit, cycle - 1), f"bit{p}_{bit}_{cycle}")
            return held[bit, cycle]

        for adder in self.counter.adders:
            cycle, within = divmod(adder.level - 1, LEVELS)
            a, b, *c = (at(bit, cycle) for bit in adder.bits)
            for bit, value in (
                (adder.total, a ^ b ^ c[0] if c else a ^ b),
                (adder.carry, majority(a, b, *c) if c else a & b),
            ):
                if within == LEVELS - 1:
                    held[bit, cycle + 1] = register(m, value, f"bit{p}_{bit}")
                else:
                    # Kept, lest synthesis make LUTs of more inputs, which are two.
                    held[bit, cycle] = Signal(name=f"bit{p}_{bit}", attrs={"keep": 1})
                    m.d.comb += held[bit, cycle].eq(value)
        return Cat(at(bit, self.counter.cycles) for bit in self.counter.totals)
