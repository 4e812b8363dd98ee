"""That what is loaded comes to its place and stays there, that only right loads count, and that no frame meets one."""

from __future__ import annotations

import time
import zlib
from dataclasses import replace

import numpy as np

from ...hw.device.loaded import COLUMN
from ...hw.stages.frames import Admission
from ...hw.stream.load import RESTART, Loader
from ...hw.stream.stage import Stage
from .circuit import Bits, Circuit
from .claims import FRAME_BITS, Claim, Told
from .contents import columns_of
from .evaluate import Evaluator
from .invariants import SUM_BITS
from .products import NUMBERS
from .rows import Kind, Row
from .streams import GHOST, WORD, Subject, later, rounds

ONES = (1 << COLUMN) - 1
"""The state in which a CRC begins."""

LOADS = Kind(
    "loads",
    "behind a load's start each of its words comes to its row and column of its memory, and stays there, through "
    "resets too, until the next load; those behind the unit's own go on to the next unit, a cycle later",
    "which words come",
)
RIGHT = Kind(
    "only right loads",
    "words of contents go on in their order while the header is this machine's; a load ends well only with the word "
    "after them, which is its last, and whose CRC is right; the machine starts afresh behind it before frames begin, "
    "and any other load is told",
    "that links hand on what they are given, which is claimed of them",
)
CHECKSUM = Kind(
    "checksum",
    "of every state and word the next state is CRC-32's, and of every state one word alone is taken for its CRC",
    "that no wrong load has a right CRC: one in 2^32 has",
)
APART = Kind(
    "frames and loads apart",
    "no frame begins while none may, but one whose first word waits already; no load is taken while a frame has begun "
    "or is inside",
    "that the frames that are told to leave are those that came in",
)


def loads(stage: Stage, subject: Subject) -> tuple[Subject, Bits, list[Bits]]:
    """The claim of a stage that is loaded, of the stage while it may be: a start and a word never come at once.

    Returns that stage, the claim, and what is to be proven before it.
    """
    circuit, count = subject.circuit, stage.link.words
    start, done, valid, word = (circuit[f"load_i__{name}"] for name in ("start", "done", "valid", "word"))
    bits = (count + 1).bit_length()
    came = circuit.state(f"loaded{WORD}", bits)
    own = valid & (came < count)
    circuit.drive(came, start.mux(0, own.mux(came + 1, came)), count)
    # One word of the stage's, any, of the latest load.
    followed, place = circuit.state(f"load follows{WORD}", 1), circuit.state(f"load place{WORD}", bits)
    value = circuit.state(f"load value{WORD}", COLUMN)
    follows = own & circuit.input(f"load chosen{GHOST}", 1)
    circuit.drive(followed, ~start & (followed | follows))
    circuit.drive(place, follows.mux(came, place))
    circuit.drive(value, follows.mux(word, value))

    turn, row = circuit["link.turn"], circuit["link.row"].extend(bits)
    held, kept = [], []
    beside = [came < count + 1, followed.implies(place < came)]
    any_row = circuit.input(f"load row{GHOST}", SUM_BITS)
    for at, column in enumerate(columns_of(stage, circuit)):
        until = column.first + column.depth
        its = ~(came < column.first) & (came < until)
        beside += [turn.bits(at, at + 1).equals(its), its.implies((row + column.first).equals(came))]
        mine = followed & ~(place < column.first) & (place < until)
        for memory in column.places:
            stored = circuit.word(memory, place - column.first)
            held.append(mine.implies(stored.equals(value.bits(0, column.width))))
            afresh = circuit.replaced(circuit.next[memory], circuit.inputs["rst"], circuit.const(1, 1).node)
            same = circuit.word(afresh, any_row).equals(circuit.word(memory, any_row))
            kept.append(valid | same)
    last = turn.width - 1
    beside += [turn.bits(last, last + 1).equals(came.equals(count)), came.equals(count).implies(row.equals(0))]
    passed = later(circuit, circuit.concat([start, done, valid & came.equals(count)]), 1, "load passes")
    handed = later(circuit, word, 1, "load handed")
    gone = circuit.concat([circuit[f"load_o__{name}"] for name in ("start", "done", "valid")])
    onward = gone.equals(passed) & circuit["load_o__valid"].implies(circuit["load_o__word"].equals(handed))
    claim = circuit.all_of([*held, *kept, onward])
    return replace(subject, around=[~(start & valid)]), claim, [*beside, onward]


