"""A circuit run on unknowns: what it computes of them as a sum of products with constants, exactly.

Where the control of a circuit is given, its words are numbers or *forms*: sums of constants times unknowns, modulo the
word's range. Additions, inversions and choices of terms keep forms; a word is extended only where its form's interval
shows that nothing was lost. What is no form is not known, and nothing is claimed of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .circuit import Circuit, Node


@dataclass(frozen=True)
class Floor:
    """A form over 2^bits, rounded down: its bits from `bits` on. It is as unknown as the form, but lies in an interval.

    form : what tells it from others
    """

    form: tuple[object, ...]
    bits: int
    interval: tuple[int, int]


@dataclass(frozen=True)
class Form:
    """constant + sum of factors times unknowns + sum of factors times floors.

    Attributes
    ----------
    factors : int64 [unknowns]
    tops : int64 [unknowns], the most that each is; the least is 0
    floors : the floors with their factors, of which none is 0
    """

    factors: NDArray[np.int64]
    constant: int
    tops: NDArray[np.int64]
    floors: Mapping[Floor, int] = field(default_factory=dict)

    @property
    def interval(self) -> tuple[int, int]:
        products = self.factors * self.tops
        low, high = self.constant + int(products[products < 0].sum()), self.constant + int(products[products > 0].sum())
        for floor, factor in self.floors.items():
            ends = sorted(factor * end for end in floor.interval)
            low, high = low + ends[0], high + ends[1]
        return low, high

    def plus(self, other: Form | int, times: int = 1) -> Form:
        if isinstance(other, int):
            return Form(self.factors, self.constant + times * other, self.tops, self.floors)
        floors = self.floors
        if other.floors:
            every = {each: floors.get(each, 0) + times * other.floors.get(each, 0) for each in (*floors, *other.floors)}
            floors = {each: factor for each, factor in every.items() if factor}
        return Form(self.factors + times * other.factors, self.constant + times * other.constant, self.tops, floors)

    def times(self, factor: int) -> Form:
        floors = {floor: factor * each for floor, each in self.floors.items()}
        return Form(self.factors * factor, self.constant * factor, self.tops, floors)

    def divides(self, by: int) -> bool:
        """Whether all factors are multiples of a number."""
        return not (self.factors % by).any() and not any(factor % by for factor in self.floors.values())

    def over(self, bits: int) -> Form:
        """The form over 2^bits, rounded down."""
        if self.divides(1 << bits):
            floors = {floor: factor >> bits for floor, factor in self.floors.items()}
            return Form(self.factors >> bits, self.constant >> bits, self.tops, floors)
        low, high = self.interval
        same = self.factors.tobytes(), self.constant, frozenset(self.floors.items())
        floor = Floor(same, bits, (low >> bits, high >> bits))
        return Form(np.zeros_like(self.factors), 0, self.tops, {floor: 1})

    def low(self, bits: int) -> Form:
        """The form modulo 2^bits."""
        return self.within(bits) or self.plus(self.over(bits), -(1 << bits))

    def within(self, width: int, signed: bool = False) -> Form | None:
        """The form, less a multiple of 2^width, that lies in the range of such a word; None where none does."""
        least = -(1 << width - 1) if signed else 0
        low, high = self.interval
        moved = self.plus(-((low - least) >> width << width))
        return moved if high + moved.constant - self.constant < least + (1 << width) else None


Number = int | Form
Word = tuple[tuple[int, Number | None], ...]
"""Segments of a word, the lowest first: bits, and the number that they hold, modulo their range; None if unknown."""


def number(value: Number | None, width: int) -> Word:
    return ((width, value % (1 << width) if isinstance(value, int) else value),)


def whole(word: Word) -> Number | None:
    """The number that a word holds, modulo its range."""
    total: Number | None = 0
    start = 0
    for place, (width, value) in enumerate(word):
        if isinstance(value, Form) and place < len(word) - 1:
            value = value.low(width)
        if value is None or total is None:
            return None
        moved = value << start if isinstance(value, int) else value.times(1 << start)
        total = plus(total, moved)
        start += width
    return total


def plus(one: Number, other: Number, times: int = 1) -> Number:
    if isinstance(one, Form):
        return one.plus(other, times)
    return one + times * other if isinstance(other, int) else other.times(times).plus(one)


def part_of(word: Word, high: int, low: int) -> Word:
    """The bits from `low` to `high`."""
    found: list[tuple[int, Number | None]] = []
    start = 0
    for width, value in word:
        first, last = max(low - start, 0), min(high - start + 1, width)
        if first < last:
            found.append((last - first, _part(value, width, first, last)))
        start += width
    return joined(found)


def _part(value: Number | None, width: int, first: int, last: int) -> Number | None:
    """Bits first to last - 1 of a segment."""
    if isinstance(value, int):
        return value >> first & (1 << last - first) - 1
    if value is None or first == 0:
        return value
    inside = value.within(width)
    return 0 if inside is not None and 0 <= inside.interval[1] < 1 << first else value.over(first)


def joined(segments: Iterable[tuple[int, Number | None]]) -> Word:
    """Segments, with numbers side by side made one, and so are two parts that are one form again."""
    found: list[tuple[int, Number | None]] = []
    for width, value in segments:
        if found and isinstance(value, int) and isinstance(found[-1][1], int):
            before, low = found[-1][0], found[-1][1]
            found[-1] = before + width, low | value << before
        elif found and isinstance(value, Form) and isinstance(found[-1][1], Form) and value.floors:
            before, low = found[-1][0], found[-1][1]
            whole = low.plus(low.over(before), -(1 << before)).plus(value, 1 << before)
            if whole.floors:
                found.append((width, value))
            else:
                found[-1] = before + width, whole
        elif width:
            found.append((width, value))
    return tuple(found)


def _known(word: Word) -> int:
    """How many of a word's low bits are known."""
    bits = 0
    for width, value in word:
        if value is None:
            break
        bits += width
    return bits


