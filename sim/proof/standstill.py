# amaranth: UnusedElaboratable=no
"""Whether a machine stands still: its control run from reset, both ends always ready, until its state comes again.

The units' circuits are joined by their streams, without the words: only what decides on transfers is computed. A state
that comes again at a frame's end comes for ever; one that is the same a cycle later never changes.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ...hw.accelerator import Accelerator
from ...hw.stream.queue import Queue
from . import compiled
from .circuit import Circuit, Node
from .evaluate import Steps
from .netlist import circuit_of, rtlil_of
from .rows import Kind, Row

MOVES = Kind(
    "never stands still",
    "the machine gives frames for ever, with each residual's queue as deep as it is and as the least depth says; with "
    "fewer words it stands still, one less where the branch of the queue holds none itself",
    "the same with pauses at its ends",
)

FRAMES = 40
"""Frames after which a state must have come again."""

ENGINE = "the units' netlists, joined"


@dataclass
class _Joined:
    """The units' circuits as one."""

    circuits: Mapping[str, Circuit]
    wires: Mapping[tuple[str, str], tuple[str, str]]
    whole: Circuit = field(default_factory=Circuit)
    places: dict[tuple[str, int], int] = field(default_factory=dict)

    @cached_property
    def names(self) -> Mapping[str, Mapping[int, str]]:
        """Of each unit the names of its inputs by place."""
        return {
            unit: {place: name for name, place in circuit.inputs.items()} for unit, circuit in self.circuits.items()
        }

    def add(self, unit: str, name: str) -> int:
        """The place of a unit's output, with all that it hangs on within a cycle."""
        return self.join(unit, self.circuits[unit].outputs[name])

    def join(self, unit: str, place: int) -> int:
        """The same of one of its nodes."""
        target = unit, place
        stack = [target]
        while stack:
            here = unit, place = stack[-1]
            if here in self.places:
                stack.pop()
                continue
            node = self.circuits[unit].nodes[place]
            if node.op == "input":
                name = self.names[unit][place]
                source = self.wires.get((unit, name))
                if source is None:
                    self.places[here] = self.whole.input(f"{unit}.{name}", node.width).node
                    continue
                needed = [(source[0], self.circuits[source[0]].outputs[source[1]])]
            else:
                needed = [(unit, arg) for arg in node.args]
            missing = [each for each in needed if each not in self.places]
            if missing:
                stack.extend(missing)
                continue
            args = tuple(self.places[each] for each in needed)
            if node.op == "input":
                self.places[here] = args[0]
            elif node.op == "state":
                self.places[here] = self.whole.state(f"{unit}.{place}", node.width).node
            else:
                self.places[here] = self.whole.insert(Node(node.op, node.width, args, node.data, node.address))
        return self.places[target]

    def close(self) -> None:
        """The next values of all registers that have come in."""
        done: set[tuple[str, int]] = set()
        while rest := [key for key in self.places if key not in done]:
            done.update(rest)
            for unit, place in rest:
                if (following := self.circuits[unit].next.get(place)) is not None:
                    self.whole.next[self.places[unit, place]] = self.join(unit, following)


def _ports(accelerator: Accelerator) -> Mapping[int, tuple[str, str]]:
    """Unit and name of each port, by its identity."""
    return {
        id(getattr(unit, name)): (called, name)
        for called, unit in accelerator.units.items()
        for name, member in unit.signature.members.items()
        if member.is_signature
    }


def control(accelerator: Accelerator, circuits: Mapping[str, Circuit]) -> tuple[Circuit, Mapping[str, int]]:
    """The circuit that decides on a machine's transfers, of its units' by name, and the nodes that a run reads."""
    ports = _ports(accelerator)
    wires: dict[tuple[str, str], tuple[str, str]] = {}
    joined = [(ports[id(source)], ports[id(sink)]) for source, sink in accelerator.pipeline.links]
    joined += [
        (("input_guard", "verdict"), ("verdicts", "i")),
        (("verdicts", "o"), ("output_gate", "verdict")),
    ]
    for (giver, out), (taker, into) in joined:
        wires[taker, f"{into}__valid"] = giver, f"{out}__valid"
        wires[giver, f"{out}__ready"] = taker, f"{into}__ready"
    whole = _Joined(circuits, wires)
    read = {
        "taken": whole.add("input_guard", "i__ready"),
        "given": whole.add("output_classifier", "o__valid"),
    }
    for (giver, out), _ in joined:
        whole.add(giver, f"{out}__valid")
    whole.close()
    return whole.whole, read


