# amaranth: UnusedElaboratable=no
"""How busy the streams between the stages are over time, cycle by cycle, from a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..hw.plan import Plan
from ..model.net import Net
from ..model.places import scratch
from .simulate import Machine, Run, as_frames
from .stimulus import Progress
from .taps import rising_edges

IDLE, STALL, TRANSFER = 0, 1, 2
"""What a stream does in a cycle: nothing is offered (valid low), or it waits (ready low), or it moves."""

PARTS = ("valid", "ready")
"""Of a stream, what its states follow from."""


@dataclass(frozen=True)
class Occupancy:
    """What each stream did over a run.

    names : of the streams, in the order data flow
    edges : int64 [bins + 1], the first cycle of each bin and the last bin's end; cycles count from the end of reset
    transfers, stalls, idle : int64 [streams, bins], cycles in each state; the three add up to the bin's cycles
    ends : int64 [streams, frames], the cycle of each frame's last transfer
    entered : int64 [frames], the cycle in which each frame's last pixel entered the machine
    run : what the machine gave
    """

    names: tuple[str, ...]
    edges: NDArray[np.int64]
    transfers: NDArray[np.int64]
    stalls: NDArray[np.int64]
    idle: NDArray[np.int64]
    ends: NDArray[np.int64]
    entered: NDArray[np.int64]
    run: Run


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
    """Simulate images [N, height, width, channels] in Verilator, back to back, and watch every stage's output.

    There are at most `bins` bins of time, as even as whole cycles allow; `build` and `cache` are
    ``simulate``'s. Raises what ``simulate`` raises.
    """
    net.input.check(images)
    frames = as_frames(images)
    with scratch() as work:
        machine = Machine(net, plan, "verilator", build, None, work, cache)
        watched = machine.accelerator.taps
        waveform = work / "handshakes.vcd"
        capture = machine.run(machine.stimulus(frames, 0.0, 0), waveform, PARTS, progress, len(frames))
        if capture.stuck:
            machine.raise_deadlock(frames, len(capture.frame_cycles) + 1, 0.0, 0)
        states = read_states(waveform, [tap.name for tap in watched])[:, -capture.cycles :]
        run = machine.result(capture, len(frames))
    edges = bin_edges(capture.cycles, bins)
    ends = [frame_ends(row, tap.flow.frame_words, len(frames)) for row, tap in zip(states, watched, strict=True)]
    return Occupancy(
        tuple(tap.path for tap in watched),
        edges,
        *(count(states, state, edges) for state in (TRANSFER, STALL, IDLE)),
        np.array(ends, np.int64).reshape(len(watched), len(frames)),
        capture.frame_cycles[:, 1].astype(np.int64),
        run,
    )


def read_states(vcd: Path, names: Sequence[str], clock: str = "clk") -> NDArray[np.uint8]:
    """The state of each stream in each cycle: uint8 [streams, cycles].

    A cycle is a rising edge of `clock`, and its state is what stood there just before. KeyError names a signal that
    the waveform lacks.
    """
    watchers = {f"{name}_{part}": index for index, name in enumerate(names) for part in PARTS}
    starts: list[list[int]] = [[] for _ in names]
    states: list[list[int]] = [[] for _ in names]
    cycles = 0
    for value, changed in rising_edges(vcd, watchers, clock):
        for index in {watchers[name] for name in changed if name in watchers} if cycles else range(len(names)):
            valid, ready = (value.get(f"{names[index]}_{part}") == "1" for part in PARTS)
            starts[index].append(cycles)
            states[index].append((TRANSFER if ready else STALL) if valid else IDLE)
        cycles += 1
    runs = [np.repeat(s, np.diff(at, append=cycles)) for s, at in zip(states, starts, strict=True)]
    return np.array(runs, np.uint8).reshape(len(names), cycles)


def bin_edges(cycles: int, bins: int) -> NDArray[np.int64]:
    """int64 [n + 1]: n = min(bins, cycles) bins whose lengths differ by at most one cycle."""
    n = min(bins, cycles)
    return np.arange(n + 1, dtype=np.int64) * cycles // n


def count(states: NDArray[np.uint8], state: int, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cycles that each stream spends in `state` in each bin: int64 [streams, bins]."""
    return np.add.reduceat(states == state, edges[:-1], axis=1, dtype=np.int64)


def frame_ends(states: NDArray[np.uint8], frame_words: int, frames: int) -> NDArray[np.int64]:
    """The cycle of each frame's last transfer of one stream, int64 [frames]."""
    return np.flatnonzero(states == TRANSFER)[frame_words - 1 :: frame_words][:frames]