def _masked(op: str, word: Word, mask: int) -> Word:
    """A word and, or, exclusive or a constant."""
    found: list[tuple[int, Number | None]] = []
    for width, value in word:
        here, mask = mask & (1 << width) - 1, mask >> width
        ones = (1 << width) - 1
        if isinstance(value, int):
            value = {"and": value & here, "or": value | here, "xor": value ^ here}[op]
        elif here not in (0, ones):
            value = None
        elif op == "and":
            value = value if here else 0
        elif op == "or":
            value = ones if here else value
        elif here and value is not None:
            value = value.times(-1).plus(-1)
        found.append((width, value))
    return joined(found)


_COMPARE = {
    "eq": int.__eq__, "neq": int.__ne__, "ult": int.__lt__, "ulte": int.__le__, "ugt": int.__gt__, "ugte": int.__ge__,
    "slt": int.__lt__, "slte": int.__le__, "sgt": int.__gt__, "sgte": int.__ge__,
}  # fmt: skip


def _apply(node: Node, args: list[Word]) -> Word:
    """What a node gives."""
    width = node.width
    match node.op:
        case "slice":
            return part_of(args[0], *node.data)
        case "concat":
            return joined((*args[1], *args[0]))
        case "uext":
            return joined((*args[0], (node.data[0], 0)))
        case "sext":
            *low, (bits, top) = args[0]
            if isinstance(top, Form):
                inside = top.within(bits, signed=True)
                if inside is None:  # its own bits are known, those above are not
                    return joined((*args[0], (node.data[0], None)))
                top = inside
            elif top is not None:
                top = top - (top >> bits - 1 << bits)
            return joined((*low, *number(top, bits + node.data[0])))
        case "ite":
            choice = whole(args[0])
            return args[1 if choice else 2] if isinstance(choice, int) else number(None, width)
        case "not":
            return _masked("xor", args[0], (1 << width) - 1)
        case "and" | "or" | "xor":
            one, other = (whole(arg) if len(arg) == 1 else None for arg in args)
            if isinstance(one, int):
                return _masked(node.op, args[1], one)
            return _masked(node.op, args[0], other) if isinstance(other, int) else number(None, width)
    if node.op in ("add", "sub") and (known := min(map(_known, args))) < width:
        # The low bits of a sum hang on low bits alone.
        one, other = (whole(part_of(arg, known - 1, 0)) for arg in args)
        low = None if one is None or other is None else plus(one, other, -1 if node.op == "sub" else 1)
        return joined((*number(low, known), (width - known, None)))
    values = [whole(arg) for arg in args]
    if any(value is None for value in values):
        return number(None, width)
    match node.op:
        case "add":
            return number(plus(values[0], values[1]), width)
        case "sub":
            return number(plus(values[0], values[1], -1), width)
        case "neg":
            return number(plus(0, values[0], -1), width)
    if not all(isinstance(value, int) for value in values):
        return number(None, width)
    bits = sum(bits for bits, _ in args[0])
    match node.op:
        case "redor":
            return number(int(values[0] != 0), 1)
        case "redand":
            return number(int(values[0] == (1 << bits) - 1), 1)
        case "redxor":
            return number(values[0].bit_count() % 2, 1)
    if node.op in _COMPARE:
        if node.op.startswith("s"):
            values = [value - (value >> bits - 1 << bits) for value in values]
        return number(int(_COMPARE[node.op](*values)), 1)
    return number(None, width)


