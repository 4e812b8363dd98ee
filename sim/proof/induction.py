"""Whether a bit is 1 in every cycle: by induction, else as far as one can look."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf

from .circuit import Bits
from .solver import TimeUpError, Unrolling
from .streams import Subject

DEEPER = 1
"""Cycles of induction beyond those that a claim looks back, at the most."""

HORIZON = 24
"""Cycles after a reset that are searched where induction does not close, and beyond those that a claim looks back."""


@dataclass(frozen=True)
class Outcome:
    """Of a claim.

    Attributes
    ----------
    depth : cycles of induction where it is proven, cycles after reset up to which it holds where it is not,
        or the cycle of the counterexample
    """

    proven: bool
    refuted: bool
    depth: int
    seconds: float


@dataclass
class Prover:
    """Of one unit, with what is known to hold in all its states; `limit` are the seconds of each question."""

    subject: Subject
    known: Sequence[Bits]
    limit: float

    def by_induction(self, bit: Bits, length: int = 1) -> Outcome:
        """Whether a bit that looks back `length` cycles is 1 as long after a reset, and again after as many cycles."""
        started = time.process_time()
        found = False
        with suppress(TimeUpError):
            found = self._follows(bit, length) and not self._search(bit).finds(length)
        return Outcome(found, False, length, time.process_time() - started)

    def prove(self, bit: Bits, length: int = 1) -> Outcome:
        """Try induction of `length` cycles and of more, else look for a counterexample from reset on."""
        started = time.process_time()
        search = self._search(bit)
        with suppress(TimeUpError):
            for depth in range(length, length + DEEPER + 1):
                if search.finds(depth):
                    return Outcome(False, True, search.cycle, time.process_time() - started)
                if self._follows(bit, depth):
                    return Outcome(True, False, depth, time.process_time() - started)
            if search.finds(length + HORIZON, until=started + self.limit):
                return Outcome(False, True, search.cycle, time.process_time() - started)
        return Outcome(False, False, search.cycle, time.process_time() - started)

    def _search(self, bit: Bits) -> _Search:
        return _Search(self.subject, bit, Unrolling(self.subject.circuit, True, self.limit))

    def _follows(self, bit: Bits, depth: int) -> bool:
        """Whether the bit is 1 after so many cycles in which it was."""
        step = Unrolling(self.subject.circuit, False, self.limit)
        for cycle in range(depth + 1):
            step.require(self.subject.assumed, cycle)
            for each in self.known:
                step.require(each, cycle)
            if cycle < depth:
                step.require(bit, cycle)
        return not step.find([(bit, depth)])


@dataclass
class _Search:
    """For a cycle after reset in which a bit is 0; in those up to `cycle` it is not, or it is in that one."""

    subject: Subject
    bit: Bits
    unrolling: Unrolling
    cycle: int = 0

    def finds(self, depth: int, until: float = inf) -> bool:
        """Whether it is 0 in a cycle up to `depth` that was not looked at; stops at a time of the processor."""
        if not self.cycle:
            self.unrolling.require(self.subject.assumed, 0)
        while self.cycle < depth and time.process_time() < until:
            self.unrolling.require(self.subject.assumed, self.cycle + 1)
            found = self.unrolling.find([(self.bit, self.cycle + 1)])
            self.cycle += 1
            if found:
                return True
        return False
