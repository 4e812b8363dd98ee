"""Agreements counted in chains of additions, for LUTs of six inputs in front of a carry.

What a full adder carries is a function of three codes and three bits of weights, one LUT. An addition counts six such
bits: one is the adder's carry, and of the number of the other five each bit is, xor the bit it is added to, one LUT.
"""

from itertools import pairwise

import numpy as np
from amaranth import Cat, Const, Module, Value
from numpy.typing import NDArray

from ..device.arithmetic import tree
from ..device.memory import alike
from ..device.resources import Resources
from ..device.target import Family
from .dot import tree_resources
from .popcount import PopcountArray, majority, register

FIRST, NEXT = 7, 6
"""Bits that the first addition of a chain counts, and each one behind it."""


def _count(bits: list[Value]) -> Value:
    """How many of up to five bits are 1, in logic that synthesis puts into the LUTs of an adder."""
    a, b, c, d, e = bits + [Const(0, 1)] * (5 - len(bits))
    s = a ^ b ^ c
    first, second = majority(a, b, c), majority(s, d, e)
    return Cat(s ^ d ^ e, first ^ second, first & second)[: len(bits).bit_length()]


class PopcountChain(PopcountArray):
    """The array for codes of one bit and LUTs of six inputs.

    Each chain has an odd number of inputs. Its parity so far and two more inputs go into a full adder, again and again;
    one addition counts what the full adders of a position carry. An input that is left is the accumulators' carry.

    Parameters
    ----------
    simd, pe, width : as DotArray's
    chain : most additions of a chain
    turns : as DotArray's
    """

    def __init__(self, simd: int, pe: int, width: int, chain: int, turns: int = 1):
        # So many chains that the full adders of each find a place.
        self.chains = max(1, -(-(simd - 1) // (2 * (FIRST + NEXT * (chain - 1)) + 1)))
        self.carried = (simd - self.chains) % 2
        adders = (simd - self.chains) // 2
        each = [len(range(c, adders, self.chains)) for c in range(self.chains)]
        # The inputs of each position and chain.
        self.places: list[list[range]] = []
        start = 0
        while not self.places or any(each):
            row = []
            for c, left in enumerate(each):
                taken = min(left, NEXT if self.places else FIRST)
                row.append(range(start, start + 2 * taken + (not self.places)))
                each[c], start = left - taken, row[-1].stop
            self.places.append(row)
        edges = [*(row[0].start for row in self.places), simd]
        positions = [range(start, stop) for start, stop in pairwise(edges)]
        self.levels = (self.chains - 1).bit_length()
        super().__init__(simd, pe, 1, width, positions, len(positions) + 2 + self.levels + 1, turns)

    def steering(self, weights: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        """Whether the weight is -1; of every second one behind a chain's first, the parity of the chain so far."""
        bits = ~weights
        given = bits.copy()
        for chain in zip(*self.places, strict=True):
            inputs = [k for places in chain for k in places]
            given[..., inputs[2::2]] = np.logical_xor.accumulate(bits[..., inputs], axis=-1)[..., 2::2]
        return self.split(given)

    def resources(self, family: Family, *, constant: bool = False) -> Resources:
        adders = (self.simd - self.chains) // 2
        shared = Resources(adders, 3 * adders + len(self.positions) * self.chains + self.carried)
        each = Resources(self.chains + self.carried, 2 * self.chains + self.carried * (2 + self.levels))
        if constant:
            shared += Resources(1, 1) * (adders * alike(self.pe, 3))  # of each full adder one of eight functions
        else:
            each += Resources(adders, adders + self.chains * (len(self.positions) - 1))
        counted = [0] * self.chains
        for k, row in enumerate(self.places):
            for c, inputs in enumerate(row):
                new = len(inputs) // 2
                counted[c] += new
                beside = max(0, new - 1 - (not k))  # neither the carry nor the first addition's other operand
                each += Resources(beside.bit_length(), counted[c].bit_length())
        each += tree_resources([2 * count + 1 for count in counted], family)
        return self.frame_resources() + shared + (each + self.accumulator_resources(family)) * self.pe

    def elaborate(self, platform):
        m = Module()

        def add(counted, carries, most, name):
            """A chain's next addition; `most` is the largest sum."""
            if not len(counted) and carries:
                counted, *carries = carries
            one, *others = carries or [Const(0, 1)]
            bits = most.bit_length()
            counted, others = (Cat(value, Const(0, bits))[:bits] for value in (counted, _count(others)))
            # The bit below carries `one`: it is added to itself. Of a subtraction Yosys puts the second operand, the
            # count of the others, into the adder's LUTs.
            return register(m, (Cat(one, counted) - ~Cat(one, others))[1 : bits + 1], name)

        waiting = self.waiting_codes(m)
        terms: list[list[tuple[Value, int]]] = [[] for _ in range(self.pe)]
        for c, chain in enumerate(zip(*self.places, strict=True)):
            # The chain's parity so far, of the codes and of each output's weights, and its counts.
            parity = waiting[0][chain[0][0]]
            steered = [self.weight(p, 0, chain[0][0]) for p in range(self.pe)]
            counted, most = [Const(0, 0)] * self.pe, 0
            for k, inputs in enumerate(chain):
                codes = dict(zip(range(self.positions[k].start, self.simd), waiting[k], strict=True))
                pairs = [(inputs[n], inputs[n + 1]) for n in range(not k, len(inputs), 2)]
                shared = []
                for a, b in pairs:
                    values = parity, codes[a], codes[b]
                    shared.append([register(m, value, f"shared{a}_{n}") for n, value in enumerate(values)])
                    parity = parity ^ codes[a] ^ codes[b]
                parity = register(m, parity, f"parity{c}_{k}")
                most += len(pairs)
                for p in range(self.pe):
                    carries = []
                    for (a, b), (before, one, other) in zip(pairs, shared, strict=True):
                        n, after = self.weight(p, k, a), self.weight(p, k, b)
                        # The bit of b's weight is what makes the parity. With the parities in its place synthesis
                        # would share an exclusive or with the next full adder, and make two LUTs of this one.
                        carry = majority(before ^ steered[p], one ^ n, other ^ steered[p] ^ n ^ after)
                        carries.append(register(m, carry, f"carry{p}_{a}"))
                        steered[p] = after
                    counted[p] = add(counted[p], carries, most, f"count{p}_{c}_{k}")
                    if k + 1 < len(chain):
                        steered[p] = register(m, steered[p], f"steered{p}_{c}_{k}")
            for p in range(self.pe):
                single = register(m, parity ^ steered[p], f"single{p}_{c}")
                terms[p].append((Cat(register(m, single, f"least{p}_{c}"), counted[p]), 2 * most + 1))

        spare = self.spare(m, waiting[-1][-1])
        self.accumulate(m, [tree(m, row, self.levels, f"tree{p}")[0] for p, row in enumerate(terms)], spare)
        return m
