"""That queues give what they were given, in order: one word, any, is followed through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...hw.device.ring import PairRing, Ring
from ...hw.stream.queue import Queue
from .circuit import Bits, Circuit
from .claims import ORDER, Claim, Told
from .invariants import SUM_BITS
from .streams import GHOST, WORD, Subject


def follows(queue: Queue, subject: Subject) -> Told:
    """The claim about the word that is followed; before it, how many words lie where, and then where it lies.

    The registers that this takes are added to the circuit, none of which steers anything; an input chooses the word.
    """
    circuit, source, sink = subject.circuit, subject.ports["i"], subject.ports["o"]
    word = Word(circuit, "", queue.depth, source.passes, source.payload, sink.passes)
    lies = _at(queue, circuit, word)
    counted = circuit[f"i{GHOST}o{GHOST}inside"]
    numbers = [*word.guesses, counted.equals(word.inside.extend(counted.width))]
    claims = [Claim(ORDER, word.leaves(sink.valid, sink.payload))]
    if lies is None:
        return Told(claims, [numbers])
    here = word.followed.implies(lies.word.equals(word.value))
    return Told(claims, [[*numbers, *lies.numbers], [here, *lies.beside]])


def results_follow(circuit: Circuit) -> Told:
    """The same of results, or verdicts, that wait in a queue of Amaranth's; nothing where there is none."""
    names = ("queue", "results.queue", "verdicts.fifo")
    name = next((each for each in names if f"{each}.storage" in circuit), None)
    if name is None:
        return Told([], [])
    enters, room, given, leaves, there, offered, first, level = (
        circuit[f"{name}.{each}"]
        for each in ("w_en", "w_rdy", "w_data", "r_en", "r_rdy", "r_data", "r_port__addr", "level")
    )
    depth = circuit.depths[f"{name}.r_port__addr"]
    word = Word(circuit, name, depth, enters & room, given, leaves & there)
    held = stored_at(circuit, [f"{name}.storage"], first.extend(SUM_BITS) + word.before.extend(SUM_BITS), depth)
    inside = word.inside.extend(SUM_BITS).equals(level.extend(SUM_BITS))
    here = word.followed.implies(held.equals(word.value))
    return Told([Claim(ORDER, word.leaves(there, offered))], [[*word.guesses, inside], [here]])


@dataclass(frozen=True)
class _Lies:
    """Where the word that is followed does: it, how many words lie where, and what else tells of it."""

    word: Bits
    numbers: list[Bits]
    beside: list[Bits]


class Word:
    """Any one word of those that pass a queue, in registers of the proof's own.

    inside, before : words in the queue; those before the one that is followed
    followed, value : whether one is, and what it was when it came
    guesses : what holds of these
    """

    def __init__(self, circuit: Circuit, name: str, depth: int, comes: Bits, given: Bits, goes: Bits) -> None:
        chosen = circuit.input(f"chosen{GHOST}{name}", 1)
        bits = depth.bit_length() + 2
        self.inside, self.before = (circuit.state(f"{name}{each}{WORD}", bits) for each in ("inside", "before"))
        self.followed = circuit.state(f"{name}follows{WORD}", 1)
        self.value = circuit.state(f"{name}followed{WORD}", given.width)
        circuit.drive(self.inside, self.inside + comes.extend(bits) - goes.extend(bits))
        starts = comes & chosen & ~self.followed
        leaves = self.followed & goes & self.before.equals(0)
        circuit.drive(self.followed, starts | (self.followed & ~leaves))
        circuit.drive(self.value, starts.mux(given, self.value))
        left = goes.extend(bits)
        less = (self.followed & ~leaves).mux(left, 0)
        circuit.drive(self.before, starts.mux(self.inside - left, self.before - less))
        self.guesses = [self.followed.implies(self.before < self.inside), self.inside < depth + 2]

    def leaves(self, valid: Bits, offered: Bits) -> Bits:
        """When all before it have left it is what is offered."""
        return (self.followed & self.before.equals(0) & valid).implies(offered.equals(self.value))


def _at(queue: Queue, circuit: Circuit, followed: Word) -> _Lies | None:
    """The word that is followed where it lies, and how many words lie where; None where nobody has said."""
    inside, place = followed.inside.extend(SUM_BITS), followed.before.extend(SUM_BITS)
    if "fifo.storage" in circuit:
        held = stored_at(circuit, ["fifo.storage"], circuit["fifo.r_port__addr"].extend(SUM_BITS) + place, queue.depth)
        return _Lies(held, [inside.equals(circuit["fifo.level"].extend(SUM_BITS))], [])
    if isinstance(queue.ring, PairRing):
        return _in_pairs(queue, circuit, followed)
    if queue.ring is None or "ring.held0" not in circuit:
        return None
    # Where words are behind the memory, from the way out on.
    valids = [circuit[name] for name in ("o__valid", *(["read"] if queue.chooses else []), "asked")]
    counts = [valid.extend(SUM_BITS) for valid in valids]
    behind_it = counts[0]
    for count in counts[1:]:
        behind_it = behind_it + count
    size, parts = queue.ring.size, len(queue.ring.parts)
    waiting = circuit["waiting"].extend(SUM_BITS, signed=True) + 1
    address, row = (circuit[name].extend(SUM_BITS) for name in ("address", "ring.row"))
    filled = circuit["filled"].extend(SUM_BITS, signed=True)
    stored = stored_in(circuit, "ring", queue.ring, address + place - behind_it)
    helds = [circuit[f"ring.held{part}"] for part in range(parts)]
    behinds = [behind for _, behind in (held.loads() for held in helds)]
    first, second = helds[0], behinds[0]
    within = []
    if parts > 1:
        here, behind = circuit["ring.chosen"], circuit["ring.asked"]
        first, second = _chosen(here, helds), _chosen(behind, behinds)
        within = [valids[-2].implies(here.extend(SUM_BITS) < parts), behind.extend(SUM_BITS) < parts]
    words, word, before = [first, second], stored, behind_it
    if queue.chooses:
        words.insert(0, circuit["o__payload"])
    for valid, count, value in reversed(list(zip(valids, counts, words, strict=True))):
        before = before - count
        word = (valid & place.equals(before)).mux(value, word)
    ahead = address + waiting
    levels = [inside.equals(behind_it + waiting), filled.equals(waiting - size), address < size, row < size]
    numbers = [*levels, *within, row.equals(ahead) | (row + size).equals(ahead), waiting < size + 1]
    return _Lies(word, numbers, [])


