"""What is claimed of a machine's ends: the guard's verdicts, the gate's obedience, the classifier's class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from amaranth.lib import wiring

from ...hw.stages.frames import Classifier, FrameGate, FrameGuard
from ...hw.stages.upsets import UpsetCounters
from .circuit import Bits, Circuit
from .claims import Claim, Told
from .invariants import SUM_BITS
from .rows import Kind
from .streams import GHOST, WORD, Port, Subject, rounds

VERDICT = Kind(
    "verdicts",
    "with each frame's last word there is one verdict, good if and only if its beats were as many as they should be",
    "that the machine behind gives as many words",
)
COUNTS = Kind(
    "counters",
    "the counters of bad frames, and of flips that are told, are 0 after a reset; from every value on each goes one "
    "further with each of what it counts, but not beyond its largest, and stays else",
    "that whoever reads them does so in time",
)
OBEYS = Kind(
    "only good frames leave",
    "a word passes the gate while the verdict taken last says good, none comes in without one, and the next one is "
    "taken with a frame's last word",
    "that verdicts and frames come in the same order",
)
CLASS = Kind(
    "class",
    "beside each value is the index of the largest of its pixel so far, of equal ones the lowest",
    "which values come",
)


def ends(unit: wiring.Component, subject: Subject) -> Told:
    """The claims of a unit at the ends, none of another."""
    match unit:
        case FrameGuard():
            came = _came(unit, subject)
            claims = [Claim(VERDICT, _verdict(unit, subject, came)), *_bad_frames(unit, subject, came)]
            return Told(claims, [_counted(unit, subject, came)])
        case UpsetCounters():
            return Told(list(_flips(unit, subject)), [])
        case FrameGate():
            return Told([Claim(OBEYS, _obeys(unit, subject))], [])
        case Classifier():
            classes = _Classes(unit, subject)
            return Told([Claim(CLASS, classes.claim)], [classes.facts()])
    return Told([], [])


def _came(guard: FrameGuard, subject: Subject) -> Bits:
    """Beats of the frame that comes in so far, which stop at one too many."""
    circuit, beats, words = subject.circuit, subject.ports["i"], guard.sink.frame_words
    came = circuit.state(f"came{GHOST}", (words + 1).bit_length())
    more = came.equals(words).mux(came, came + 1)
    circuit.drive(came, beats.passes.mux(_last(beats).mux(0, more), came))
    return came


def _last(beats: Port) -> Bits:
    """A beat's mark of its frame's end."""
    return beats.payload.bits(beats.payload.width - 1, beats.payload.width)


def _verdict(guard: FrameGuard, subject: Subject, came: Bits) -> Bits:
    circuit, beats = subject.circuit, subject.ports["i"]
    words = guard.sink.frame_words
    _, ending = rounds(circuit, f"went{GHOST}", subject.ports["o"].passes, words)
    given = circuit["verdicts.i__valid"]
    good = beats.passes & _last(beats) & came.equals(words - 1)
    return given.equals(ending) & given.implies(circuit["verdicts.i__payload"].equals(good))


def _counted(guard: FrameGuard, subject: Subject, came: Bits) -> list[Bits]:
    """What a guard's state tells of the beats of a frame that have come, and of its words that have gone out."""
    circuit, words = subject.circuit, guard.sink.frame_words
    if words == 1:
        return []
    state, left = circuit["frame_state"], circuit["index"].extend(SUM_BITS, signed=True)
    came, went = came.extend(SUM_BITS), circuit[f"went{GHOST}"].extend(SUM_BITS)
    whole, dropped, filled = (state.equals(number) for number in range(3))  # in the order in which it names them
    return [
        went < words,
        (left + went).equals(words - 2),
        whole | filled | dropped,
        whole.implies(came.equals(went)),
        filled.implies(came.equals(0) & ~went.equals(0)),
        dropped.implies(came.equals(words) & went.equals(0)),
    ]


