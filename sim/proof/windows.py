"""What a proof knows of stages with a window: how their results are under way, from the last tap to the way out."""

from __future__ import annotations

from dataclasses import dataclass

from ...hw.stages.windowed import TURNED_LATENCY, WindowedStage
from ...hw.stream.turned import TurnedResults
from ...hw.window.slide import SlidingWindow
from .circuit import Bits, Circuit
from .invariants import SUM_BITS
from .streams import GHOST, WORD, Port, Subject, rounds


@dataclass(frozen=True)
class Results:
    """The results of a stage's dot products.

    Attributes
    ----------
    arrives : each comes to its place exactly so many cycles after its dot product has ended: `delay`
    guesses : what is to be proven beside other guesses, once `arrives` is
    placed : a result that comes has a place
    in_turn : of windows that take turns each result leaves in its place, unchanged; None of others
    counted : results under way and waiting are at most as many as places
    """

    arrives: Bits
    delay: int
    guesses: list[Bits]
    placed: Bits
    counted: Bits
    in_turn: Bits | None = None


def results(stage: WindowedStage, subject: Subject) -> Results:
    """Watch the results of a stage; the registers that this takes are added to its circuit."""
    circuit, out = subject.circuit, subject.ports["o"]
    window = stage.window
    sliding = isinstance(window, SlidingWindow)
    ends, to_come, guesses = _sliding(subject, window) if isinstance(window, SlidingWindow) else _reading(subject)
    # Cycles from the end of a dot product to the cycle in which its result comes to its place.
    delay = stage.latency - (stage.dot_cycles + 1 if sliding else window.ring.latency + 1)
    if stage.turned:
        delay -= TURNED_LATENCY
    line = []
    before = ends
    for k in range(1, delay + 1):
        held = circuit.state(f"way{GHOST}{k}", 1)
        circuit.drive(held, before)
        before = held
        line.append(held)
    credits, in_turn = stage.credits, None
    taken = (
        circuit.const(credits, SUM_BITS) - circuit["window.free"].extend(SUM_BITS)
        if sliding
        else (circuit["window.pending"].extend(SUM_BITS, signed=True) + credits)
    )
    if stage.turned:
        waiting, in_turn, places = _turned(circuit, stage, stage.turned, out)
        comes = circuit["turned.done"]
        placed = comes.implies(waiting < credits)
        guesses += [*places, placed]
    elif credits > 1:
        waiting = circuit["queue.level"].extend(SUM_BITS)
        comes = circuit["queue.w_en"]
        placed = comes.implies(circuit["queue.w_rdy"])
    else:
        waiting = out.valid.extend(SUM_BITS)
        comes, _ = out.payload.loads()
        placed = comes.implies(~out.valid)
        guesses.append(out.waits.implies(out.valid))
    arrives = comes.equals(before)
    under_way = waiting
    for held in line:
        under_way = under_way + held.extend(SUM_BITS)
    guesses.append(taken.equals(under_way + to_come))
    guesses += [~taken.less(0), taken.less(credits + 1)]
    counted = taken.less(credits + 1) & ~taken.less(0) & taken.equals(under_way + to_come)
    return Results(arrives, delay, guesses, placed, counted, in_turn)


