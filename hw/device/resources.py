"""What a unit takes of a device, before synthesis: look-up tables, flip-flops, memories.

Each unit declares its own; here are the parts they are made of. The figures are what Yosys makes of such parts where
they are not on the longest path; there it doubles logic to gain speed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ...model.tensor import signed_bits
from .memory import Placement, place
from .target import Family


@dataclass(frozen=True)
class Share:
    """Look-up tables and flip-flops of the part of a unit that has a name."""

    name: str
    luts: int
    ffs: int

    def __mul__(self, times: int) -> Share:
        return Share(self.name, self.luts * times, self.ffs * times)


@dataclass(frozen=True)
class Resources:
    """Look-up tables (those of memories included), flip-flops, and where the memories lie.

    shares : what of them is in parts that have names; the rest has none
    """

    luts: int = 0
    ffs: int = 0
    memories: tuple[Placement, ...] = ()
    shares: tuple[Share, ...] = ()

    def __add__(self, other: Resources) -> Resources:
        memories, shares = self.memories + other.memories, self.shares + other.shares
        return Resources(self.luts + other.luts, self.ffs + other.ffs, memories, shares)

    def __mul__(self, times: int) -> Resources:
        shares = tuple(share * times for share in self.shares)
        return Resources(self.luts * times, self.ffs * times, self.memories * times, shares)

    def named(self, name: str) -> Resources:
        """The same, where what has no name yet has this one: it is what logic is for, and what memories hold."""
        rest = self.unnamed
        memories = tuple(memory if memory.holds else replace(memory, holds=name) for memory in self.memories)
        return replace(self, memories=memories, shares=(*self.shares, Share(name, rest.luts, rest.ffs)))

    @property
    def unnamed(self) -> Share:
        """What is in no share, with "" as its name."""
        shares = self.shares
        return Share("", self.luts - sum(each.luts for each in shares), self.ffs - sum(each.ffs for each in shares))

    def cells(self, family: Family) -> int:
        """Look-up tables, and flip-flops that take the place of one."""
        return round(self.luts + family.apart * self.ffs)

    @property
    def blocks(self) -> Mapping[str, int]:
        """Memory blocks by kind."""
        kinds = {placement.kind: 0 for placement in self.memories if placement.blocks}
        for placement in self.memories:
            if placement.blocks:
                kinds[placement.kind] += placement.blocks
        return kinds


def total(parts: Iterable[Resources]) -> Resources:
    """All of them together."""
    return sum(parts, Resources())


def stored(where: Placement) -> Resources:
    """A memory."""
    return Resources(where.luts, where.ffs, (where,))


def adder(bits: int, family: Family) -> int:
    """LUTs of a sum or difference of two numbers of up to `bits` bits, with a bit more where it may carry."""
    if family.fabric == "ecp5":
        return 2 * -(-(bits + 1) // 2) + family.start  # two bits a carry cell
    return bits + (bits >= 8 and family.inputs == 4)


def add_constant(bits: int, family: Family) -> int:
    """LUTs of a number plus a constant."""
    return 0 if family.fabric == "xc7" else adder(bits - 1, family)  # xc7's carry takes the number as it is


def comparison(bits: int, family: Family) -> int:
    """LUTs that say which of two numbers is the larger."""
    if bits <= 2 or family.inputs == 6:
        return max(1, round(0.75 * bits))
    return adder(bits, family) if family.fabric == "ecp5" else bits + (family.fabric == "gowin")


def equals(bits: int, family: Family) -> int:
    """LUTs that say whether `bits` bits have one certain value, or whether any is set."""
    return -(-max(0, bits - 1) // (family.inputs - 1))


def clip(lo: int, hi: int, top: int, family: Family) -> int:
    """LUTs that clip a number from `lo` to `hi` to what lies from 0 to `top`."""
    bits, wide = max(1, top.bit_length()), signed_bits(lo, hi)
    if hi <= top:
        return bits if lo < 0 else 0
    # Without a sign Yosys compares by the upper bits alone.
    carried = lo < 0 and (family.fabric == "gowin" or (family.fabric == "ecp5" and wide > 6))
    return bits + (adder(wide - 1, family) if carried else equals(wide - bits, family))


def counter(values: int, family: Family) -> Resources:
    """A counter of 0 to `values` - 1 that begins anew, when told to step."""
    bits = (values - 1).bit_length()
    wraps = values & (values - 1) != 0
    if family.inputs == 6 or bits <= 3:
        luts = bits - (not wraps and bits > 1) + (equals(bits, family) if bits > 5 else 0)
    else:
        luts = add_constant(bits, family) + (bits + equals(bits, family) if wraps else 0)
    return Resources(max(0, luts), bits)


def level(top: int, family: Family) -> Resources:
    """A number from 0 to `top` that goes up and down by one."""
    bits = top.bit_length()
    return Resources(bits if family.inputs == 6 or bits <= 3 else 2 * bits + 3, bits)


def fifo(width: int, depth: int, family: Family) -> Resources:
    """Amaranth's SyncFIFO: `depth` words behind a read port without a clock."""
    memory = stored(place(width, depth, family, clocked=False))
    return memory + counter(depth, family) * 2 + level(depth, family) + Resources(4)