def driven(circuit: Circuit, place: int, word: Word) -> dict[int, Word]:
    """What the nodes that a node is put together from must be for it to be `word`: synthesis reads those directly."""
    parts: dict[int, list[tuple[int, int, Number | None]]] = {}
    stack = [(place, 0, word)]
    while stack:
        here, low, value = stack.pop()
        node = circuit.nodes[here]
        bits = sum(width for width, _ in value)
        if node.op == "concat":
            split = circuit.nodes[node.args[1]].width
            below = max(0, min(bits, split - low))
            if below:
                stack.append((node.args[1], low, part_of(value, below - 1, 0)))
            if below < bits:
                stack.append((node.args[0], max(0, low - split), part_of(value, bits - 1, below)))
        elif node.op == "slice":
            stack.append((node.args[0], low + node.data[1], value))
        else:
            for width, segment in value:
                parts.setdefault(here, []).append((low, width, segment))
                low += width
    found: dict[int, Word] = {}
    for here, segments in parts.items():
        filled: list[tuple[int, Number | None]] = []
        at = 0
        for low, width, segment in sorted(segments, key=lambda part: part[0]):
            filled += [(low - at, None), (width, segment)]
            at = low + width
        filled.append((circuit.nodes[here].width - at, None))
        found[here] = joined(filled)
    return found


@dataclass
class Run:
    """A circuit in its cycles; all registers are unknown until something known comes into them.

    Parameters
    ----------
    roots : nodes that `step` gives
    contents : the words of memories
    """

    circuit: Circuit
    roots: tuple[int, ...]
    contents: Mapping[int, Sequence[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.states: dict[int, Word] = {}

    def step(self, given: Mapping[int, Word]) -> dict[int, Word]:
        """The roots in this cycle, where the nodes `given` are what they are said to be."""
        circuit, words = self.circuit, dict(given)
        if not hasattr(self, "_order"):
            self._order = self._cone(given)
        for place in self._order:
            if place in words:
                continue
            node = circuit.nodes[place]
            if node.op == "const":
                words[place] = number(node.data[0], node.width)
            elif place in self.contents and not node.address:  # a memory of one word
                words[place] = number(self.contents[place][0], node.width)
            elif node.op == "state":
                words[place] = self.states.get(place, number(None, node.width))
            elif node.op == "read" and node.args[0] in self.contents:
                row = whole(words[node.args[1]])
                stored = self.contents[node.args[0]]
                known = stored[row] if isinstance(row, int) and row < len(stored) else None
                words[place] = number(known, node.width)
            elif node.op in ("input", "read", "write") or node.address:
                words[place] = number(None, node.width)
            else:
                words[place] = _apply(node, [words[arg] for arg in node.args])
        self.states = {place: words[circuit.next[place]] for place in self._held}
        return {root: words[root] for root in self.roots}

    def _cone(self, given: Mapping[int, Word]) -> list[int]:
        """What the roots hang on, through registers too, but not through what is given."""
        circuit, seen, stack = self.circuit, set(), list(self.roots)
        while stack:
            place = stack.pop()
            if place in seen:
                continue
            seen.add(place)
            if place in given:
                continue
            stack.extend(circuit.nodes[place].args)
            if place in circuit.next:
                stack.append(circuit.next[place])
        self._held = [place for place in seen if place in circuit.next and place not in given]
        return sorted(seen)
