# amaranth: UnusedElaboratable=no
"""Memories: where each one lies in a device, how many blocks it takes, and the attributes that see to it.

Synthesis by itself puts logic around a memory for the case that a word is read in the cycle in which it is written,
because not every block gives the old word then. No unit here reads such a word, or uses what it read: hence
``no_rw_check``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_

import numpy as np
from amaranth import unsigned
from amaranth.lib.memory import Memory

from .target import Family, Ram


@dataclass(frozen=True)
class Placement:
    """Where a memory of `depth` words of `width` bits lies.

    Attributes
    ----------
    kind : the family's name of its blocks; "LUT" for look-up tables used as memory, "ROM" for look-up tables that give
        constants, "FF" for flip-flops; "" where the family leaves it to synthesis
    blocks : how many blocks of the kind
    luts, ffs : what it takes of them: the memory, and what selects among its parts
    rows : blocks that lie behind each other, of which an address selects one
    holds : what lies in it, in words; "" where nobody has said
    """

    width: int
    depth: int
    kind: str
    blocks: int = 0
    luts: int = 0
    ffs: int = 0
    block_bits: int = 0
    rows: int = 1
    holds: str = ""

    @property
    def stored(self) -> int:
        """Bits it has to hold."""
        return self.width * self.depth

    @property
    def occupied(self) -> int:
        """Bits of the blocks it takes; 0 where it takes none."""
        return self.blocks * self.block_bits


@dataclass(frozen=True)
class _Built:
    """A memory of one Ram: `parts` of it, of which `rows` lie behind each other."""

    ram: Ram
    parts: int
    rows: int
    cost: float

    @property
    def units(self) -> int:
        return self.parts * self.ram.units


def _builds(width: int, depth: int, rams: Sequence[Ram], rom: bool) -> Iterator[_Built]:
    """All ways to build a memory, with the cost by which Yosys chooses among them (memory_libmap)."""
    for ram in rams:
        for unit, height in ram.shapes.items():
            rows = -(-depth // height)
            granule = 1 if rom else min(ram.byte or unit, unit)
            parts = -(-rows * -(-width // granule) * granule // unit)
            cost = (ram.cost - ram.scale) * parts + ram.scale * rows * width / unit
            select = (rows - 1) * width + (0 if rom or rows == 1 else rows)
            yield _Built(ram, parts, rows, cost + select / 2)


@cache
def _built(width: int, depth: int, rams: tuple[Ram, ...], rom: bool) -> _Built:
    """The cheapest; the first of those that cost the same."""
    return min(_builds(width, depth, rams, rom), key=lambda built: built.cost)


def place(
    width: int, depth: int, family: Family, *, rom: bool = False, clocked: bool = True, luts: int | None = None
) -> Placement:
    """Where a memory with one write port (none: a `rom`) and one read port lies in the devices of a family.

    In blocks unless the look-up tables that would do are fewer than the blocks are worth, or the read port is not
    `clocked`. A few bits, and what the family's look-up tables cannot hold, lie in flip-flops. `luts` is how many
    look-up tables give the words of a `rom`, where that is known better than for words without a pattern.
    """
    if not family.blocks:
        return Placement(width, depth, "")
    if rom:
        soft = Placement(width, depth, "ROM", luts=rom_luts(width, depth, family) if luts is None else luts)
    elif family.lut_rams and (built := _built(width, depth, family.lut_rams, rom)).cost < width * depth:
        soft = Placement(width, depth, "LUT", luts=built.units + _select(width, built.rows, rom, family))
    else:
        chosen = max(depth - 1, 0) if depth <= 4 else round(0.8 * depth)  # measured: for every bit, to read it
        soft = Placement(width, depth, "FF", luts=chosen * width + depth, ffs=width * depth)
    if not clocked or not width:
        return soft
    hard = in_blocks(width, depth, family.blocks, family, rom=rom)
    return soft if soft.luts < hard.blocks * family.worth else hard


def in_blocks(width: int, depth: int, rams: tuple[Ram, ...], family: Family, *, rom: bool = False) -> Placement:
    """Where a memory lies in the blocks given."""
    built = _built(width, depth, rams, rom)
    return Placement(
        width,
        depth,
        built.ram.kind,
        blocks=built.units,
        luts=_select(width, built.rows, rom, family),
        ffs=(built.rows - 1).bit_length(),
        block_bits=built.ram.bits // built.ram.units,
        rows=built.rows,
    )


def _select(width: int, rows: int, rom: bool, family: Family) -> int:
    """Look-up tables that choose among memories that lie behind each other."""
    return width * mux_luts(rows, family) + (0 if rom or rows == 1 else rows)


def row_depth(depth: int, rows: int) -> int:
    """Words of each part of a memory that is cut into at most `rows`: a power of two."""
    return 1 << (-(-depth // rows) - 1).bit_length()


def mux_luts(ways: int, family: Family) -> int:
    """Look-up tables of a bit that is chosen from `ways`."""
    if family.inputs == 6:
        return -(-ways // 4) + (mux_luts(-(-ways // 8), family) if ways > 8 else 0) if ways > 1 else 0
    return -(-2 * (ways - 1) // 3)


def rom_luts(width: int, depth: int, family: Family) -> int:
    """Look-up tables that give words without a pattern, as many as are not alike by chance."""
    functions = alike(width, depth - 1)  # a column and its inverse are one
    if depth <= 4:
        return functions // 2
    if depth <= 1 << family.inputs:
        return functions
    if family.joins == 2:  # measured, beyond the two that are joined
        return round(functions * (2 if depth <= 32 else 0.135 * depth - 2.4))
    if family.joins == 1:
        return round(functions * (1 + 3 * (depth - 16) / 16 if depth <= 32 else 0.15 * depth))
    whole = family.joins << family.inputs
    if depth <= whole:
        return functions << (depth - 1 >> family.inputs).bit_length()
    return functions * (-(-depth >> family.inputs) + mux_luts(-(-depth // whole), family))


def alike(width: int, depth: int) -> int:
    """Columns of `depth` random bits of which, among `width`, no two are the same."""
    most = 1 << min(depth, 30)
    return round(most * -np.expm1(width * np.log1p(-1 / most))) if depth > 1 else 0


def varying(words: Sequence[int]) -> int:
    """Columns of a read-only memory that differ between its words: the others are constants and take nothing."""
    return reduce(or_, (word ^ words[0] for word in words), 0).bit_count()


def memory(
    width: int,
    depth: int,
    family: Family,
    init: Sequence[int] = (),
    *,
    clocked: bool = True,
    luts: int | None = None,
) -> Memory:
    """A memory that lies where ``place`` says; read-only where `init` gives its words.

    Its read port must not be asked for the word that is being written, or what it gives then must not be used.
    """
    where = place(varying(init) if init else width, depth, family, rom=bool(init), clocked=clocked, luts=luts)
    attrs = {"rom_style": "block"} if init and where.kind not in _STYLES else styles(where)
    return Memory(shape=unsigned(width), depth=depth, init=init, attrs=attrs)


_STYLES: Mapping[str, Mapping[str, object]] = {
    "": {},
    "ROM": {"ram_style": "logic", "rom_style": "distributed"},  # Yosys obeys the first, Vivado the second
    "LUT": {"ram_style": "distributed", "no_rw_check": 1},
    "FF": {"ram_style": "registers", "no_rw_check": 1},
}


def styles(where: Placement) -> Mapping[str, object]:
    """The attributes by which synthesis puts a memory with a write port there."""
    return _STYLES.get(where.kind, {"ram_style": "block", "no_rw_check": 1})
