"""That partial results end as those of all pixels: of any one word of a map, or of a row of windows side by side.

A register of the proof's own says which word, and never changes. Another joins that word's codes as they come, in an
order that is counted from the layer's geometry alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...hw.stages.global_sum import GlobalSumStage
from ...hw.stages.running_pool import RunningPoolStage
from ...model.layers import MaxPool
from .circuit import Bits, Circuit
from .claims import Claim, Told
from .invariants import SUM_BITS
from .order import stored_at
from .rows import Kind
from .streams import GHOST, WORD, Subject, rounds

PARTIAL = Kind(
    "partial results",
    "each word that leaves is, in every lane, the sum or the largest of all pixels of its map or window and of no "
    "others; no sum leaves its width",
    "when it leaves",
)


def whole_maps(stage: GlobalSumStage, subject: Subject) -> Told:
    """The claim of a sum over maps."""
    circuit, source, sink = subject.circuit, subject.ports["i"], subject.ports["o"]
    words, pixels = stage.source.words, stage.source.tensor.pixels
    word, pixel = _count(circuit, source.passes, {"word": words, "pixel": pixels})
    [left] = _count(circuit, sink.passes, {"left": words})
    last = pixel.equals(pixels - 1)
    mine = _any(circuit, (words - 1).bit_length())
    followed = _follow(stage, circuit, source.passes & word.equals(mine), source.payload, pixel.equals(0), last)
    value = _Values(circuit)
    ended, offered = last.mux(word, 0), sink.valid.extend(SUM_BITS)
    right = (sink.valid & left.equals(mine)).implies(sink.payload.equals(followed.result))
    found = [
        *(number < count for number, count in ((word, words), (pixel, pixels), (left, words))),
        value["word"].equals(word),
        value["pixel"].equals(pixel),
        circuit["fresh"].equals(pixel.equals(0)),
        _round(left + offered, ended, words),
        right,
        *_passed(value, pixel * words + word, ended, offered, words),
    ]
    # From its map's first pixel on a partial sum lies where it is asked for.
    begun = (mine < words) & (~pixel.equals(0) | (mine < word))
    found.append((~pixel.equals(0) & word.equals(mine)).implies(circuit["partial"].equals(followed.total)))
    if words > 1:
        stored = stored_at(circuit, ["memory"], mine, words)
        following = word.equals(words - 1).mux(0, word + 1)
        asked, to = value["read__addr"], value["write__addr"]
        if stage.ahead == 1:
            found += [asked.equals(following), begun.implies(stored.equals(followed.total))]
        else:
            writes = circuit["write__en"]
            written = writes & to.equals(mine)
            found += [
                value["following"].equals(following),
                asked < words,
                _round(word + 2, asked, words),
                writes.implies((to < words) & _round(to + 1, word, words)),
                written.implies(circuit["write__data"].equals(followed.total)),
                (begun & ~written).implies(stored.equals(followed.total)),
                (begun & following.equals(mine)).implies(circuit["read__data"].equals(followed.total)),
            ]
    return Told([Claim(PARTIAL, right & circuit.const(_fits(stage, pixels), 1))], [found])


def windows_side_by_side(stage: RunningPoolStage, subject: Subject) -> Told:
    """The claim of a pool that joins pixels as they come."""
    circuit, source, sink = subject.circuit, subject.ports["i"], subject.ports["o"]
    size, words, columns = stage.layer.kernel, stage.source.words, stage.geometry.out_width
    row, column_words = columns * words, 1 << (words - 1).bit_length()
    loops = {"word": words, "across": size, "column": columns, "down": size}
    at = _Place(*_count(circuit, source.passes, loops), size)
    left_word, left_column = _count(circuit, sink.passes, {"left word": words, "left column": columns})
    mine_word, mine_column = (
        _any(circuit, (words - 1).bit_length(), "word"),
        _any(circuit, columns.bit_length(), "column"),
    )
    # The words under way: one's partial result is read, is in the register, and has been joined.
    step, valid, place, code = circuit["step"], source.valid, at, source.payload
    under_way = []
    for name in ("read", "fetched", "joined"):
        valid, place, code = (
            _held(circuit, f"{name} valid", step, valid),
            _Place(*(_held(circuit, f"{name} {k}", step, number) for k, number in enumerate(place.numbers)), size),
            _held(circuit, f"{name} code", step, code),
        )
        under_way.append(
            _Word(valid, place, code, valid & place.word.equals(mine_word) & place.column.equals(mine_column))
        )
    read, fetched, joined = under_way
    now = step & fetched.mine
    followed = _follow(stage, circuit, now, fetched.code, fetched.place.first, fetched.place.last)
    begun = _state(circuit, "begun", 1)
    circuit.drive(begun, begun | now)

    value = _Values(circuit)
    right = (sink.valid & left_word.equals(mine_word) & left_column.equals(mine_column)).implies(
        sink.payload.equals(followed.result)
    )
    found = [at.word < words, at.across < size, at.column < columns, at.down < size]
    found += [value[name].equals(number) for name, number in zip(loops, at.numbers, strict=True)]
    found += [left_word < words, left_column < columns]
    # Each register of the stage is the proof's; words come one behind the other, so no two are of one partial result.
    hardware = (
        ("asked", "before", "came", "first", "last"),
        ("here", "at", "code", "fresh", "ends"),
        ("\\$signature__en", "to", "", "", "o__valid"),
    )
    following = at.word
    for word, (valid, slot, code, first, last) in zip(under_way, hardware, strict=True):
        place = word.place
        found += [
            circuit[valid].equals(word.valid),
            circuit[last].equals(word.ends),
            word.valid.implies(value[slot].equals(place.column * column_words + place.word)),
            word.valid.implies(
                (place.word < words) & (place.column < columns) & _round(place.word + 1, following, words)
            ),
        ]
        if code:
            found += [
                word.valid.implies(circuit[code].equals(word.code)),
                word.valid.implies(circuit[first].equals(place.first)),
            ]
        following = word.valid.mux(place.word, following)
    # Those that end a window are the next to leave.
    leaves = left_column * words + left_word
    for word in reversed(under_way):
        index = word.place.column * words + word.place.word
        found.append(word.ends.implies(_round(leaves, index, row)))
        leaves = leaves + word.ends.extend(SUM_BITS)
    ended = at.column * words + at.across.equals(size - 1).mux(at.word, 0)
    ended = at.down.equals(size - 1).mux(ended, 0)
    found.append(_round(leaves, ended, row))
    # Before the first that is followed has been joined, no later one of its window comes.
    begins = mine_column * (size * words) + mine_word
    coming = at.down.equals(0) & ~(begins < (at.column * size + at.across) * words + at.word)
    legal = (mine_word < words) & (mine_column < columns)
    found += [begun.implies(legal), (~begun & legal).implies(coming | read.mine | fetched.mine)]
    found += [(~begun & word.mine).implies(word.place.first) for word in (read, fetched)]
    stored = stored_at(circuit, ["memory"], mine_column * column_words + mine_word, stage.depth)
    found += [
        (read.mine & ~read.place.first).implies(circuit["read__data"].equals(followed.total)),
        (fetched.mine & ~fetched.place.first).implies(circuit["so_far"].equals(followed.total)),
        joined.mine.implies(begun & circuit["joined"].equals(followed.total)),
        (joined.mine & joined.place.last).implies(followed.result.equals(followed.total)),
        (begun & ~joined.mine).implies(stored.equals(followed.total)),
        right,
    ]
    in_row = at.word + (at.across + at.column * size) * words + at.down * (size * row)
    ends = [word.ends.extend(SUM_BITS) for word in under_way]
    found += _passed(value, in_row, ended, ends[0] + ends[1] + ends[2], row)
    return Told([Claim(PARTIAL, right & circuit.const(_fits(stage, size * size), 1))], [found])


@dataclass(frozen=True)
class _Place:
    """In the loops over a row of windows, the innermost first; `size` pixels across and down."""

    word: Bits
    across: Bits
    column: Bits
    down: Bits
    size: int

    @property
    def numbers(self) -> tuple[Bits, Bits, Bits, Bits]:
        return self.word, self.across, self.column, self.down

    @property
    def first(self) -> Bits:
        """Of the window's pixels."""
        return self.across.equals(0) & self.down.equals(0)

    @property
    def last(self) -> Bits:
        return self.across.equals(self.size - 1) & self.down.equals(self.size - 1)