def _bad_frames(guard: FrameGuard, subject: Subject, came: Bits) -> Iterator[Claim]:
    beats, words = subject.ports["i"], guard.sink.frame_words
    yield from _counts(subject.circuit, "short_frames", beats.passes & _last(beats) & (came < words - 1))
    yield from _counts(subject.circuit, "long_frames", beats.passes & ~_last(beats) & came.equals(words - 1))


def _flips(counters: UpsetCounters, subject: Subject) -> Iterator[Claim]:
    circuit = subject.circuit
    for name in ("corrected", "detected") if counters.corrects else ("detected",):
        told = circuit.state(f"{name}{GHOST}told", 1)
        circuit.drive(told, ~circuit[f"were_{name}"].equals(0))
        yield from _counts(circuit, name, told)


def _counts(circuit: Circuit, name: str, counted: Bits) -> Iterator[Claim]:
    """A counter is what it should be; and so is one like it that a reset sets to any value, not to 0."""
    counter = circuit[name]
    top = (1 << counter.width) - 1
    start = circuit.input(f"{name}{GHOST}start", counter.width)
    like = circuit.state(f"{name}{GHOST}like{WORD}", counter.width)
    onward = circuit.replaced(circuit.next[counter.node], counter.node, like.node)
    circuit.drive(like, Bits(circuit, onward), start)
    for held, first in ((counter, 0), (like, start)):
        said = circuit.state(f"{name}{GHOST}{held.node}{WORD}", counter.width)
        circuit.drive(said, (counted & ~said.equals(top)).mux(said + 1, said), first)
        yield Claim(COUNTS, held.equals(said))


def _obeys(gate: FrameGate, subject: Subject) -> Bits:
    circuit, verdict = subject.circuit, subject.ports["verdict"]
    taken, good = circuit.state(f"taken{GHOST}", 1), circuit.state(f"good{GHOST}", 1)
    circuit.drive(taken, verdict.ready.mux(verdict.valid, taken))
    circuit.drive(good, verdict.ready.mux(verdict.payload, good))
    _, ending = rounds(circuit, f"came{GHOST}", subject.ports["i"].passes, gate.source.frame_words)
    return circuit.all_of(
        [
            subject.ports["o"].valid.implies(taken & good),
            subject.ports["i"].ready.implies(taken),
            verdict.ready.equals(~taken | ending),
        ]
    )