def _in_pairs(queue: Queue, circuit: Circuit, followed: Word) -> _Lies:
    """The same where they lie in pairs: the newest wait for the odd word, then for the port, and come a while later."""
    assert queue.ring is not None
    size, pairs = queue.ring.size, queue.ring.size // 2
    inside, place = followed.inside.extend(SUM_BITS), followed.before.extend(SUM_BITS)

    def number(name: str, signed: bool = False) -> Bits:
        return circuit[name].extend(SUM_BITS, signed)

    full, asked, odd, due, fresh = (
        circuit[name] for name in ("o__valid", "asked", "ring.odd", "ring.due", "ring.fresh")
    )
    soon, sooner, now = (circuit["ring.late"].bits(k, k + 1) for k in range(3))
    behind_it = full.extend(SUM_BITS) + asked.extend(SUM_BITS)
    on_the_way = odd.extend(SUM_BITS) + (soon.extend(SUM_BITS) + sooner.extend(SUM_BITS)) * 2 + now.extend(SUM_BITS)
    waiting, filled = number("waiting", signed=True) + 1, number("filled", signed=True)
    address, pair_place = number("address"), number("ring.place")
    row = pair_place.equals(pairs - 1).mux(0, pair_place + 1) * 2 + odd.extend(SUM_BITS)
    bits = queue.source.bits

    def half(pair: Bits, second: Bits) -> Bits:
        return second.mux(pair.bits(bits, 2 * bits), pair.bits(0, bits))

    # The address of the word that is followed, and how many have come since, itself among them.
    slot, since = address + place - behind_it, inside - place
    slot = (slot < size).mux(slot, slot - size)
    second = slot.bits(0, 1)
    stored = stored_at(circuit, ["ring.port.words"], slot.bits(1, SUM_BITS), pairs)
    newest = due & (since - odd.extend(SUM_BITS) < 3)
    word = (odd & since.equals(1)).mux(
        circuit["ring.even_word"], half(newest.mux(circuit["ring.pair"], stored), second)
    )
    read, behind = fresh.mux(circuit["ring.got"], circuit["ring.held"]), circuit["ring.second"]
    word = (asked & place.equals(full.extend(SUM_BITS))).mux(half(read, behind), word)
    word = (full & place.equals(0)).mux(circuit["o__payload"], word)
    ahead, next_odd = address + waiting + on_the_way, address.bits(0, 1)
    mine = followed.followed & place.equals(behind_it) & next_odd
    numbers = [
        inside.equals(behind_it + waiting + on_the_way),
        filled.equals(waiting + on_the_way - size),
        row.equals(ahead) | (row + size).equals(ahead),
        address < size,
        pair_place < pairs,
        waiting < size + 1,
        waiting + on_the_way < size + 1,
        # Pairs come two cycles apart at least; the port is free for one in the cycle after it is read.
        soon.implies(~odd & ~sooner),
        sooner.implies(~now),
        due.implies(soon | (sooner & fresh)),
        fresh.implies(next_odd & ~behind & asked),
        asked.implies(~behind.equals(next_odd)),
        next_odd.implies(~(waiting + now.extend(SUM_BITS)).equals(0)),
    ]
    # An odd word has been read with its even one.
    return _Lies(word, numbers, [mine.implies(read.bits(bits, 2 * bits).equals(followed.value))])


def _chosen(index: Bits, words: Sequence[Bits]) -> Bits:
    """One of the words, the last where there are fewer."""
    *others, found = words
    for place, word in enumerate(others):
        found = index.equals(place).mux(word, found)
    return found


def stored_in(circuit: Circuit, name: str, ring: Ring, at: Bits) -> Bits:
    """A word of a ring of that name, at an address a round too large."""
    memories = [f"{name}.memory", *(f"{name}.memory{part}" for part in range(1, len(ring.parts)))]
    return stored_at(circuit, memories, at, ring.size, ring.parts[0])


def stored_at(circuit: Circuit, memories: Sequence[str], at: Bits, depth: int, part: int = 0) -> Bits:
    """A word of memories of so many words together, `part` in each but the last, at an address a round too large."""
    at = (at < depth).mux(at, at - depth)
    words = [circuit.word(circuit.states[memory], at) for memory in memories]
    return words[0] if len(words) == 1 else _chosen(at.bits((part - 1).bit_length(), at.width), words)
