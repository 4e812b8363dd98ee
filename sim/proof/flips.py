"""What check bits make of flips: in words of any weights, one flip a part is corrected, and two are told.

A syndrome is made of exclusive ors alone, so it is the flips' own where it is 0 for every word without flips; and
words have such syndromes if those do that each have one bit of weights set. So flips of the word 0 show all words'.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ...hw.device.protect import Code
from ...hw.stages.conv import ConvStage
from .circuit import Circuit
from .evaluate import Evaluator
from .products import NUMBERS
from .rows import Kind, Row

FLIPS = Kind(
    "flips",
    "in a word of any weights, one flipped bit a part is corrected and told, two in a part are told; where there is "
    "parity alone any odd number is told; nothing is told of words without flips",
    "three flips in a part",
)

SETTLED = 6
"""Cycles after which what is made of a word that stays is there."""

EXCLUSIVE = ("slice", "concat", "uext", "xor", "xnor", "not", "redxor")
"""Operations of which syndromes may be made."""

Numbers = NDArray[np.object_]


def prove_flips(stage: ConvStage, circuit: Circuit) -> Row:
    """Of each memory of a stage's weights that are protected."""
    started = time.process_time()
    start, wrong, open_ = 0, "", False
    for bank, code in enumerate(stage.codes):
        if code:
            found = _Checker(circuit, f"checker{bank}", code, start).wrong()
            open_ |= found is None
            wrong = wrong or (f"memory {bank}: {found}" if found else "")
            start += code.stored
    state = "refuted" if wrong else "open" if open_ else "proven"
    return Row(FLIPS, state, "every flip and pair", NUMBERS, 0, time.process_time() - started, wrong)


class _Checker:
    """One in a stage, with its word's first bit among those of all memories."""

    def __init__(self, circuit: Circuit, name: str, code: Code, start: int) -> None:
        self.circuit, self.code, self.start = circuit, code, start
        self.words, self.used = circuit["weights"].node, circuit[f"{name}.used"].node
        self.tells = [circuit[f"{name}.{each}"].node for each in ("corrected", "detected")[not code.corrects :]]
        self.syndromes = [circuit[f"{name}.syndrome{part}"].node for part in range(len(code.checks) * code.corrects)]
        self.ends = [*self.tells, *([circuit[f"{name}.whole"].node] if code.corrects else [])]
        self.waiting = circuit[f"{name}.waiting"].node if code.corrects else -1
        held: dict[int, None] = {}
        stack = list(self.ends)
        while stack:
            place = stack.pop()
            if place not in held and place not in (self.words, self.used):
                held[place] = None
                cone = circuit.cone([circuit.next[place]], clocked=False)
                stack += [each for each in cone if circuit.nodes[each].op == "state"]
        self.held = list(held)
        self.run = Evaluator(circuit, tuple(circuit.next[place] for place in self.held))

    def wrong(self) -> str | None:
        """What is not so; "" where all is, None where it cannot be told."""
        code = self.code
        if not self._exclusive():
            return None
        one_each = code.encode(np.eye(code.width, dtype=np.bool_))
        words = [0, *(sum(1 << k for k in np.flatnonzero(word).tolist()) for word in one_each)]
        seen = self._settled(words)
        if any(seen[place].any() for place in (self.syndromes or self.tells)):
            return "a word without flips is told"
        alone = [1 << bit for bit in range(code.stored)]
        seen = self._settled(alone)
        if not code.corrects:
            return "" if seen[self.tells[0]].all() else "a flip is not told"
        corrected, detected, whole = (seen[place] for place in self.ends)
        if whole.any() or not corrected.all() or detected.any():
            return "a flip is not corrected"
        first = [*range(code.width), *np.repeat(np.arange(len(code.checks)), code.checks).tolist()]
        parts = [bit % len(code.checks) for bit in range(code.width)] + first[code.width :]
        pairs = [1 << a | 1 << b for a, b in combinations(range(code.stored), 2) if parts[a] == parts[b]]
        seen = self._settled(pairs)
        corrected, detected, _ = (seen[place] for place in self.ends)
        return "" if detected.all() and not corrected.any() else "two flips are not told"

    def _exclusive(self) -> bool:
        """Whether what tells of flips hangs on words by exclusive ors alone; and what they are corrected to, too."""
        circuit = self.circuit
        # What of the words comes into registers is made of them too.
        told = self.syndromes or [place for place in self.held if circuit.nodes[place].width > 1] + self.tells
        if not all(self._affine(place) for place in told):
            return False
        if not self.code.corrects:
            return True
        corrected = circuit.nodes[circuit.next[self.ends[-1]]]
        [flips] = [arg for arg in corrected.args if arg != self.waiting] or [self.waiting]
        return corrected.op == "xor" and not {self.waiting, self.words} & set(circuit.cone([flips], clocked=False))

    def _affine(self, place: int) -> bool:
        """Whether what comes into a register is an exclusive or of bits of words and registers, where anything is."""
        circuit, nodes = self.circuit, self.circuit.nodes
        moving = {self.words, *(held for held in self.held if self.words in circuit.cone([held]))}
        for each in circuit.cone([circuit.next[place]], clocked=False):
            node = nodes[each]
            given = [arg in moving for arg in node.args]
            if not any(given):
                continue
            moving.add(each)
            alone = not all(given) if node.op == "and" else node.op == "ite" and not given[0]
            if node.op not in EXCLUSIVE and not alone:
                return False
        return True

    def _settled(self, words: Sequence[int]) -> dict[int, Numbers]:
        """What registers hold some cycles after words that stay."""
        values = np.array(words, object) << self.start
        none = np.zeros_like(values)
        seen = dict.fromkeys(self.held, none)
        for _ in range(SETTLED):
            given = dict.fromkeys(self.run.leaves, none) | seen | {self.words: values, self.used: none + 1}
            seen = dict(zip(self.held, self.run(given).values(), strict=True))
        return seen
