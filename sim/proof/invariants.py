"""What holds in all states that a unit reaches: guessed from runs with random pauses, then proven.

What is guessed are bounds of registers, and linear relations between them: how many words a unit has taken, its
counters and its places for results tell of each other in sums. Guesses cost nothing: what induction does not prove is
dropped, and nothing else is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

import numpy as np
from numpy.typing import NDArray

from .circuit import Bits, Circuit
from .evaluate import WIDEST, Evaluator
from .solver import TimeUpError, Unrolling
from .streams import Subject, load_inputs

PRIME = 2**31 - 1
"""Modulus in which relations are looked for; their coefficients are small fractions."""

SUM_BITS = 20
"""Bits in which words and places are counted: none of their sums is as large."""

LARGEST = 1 << 13
"""Of a relation's coefficients; larger ones are chance."""

SPARSEST = 7
"""Of the words in some runs one bit in 2^(SPARSEST + 1) is 1: flags that come seldom."""

SAMPLES = 30_000
"""Moments at which relations are looked for."""

FEW = 8
"""Counters of a unit, for which more is tried."""

HASTE = 3.0
"""Seconds of the processor for all guesses at once, beyond which each is tried by itself."""

LANES = 64
"""Runs side by side."""


@dataclass(frozen=True)
class Feature:
    """A number that a unit's registers say: one of them, or one of its bits."""

    name: str
    bits: Bits
    signed: bool

    def wide(self) -> Bits:
        """With a bit more, so that it is a signed number."""
        return self.bits.extend(self.bits.width + 1, self.signed)

    def at_least(self, bound: int) -> Bits:
        return ~(self.wide().less(bound))

    def at_most(self, bound: int) -> Bits:
        return ~(self._const(bound).less(self.wide()))

    def _const(self, value: int) -> Bits:
        return self.bits.circuit.const(value, self.bits.width + 1)


def run(subject: Subject, registers: Sequence[int], cycles: int, seed: int = 0) -> NDArray[np.int64]:
    """int64 [cycles, registers, LANES]: registers' values in runs from reset on, with random words and pauses.

    Each stream moves and pauses for times of its own, from a few cycles to thousands.
    """
    circuit = subject.circuit
    random = np.random.default_rng(seed)
    reset = circuit.inputs["rst"]
    states = [place for place in circuit.cone(registers) if circuit.nodes[place].op == "state"]
    roots = [circuit.next[place] for place in states]
    step = Evaluator(circuit, tuple(roots))
    inputs = [place for place in step.leaves if circuit.nodes[place].op == "input"]
    ins = {port.valid.node: port for port in subject.ins}
    words = {port.payload.node: port for port in subject.ins}
    waits = {port.name: port.waits.node for port in subject.ins}
    steered = [port.valid.node for port in subject.ins] + [port.ready.node for port in subject.outs]
    lengths = 1 << (2 + np.arange(LANES) % max(2, min(12, cycles.bit_length() - 3)))
    sparse = np.arange(LANES) // 8 % (SPARSEST + 1)
    rates = {}
    values = {place: random.integers(0, 1 << circuit.nodes[place].width, LANES) for place in states}
    kept = np.empty((cycles, len(registers), LANES), np.int64)
    held: dict[int, NDArray[np.int64]] = {}
    quiet = {bits.node for bits in load_inputs(circuit)}
    for cycle in range(-1, cycles):
        given = dict(values)
        for place in inputs:
            width = circuit.nodes[place].width
            if place == reset:
                given[place] = np.full(LANES, int(cycle < 0))
                continue
            if place in quiet:
                given[place] = np.zeros(LANES, np.int64)
                continue
            fresh = random.integers(0, 1 << width, LANES)
            for few in range(SPARSEST if place in words else 0):
                fresh = np.where(sparse > few, fresh & random.integers(0, 1 << width, LANES), fresh)
            if place in steered:
                turn = (cycle + 1) % lengths == 0
                if place not in rates:
                    rates[place] = random.choice([0, 0.1, 0.5, 0.9, 1, 1], LANES)
                rates[place] = np.where(turn, random.choice([0, 0.1, 0.5, 0.9, 1, 1], LANES), rates[place])
                fresh = (random.random(LANES) < rates[place]) * 1
            port = ins.get(place) or words.get(place)
            if port is not None and cycle >= 0 and waits[port.name] in values:
                waiting = values[waits[port.name]] == 1
                fresh = np.where(waiting, 1 if place in ins else held[place], fresh)
            held[place] = given[place] = fresh
        if cycle >= 0:
            kept[cycle] = [values[place] for place in registers]
        found = step(given)
        values = {place: found[root] for place, root in zip(states, roots, strict=True)}
    return kept


