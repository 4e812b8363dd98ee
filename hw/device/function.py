"""What a logic function of a few bits takes as look-up tables, from its values."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from .target import Family


def function_luts(words: tuple[int, ...], family: Family) -> int:
    """Look-up tables that give `words`, one for each of 2^n inputs: as Yosys was seen to make them of such functions.

    Fixed multiplexers, where the family has them, join tables at no cost, but then each bit has tables of its own.
    """
    parts = _parts(words, family.inputs)
    match family.name:
        case "gowin":
            return parts.whole
        case "ecp5":
            return round(0.9 * parts.leaves + 0.25 * parts.chosen + 0.1 * parts.whole)
        case "ice40" | "nexus":
            return parts.different + parts.chosen
    return round((parts.leaves + parts.whole) / 2)


@dataclass(frozen=True)
class _Parts:
    """What the bits of a function are made of: each is split by its highest inputs until one table holds the rest.

    leaves : such rests that are no constants
    different : the same, those that are alike or inverse counted once
    chosen : pairs of rests that a multiplexer chooses from, alike ones once
    whole : tables without a rest being a constant or like another
    """

    leaves: int
    different: int
    chosen: int
    whole: int


@lru_cache
def _parts(words: tuple[int, ...], inputs: int) -> _Parts:
    most = 1 << inputs
    columns = {_upright(bytes(word >> bit & 1 for word in words)) for bit in range(max(words).bit_length())}
    columns -= {bytes(len(words))}
    parts = [part for column in columns for part in _split(column, most)]
    leaves = [part for part in parts if len(part) <= most and any(part)]
    chosen = {part for part in parts if len(part) > most and all(map(_varies, _halves(part)))}
    whole = sum(-(-(1 << _inputs(column)) // most) for column in columns)
    return _Parts(len(leaves), len(set(leaves)), len(chosen), whole)


def _split(column: bytes, most: int) -> Iterator[bytes]:
    """The column and those its halves are split into, until they have at most so many values or need no splitting."""
    column = _upright(column)
    low, high = _halves(column)
    if low == high and len(column) > 1:
        yield from _split(low, most)
        return
    yield column
    if len(column) > most:
        yield from _split(low, most)
        yield from _split(high, most)


def _upright(column: bytes) -> bytes:
    """The column or its inverse, which take the same, whichever begins with 0."""
    return bytes(1 - value for value in column) if column[0] else column


def _halves(column: bytes) -> tuple[bytes, bytes]:
    """What it is where the highest input is 0, and where it is 1."""
    middle = len(column) // 2
    return column[:middle], column[middle:]


def _varies(column: bytes) -> bool:
    return any(value != column[0] for value in column)


def _inputs(column: bytes) -> int:
    """How many inputs it hangs on."""
    count = (len(column) - 1).bit_length()
    places = range(len(column))
    return sum(any(column[place] != column[place ^ 1 << bit] for place in places) for bit in range(count))
