"""That queues give what they were given, in order: one word, any, is followed through."""

from __future__ import annotations

from collections.abc import Sequence

from ...hw.stream.queue import Queue
from .circuit import Bits, Circuit, Node
from .invariants import SUM_BITS
from .streams import GHOST, WORD, Subject


def follows(queue: Queue, subject: Subject) -> tuple[Bits, list[Bits]]:
    """The claim about the word that is followed, and where it lies meanwhile, to be proven beside it.

    The registers that this takes are added to the circuit, none of which steers anything; an input chooses the word.
    """
    circuit, source, sink = subject.circuit, subject.ports["i"], subject.ports["o"]
    chosen = circuit.input(f"chosen{GHOST}", 1)
    bits = queue.depth.bit_length() + 2
    inside, before = circuit.state(f"inside{WORD}", bits), circuit.state(f"before{WORD}", bits)
    followed, word = circuit.state(f"follows{WORD}", 1), circuit.state(f"followed{WORD}", source.payload.width)
    comes, goes = source.passes, sink.passes
    circuit.drive(inside, inside + comes.extend(bits) - goes.extend(bits))
    starts = comes & chosen & ~followed
    leaves = followed & goes & before.equals(0)
    circuit.drive(followed, starts | (followed & ~leaves))
    circuit.drive(word, starts.mux(source.payload, word))
    left = goes.extend(bits)
    circuit.drive(before, starts.mux(inside - left, before - (followed & ~leaves).mux(left, 0)))
    place = before.extend(SUM_BITS)
    held = _at(queue, circuit, place)
    guesses = [] if held is None else [followed.implies(held[0].equals(word)), *held[1]]
    guesses += [followed.implies(before < inside), inside < queue.depth + 2]
    counted = circuit[f"i{GHOST}o{GHOST}inside"]
    guesses.append(counted.equals(inside.extend(counted.width)))
    claim = (followed & before.equals(0) & sink.valid).implies(sink.payload.equals(word))
    return claim, guesses


def _at(queue: Queue, circuit: Circuit, place: Bits) -> tuple[Bits, list[Bits]] | None:
    """The word at a place of the queue, and how many words lie where; None where they lie in pairs."""
    inside = circuit[f"inside{WORD}"].extend(SUM_BITS)
    if "fifo.storage" in circuit:
        held = _read(circuit, ["fifo.storage"], circuit["fifo.r_port__addr"].extend(SUM_BITS) + place, queue.depth)
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
    memories = ["ring.memory", *(f"ring.memory{part}" for part in range(1, parts))]
    stored = _read(circuit, memories, address + place - behind_it, size, queue.ring.parts[0])
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


def _read(circuit: Circuit, memories: Sequence[str], at: Bits, depth: int, part: int = 0) -> Bits:
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
    return words[0] if len(words) == 1 else _chosen(at.bits((part - 1).bit_length(), SUM_BITS), words)