def _turned(circuit: Circuit, stage: WindowedStage, turned: TurnedResults, out: Port) -> tuple[Bits, Bits, list[Bits]]:
    """Of results of windows that take turns: how many wait until all of them have left, the claim about one, guesses.

    Any one result is followed from its coming to its leaving; an input chooses it. It comes as one of a group, of a
    window each, and leaves as one of a window, of a group each.
    """
    turns, groups, batches = stage.window.geometry.turns, stage.groups, turned.batches
    size = turns * groups
    zero = circuit.const(0, SUM_BITS)

    def number(name: str) -> Bits:
        return circuit[f"turned.{name}"].extend(SUM_BITS) if f"turned.{name}" in circuit else zero

    def counted(name: str, goes_on: Bits, count: int) -> tuple[Bits, Bits]:
        at, ends = rounds(circuit, f"{name}{GHOST}", goes_on, count)
        return at.bits(0, SUM_BITS), ends

    comes, asked = circuit["turned.done"], circuit["turned.ask"]
    # Where the next result belongs that comes, and the next one that is read.
    turn_in, next_group = counted("turn_in", comes, turns)
    group_in, next_in = counted("group_in", next_group, groups)
    batch_in, _ = counted("batch_in", next_in, batches)
    group_out, next_turn = counted("group_out", asked, groups)
    turn_out, next_out = counted("turn_out", next_turn, turns)
    batch_out, _ = counted("batch_out", next_out, batches)
    waiting = circuit["turned.waiting"].extend(SUM_BITS, signed=True)
    whole = waiting + 1 + number("whole")
    within, memory = number("within"), turned.depth
    guesses = [
        number("write__addr").equals(batch_in * size + within),
        number("read__addr").equals(batch_out * size + group_out * turns + turn_out),
        within.equals(group_in * turns + turn_in),
        number("group").equals(group_out),
        number("turn").equals(turn_out),
        circuit["turned.freed"].equals(next_out),
        *(at < most for at, most in ((turn_in, turns), (group_in, groups), (batch_in, batches))),
        *(at < most for at, most in ((turn_out, turns), (group_out, groups), (batch_out, batches))),
        whole < batches + 1,
        waiting.less(0).implies(group_out.equals(0) & turn_out.equals(0)),
        batch_in.equals(batch_out + whole) | (batch_in + batches).equals(batch_out + whole),
    ]

    # The one that is followed: its place, the batches before its own, and whether it has been read.
    chosen = circuit.input(f"chosen{GHOST}", 1)
    followed, read = circuit.state(f"follows{WORD}", 1), circuit.state(f"read{WORD}", 1)
    turn, group, batch, before = (
        circuit.state(f"{name}{WORD}", SUM_BITS) for name in ("turn", "group", "batch", "before")
    )
    word = circuit.state(f"followed{WORD}", turned.bits)
    starts = comes & chosen & ~followed
    freed = circuit["turned.freed"].extend(SUM_BITS)
    for state, value in ((turn, turn_in), (group, group_in), (batch, batch_in)):
        circuit.drive(state, starts.mux(value, state))
    circuit.drive(word, starts.mux(circuit["turned.result"], word))
    circuit.drive(before, starts.mux(whole, before) - freed)
    mine = followed & ~read & asked & before.equals(0) & turn.equals(turn_out) & group.equals(group_out)
    leaves = followed & read & out.passes
    circuit.drive(followed, starts | (followed & ~leaves))
    circuit.drive(read, mine | (read & ~leaves))
    claim = (followed & read).implies(out.valid & out.payload.equals(word))
    place = batch * size + group * turns + turn
    held = circuit.word(circuit.states["turned.memory"], place)
    waits = followed & ~read
    unread = (turn_out < turn) | (turn_out.equals(turn) & ~(group < group_out))
    come = (group < group_in) | (group.equals(group_in) & (turn < turn_in))
    guesses += [
        waits.implies(held.equals(word)),
        followed.implies((turn < turns) & (group < groups) & (batch < batches) & (place < memory)),
        waits.implies(batch.equals(batch_out + before) | (batch + batches).equals(batch_out + before)),
        waits.implies((before < whole) | (before.equals(whole) & come)),
        (waits & before.equals(0)).implies(unread),
        read.implies(followed),
        claim,
    ]
    return whole * size + within, claim, guesses


def _sliding(subject: Subject, window: SlidingWindow) -> tuple[Bits, Bits, list[Bits]]:
    """Whether a dot product ends; how many of the window that has begun have yet to; and what the counters tell."""
    circuit = subject.circuit
    parts, groups = window.parts, window.groups
    begun, zero = circuit["window.begun"], circuit.const(0, SUM_BITS)
    if parts * groups == 1:
        return begun, begun.extend(SUM_BITS), []
    index = circuit["window.index"].extend(SUM_BITS)
    given = begun | ~index.equals(0)
    part = circuit["window.part"].extend(SUM_BITS) if parts > 1 else zero
    # In which group of outputs the window is: a register of its own, because a proof has no division.
    group = circuit.state(f"group{GHOST}", max(1, (groups - 1).bit_length()))
    ends = given & part.equals(parts - 1)
    circuit.drive(group, ends.mux(group.equals(groups - 1).mux(0, group + 1), group))
    wide = group.extend(SUM_BITS)
    busy = circuit["window.busy"].extend(SUM_BITS)
    guesses = [
        index.equals(wide * parts + part),
        part < parts,
        wide < groups,
        (busy + index).equals(given.mux(circuit.const(parts * groups - 1, SUM_BITS), 0)),
    ]
    return ends, given.mux(circuit.const(groups, SUM_BITS) - wide, 0), guesses


def _reading(subject: Subject) -> tuple[Bits, Bits, list[Bits]]:
    """The same of a window that is read in place: places are taken when a dot product ends."""
    circuit = subject.circuit
    return circuit["window.step"] & circuit["window.closes"], circuit.const(0, SUM_BITS), []