@dataclass(frozen=True)
class End:
    """How a run ended: `again`, a state came again after so many `frames`; or the machine stands still."""

    again: bool
    frames: int
    cycle: int


def run(accelerator: Accelerator, circuits: Mapping[str, Circuit]) -> End | None:
    """Run a machine; None where neither shows within FRAMES frames."""
    circuit, read = control(accelerator, circuits)
    words = accelerator.plan.source(accelerator.net.input).frame_words
    last = len(accelerator.i.payload.as_value()) - 1
    given = {}
    for name, place in circuit.inputs.items():
        # All words wait, all places are free, all frames are good.
        ones = name.endswith(("__valid", "o__ready", "verdict__payload"))
        given[place] = int(ones and not name.split(".")[1].startswith("load"))
    beat = circuit.inputs.get("input_guard.i__payload")
    resets = [place for name, place in circuit.inputs.items() if name.endswith(".rst")]
    fast = compiled.run(
        circuit, tuple(read.values()), words, FRAMES, given, resets, None if beat is None else (beat, last)
    )
    if fast is not compiled.UNABLE:
        return None if fast is None else End(*fast)
    steps = Steps(circuit, tuple(read.values()))
    state = dict.fromkeys(steps.states, 0)
    state, _ = steps(state, given | dict.fromkeys(resets, 1))
    seen: dict[tuple[int, ...], int] = {}
    sent = frames = cycle = 0
    while frames < FRAMES:
        cycle += 1
        if beat is not None:
            given[beat] = int(sent == words - 1) << last
        before, (state, (taken, _)) = state, steps(state, given)
        if not taken and state == before:
            return End(False, frames, cycle)
        sent += taken
        if sent == words:
            sent, frames = 0, frames + 1
            now = tuple(state.values())
            if now in seen:
                return End(True, frames, cycle)
            seen[now] = frames
    return None


def prove_moves(
    accelerator: Accelerator, circuits: Mapping[str, Circuit], cache: Path | None = None
) -> list[tuple[str, Row]]:
    """That a machine never stands still, and of each queue of a residual that the least depth does and a smaller not.

    `circuits` are its units' by name. Returns rows, each with the queue that it is about; none is the machine as it is.
    """
    rows = [("", _row(accelerator, circuits, True))]
    for name, least in accelerator.pipeline.least.items():
        queue = accelerator.units.get(name)
        if not isinstance(queue, Queue) or not least:
            continue

        def with_depth(depth: int, name: str = name, queue: Queue = queue) -> Mapping[str, Circuit]:
            other = Queue(queue.source, depth, queue.family, queue.together)
            return {**circuits, name: circuit_of(rtlil_of(other), cache)}

        def stands(depth: int, with_depth: Callable[[int], Mapping[str, Circuit]] = with_depth) -> bool:
            end = run(accelerator, with_depth(depth))
            return end is not None and not end.again

        rows.append((name, _row(accelerator, with_depth(least), True, least)))
        # A branch with more than wires in it holds some words itself: then not all of the depth is needed.
        short = least - 1
        if short and not stands(short):
            # A queue of one word could not take one in the cycle in which it gives one: there is none.
            first = bisect_left(range(2, short), True, key=lambda depth, stands=stands: not stands(depth))
            short = first + 1 if first else 0
        if short:
            rows.append((name, _row(accelerator, with_depth(short), False, short)))
    return rows


def _row(accelerator: Accelerator, circuits: Mapping[str, Circuit], moves: bool, depth: int = 0) -> Row:
    """Whether the machine of these circuits moves or stands still, as it should; with a queue of a `depth`, if any."""
    started = _seconds()
    end = run(accelerator, circuits)
    of = f", {depth} words" if depth else ""
    if end is None:
        return Row(MOVES, "open", f"run{of}", ENGINE, 0, _seconds() - started)
    found = "until its state comes again" if end.again else f"stands still from cycle {end.cycle:,} on"
    state = "proven" if end.again == moves else "refuted"
    return Row(MOVES, state, f"run{of}: {found}", ENGINE, end.cycle, _seconds() - started, found)


def _seconds() -> float:
    """Seconds of the processor so far, those of programs that were run too."""
    return sum(os.times()[:4])