def judges(loader: Loader, subject: Subject) -> Told:
    """The claim of what takes loads; around it the last link gives back each load that has ended well, once."""
    circuit, source = subject.circuit, subject.ports["i"]
    word, last = source.payload.bits(0, COLUMN), source.payload.bits(COLUMN, COLUMN + 1)
    length, head = loader.length, len(loader.header)
    end, bits = length - 1, loader.length.bit_length() + 1
    start, done, valid, sent = (circuit[f"o__{name}"] for name in ("start", "done", "valid", "word"))
    loaded, settling, waiting, back = (circuit[name] for name in ("loaded", "settling", "waiting", "back"))

    place, right = circuit.state(f"place{WORD}", bits), circuit.state(f"right{WORD}", 1)

    def fits(at: Bits, word: Bits) -> Bits:
        """A header's word is this machine's."""
        return circuit.all_of(at.equals(k).implies(word.equals(said)) for k, said in enumerate(loader.header))

    here = right & fits(place, word)
    circuit.drive(place, source.passes.mux(last.mux(0, place.equals(length).mux(length, place + 1)), place))
    circuit.drive(right, source.passes.mux(last | here, right), 1)
    now = {"taken": source.passes, "at": place, "so far": here, "closes": last, "word": word}
    then = {name: later(circuit, bit, 1, name) for name, bit in now.items()}
    taken, at, so_far, closes, given = then.values()
    judged, where, well, closed, told = (later(circuit, bit, 1, f"judged {name}") for name, bit in then.items())
    before, match = later(circuit, right, 1, "before"), later(circuit, circuit["sum.match_detected"], 1, "match")
    contents = ~(where < head) & (where < end)
    pending, whole = circuit.state(f"pending{WORD}", 1), circuit.state(f"whole{WORD}", 1)
    out = pending | done
    circuit.drive(pending, out & ~back)
    circuit.drive(whole, ~source.passes & (back | whole))
    afresh = circuit.state(f"afresh{WORD}", RESTART.bit_length() + 1)
    circuit.drive(afresh, circuit["restart"].mux(afresh + 1, loaded.mux(afresh, 0)))
    subject.around = (*subject.around, back.implies(out))

    refused = circuit.state(f"refused{WORD}", 1)
    ends_well = at.equals(end) & so_far & closes & circuit["sum.match_detected"]
    circuit.drive(refused, taken.mux(closes & ~ends_well, refused))

    quiet = ~start & ~valid & ~done
    crc = circuit["sum.crc_reg"]
    said = [
        circuit["sum.valid"].equals(source.passes),
        source.passes.implies(circuit["sum.start"].equals(place.equals(0)) & circuit["sum.data"].equals(word)),
        circuit["sum.match_detected"].equals(crc.equals(_step(0, ONES))),
        start.equals(judged & where.equals(0)),
        valid.equals(judged & contents & well),
        valid.implies(sent.equals(told)),
        done.equals(judged & where.equals(end) & well & closed & match),
        circuit["refused"].equals(refused),
        source.ready.implies(circuit["empty"] & ~loaded & ~waiting),
        loaded.implies(whole & quiet & afresh.equals(RESTART)),
        circuit["restart"].implies(quiet & ~loaded),
    ]
    ends = taken & closes
    settles = ~settling.equals(0)
    beside = [
        place < length + 1,
        at < length + 1,
        where < length + 1,
        circuit["place"].extend(bits).equals(place),
        circuit["fresh"].equals(place.equals(0)),
        circuit["judged"].equals(taken),
        taken.implies(circuit["first"].equals(at.equals(0))),
        taken.implies(circuit["header"].equals(at < head)),
        taken.implies(circuit["contents"].equals(~(at < head) & (at < end))),
        taken.implies(circuit["ends"].equals(at.equals(end))),
        circuit["closes"].equals(closes),
        circuit["held"].equals(given),
        # What is right so far, with the word that is judged and without it.
        taken.implies(place.equals(closes.mux(0, at.equals(length).mux(length, at + 1)))),
        taken.implies(so_far.equals(before & fits(at, given)) & right.equals(closes | so_far)),
        place.equals(0).implies(right),
        (taken & at.equals(0)).implies(before),
        taken.implies(fits(at, circuit["known"])),
        (taken & ~at.equals(0) & (at < length)).implies(circuit["right"].equals(before)),
        (~taken & ~place.equals(0) & (place < length)).implies(circuit["right"].equals(right)),
        # One thing after the other: the last word, what is said of it, its way through the links, a fresh start.
        waiting.equals(ends | out | settles),
        ends.implies(~out & ~settles & ~loaded),
        out.implies(~settles & ~loaded & ~taken),
        settles.implies(whole & ~loaded & ~taken & ~judged),
        loaded.implies(whole & ~taken & ~judged),
        circuit.all_of(
            settling.bits(k, k + 1).implies(settling.equals(1 << k) & afresh.equals(k)) for k in range(RESTART)
        ),
        loaded.implies(afresh.equals(RESTART)),
        (taken | out).implies(afresh.equals(0)),
    ]
    return Told([Claim(RIGHT, bit) for bit in said], [[*beside, *said]])


