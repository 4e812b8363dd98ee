"""What is claimed of a machine's ends: the guard's verdicts, the gate's obedience, the classifier's class."""

from __future__ import annotations

from amaranth.lib import wiring

from ...hw.stages.frames import Classifier, FrameGate, FrameGuard
from .circuit import Bits
from .rows import Kind
from .streams import GHOST, WORD, Subject

VERDICT = Kind(
    "verdicts",
    "with each frame's last word there is one verdict, good if and only if its beats were as many as they should be",
    "that the machine behind gives as many words",
)
OBEYS = Kind(
    "only good frames leave",
    "a word passes the gate while the verdict taken last says good, and none comes in without one",
    "that verdicts and frames come in the same order",
)
CLASS = Kind(
    "class",
    "beside each value is the index of the largest of its pixel so far, of equal ones the lowest",
    "more cycles than were searched",
)


def ends(unit: wiring.Component, subject: Subject) -> list[tuple[Kind, Bits]]:
    """The claims of a unit at the ends; none of another."""
    match unit:
        case FrameGuard():
            return [(VERDICT, _verdict(unit, subject))]
        case FrameGate():
            return [(OBEYS, _obeys(subject))]
        case Classifier():
            return [(CLASS, _class(unit, subject))]
    return []


def _verdict(guard: FrameGuard, subject: Subject) -> Bits:
    circuit, beats = subject.circuit, subject.ports["i"]
    words = guard.sink.frame_words
    bits = (words + 1).bit_length()
    last = beats.payload.bits(beats.payload.width - 1, beats.payload.width)
    # Beats of this frame so far, which stop at one too many; words of the frame that have gone out.
    came, went = circuit.state(f"came{GHOST}", bits), circuit.state(f"went{GHOST}", bits)
    more = came.equals(words).mux(came, came + 1)
    circuit.drive(came, beats.passes.mux(last.mux(0, more), came))
    goes = subject.ports["o"].passes
    ending = went.equals(words - 1)
    circuit.drive(went, goes.mux(ending.mux(0, went + 1), went))
    given = circuit["verdicts.i__valid"]
    good = beats.passes & last & came.equals(words - 1)
    return given.equals(goes & ending) & given.implies(circuit["verdicts.i__payload"].equals(good))


def _obeys(subject: Subject) -> Bits:
    circuit, verdict = subject.circuit, subject.ports["verdict"]
    taken, good = circuit.state(f"taken{GHOST}", 1), circuit.state(f"good{GHOST}", 1)
    circuit.drive(taken, verdict.ready.mux(verdict.valid, taken))
    circuit.drive(good, verdict.ready.mux(verdict.payload, good))
    passes, comes = subject.ports["o"].valid, subject.ports["i"].ready
    return passes.implies(taken & good) & comes.implies(taken)


def _class(classifier: Classifier, subject: Subject) -> Bits:
    circuit, out, source = subject.circuit, subject.ports["o"], classifier.source
    lanes, words = source.lanes, source.words
    width = (out.payload.width - 1 - len(classifier.o.payload.best)) // lanes
    index_bits = len(classifier.o.payload.best)
    values = [out.payload.bits(lane * width, (lane + 1) * width) for lane in range(lanes)]
    best = out.payload.bits(lanes * width, lanes * width + index_bits)
    top, index = circuit.state(f"top{WORD}", width), circuit.state(f"best{WORD}", index_bits)
    at = circuit.state(f"at{GHOST}", max(1, (words - 1).bit_length()))
    fresh = at.equals(0)
    largest, expected = top, index
    for lane, value in enumerate(values):
        wins = largest.less(value) | (fresh if lane == 0 else circuit.const(0, 1))
        channel = circuit.const(0, index_bits)
        for word in range(words):
            channel = at.equals(word).mux(word * lanes + lane, channel)
        largest, expected = wins.mux(value, largest), wins.mux(channel, expected)
    circuit.drive(top, out.passes.mux(largest, top))
    circuit.drive(index, out.passes.mux(expected, index))
    circuit.drive(at, out.passes.mux(at.equals(words - 1).mux(0, at + 1), at))
    return out.valid.implies(best.equals(expected))
