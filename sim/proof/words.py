"""That units which make no values of their own hand on the words that came: whole, cut, joined, with zeros between."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.lib import wiring

from ...hw.stages.channels import PadChannelsStage
from ...hw.stages.frames import Classifier, FrameGate, FrameGuard
from ...hw.stages.global_sum import PixelSumStage
from ...hw.stream.beat import sample_shape, value_shape
from ...hw.stream.converters import Narrow, Widen
from ...hw.stream.fork import Fork
from .circuit import Bits
from .claims import Claim, Told
from .invariants import SUM_BITS
from .order import Word
from .rows import Kind
from .streams import GHOST, WORD, Subject, rounds
from .taps import recoded

WORDS = Kind(
    "words",
    "what leaves is made of the words that came, in their order: whole, cut, joined, with channels of zeros behind, as "
    "sums of pixels beside each other, as the nearest codes; a mark stands at the frame's end",
    "when it leaves",
)


def words(unit: wiring.Component, subject: Subject) -> Told:
    """The claims of such a unit, none of another; `ends` comes before."""
    circuit, ports = subject.circuit, subject.ports
    match unit:
        case Fork():
            said = [port.valid.implies(port.payload.equals(ports["i"].payload)) for port in subject.outs]
        case FrameGate():
            said = [_offers(subject, ports["i"].payload)]
        case PadChannelsStage():
            said = _padded(unit, subject)
        case FrameGuard():
            said = [_codes(unit, subject)]
        case Widen():
            said = _widened(unit, subject)
        case PixelSumStage():
            said = [_summed(unit, subject)]
        case Narrow():
            return _narrowed(unit, subject)
        case Classifier():
            return _marked(unit, subject)
        case _:
            return Told([], [])
    return Told([Claim(WORDS, circuit.all_of(said))], [[], said])


def _offers(subject: Subject, word: Bits) -> Bits:
    """That this word is offered, whenever one is."""
    return subject.ports["o"].valid.implies(subject.ports["o"].payload.equals(word))


def _lanes(word: Bits, lanes: int) -> list[Bits]:
    """A word's parts of the same width, the first in its lowest bits."""
    bits = word.width // lanes
    return [word.bits(lane * bits, (lane + 1) * bits) for lane in range(lanes)]


def _padded(stage: PadChannelsStage, subject: Subject) -> list[Bits]:
    """The word that comes in, with zeros behind; or zeros alone, when a pixel's words have passed."""
    circuit, word, sink = subject.circuit, subject.ports["i"].payload, stage.sink
    zero = circuit.const(-sink.tensor.lo, sink.tensor.bits)
    if stage.whole:
        more = sink.tensor.channels - stage.source.tensor.channels
        pixels = _lanes(recoded(word, stage.source, sink), stage.source.pixels)
        return [_offers(subject, circuit.concat([part for pixel in pixels for part in (pixel, *[zero] * more)]))]
    went, _ = rounds(circuit, f"went{WORD}", subject.ports["o"].passes, sink.words)
    passes = went < stage.source.words
    padded = passes.mux(recoded(word, stage.source, sink), circuit.concat([zero] * sink.lanes))
    return [circuit["word"].extend(SUM_BITS).equals(went.bits(0, SUM_BITS)), _offers(subject, padded)]


def _codes(guard: FrameGuard, subject: Subject) -> Bits:
    """Where a frame's words are its beats so far, what is offered is the nearest codes of the beat that comes in."""
    circuit, t, beat, out = subject.circuit, guard.sink.tensor, subject.ports["i"], subject.ports["o"]
    shape = sample_shape(t)
    width = max(shape.width, t.bits) + 2
    codes = []
    for sample in _lanes(beat.payload.bits(0, shape.width * guard.sink.lanes), guard.sink.lanes):
        value = sample.extend(width, shape.signed) - t.lo
        top = circuit.const(t.hi - t.lo, width)
        codes.append(value.less(0).mux(0, top.less(value).mux(top, value)).bits(0, t.bits))
    came = circuit[f"came{GHOST}"]
    went = circuit[f"went{GHOST}"].extend(came.width) if f"went{GHOST}" in circuit else circuit.const(0, came.width)
    right = beat.valid & out.payload.equals(circuit.concat(codes)) & out.ready.implies(beat.ready)
    return (out.valid & came.equals(went)).implies(right)


def _widened(stage: Widen, subject: Subject) -> list[Bits]:
    """The words that came last and the one that comes in."""
    circuit, source = subject.circuit, subject.ports["i"]
    ratio = stage.sink.lanes // stage.source.lanes
    came, _ = rounds(circuit, f"came{WORD}", source.passes, ratio)
    earlier, word = [], source.payload
    for k in range(1, ratio):
        held = circuit.state(f"before{k}{WORD}", word.width)
        circuit.drive(held, source.passes.mux(word, held))
        earlier.append(held)
        word = held
    held = circuit.concat(earlier[::-1])
    whole = subject.ports["o"].valid.implies(came.equals(ratio - 1))
    count = circuit["count"].extend(came.width).equals(came)
    return [count, circuit["held"].equals(held), whole, _offers(subject, circuit.concat([held, source.payload]))]