class _Classes:
    """The classes that a classifier should give.

    What has left it tells `so_far`: the place of the next word in its pixel, and the pixel's largest value, less the
    least that there can be, and its index. Words that wait behind that lead on from there, one after the other.
    """

    def __init__(self, classifier: Classifier, subject: Subject) -> None:
        self.circuit, self.out, self.source = subject.circuit, subject.ports["o"], classifier.source
        self.index_bits = len(classifier.o.payload.best)
        self.width = (self.out.payload.width - 1 - self.index_bits) // self.source.lanes
        circuit = self.circuit
        at = circuit.state(f"at{GHOST}", max(1, (self.source.words - 1).bit_length()))
        top = circuit.state(f"top{WORD}", self.source.tensor.bits)
        best = circuit.state(f"best{WORD}", self.index_bits)
        self.so_far = at, top, best
        for held, value in zip(self.so_far, self._after(self.so_far, self.out.payload), strict=True):
            circuit.drive(held, self.out.passes.mux(value, held))

    @property
    def claim(self) -> Bits:
        """What is offered bears the right class, and no value is less than the least or too large."""
        return self.out.valid.implies(self._right(self.so_far, self.out.payload))

    def facts(self) -> list[Bits]:
        """What holds inside: each round's winners are those of its word, and what waits bears the right class."""
        circuit = self.circuit
        found, here = list(self._rounds()), self.so_far
        found.append(here[0].extend(SUM_BITS) < self.source.words)
        for waits, name in ((circuit["offering"], "offered"), (~circuit["move"], "spare"), (circuit["full"], "held")):
            word = circuit[name]
            found.append(waits.implies(self._right(here, word)))
            at, top, best = (
                waits.mux(after, before) for after, before in zip(self._after(here, word), here, strict=True)
            )
            here = at, top, best
        at, top, best = here
        fresh = at.equals(0)
        return [
            *found,
            circuit["move"] | circuit["offering"],
            circuit["fresh"].equals(fresh),
            circuit["index"].extend(SUM_BITS).equals(at.extend(SUM_BITS)),
            circuit["channel"].equals(self._first(at)),
            fresh | circuit["top"].equals(top),
            fresh | self._best(circuit["held"]).equals(best),
        ]

    def _rounds(self) -> Iterator[Bits]:
        """Of each round of the knockout: its winners' codes and lanes, if a word is there, are those of the word."""
        circuit, bits = self.circuit, self.source.tensor.bits
        left, apart = self.source.lanes, 1
        while left > 1:
            number = (left - 1).bit_length()
            left, apart = (left + 1) // 2, 2 * apart
            word = circuit[f"word{number}"]
            codes = [word.bits(lane * bits, (lane + 1) * bits) for lane in range(self.source.lanes)]
            for k in range(left):
                bye = k == left - 1 and f"bye{number}" in circuit
                code, name = (
                    (f"bye{number}", f"bye_lane{number}") if bye else (f"code{number}_{k}", f"lane{number}_{k}")
                )
                top, best = self._largest(codes, range(k * apart, min((k + 1) * apart, len(codes))))
                lane = circuit.const(k * apart, self.index_bits)
                if name in circuit:
                    lane = lane + circuit[name].extend(self.index_bits)
                right = circuit[code].equals(top) & lane.equals(best)
                yield circuit[f"valid{number}"].implies(right)

    def _largest(self, codes: Sequence[Bits], lanes: Sequence[int]) -> tuple[Bits, Bits]:
        """The largest of some lanes' codes, and its lane."""
        first, *others = lanes
        top, best = codes[first], self.circuit.const(first, self.index_bits)
        for lane in others:
            wins = top < codes[lane]
            top, best = wins.mux(codes[lane], top), wins.mux(lane, best)
        return top, best

    def _values(self, word: Bits) -> list[Bits]:
        """Of a word that goes out, each less the least, a bit wider than it is."""
        values = (word.bits(lane * self.width, (lane + 1) * self.width) for lane in range(self.source.lanes))
        return [value.extend(self.width + 1, signed=True) - self.source.tensor.lo for value in values]

    def _best(self, word: Bits) -> Bits:
        start = self.source.lanes * self.width
        return word.bits(start, start + self.index_bits)

    def _first(self, at: Bits) -> Bits:
        """The channel of the first lane at a place."""
        channel = self.circuit.const(0, self.index_bits)
        for place in range(self.source.words):
            channel = at.equals(place).mux(place * self.source.lanes, channel)
        return channel

    def _after(self, before: tuple[Bits, Bits, Bits], word: Bits) -> tuple[Bits, Bits, Bits]:
        """The next place, the largest value and its index, once a word has come."""
        at, top, best = before
        codes = [value.bits(0, top.width) for value in self._values(word)]
        largest, lane = self._largest(codes, range(len(codes)))
        wins = at.equals(0) | (top < largest)
        following = at.equals(self.source.words - 1).mux(0, at + 1)
        return following, wins.mux(largest, top), wins.mux(self._first(at) + lane, best)

    def _right(self, before: tuple[Bits, Bits, Bits], word: Bits) -> Bits:
        """Whether a word bears the class that it should, and its values are those of codes."""
        within = [value < 1 << self.source.tensor.bits for value in self._values(word)]
        return self.circuit.all_of([*within, self._best(word).equals(self._after(before, word)[2])])
