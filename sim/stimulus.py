"""What goes into a simulated machine and what comes out of it, beat by beat; the same for every engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Progress: TypeAlias = Callable[[int, int], None]
"""progress(frames that have left the machine, frames expected)."""

RESET_CYCLES = 1
"""Cycles of reset in front of each stimulus: a longer one gives what has no reset time to empty itself."""


class Broken(RuntimeError):  # noqa: N818
    """The machine does not do what its interface sheet says; the message says how and in which cycle."""


@dataclass(frozen=True)
class Stimulus:
    """Beats for the machine and how they are offered, from a reset on.

    Parameters
    ----------
    beats : structured array [beats] with the fields ``last`` uint8 and ``data`` uint8 [bytes a beat]
    in_beats, out_beats : beats of a whole frame on either side; frames of another length must not come out
    out_bytes : bytes of one output beat
    pauses : probability in [0, 1) of an idle cycle before each input beat, and of a stalled output cycle
    seed : of the pauses
    patient : the sink is not ready before it has seen tvalid, for each beat anew
    watchdog : cycles in which both sides wait for the machine, one after the other without a transfer, after which
        it counts as stuck
    drain : such cycles to watch for more after the last expected transfer
    cut_in, cut_out : transfers in, out after which to end at once, in the middle of whatever it is; 0 is never
    preset : what the counters of bad frames are set to after the reset, where the engine finds them
    load : uint32 [words] that load the machine after the reset, without a pause; none where there is nothing to load
    flips : bits of weight memories to flip, each (cycle from the end of reset, memory, word, bit), a memory by its
        path in the Verilog; only in Verilator, and back behind the run
    """

    beats: NDArray[np.void]
    in_beats: int
    out_beats: int
    out_bytes: int
    pauses: float = 0.0
    seed: int = 0
    patient: bool = False
    watchdog: int = 10_000
    drain: int = 0
    cut_in: int = 0
    cut_out: int = 0
    preset: int = 0
    load: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    flips: Sequence[tuple[int, str, int, int]] = ()

    @property
    def in_bytes(self) -> int:
        """Bytes of one input beat."""
        return int(self.beats.dtype["data"].shape[0])


@dataclass(frozen=True)
class Capture:
    """What an engine saw. Cycles count from 0 at the end of reset; a transfer belongs to its rising edge.

    Parameters
    ----------
    beats : structured array [beats]: ``cycle`` uint64, ``user`` uint32, ``data`` uint8 [bytes a beat], one for
        every output transfer
    frame_cycles : uint64 [frames, 2], the cycles of each input frame's first and last beat
    cycles : simulated cycles
    short_frames, long_frames : the machine's counters at the end
    stuck : no transfer happened for as long as the watchdog allows
    input, output : (valid, ready, transfers) of the machine's two sides at the end
    broken : how the machine broke its contract, which ends a run; or nothing
    corrected, detected : what a machine with protected weights counts at the end; only in Verilator
    """

    beats: NDArray[np.void]
    frame_cycles: NDArray[np.uint64]
    cycles: int
    short_frames: int
    long_frames: int
    stuck: bool
    input: tuple[bool, bool, int]
    output: tuple[bool, bool, int]
    broken: str = ""
    corrected: int = 0
    detected: int = 0


def in_dtype(width: int) -> np.dtype[np.void]:
    """One input beat of `width` bytes, as the engines read it."""
    return np.dtype([("last", "u1"), ("data", "u1", (width,))])


def out_dtype(width: int) -> np.dtype[np.void]:
    """One output beat of `width` bytes, as the engines write it."""
    return np.dtype([("cycle", "<u8"), ("user", "<u4"), ("data", "u1", (width,))])


def pack(values: NDArray[np.integer], width: int) -> NDArray[np.uint8]:
    """Integers [..., n] to little-endian two's complement bytes [..., n * width]; width <= 8."""
    wide = np.ascontiguousarray(values, dtype="<i8")
    return wide.view(np.uint8).reshape(*values.shape, 8)[..., :width].reshape(*values.shape[:-1], -1)


def unpack(data: NDArray[np.uint8], width: int) -> NDArray[np.int64]:
    """The inverse of `pack` for signed values: bytes [..., n * width] to int64 [..., n]."""
    narrow = data.reshape(*data.shape[:-1], data.shape[-1] // width, width)
    wide = np.zeros((*narrow.shape[:-1], 8), np.uint8)
    wide[..., 8 - width :] = narrow
    return wide.view("<i8")[..., 0] >> (64 - 8 * width)


PADDING = 0xA5
"""What lies in bytes of an input beat that no sample has."""


def frame_beats(frames: Sequence[NDArray[np.integer]], width: int, beat: int) -> NDArray[np.void]:
    """The beats, of `beat` bytes, of frames [beats, samples] of any length, `width` bytes a sample."""
    beats = np.zeros(sum(map(len, frames)), in_dtype(beat))
    used = frames[0].shape[1] * width
    beats["data"][:, :used] = np.concatenate([pack(frame, width) for frame in frames])
    beats["data"][:, used:] = PADDING
    beats["last"][np.cumsum([len(frame) for frame in frames]) - 1] = 1
    return beats
