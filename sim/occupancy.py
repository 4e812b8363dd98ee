# amaranth: UnusedElaboratable=no
"""What the units of a machine do over time, cycle by cycle, from a simulation: who works, and who waits for whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..hw.accelerator import Accelerator
from ..hw.plan import Plan
from ..hw.stages.windowed import WindowedStage
from ..hw.stream.fork import Fork
from ..hw.stream.stage import Stage
from ..hw.window.slide import SLIDE_LATENCY, SlidingWindow
from ..model.net import Net
from ..model.places import scratch
from .simulate import Machine, Run, as_frames
from .stimulus import Progress
from .taps import rising_edges

STATES = TRANSFER, COMPUTE, STALL, STARVE = range(4)
"""What a unit does in a cycle, the first of these that is true:

TRANSFER : a word leaves it
COMPUTE : it works on words to come: its window goes on, or it takes one of the words that it makes fewer of
STALL : it stands still, and the word that it offers is not taken: what follows holds it up
STARVE : it has nothing to work on: what precedes it is late

In the first two it is busy. A unit that may give a word every cycle (a queue, a fork, an add, a Requantise) has no work
but its transfers. Words on their way through a unit do not make it busy, for the next ones could come: what is busy
in every cycle sets the rate.
"""


@dataclass(frozen=True)
class Watch:
    """Where in the accelerator to see what a unit does; a stream is the path of its signals up to "valid" and "ready".

    given : the stream of the words that leave it
    words : that leave it in a frame
    taken : the stream whose words are its work
    step : a signal that says, `ahead` cycles late, that its window goes on
    """

    given: str
    words: int
    taken: str = ""
    step: str = ""
    ahead: int = 0

    @property
    def signals(self) -> list[str]:
        """All signals it takes."""
        streams = [stream for stream in (self.given, self.taken) if stream]
        return [stream + part for stream in streams for part in ("valid", "ready")] + [self.step] * bool(self.step)

    def states(self, signals: Signals) -> NDArray[np.uint8]:
        """The unit's state in each cycle: uint8 [cycles]."""
        valid, ready = (signals[self.given + part] for part in ("valid", "ready"))
        works = np.zeros_like(valid)
        if self.taken:
            works |= signals[self.taken + "valid"] & signals[self.taken + "ready"]
        if self.step:
            works[: -self.ahead] |= signals[self.step][self.ahead :]
        return np.select([valid & ready, works, valid], STATES[:3], STARVE).astype(np.uint8)


class Signals:
    """One-bit signals of a waveform; each, by name, is bool [cycles], low where it is unknown.

    A cycle is a rising edge of `clock`, and what counts is what stood there just before. KeyError names a signal that
    the waveform lacks.
    """

    def __init__(self, vcd: Path, names: Collection[str], clock: str = "clk"):
        self.cycles = 0
        # The cycles in which a signal rises and falls in turn: whole signals would take gigabytes.
        self.turns: dict[str, list[int]] = {name: [] for name in names}
        for value, changed in rising_edges(vcd, names, clock):
            for name in changed:
                if name != clock and (value[name] == "1") != len(self.turns[name]) % 2:
                    self.turns[name].append(self.cycles)
            self.cycles += 1

    def __getitem__(self, name: str) -> NDArray[np.bool_]:
        lengths = np.diff(np.array(self.turns[name], np.int64), prepend=0, append=self.cycles)
        return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


@dataclass(frozen=True)
class UnitOccupancy:
    """What one unit did over a run.

    words : that leave it in a frame
    counts : int64 [4, bins], cycles of each bin in each of STATES; the four add up to the bin's cycles
    ends : int64 [frames], the cycle of each frame's last transfer
    steady_span : its steady cycles, see ``steady_span``
    steady : int64 [4], these cycles in each of STATES
    """

    name: str
    words: int
    counts: NDArray[np.int64]
    ends: NDArray[np.int64]
    steady_span: tuple[int, int]
    steady: NDArray[np.int64]


@dataclass(frozen=True)
class Occupancy:
    """What each unit of the pipeline did over a run; cycles count from the end of reset.

    units : in the order in which they were built, which is that of the data
    edges : int64 [bins + 1], the first cycle of each bin and the last bin's end
    entered : int64 [frames], the cycle in which each frame's last pixel entered the machine
    run : what the machine gave
    """

    units: tuple[UnitOccupancy, ...]
    edges: NDArray[np.int64]
    entered: NDArray[np.int64]
    run: Run


def watch(accelerator: Accelerator) -> dict[str, Watch]:
    """Where to see what each unit of the pipeline does, by name."""
    tapped = {id(port): tap.name for tap, port in accelerator.pipeline.taps}
    return {name: _watch(name, unit, tapped) for name, unit in accelerator.pipeline.units.items()}