def _summed(stage: PixelSumStage, subject: Subject) -> Bits:
    """The sums of each word's adjacent pixels."""
    circuit, source, t = subject.circuit, subject.ports["i"], stage.source.tensor
    bits = stage.sink.tensor.bits
    sums: list[Bits] = []
    pixels = [_lanes(pixel, t.channels) for pixel in _lanes(source.payload, stage.source.pixels)]
    for first in range(0, len(pixels), stage.count):
        for codes in zip(*pixels[first : first + stage.count], strict=True):
            total = circuit.const(0, bits)
            for code in codes:
                total = total + code.extend(bits)
            sums.append(total)
    said = circuit.state(f"sums{WORD}", stage.sink.bits)
    circuit.drive(said, source.passes.mux(circuit.concat(sums), said))
    return _offers(subject, said) & circuit.const(stage.count * (t.hi - t.lo) < 1 << bits, 1)


def _narrowed(stage: Narrow, subject: Subject) -> Told:
    """The parts of a word, one by one: of the word that came last, or of the one before while both are here."""
    circuit, source, sink, ratio = subject.circuit, subject.ports["i"], subject.ports["o"], stage.ratio
    went, ends = rounds(circuit, f"went{WORD}", sink.passes, ratio)
    latest, earlier = (circuit.state(f"{name}{WORD}", source.payload.width) for name in ("latest", "earlier"))
    inside = circuit.state(f"inside{WORD}", 2)
    circuit.drive(inside, inside + source.passes.extend(2) - ends.extend(2))
    circuit.drive(latest, source.passes.mux(source.payload, latest))
    circuit.drive(earlier, source.passes.mux(latest, earlier))
    word = inside.equals(2).mux(earlier, latest)
    part = _chosen(went, _lanes(word, ratio))
    claim = _offers(subject, part) & sink.valid.implies(~inside.equals(0))
    full, parts = sink.valid, circuit.const(ratio, went.width)
    last = full & went.equals(ratio - 1)
    if stage.chooses:
        some, at = circuit["some"], circuit["part"].extend(went.width)
        beside = [
            inside.equals(some.extend(2) + last.extend(2)),
            some.implies(circuit["held"].equals(latest)),
            at.equals((full & ~last).mux(went + 1, 0)),
            (full & ~last).implies(some),
            full | went.equals(0),
            went < ratio,
        ]
        return Told([Claim(WORDS, claim)], [[*beside, claim]])
    left, held, bits = circuit["left"].extend(went.width), circuit["held"], stage.sink.bits
    beside = [
        inside.equals(full.extend(2)),
        left.equals(full.mux(parts - went, 1)),
        full | went.equals(0),
        went < ratio,
        circuit["last"].equals(left.equals(1)),
    ]
    for k in range(ratio):
        rest = (ratio - k) * bits
        beside.append((full & went.equals(k)).implies(held.bits(0, rest).equals(latest.bits(k * bits, ratio * bits))))
    return Told([Claim(WORDS, claim)], [beside])


def _chosen(index: Bits, words: Sequence[Bits]) -> Bits:
    found = words[-1]
    for place, word in enumerate(words[:-1]):
        found = index.equals(place).mux(word, found)
    return found


def _marked(classifier: Classifier, subject: Subject) -> Told:
    """Of any one word its values leave, in its turn; and with a frame's last word its mark."""
    circuit, source, out = subject.circuit, subject.ports["i"], subject.ports["o"]
    flow = classifier.source
    lanes, frame = flow.lanes, flow.frame_words
    rounds_left = range(1, (lanes - 1).bit_length() + 1)
    # Where words wait, from the way out on.
    ends = [(circuit["offering"], "offered"), (~circuit["move"], "spare"), (circuit["full"], "held")]
    waits = [(circuit[f"valid{k}"], f"word{k}") for k in rounds_left] + [(circuit["valid"], "word")]
    word = Word(circuit, "words", len(ends) + len(waits), source.passes, source.payload, out.passes)
    went, _ = rounds(circuit, f"went{WORD}", out.passes, frame)

    def values(held: Bits) -> Bits:
        """That they are those of the word that is followed."""
        width = value_shape(flow.tensor).width
        given = [
            each.extend(width + 1, signed=True) - flow.tensor.lo for each in _lanes(held.bits(0, width * lanes), lanes)
        ]
        codes = _lanes(word.value, lanes)
        return circuit.all_of(value.equals(code.extend(width + 1)) for value, code in zip(given, codes, strict=True))

    def marked(held: Bits, place: Bits) -> Bits:
        return held.bits(held.width - 1, held.width).equals(place.equals(frame - 1))

    beside, before = [*word.guesses, went < frame], circuit.const(0, SUM_BITS)
    place = went.bits(0, SUM_BITS)
    for here, name in [*ends, *waits]:
        mine = word.followed & here & word.before.extend(SUM_BITS).equals(before)
        held = circuit[name]
        if (here, name) in ends:
            beside += [mine.implies(values(held)), here.implies(marked(held, place))]
            place = here.mux(place.equals(frame - 1).mux(0, place + 1), place)
        else:
            beside.append(mine.implies(held.equals(word.value)))
        before = before + here.extend(SUM_BITS)
    counted = circuit[f"i{GHOST}o{GHOST}inside"].extend(SUM_BITS)
    beside += [word.inside.extend(SUM_BITS).equals(before), counted.equals(before)]
    index, left = (
        circuit[n].extend(SUM_BITS) if n in circuit else circuit.const(0, SUM_BITS) for n in ("index", "left")
    )
    beside += [place.equals(left * flow.words + index), index < flow.words]
    first = word.followed & word.before.equals(0) & out.valid
    said = [first.implies(values(out.payload)), out.valid.implies(marked(out.payload, went.bits(0, SUM_BITS)))]
    return Told([Claim(WORDS, bit) for bit in said], [[], beside])