def _relations(samples: NDArray[np.int64]) -> list[list[int]]:
    """All linear relations of the columns, of int64 [samples, columns]: coefficients, the last one of the constant 1.

    Each tells a column in terms of those before it; those with large coefficients, which are chance, are left out.
    """
    columns = samples.shape[1]
    chosen = np.random.default_rng(1).choice(len(samples), min(len(samples), 2 * columns + 200), replace=False)
    while True:
        found = _kernel(samples[chosen])
        # What a part of the samples does not tell apart, others do.
        values = (
            np.concatenate([samples, np.ones((len(samples), 1), np.int64)], axis=1)
            @ np.array(found).reshape(-1, columns + 1).T
        )
        against = np.unique(np.argmax(values != 0, axis=0)[(values != 0).any(axis=0)])
        if not len(against):
            return [relation for relation in _plain(found) if max(map(abs, relation[:-1])) <= LARGEST]
        chosen = np.concatenate([chosen, against])


def _kernel(samples: NDArray[np.int64]) -> list[list[int]]:
    """The relations of so few samples that some of them may be chance."""
    rows = np.unique(samples, axis=0)
    rows = np.column_stack([np.ones(len(rows), np.int64), rows]) % PRIME
    count = rows.shape[1]
    pivots: list[int] = []
    for column in range(count):
        at = len(pivots)
        candidates = np.flatnonzero(rows[at:, column]) + at
        if not len(candidates):
            continue
        rows[[at, candidates[0]]] = rows[[candidates[0], at]]
        rows[at] = rows[at] * pow(int(rows[at, column]), -1, PRIME) % PRIME
        others = np.flatnonzero(rows[:, column])
        others = others[others != at]
        rows[others] = (rows[others] - rows[others, column][:, None] * rows[at]) % PRIME
        pivots.append(column)
    relations = []
    for column in sorted(set(range(count)) - set(pivots)):
        fractions = [Fraction(0)] * count
        fractions[column] = Fraction(1)
        for at, pivot in enumerate(pivots):
            fractions[pivot] = -_fraction(int(rows[at, column]))
        scale = lcm(*(each.denominator for each in fractions))
        numbers = [int(each * scale) for each in fractions]
        if max(map(abs, numbers)) < 1 << 40:
            relations.append([*numbers[1:], numbers[0]])
    return relations


def _plain(relations: list[list[int]]) -> list[list[int]]:
    """The same relations, each with as few terms as others help it to: only those follow from themselves."""
    found = [np.array(relation, object) for relation in relations]
    shorter = True
    while shorter:
        shorter = False
        for k, one in enumerate(found):
            for j, other in enumerate(found):
                if j == k:
                    continue
                for column in np.flatnonzero((one[:-1] != 0) & (other[:-1] != 0)):
                    less = one * other[column] - other * one[column]
                    if np.count_nonzero(less) < np.count_nonzero(one):
                        found[k] = one = less // gcd(*map(int, less))
                        shorter = True
    return [[int(number) for number in relation] for relation in found]


def _fraction(residue: int) -> Fraction:
    """The fraction of small numbers that a residue modulo PRIME stands for."""
    (a, b), (s, t) = (PRIME, residue), (0, 1)
    while b > 1 << 15:
        quotient = a // b
        (a, b), (s, t) = (b, a - quotient * b), (t, s - quotient * t)
    return Fraction(b, t) if t else Fraction(residue)


def features(subject: Subject, most: int = 16) -> list[Feature]:
    """The registers of at most so many bits that steer a unit; signs are not known yet."""
    circuit, names = subject.circuit, subject.circuit.named_states()
    found = []
    for place in circuit.cone(subject.steering):
        node = circuit.nodes[place]
        if node.op != "state" or node.width > most or node.address or not _runs(circuit, place):
            continue
        bits = Bits(circuit, place)
        if "flags" in names[place]:  # an array's, of several at once
            found += [Feature(f"{names[place]}[{k}]", bits.bits(k, k + 1), False) for k in range(node.width)]
        else:
            found.append(Feature(names[place], bits, False))
    return found


def _runs(circuit: Circuit, place: int) -> bool:
    """Whether a run can tell a node's values: all that it hangs on are numbers of 64 bits with a sign."""
    return all(circuit.nodes[each].width <= WIDEST for each in circuit.cone([place]))


