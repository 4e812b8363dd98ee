"""What is claimed of a unit: as bits of its circuit that are 1 in every cycle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
from amaranth.lib import wiring
from numpy.typing import NDArray

from ...hw.device.ring import PairRing
from ...hw.stages.channels import PadChannelsStage
from ...hw.stages.frames import Classifier, FrameGate, FrameGuard
from ...hw.stages.residual import SaturatingAdd
from ...hw.stages.windowed import WindowedStage
from ...hw.stream.fork import Fork
from ...hw.stream.queue import Queue
from ...hw.stream.stage import Stage
from ...hw.verilog.latency import words_taken
from .circuit import Bits, Circuit
from .rows import Kind
from .streams import COUNT_BITS, GHOST, Port, Subject, rounds

FRAME_BITS = 16
"""Of a count of periods that are inside."""


HOLDS = Kind(
    "a word waits",
    "what is offered stays, word and all, until it is taken, if what comes in does so too",
    "that anything is offered, or that the word is right",
)
FREE = Kind(
    "valid asks not",
    "no output's valid or word hangs on a ready within the cycle",
    "paths in a synthesised netlist",
)
PLACES = Kind(
    "memories",
    "every address lies in its memory",
    "what the memories hold",
)
RESULTS = Kind(
    "results",
    "each result of a pipeline that cannot stall has a place, and no more are under way than there are places",
    "that results come",
)
MADE = Kind(
    "no word too many",
    "a word is offered only when the words that it is made of have come",
    "that the word's values are right",
)
LOST = Kind(
    "no word too few",
    "what has come has gone out, all that could, when nothing has moved for some cycles",
    "how long it takes while words come",
)
ORDER = Kind(
    "first in, first out",
    "any word that goes in comes out, unchanged, after those before it and before those behind it",
    "when it comes out",
)
TURNED = Kind(
    "in turn",
    "of windows that take turns each result leaves unchanged, those of the first window before those of the next",
    "when it leaves",
)
ADDS = Kind(
    "saturating sum",
    "of any two words the result is the clipped sum, in every lane",
    "which words meet",
)


@dataclass(frozen=True)
class Claim:
    """One of a unit.

    Attributes
    ----------
    kind : what is claimed
    bit : 1 in every cycle, if it is so
    length : cycles that it looks back
    """

    kind: Kind
    bit: Bits
    length: int = 1


@dataclass(frozen=True)
class Told:
    """Claims of a part of a unit.

    before : what is to be proven before them, one list after the other, each with those of the unit's other parts
    """

    claims: list[Claim]
    before: list[list[Bits]]


def claims_of(unit: wiring.Component, subject: Subject) -> list[Claim]:
    """All claims of a unit that are bits of its circuit; the registers that they need are added to it."""
    found = [Claim(HOLDS, port.holds) for port in subject.outs]
    for source, sink, taken, direct in _flows(unit, subject):
        found += _counted(subject, source, sink, taken, direct, unit)
    if isinstance(unit, SaturatingAdd):
        found.append(Claim(ADDS, _adds(unit, subject)))
    if not isinstance(unit, WindowedStage):
        found += [Claim(RESULTS, bit) for bit in _results(subject.circuit)]
    for name, depth in subject.circuit.depths.items():
        found.append(Claim(PLACES, subject.circuit[name].extend(COUNT_BITS) < depth))
    return found


def _flows(unit: wiring.Component, subject: Subject) -> Iterator[tuple[Port, Port, NDArray[np.int64], bool]]:
    """From which stream to which words go, and whether one passes within the cycle.

    Of each word out of a period how many of its words must have come in, and how many these are in all.
    """
    ports, single = subject.ports, np.array([1, 1])
    match unit:
        case FrameGate() | FrameGuard():
            return
        case Fork():
            yield ports["i"], ports["o0"], single, True
            yield ports["i"], ports["o1"], single, True
        case SaturatingAdd():
            yield ports["body"], ports["o"], single, False
            yield ports["skip"], ports["o"], single, False
        case Classifier():
            yield ports["i"], ports["o"], single, False
        case WindowedStage():
            return
        case PadChannelsStage() if not unit.whole:
            # The zeros ask for no word of their own.
            words = np.arange(1, unit.sink.words + 1)
            yield ports["i"], ports["o"], np.append(np.minimum(words, unit.source.words), unit.source.words), True
        case Queue() if isinstance(unit.ring, PairRing):
            yield ports["i"], ports["o"], np.array([2, 2, 2]), False
        case Stage():
            taken = _period(words_taken(unit)[0], unit.source.frame_words)
            yield ports["i"], ports["o"], taken, unit.direct


def _period(taken: NDArray[np.int64], words: int) -> NDArray[np.int64]:
    """The part of a frame of so many words that comes again and again, with its words in at the end."""
    for parts in sorted(
        (k for k in range(1, gcd(len(taken), words) + 1) if gcd(len(taken), words) % k == 0), reverse=True
    ):
        own, more = len(taken) // parts, words // parts
        if (taken.reshape(parts, own) == taken[:own] + more * np.arange(parts)[:, None]).all():
            return np.append(taken[:own], more)
    raise AssertionError("a frame is a period")


def _counted(
    subject: Subject, source: Port, sink: Port, taken: NDArray[np.int64], direct: bool, unit: wiring.Component
) -> Iterator[Claim]:
    """That no word comes out too many or too few: each word of a period needs as many words in as `taken` says."""
    circuit = subject.circuit
    *needed, period = taken.tolist()
    name = f"{source.name}{GHOST}{sink.name}"
    came, starts = rounds(circuit, f"{name}{GHOST}in", source.passes, period)
    went, ends = rounds(circuit, f"{name}{GHOST}out", sink.passes, len(needed))
    inside = circuit.state(f"{name}{GHOST}inside", FRAME_BITS)
    circuit.drive(inside, inside + starts.extend(FRAME_BITS) - ends.extend(FRAME_BITS))
    total = inside.extend(COUNT_BITS, signed=True) * period + came
    here = total + source.valid.extend(COUNT_BITS) if direct else total
    least = circuit.const(needed[-1], COUNT_BITS)
    for place, count in reversed(list(enumerate(needed[:-1]))):
        least = went.equals(place).mux(count, least)
    yield Claim(MADE, sink.valid.implies(~here.less(least)))
    length = getattr(unit, "latency", 1) + 3  # a fork has none
    quiet = circuit.state(f"{name}{GHOST}quiet", length.bit_length() + 1)
    still = ~sink.valid & ~source.passes
    circuit.drive(quiet, still.mux(quiet.equals(length).mux(length, quiet + 1), 0))
    yield Claim(LOST, quiet.equals(length).implies(total.less(least)), length + 1)


def _adds(unit: SaturatingAdd, subject: Subject) -> Bits:
    """What a pair of words taken a cycle ago gives."""
    circuit = subject.circuit
    (low, _), sink = unit.interval, unit.sink.tensor
    width = unit.width + 2
    right = []
    for lane in range(unit.sink.lanes):
        one, other, code = (
            word.bits(lane * flow.tensor.bits, (lane + 1) * flow.tensor.bits).extend(width)
            for word, flow in (
                (subject.ports["body"].word, unit.body_flow),
                (subject.ports["skip"].word, unit.skip_flow),
                (circuit["results.result"], unit.sink),
            )
        )
        total, top = one + other + low, sink.hi - sink.lo
        clipped = total.less(0).mux(0, circuit.const(top, width).less(total).mux(top, total))
        right.append(code.equals(clipped))
    return circuit["results.done"].implies(circuit.all_of(right))


def _results(circuit: Circuit) -> list[Bits]:
    """Of a ResultQueue: what comes has a place, and `taken`, the places that are, less all of them, is no lie."""
    if "results.taken" not in circuit:
        return []
    level = "results.queue.level"
    if level not in circuit:  # one place, a register
        return [circuit["results.done"].implies(~circuit["o__valid"])]
    return [circuit["results.queue.w_en"].implies(circuit["results.queue.w_rdy"])]


def hangs_on_ready(subject: Subject) -> Sequence[str]:
    """The outputs whose valid or word hangs on a ready within the cycle."""
    circuit = subject.circuit
    readies = {port.ready.node for port in subject.outs}
    return [
        port.name
        for port in subject.outs
        if readies & set(circuit.cone([port.valid.node, port.payload.node], clocked=False))
    ]