def _watch(name: str, unit: Any, tapped: Mapping[int, str]) -> Watch:
    taken = f"{name}.i__"
    if isinstance(unit, Fork):
        # It holds no word: one leaves it when both sides have taken it.
        return Watch(taken, unit.flow.frame_words)
    # A layer's unit without a register has no module in the Verilog, but its tap is there.
    given = f"{tapped[id(unit.o)]}_" if id(unit.o) in tapped else f"{name}.o__"
    words = unit.sink.frame_words
    if not isinstance(unit, Stage) or unit.cycles == words * unit.interval:
        # A pipeline that waits for each word to leave does not compute meanwhile.
        return Watch(given, words)
    if unit.cycles == unit.source.frame_words:
        return Watch(given, words, taken)
    if not isinstance(unit, WindowedStage):
        raise TypeError(f"no signal is known that shows the {unit.cycles} cycles of a {type(unit).__name__}")
    step = f"{name}.window.valid"
    if isinstance(unit.window, SlidingWindow):
        # Pixels that complete no window come between the others, and take a cycle where these are fast.
        return Watch(given, words, taken, step, SLIDE_LATENCY)
    return Watch(given, words, step=step, ahead=unit.window.latency)


def observe(
    net: Net,
    plan: Plan,
    images: NDArray[np.integer],
    *,
    bins: int = 240,
    build: Path | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Occupancy:
    """Simulate images [N, height, width, channels] in Verilator, back to back, and watch every unit of the pipeline.

    There are at most `bins` bins of time, as even as whole cycles allow; `build` and `cache` are
    ``simulate``'s. Raises what ``simulate`` raises.
    """
    net.input.check(images)
    frames = as_frames(images)
    with scratch() as work:
        machine = Machine(net, plan, "verilator", build, None, work, cache)
        watches = watch(machine.accelerator)
        names = {name for seen in watches.values() for name in seen.signals}
        waveform = work / "handshakes.vcd"
        capture = machine.run(machine.stimulus(frames, 0.0, 0), waveform, sorted(names), progress, len(frames))
        if capture.stuck:
            machine.raise_deadlock(frames, len(capture.frame_cycles) + 1, 0.0, 0)
        signals = Signals(waveform, names)
        run = machine.result(capture, len(frames))
    edges = bin_edges(capture.cycles, bins)
    units = (
        summarise(name, seen, seen.states(signals)[-capture.cycles :], edges, len(frames))
        for name, seen in watches.items()
    )
    return Occupancy(tuple(units), edges, capture.frame_cycles[:, 1].astype(np.int64), run)


def summarise(
    name: str, seen: Watch, states: NDArray[np.uint8], edges: NDArray[np.int64], frames: int
) -> UnitOccupancy:
    """What one unit did, by its state in each cycle, uint8 [cycles]."""
    ends = frame_ends(states, seen.words, frames)
    span = steady_span(ends, len(states))
    steady = np.bincount(states[slice(*span)], minlength=len(STATES))
    return UnitOccupancy(name, seen.words, count(states, edges), ends, span, steady)


def bin_edges(cycles: int, bins: int) -> NDArray[np.int64]:
    """int64 [n + 1]: n = min(bins, cycles) bins whose lengths differ by at most one cycle."""
    n = min(bins, cycles)
    return np.arange(n + 1, dtype=np.int64) * cycles // n


def count(states: NDArray[np.uint8], edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cycles of each bin that are in each of STATES: int64 [4, bins]."""
    return np.array([np.add.reduceat(states == state, edges[:-1], dtype=np.int64) for state in STATES])


def frame_ends(states: NDArray[np.uint8], frame_words: int, frames: int) -> NDArray[np.int64]:
    """The cycle of each frame's last transfer of one stream, int64 [frames]."""
    return np.flatnonzero(states == TRANSFER)[frame_words - 1 :: frame_words][:frames]


def steady_span(ends: NDArray[np.int64], cycles: int) -> tuple[int, int]:
    """A unit's steady cycles: the first of them, and the first one beyond.

    They are those of the frames of the run's second half but the last one: from the end of the last frame before them,
    as it leaves the unit, to their own last end. So the pipeline is full before and behind them, as far as the run
    allows: of three frames it is the second. Of two frames it is the second too, the end of which no frame follows;
    of one it is the whole run.
    """
    n = len(ends)
    return (0, cycles) if n < 2 else (int(ends[n // 2 - 1]) + 1, int(ends[max(n // 2, n - 2)]) + 1)