@dataclass(frozen=True)
class _Word:
    """One under way; `mine` : it is followed."""

    valid: Bits
    place: _Place
    code: Bits
    mine: Bits

    @property
    def ends(self) -> Bits:
        """It ends a window."""
        return self.valid & self.place.last


@dataclass(frozen=True)
class _Followed:
    """What the codes of the word that is followed have come to, and the same when they were all there."""

    total: Bits
    result: Bits


@dataclass(frozen=True)
class _Values:
    """A circuit's registers as numbers; 0 where there is none."""

    circuit: Circuit

    def __getitem__(self, name: str) -> Bits:
        return self.circuit[name].extend(SUM_BITS) if name in self.circuit else self.circuit.const(0, SUM_BITS)


def _state(circuit: Circuit, name: str, width: int) -> Bits:
    return circuit.state(f"{name}{GHOST}partial{WORD}", width)


def _any(circuit: Circuit, width: int, name: str = "word") -> Bits:
    """A number that is any one after a reset, and stays."""
    held = _state(circuit, f"mine {name}", max(1, width))
    circuit.drive(held, held, init=circuit.input(f"mine {name}{GHOST}partial", held.width))
    return held.extend(SUM_BITS)


def _held(circuit: Circuit, name: str, step: Bits, value: Bits) -> Bits:
    """A register that takes a value with each step."""
    held = _state(circuit, name, value.width)
    circuit.drive(held, step.mux(value, held))
    return held


