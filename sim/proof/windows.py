"""What a proof knows of stages with a window: how their results are under way, from the last tap to the way out."""

from __future__ import annotations

from dataclasses import dataclass

from ...hw.stages.windowed import WindowedStage
from ...hw.window.slide import SlidingWindow
from ...hw.window.window import Window
from .circuit import Bits
from .invariants import SUM_BITS
from .streams import GHOST, Subject


@dataclass(frozen=True)
class Results:
    """The results of a stage's dot products.

    Attributes
    ----------
    arrives : each comes to its place exactly so many cycles after its dot product has ended: `delay`
    guesses : what is to be proven beside other guesses, once `arrives` is
    placed : a result that comes has a place
    counted : results under way and waiting are at most as many as places
    """

    arrives: Bits
    delay: int
    guesses: list[Bits]
    placed: Bits
    counted: Bits


def results(stage: WindowedStage, subject: Subject) -> Results:
    """Watch the results of a stage; the registers that this takes are added to its circuit."""
    circuit, out = subject.circuit, subject.ports["o"]
    window = stage.window
    sliding = isinstance(window, SlidingWindow)
    ends, to_come, guesses = (
        _sliding(subject, window) if isinstance(window, SlidingWindow) else _reading(subject, window)
    )
    # Cycles from the end of a dot product to the cycle in which its result comes to its place.
    delay = stage.latency - (stage.dot_cycles + 1 if sliding else window.ring.latency + 1)
    line = []
    before = ends
    for k in range(1, delay + 1):
        held = circuit.state(f"way{GHOST}{k}", 1)
        circuit.drive(held, before)
        before = held
        line.append(held)
    credits = stage.credits
    taken = (
        circuit.const(credits, SUM_BITS) - circuit["window.free"].extend(SUM_BITS)
        if sliding
        else (circuit["window.pending"].extend(SUM_BITS, signed=True) + credits)
    )
    if credits > 1:
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
    return Results(arrives, delay, guesses, placed, counted)


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
    product = circuit.add("mul", SUM_BITS, wide, circuit.const(parts, SUM_BITS))
    busy = circuit["window.busy"].extend(SUM_BITS)
    guesses = [
        index.equals(product + part),
        part < parts,
        wide < groups,
        (busy + index).equals(given.mux(circuit.const(parts * groups - 1, SUM_BITS), 0)),
    ]
    return ends, given.mux(circuit.const(groups, SUM_BITS) - wide, 0), guesses


def _reading(subject: Subject, window: Window) -> tuple[Bits, Bits, list[Bits]]:
    """The same of a window that is read in place: places are taken when a dot product ends."""
    circuit = subject.circuit
    guesses = []
    if "window.wrapped" in circuit:
        # The next address, and the same less the memory's size, of which one is in the memory.
        size = window.ring.size
        address, onward = circuit["window.address"].extend(SUM_BITS), circuit["window.onward"].extend(SUM_BITS)
        wrapped = circuit["window.wrapped"].extend(SUM_BITS, signed=True)
        guesses = [address < size, onward < size, onward.equals(wrapped + size)]
    if "window.tap" in circuit and "window.over" in circuit:
        # The loops, which count down past 0, tell the place of the next tap; that of the last is followed by the first.
        following, each = circuit.const(0, SUM_BITS), 1
        for level, loop in enumerate(window.loops[: window.tap_loops]):
            if loop.count > 1:
                left = circuit[f"window.loop{level}"].extend(SUM_BITS, signed=True)
                guesses += [~left.less(-1), left.less(loop.count - 1)]
                gone = circuit.const(loop.count - 2, SUM_BITS) - left
                following = following + circuit.add("mul", SUM_BITS, gone, circuit.const(each, SUM_BITS))
            elif f"window.loop{level}" in circuit:
                guesses.append(circuit[f"window.loop{level}"].equals(-1))
            each *= loop.count
        tap, over = circuit["window.tap"].extend(SUM_BITS), circuit["window.over"]
        guesses.append(over.mux(tap.equals(window.taps - 1) & following.equals(0), (tap + 1).equals(following)))
    return circuit["window.step"] & circuit["window.last"], circuit.const(0, SUM_BITS), guesses
