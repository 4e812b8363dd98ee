"""That queues give what they were given, in order: one word, any, is followed through."""

from __future__ import annotations

from collections.abc import Sequence

from ...hw.device.ring import Ring
from ...hw.stream.queue import Queue
from .circuit import Bits, Circuit, Node
from .invariants import SUM_BITS
from .streams import GHOST, WORD, Subject


def follows(queue: Queue, subject: Subject) -> tuple[Bits, list[Bits]]:
    """The claim about the word that is followed, and where it lies meanwhile, to be proven beside it.

    The registers that this takes are added to the circuit, none of which steers anything; an input chooses the word.
    """
    circuit, source, sink = subject.circuit, subject.ports["i"], subject.ports["o"]
    word = _Word(circuit, "", queue.depth, source.passes, source.payload, sink.passes)
    held = _at(queue, circuit, word)
    guesses = [] if held is None else [word.followed.implies(held[0].equals(word.value)), *held[1]]
    counted = circuit[f"i{GHOST}o{GHOST}inside"]
    guesses += [*word.guesses, counted.equals(word.inside.extend(counted.width))]
    return word.leaves(sink.valid, sink.payload), guesses


def results_follow(circuit: Circuit) -> tuple[Bits, list[Bits]] | None:
    """The same of results that wait in a queue of Amaranth's; None where there is none."""
    name = next((each for each in ("queue", "results.queue") if f"{each}.storage" in circuit), None)
    if name is None:
        return None
    enters, room, given, leaves, there, offered, first, level = (
        circuit[f"{name}.{each}"]
        for each in ("w_en", "w_rdy", "w_data", "r_en", "r_rdy", "r_data", "r_port__addr", "level")
    )
    depth = circuit.depths[f"{name}.r_port__addr"]
    word = _Word(circuit, name, depth, enters & room, given, leaves & there)
    held = stored_at(circuit, [f"{name}.storage"], first.extend(SUM_BITS) + word.before.extend(SUM_BITS), depth)
    inside = word.inside.extend(SUM_BITS).equals(level.extend(SUM_BITS))
    guesses = [*word.guesses, inside, word.followed.implies(held.equals(word.value))]
    return word.leaves(there, offered), guesses


class _Word:
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


def _at(queue: Queue, circuit: Circuit, followed: _Word) -> tuple[Bits, list[Bits]] | None:
    """The word that is followed where it lies, and how many words lie where; None where they lie in pairs."""
    inside, place = followed.inside.extend(SUM_BITS), followed.before.extend(SUM_BITS)
    if "fifo.storage" in circuit:
        held = stored_at(circuit, ["fifo.storage"], circuit["fifo.r_port__addr"].extend(SUM_BITS) + place, queue.depth)
        return held, [inside.equals(circuit["fifo.level"].extend(SUM_BITS))]
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
    return word, [*levels, *within, row.equals(ahead) | (row + size).equals(ahead), waiting < size + 1]


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
    words = []
    for memory in memories:
        storage = circuit.states[memory]
        node = circuit.nodes[storage]
        if not node.address:  # a part of one word
            words.append(Bits(circuit, storage))
            continue
        address = at.bits(0, node.address)
        words.append(Bits(circuit, circuit.insert(Node("read", node.width, (storage, address.node)))))
    return words[0] if len(words) == 1 else _chosen(at.bits((part - 1).bit_length(), at.width), words)