def _signed(values: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Words of so many bits as signed numbers."""
    return np.where(values >> width - 1 == 1, values - (1 << width), values)


def guess(subject: Subject, cycles: int, related: bool = True) -> list[Bits]:
    """Bounds and, where asked for, relations of a unit's steering registers, as they were in runs of so many cycles."""
    every = features(subject)
    if not every:
        return []
    places = sorted({feature.bits.node for feature in every})
    registers = [place for place in subject.circuit.cone(places) if subject.circuit.nodes[place].op == "state"]
    values = run(subject, registers, cycles)
    samples = dict(zip(registers, values.transpose(1, 0, 2).reshape(len(registers), -1), strict=True))
    seen = Evaluator(subject.circuit, tuple(places))(samples)
    found, columns = [], []
    for feature in every:
        given = seen[feature.bits.node]
        signed = _signed(given, feature.bits.width)
        if feature.bits.width > 1 and np.ptp(signed) < np.ptp(given):
            given, feature = signed, Feature(feature.name, feature.bits, True)
        found.append(feature)
        columns.append(given)
    guesses = []
    for feature, given in zip(found, columns, strict=True):
        guesses += [feature.at_least(int(given.min())), feature.at_most(int(given.max()))]
    if not related:
        return guesses
    more = _derived(subject, found, columns, set(registers))
    values = Evaluator(subject.circuit, tuple(feature.bits.node for feature in more))(samples)
    for feature in more:
        given = values[feature.bits.node]
        found.append(feature)
        columns.append(_signed(given, feature.bits.width) if feature.signed else given)
    some = np.random.default_rng(1).choice(len(columns[0]), min(len(columns[0]), SAMPLES), replace=False)
    matrix = np.stack([given[some] for given in columns], axis=1)
    for *factors, constant in _relations(matrix):
        guesses.append(_sum(subject, zip(factors, found, strict=True), constant))
    return guesses


def _sum(subject: Subject, terms: Iterable[tuple[int, Feature]], constant: int) -> Bits:
    """Whether the features, each times its factor, and the constant add up to 0; in as few bits as hold any sum."""
    terms = [(factor, feature) for factor, feature in terms if factor]
    most = abs(constant) + sum(abs(factor) << feature.bits.width for factor, feature in terms)
    width = most.bit_length() + 1
    total = subject.circuit.const(constant, width)
    for factor, feature in terms:
        value = feature.bits.extend(width, feature.signed)
        total = total + value * factor
    return total.equals(0)


def queues(subject: Subject) -> list[Bits]:
    """Of each of Amaranth's SyncFIFOs: its level tells how far the way in is ahead of the way out, round the memory."""
    circuit, found = subject.circuit, []
    for name, depth in circuit.depths.items():
        if not name.endswith(".w_port__addr") or (level := name.replace("w_port__addr", "level")) not in circuit:
            continue
        produce, consume, level = (
            circuit[each].extend(SUM_BITS) for each in (name, name.replace("w_port", "r_port"), level)
        )
        ahead = consume + level
        found += [produce.equals(ahead) | (produce + depth).equals(ahead), level < depth + 1]
        found += [produce < depth, consume < depth]
    return found


def _derived(
    subject: Subject, found: Sequence[Feature], columns: Sequence[NDArray[np.int64]], registers: set[int]
) -> list[Feature]:
    """Of a unit of few counters: whether each is at its end, flags that registers decide, and counters with them."""
    circuit = subject.circuit
    counters = [one for one in found if one.bits.width > 1]
    if len(counters) > FEW:
        return []
    flags = []
    for one, given in zip(found, columns, strict=True):
        if one.bits.width > 1:
            bound = int(given.max())
            flags.append(Feature(f"{one.name}={bound}", one.wide().equals(bound), False))
    for name, place in circuit.signals.items():
        leaves = [each for each in circuit.cone([place], clocked=False) if circuit.nodes[each].op in ("state", "input")]
        if circuit.nodes[place].width == 1 and circuit.nodes[place].args and registers.issuperset(leaves):
            flags.append(Feature(name, Bits(circuit, place), False))
    flags = list({flag.bits.node: flag for flag in flags}.values())
    return flags + [
        Feature(f"{flag.name} * {one.name}", flag.bits.mux(one.wide(), 0), True) for flag in flags for one in counters
    ]


def proven(subject: Subject, guesses: Sequence[Bits], known: Sequence[Bits] = (), limit: float = HASTE) -> list[Bits]:
    """Those of the guesses that hold after a reset and together follow from themselves in the cycle after.

    known : proven before
    """
    start, step = Unrolling(subject.circuit, True, limit), Unrolling(subject.circuit, False, limit)
    for cycle in (0, 1):
        start.require(subject.assumed, cycle)
        step.require(subject.assumed, cycle)
        for bit in known:
            step.require(bit, cycle)
    left = list(guesses)
    while wrong := _wrong(start, left, []):
        left = [guess for guess in left if guess not in wrong]
    while wrong := _wrong(step, left, left):
        left = [guess for guess in left if guess not in wrong]
    return left


def _wrong(unrolling: Unrolling, guesses: Sequence[Bits], given: Sequence[Bits]) -> set[Bits]:
    """Some of the guesses that are not always 1 in cycle 1 where the given are in cycle 0, or take too long to tell."""
    known = [(each, 0) for each in given]
    try:
        if unrolling.find([(guess, 1) for guess in guesses], known):
            return {guess for guess in guesses if not unrolling.value(guess, 1)}
        return set()
    except TimeUpError:
        pass
    wrong = set()
    for guess in guesses:
        try:
            if unrolling.find([(guess, 1)], known):
                return wrong | {each for each in guesses if not unrolling.value(each, 1)}
        except TimeUpError:
            wrong.add(guess)
    return wrong
