# amaranth: UnusedElaboratable=no
"""Check bits behind the words of a read-only memory, and the circuit that tells, or corrects, words with flipped bits.

Parity tells of an odd number of flips in a word. The code that corrects (Hsiao, IBM J. Res. Dev. 14, 1970) has each
bit in an odd number of checks, at least three, each bit in others; a check bit is in its own alone. The checks that
fail are the *syndrome*. After one flip it is that bit's checks, which name it; after two their number is even, as no
bit's is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from itertools import combinations
from operator import or_

import numpy as np
from amaranth import Cat, Const, Module, Signal, Value
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from .arithmetic import later
from .component import Component
from .memory import place
from .resources import Resources, equals
from .target import Family

PROTECT = ("none", "parity", "ecc")
"""What read-only weight memories have: nothing, a bit a word, or check bits that correct a flip and tell of two."""

NARROW, WIDEST = 64, 120
"""Bits that have check bits of their own: eight each. Parts as wide as the latter only where that saves a block."""
AT_ONCE = 16
"""Bits whose parity is one register: two levels of look-up tables."""
HALF = 4
"""Bits of a syndrome that are decoded at once."""


def check_bits(width: int) -> int:
    """The fewest that correct a flip, and tell of two, in `width` bits: each bit has a set of three or more, odd."""
    return next(checks for checks in range(1, 64) if 2 ** (checks - 1) - checks >= width)


@lru_cache(256)
def columns(width: int) -> tuple[int, ...]:
    """The checks that each bit is in, as the bits of a number; few each, and all checks have nearly as many bits."""
    checks = check_bits(width)
    found: list[int] = []
    load = np.zeros(checks, np.int64)
    for size in range(3, checks + 1, 2):
        left = list(combinations(range(checks), size))
        while left and len(found) < width:
            best = min(left, key=lambda some: sorted(load[list(some)], reverse=True))
            left.remove(best)
            load[list(best)] += 1
            found.append(sum(1 << check for check in best))
    return tuple(found)


@dataclass(frozen=True)
class Code:
    """How words of `width` bits are protected.

    parts : among which the bits of a word are dealt out in turn, so that neighbours are of different ones; each has
        check bits of its own
    corrects : one flip in each part is corrected, and two are told; else there is one part, whose parity is told
    """

    width: int
    parts: int = 1
    corrects: bool = True

    @cached_property
    def columns(self) -> tuple[tuple[int, ...], ...]:
        """Of each part the checks of its bits."""
        widths = (len(range(part, self.width, self.parts)) for part in range(self.parts))
        return tuple(columns(width) if self.corrects else (1,) * width for width in widths)

    @cached_property
    def checks(self) -> tuple[int, ...]:
        """Check bits of each part."""
        return tuple(check_bits(len(each)) if self.corrects else 1 for each in self.columns)

    @property
    def stored(self) -> int:
        """Bits of a word with its check bits, which lie behind it, part by part."""
        return self.width + sum(self.checks)

    @property
    def latency(self) -> int:
        """Cycles by which words come later."""
        return 2 if self.corrects else 0

    def encode(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Words, bool [words, width], with their check bits, bool [words, stored]."""
        found = [rows]
        for part, (each, checks) in enumerate(zip(self.columns, self.checks, strict=True)):
            wanted = np.array([[column >> check & 1 for check in range(checks)] for column in each], np.int64)
            found.append(rows[:, part :: self.parts].astype(np.int64) @ wanted % 2 == 1)
        return np.concatenate(found, axis=1)

    def resources(self, family: Family) -> Resources:
        """What the circuit takes of a device of the family."""
        if not self.corrects:
            found, bits = Resources(0, 1), self.stored
            while bits > AT_ONCE:
                groups = -(-bits // AT_ONCE)
                luts = sum(equals(len(range(k, bits, groups)), family) for k in range(groups))
                found, bits = found + Resources(luts, groups + 1), groups
            return found + Resources(equals(bits + 1, family))
        found = Resources(2, 2 + 1 + 2 * self.width)
        for each, checks in zip(self.columns, self.checks, strict=True):
            inputs = [1 + sum(column >> check & 1 for column in each) for check in range(checks)]
            found += Resources(sum(equals(count, family) for count in inputs), checks)
            if checks < family.inputs:
                found += Resources(len(each))
            else:
                halves = {column & (1 << HALF) - 1 for column in each}, {column >> HALF for column in each}
                found += Resources(len(each) + sum(map(len, halves)))
            # Whether the syndrome is a bit's, and whether there is one.
            found += Resources((2 << max(0, checks - family.inputs)) + equals(checks, family))
        return found


def code_for(width: int, depth: int, family: Family, protect: str) -> Code | None:
    """How a memory of a family is protected, `protect` one of PROTECT; by the fewest blocks, then look-up tables.

    None where it is not protected.
    """
    if protect == "none":
        return None
    if protect == "parity":
        return Code(width, corrects=False)

    def cost(code: Code) -> tuple[int, ...]:
        where = place(code.stored, depth, family, rom=True)
        return where.blocks, where.luts, -(-width // code.parts) > NARROW, code.parts

    return min((Code(width, parts) for parts in range(-(-width // WIDEST), -(-width // NARROW) + 1)), key=cost)


class Checker(Component):
    """Words of a Code out of their memory, checked, and corrected where it can.

    Members
    -------
    word : In(code.stored), any time; used : In(1), it is a word that is used
    data : Out(code.width), it, corrected, code.latency cycles later
    corrected, detected : Out(1), some cycles after a word that is used: it was corrected; it has flips that cannot be
    """

    def __init__(self, code: Code):
        self.code = code
        super().__init__(
            {
                "word": In(code.stored),
                "used": In(1),
                "data": Out(code.width),
                "corrected": Out(1),
                "detected": Out(1),
            }
        )

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        return self.code.resources(family)

    def elaborate(self, platform):
        m = Module()
        if self.code.corrects:
            self._correct(m)
        else:
            m.d.comb += self.data.eq(self.word)
            self._tell(m)
        return m

    def _tell(self, m: Module) -> None:
        bits, used, level = self.word, self.used, 0
        while len(bits) > AT_ONCE:
            groups = -(-len(bits) // AT_ONCE)
            parities = Signal(groups, name=f"parities{level}", reset_less=True)
            m.d.sync += parities.eq(Cat(bits[k::groups].xor() for k in range(groups)))
            bits, used, level = parities, later(m, used, 1, f"used{level}_"), level + 1
        m.d.sync += self.detected.eq(used & bits.xor())

    def _correct(self, m: Module) -> None:
        code = self.code
        waiting = Signal(code.width, reset_less=True)
        m.d.sync += waiting.eq(self.word[: code.width])
        used = later(m, self.used, 1, "used")
        flips: list[Value] = [Const(0)] * code.width
        corrected, detected = [], []
        start = code.width
        for part, (each, checks) in enumerate(zip(code.columns, code.checks, strict=True)):
            bits, given = self.word[part : code.width : code.parts], self.word[start : start + checks]
            start += checks
            syndrome = Signal(checks, name=f"syndrome{part}", reset_less=True)
            for check in range(checks):
                inputs = (bit for bit, column in zip(bits, each, strict=True) if column >> check & 1)
                m.d.sync += syndrome[check].eq(Cat(given[check], *inputs).xor())
            flips[part :: code.parts] = _named(syndrome, each)
            known = reduce(or_, (1 << column for column in (*each, *(1 << check for check in range(checks)))))
            corrected.append(Const(known, 1 << checks).bit_select(syndrome, 1))
            detected.append(syndrome.any() & ~corrected[-1])
        # With a register of its own: what steers an array must come early in its cycle.
        data = Signal(code.width, name="whole", reset_less=True)
        m.d.sync += [
            data.eq(waiting ^ Cat(flips)),
            self.corrected.eq(used & Cat(corrected).any()),
            self.detected.eq(used & Cat(detected).any()),
        ]
        m.d.comb += self.data.eq(data)


def _named(syndrome: Signal, each: Sequence[int]) -> list[Value]:
    """Whether it is each of these. Its halves are decoded once, for all."""
    halves = [syndrome[:HALF], syndrome[HALF:]] if len(syndrome) > HALF else [syndrome]
    found = []
    for column in each:
        wanted = (column & (1 << HALF) - 1, column >> HALF)
        found.append(reduce(lambda a, b: a & b, (half == want for half, want in zip(halves, wanted, strict=False))))
    return found