def _count(circuit: Circuit, passes: Bits, loops: Mapping[str, int]) -> list[Bits]:
    """Places in loops, the innermost first, that go on with each word that passes."""
    found = []
    for name, count in loops.items():
        at, passes = rounds(circuit, f"{name}{GHOST}partial{WORD}", passes, count)
        found.append(at.bits(0, SUM_BITS))
    return found


def _follow(
    stage: GlobalSumStage | RunningPoolStage, circuit: Circuit, now: Bits, code: Bits, first: Bits, last: Bits
) -> _Followed:
    """Join the codes of the word that is followed, which one of comes `now`: the first of its pixels, or the last."""
    total, result = (_state(circuit, name, stage.sink.bits) for name in ("total", "result"))
    largest = isinstance(stage, RunningPoolStage) and isinstance(stage.layer, MaxPool)
    (wide, bits), lanes = (stage.sink.tensor.bits, stage.source.tensor.bits), []
    for lane in range(stage.sink.lanes):
        old, new = total.bits(lane * wide, (lane + 1) * wide), code.bits(lane * bits, (lane + 1) * bits).extend(wide)
        lanes.append((first | (old < new)).mux(new, old) if largest else first.mux(new, old + new))
    joined = circuit.concat(lanes)
    circuit.drive(total, now.mux(joined, total))
    circuit.drive(result, (now & last).mux(joined, result))
    return _Followed(total, result)


def _fits(stage: GlobalSumStage | RunningPoolStage, pixels: int) -> bool:
    """Whether a sum of so many codes is a code that comes out."""
    t = stage.source.tensor
    largest = isinstance(stage, RunningPoolStage) and isinstance(stage.layer, MaxPool)
    return (t.hi - t.lo) * (1 if largest else pixels) < 1 << stage.sink.tensor.bits


def _round(one: Bits, other: Bits, size: int) -> Bits:
    """That a number is the other, or a round more."""
    return one.equals(other) | one.equals(other + size)


def _passed(value: _Values, came: Bits, ended: Bits, under_way: Bits, words: int) -> list[Bits]:
    """What this tells of the words that claims count; so many leave in a period."""
    name = f"i{GHOST}o{GHOST}"
    inside, went = value[f"{name}inside"], value[f"{name}out"]
    return [
        value[f"{name}in"].equals(came),
        (inside * words + ended).equals(went + under_way),
        went < words,
        inside < 2,
    ]
