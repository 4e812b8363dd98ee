"""What an interface sheet says beyond whole frames one after the other, as stimuli for a machine.

Images alone show neither whether a sink may wait for tvalid, nor what comes of frames of wrong lengths, of samples out
of range, of a reset in the middle of all that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..hw.stages.frames import COUNTER_BITS
from ..hw.verilog.formats import Formats
from ..model.net import Net
from ..model.tensor import Ints
from .stimulus import Broken, Capture, Stimulus, unpack

if TYPE_CHECKING:
    from .simulate import Machine

BUDGET = 30_000
"""Cycles that all trials may take where the images take fewer; else only the least of them are tried."""
FRAMES = 38
"""About what all trials take."""
STEADY = 14
"""Frames one after the other, of which the last four take the declared cycles."""
CANDIDATES = 256
"""Images among which some are looked for in which two channels give the same largest value."""
OPERATIONS = 2e8
"""Of the network, at most, in looking for them."""


@dataclass(frozen=True)
class Trial:
    """A stimulus, and the frames that come out of it in full or, where it is cut, in part.

    good : integers [N, height, width, channels], the frames of the right length, samples as they are sent
    cycles : that each of the last four frames may take, or 0
    """

    name: str
    stimulus: Stimulus
    good: NDArray[np.int64]
    cycles: int = 0

    def fault(self, capture: Capture, formats: Formats, net: Net) -> str:
        """The first value or class that is not the network's, too low a rate, or nothing."""
        t, lanes, per_pixel = net.output, formats.out_lanes, formats.out_beats // net.output.pixels
        values, user = given(capture.beats, formats)
        frames = -(-len(user) // formats.out_beats)
        inside = np.clip(self.good[:frames], net.input.lo, net.input.hi).astype(net.input.dtype)
        logits = net(inside) if frames else np.zeros((0, *t.shape), np.int64)
        expected = logits.reshape(-1, t.channels // per_pixel)[: len(values), : values.shape[1]]
        best = running_best(logits, per_pixel).reshape(-1)[: len(user)]
        for beat, lane in islice(np.argwhere(values != expected), 1):
            frame, row, column, channel = _place(beat * lanes + lane, t.shape)
            return (
                f"the value of output frame {frame}, row {row}, column {column}, channel {channel} is "
                f"{values[beat, lane]} and must be {expected[beat, lane]}"
            )
        for [beat] in islice(np.argwhere(user != best), 1):
            frame, row, column, channel = _place((beat + 1) * (t.channels // per_pixel) - 1, t.shape)
            return (
                f"tuser of output frame {frame}, row {row}, column {column} is {user[beat]} with channel {channel} "
                f"and must be {best[beat]}"
            )
        taken = np.diff(capture.beats["cycle"][formats.out_beats - 1 :: formats.out_beats][-5:].astype(np.int64))
        if self.cycles and taken.mean() > self.cycles:
            return f"in steady state a frame takes {taken.mean():g} cycles, and {self.cycles} are declared"
        return ""


def given(beats: NDArray[np.void], formats: Formats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The values of captured beats, int64 [beats, lanes], none where classes alone come out; tuser or class, [beats].

    Broken where a bit that no value has is not 0.
    """
    used = formats.out_lanes * formats.out_bytes
    if beats["data"][:, used:].any():
        raise Broken("bits of m_axis_tdata above the values are not 0")
    values = unpack(beats["data"][:, :used], formats.out_bytes)
    if formats.interface.out == "class":
        return values[:, :0], values[:, 0] & (1 << 8 * formats.out_bytes) - 1
    return values, beats["user"].astype(np.int64)


def _place(index: int, shape: Sequence[int]) -> tuple[int, ...]:
    """(frame, row, column, channel) of a value in frames of a shape."""
    size = int(np.prod(shape))
    return int(index // size), *map(int, np.unravel_index(index % size, shape))


def running_best(logits: Ints, per_pixel: int) -> NDArray[np.int64]:
    """int64 [N, H, W, per_pixel]: the index of a pixel's largest value up to each of its beats, ties to the lowest."""
    channels = logits.shape[-1]
    larger = np.ones(logits.shape, bool)
    larger[..., 1:] = logits[..., 1:] > np.maximum.accumulate(logits, axis=-1)[..., :-1]
    best = np.maximum.accumulate(np.where(larger, np.arange(channels), 0), axis=-1)
    return best[..., channels // per_pixel - 1 :: channels // per_pixel]


def trials(machine: Machine, images: int, seed: int) -> list[Trial]:
    """The trials of a machine beside a run of so many images; each begins with a reset, wherever the last was cut."""
    f, t = machine.formats, machine.net.output
    n, cycles = f.in_beats, machine.accelerator.cycles
    draw = _Frames(machine, seed)
    whole = cycles * FRAMES <= max(BUDGET, cycles * images)

    def trial(name: str, lengths: Sequence[int], pauses: float = 0.0, **how: int | bool) -> Trial:
        if f.interface.counted:  # there are no frames of other lengths
            lengths = [beats for beats in lengths if beats == n] or [n]
        frames = [next(draw.good) if beats == n else draw.random(beats) for beats in lengths]
        stimulus = machine.stimulus(frames, pauses, seed + 1, **{"drain": 64 + 2 * f.out_beats} | how)
        good = [frame.reshape(machine.net.input.shape) for frame in frames if len(frame) == n]
        return Trial(name, stimulus, np.array(good, np.int64).reshape(-1, *machine.net.input.shape))

    rest = [n - n // 2] if n > 1 else []
    patiently, after = "with a sink that waits for tvalid", "after a reset in the middle of a frame"
    if not whole:
        return [
            trial("before a reset", [n], cut_in=max(1, n // 2)),
            trial(f"{after}, {patiently}", [*rest, n, n + 1, n], patient=True),
        ]
    half = t.pixels // 2 * (f.out_beats // t.pixels) + f.out_beats // t.pixels // 2 or 1
    short = [1] if n > 1 else []
    top = 2**COUNTER_BITS - 2
    return [
        replace(trial("frames one after the other", [n] * STEADY), cycles=cycles),
        trial("a frame of one beat", [*short, n], cut_in=1),
        trial("after a reset behind a frame of one beat", [n + 2], cut_in=n + 1),
        trial(f"after a reset in a frame that is too long, {patiently}", [n] * 6, patient=True, cut_out=half),
        trial("after a reset while a frame came out", [n] * 6, cut_out=half + 1),
        trial("after a reset one beat later", [n] * 4, 0.5, cut_in=2 * n + max(1, n // 2)),
        trial(
            f"{after}, {patiently}",
            [*rest, n, n + 1, n, *short, n, 3 * n + 1, *short, *short, 2 * n, n, *([n - 1] if n > 1 else []), n],
            0.25,
            patient=True,
        ),
        trial(
            f"with counters that begin at {top}",
            [*2 * short, n + 1, n + 1, n, n],
            preset=top,
            cut_in=2 * len(short) + 3 * n + 3,
        ),
    ]


class _Frames:
    """Frames for a machine; `good` are whole ones, of every sort; `ends` are samples at which a clip may err."""

    def __init__(self, machine: Machine, seed: int) -> None:
        f, t = machine.formats, machine.net.input
        self.rng, self.machine, self.formats = np.random.default_rng(seed), machine, f
        bits = 8 * f.in_bytes
        self.low, self.high = (-(1 << bits - 1), (1 << bits - 1) - 1) if f.in_signed else (0, (1 << bits) - 1)
        near = (t.lo - 1, t.lo, t.hi, t.hi + 1)
        alone = (1 << bit for bit in range(bits))
        self.ends = [self.low, *(end for end in (*near, *alone) if self.low <= end <= self.high), self.high]
        self.good = self._good()

    def random(self, beats: int) -> NDArray[np.int64]:
        """A frame [beats, samples] of any samples that fit."""
        return self.rng.integers(self.low, self.high, (beats, self.formats.in_lanes), endpoint=True)

    def _good(self) -> Iterator[NDArray[np.int64]]:
        n = self.formats.in_beats
        even = self._even()
        while True:
            yield self.random(n)
            yield self.rng.choice(self.ends, (n, self.formats.in_lanes))
            yield next(even, self.random(n))

    def _even(self) -> Iterator[NDArray[np.int64]]:
        """Images in which a channel equals the largest before it, another pair of channels each time."""
        net = self.machine.net
        operations = self.machine.plan.lanes(net) * self.machine.accelerator.cycles
        shape = min(CANDIDATES, int(OPERATIONS / max(1, operations))), *net.input.shape
        images = self.rng.integers(net.input.lo, net.input.hi, shape, endpoint=True)
        logits = net(images.astype(net.input.dtype))
        ties = logits[..., 1:] == np.maximum.accumulate(logits, axis=-1)[..., :-1]
        seen: set[tuple[int, int]] = set()
        before = running_best(logits, logits.shape[-1])
        for image, row, column, channel in np.argwhere(ties):
            pair = int(before[image, row, column, channel]), int(channel)
            if pair not in seen:
                seen.add(pair)
                yield images[image].reshape(-1, self.formats.in_lanes)