def prove_checksum(circuit: Circuit) -> Row:
    """Run a loader's CRC on a basis of all states and words, of which both it and CRC-32 are affine functions."""
    started = time.process_time()
    state, word = circuit["sum.crc_reg"], circuit["sum.data"]
    taken = circuit.replaced(circuit.next[state.node], circuit["sum.valid"].node, circuit.const(1, 1).node)
    basis = [(0, 0), *((1 << k, 0) for k in range(COLUMN)), *((0, 1 << k) for k in range(COLUMN))]
    states, words = np.array(basis).T
    wrong = ""
    for begins in (0, 1):
        following = circuit.replaced(taken, circuit["sum.start"].node, circuit.const(begins, 1).node)
        if not _affine(circuit, following, {state.node, word.node}):
            wrong = wrong or "it is no affine function"
        run = Evaluator(circuit, (following,))
        given = {place: np.zeros_like(states) for place in run.leaves}
        [found] = run(given | {state.node: states, circuit.inputs["i__payload"]: words}).values()
        if found.tolist() != [_step(ONES if begins else s, w) for s, w in basis]:
            wrong = wrong or "it is not CRC-32"
    return Row(
        CHECKSUM, "refuted" if wrong else "proven", "a basis of all", NUMBERS, 0, time.process_time() - started, wrong
    )


def _turned(word: int) -> int:
    """With its bits in the other order."""
    return int(f"{word:0{COLUMN}b}"[::-1], 2)


def _step(state: int, word: int) -> int:
    """The next state of CRC-32, whose highest bit is the polynomial's lowest."""
    return _turned(zlib.crc32(word.to_bytes(4, "little"), _turned(state) ^ ONES) ^ ONES)


def _affine(circuit: Circuit, place: int, unknown: set[int]) -> bool:
    """Whether a node is a sum of bits of the unknown ones and constants, where all else is given."""
    hang: dict[int, bool] = {}
    for each in circuit.cone([place], clocked=False):
        node = circuit.nodes[each]
        hang[each] = each in unknown or any(hang[arg] for arg in node.args)
        if each in unknown or not hang[each] or node.op in ("xor", "xnor", "not", "slice", "concat", "uext"):
            continue
        if node.op != "ite" or hang[node.args[0]]:
            return False
    return True


def keeps_apart(admission: Admission, subject: Subject) -> Told:
    """The claim of what lets frames in; around it no more frames leave than have come in, and no more are inside."""
    circuit, source, sink = subject.circuit, subject.ports["i"], subject.ports["o"]
    entered, left, words = circuit["entered"], circuit["left"], admission.sink.frame_words
    went, ending = rounds(circuit, f"entered{GHOST}", entered, words)
    inside = circuit.state(f"frames{GHOST}", FRAME_BITS)
    circuit.drive(inside, inside + ending.extend(FRAME_BITS) - left.extend(FRAME_BITS))
    subject.around = (*subject.around, left.implies(~inside.equals(0)), ending.implies(inside < admission.most))
    begun, waits = ~went.equals(0), sink.waits
    said = [
        sink.payload.equals(source.payload),
        sink.passes.equals(source.passes),
        sink.valid.implies(circuit["open"] | begun | waits),
        (source.valid & (circuit["open"] | begun | waits)).implies(sink.valid),
        circuit["empty"].equals(inside.equals(0) & ~begun & ~waits),
    ]
    index = circuit["index"].extend(SUM_BITS, True) if "index" in circuit else circuit.const(-1, SUM_BITS)
    beside = [
        went < words,
        (index + went.bits(0, SUM_BITS)).equals(words - 2),
        circuit["begun"].equals(begun),
        circuit["offered"].equals(waits),
        circuit["inside"].extend(FRAME_BITS).equals(inside),
        inside < admission.most + 1,
    ]
    return Told([Claim(APART, bit) for bit in said], [beside])
