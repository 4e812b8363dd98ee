# amaranth: UnusedElaboratable=no
"""Running a network's machine on images, and holding every value it gives against the reference."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..hw.accelerator import Accelerator
from ..hw.plan import Plan
from ..hw.verilog.formats import Formats, formats
from ..hw.verilog.write import write_machine
from ..model.error import BadInput
from ..model.net import Net
from ..model.tensor import Ints
from . import cosim, pysim, taps, verilator
from .stimulus import Broken, Capture, Progress, Stimulus, frame_beats, unpack
from .taps import Difference, Stream

ENGINES = ("verilator", "icarus", "amaranth", "verilator-cocotb")
"""Fast C++; cocotb in Icarus Verilog; Amaranth's simulator; cocotb in Verilator."""


class Deadlock(RuntimeError):  # noqa: N818
    """The machine stands still; the message shows the state of every stream.

    `streams` maps a name, in the order data flow, to (valid, ready, transfers).
    """

    def __init__(self, cycle: int, quiet: int, streams: dict[str, tuple[bool, bool, int]]):
        self.streams = streams
        width = max(map(len, streams))
        lines = [f"the machine stands still: no transfer in or out in the {quiet} cycles up to cycle {cycle}"]
        for name, (valid, ready, transfers) in streams.items():
            lines.append(f"  {name:{width}}  valid {valid:d}  ready {ready:d}  {transfers} transfers")
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Run:
    """What the machine gave.

    Parameters
    ----------
    logits : int64 [N, H', W', C], the network's output
    classes : int64 [N], or [N, H', W'] when the output is a map: the index of the largest of each pixel
    last_cycles : int64 [N], the cycle of each frame's last output beat, counted from the end of reset
    cycles : simulated cycles
    short_frames, long_frames : malformed frames the machine counted
    """

    logits: Ints
    classes: NDArray[np.int64]
    last_cycles: NDArray[np.int64]
    cycles: int
    short_frames: int
    long_frames: int

    @property
    def cycles_per_frame(self) -> float | None:
        """Steady state: the mean distance of last beats over the run's second half; None below 3 frames."""
        n = len(self.last_cycles)
        if n < 3:
            return None
        half = self.last_cycles[n // 2 :] if n > 3 else self.last_cycles[1:]
        return float(half[-1] - half[0]) / (len(half) - 1)


@dataclass(frozen=True)
class Report:
    """How a run compares with the reference, value by value.

    `ideal_cycles` is what a frame takes in steady state, as the machine declares it.
    `first` is the first layer's first value that differs, or None when all logits agree.
    `waveform` shows it, where one was kept.
    """

    run: Run
    ideal_cycles: int
    images: int
    mismatching_images: int
    mismatching_logits: int
    mismatching_classes: int
    first: Difference | None = None
    waveform: Path | None = None

    @property
    def exact(self) -> bool:
        """Every logit and every class is the reference's."""
        return self.mismatching_logits == 0 and self.mismatching_classes == 0


class Machine:
    """One network's hardware in one engine, ready to run any number of times."""

    def __init__(self, net: Net, plan: Plan, engine: str, build: Path | None, verilog: Path | None, work: Path) -> None:
        if engine not in ENGINES:
            raise BadInput(f"there is no engine {engine}; there are {', '.join(ENGINES)}")
        if engine == "amaranth" and verilog is not None:
            raise BadInput("the engine amaranth does not read Verilog; take verilator or icarus")
        self.net, self.engine, self.build = net, engine, build
        self.formats: Formats = formats(net, plan)
        self.accelerator = Accelerator(net, plan)
        self.work = work
        if engine != "amaranth":
            self.verilog = verilog or write_machine(self.accelerator, build or work)

    def good(self, frames: Sequence[NDArray[np.integer]]) -> int:
        """How many of the frames are of the right length and must come out."""
        return sum(len(frame) == self.net.input.pixels for frame in frames)

    def stimulus(self, frames: Sequence[NDArray[np.integer]], pauses: float, seed: int) -> Stimulus:
        """Frames [pixels, channels] of any length in whole beats."""
        if not frames:
            raise BadInput("there are no images to simulate")
        lanes = self.formats.in_lanes
        for frame in frames:
            if frame.size % lanes:
                raise BadInput(f"a frame of {len(frame)} pixels is not beats of {lanes // frame.shape[1]}")
        if not 0 <= pauses < 1:
            raise BadInput(f"pauses is a probability below 1, not {pauses}")
        stages = [stage for _, stage in self.accelerator.pipeline.stages]
        once_through = self.formats.in_beats + sum(stage.cycles + stage.latency for stage in stages)
        good, f = self.good(frames), self.formats
        watchdog = 1_000 + int(once_through / (1 - pauses))
        return Stimulus(
            frame_beats([frame.reshape(-1, lanes) for frame in frames], f.in_bytes),
            good * f.out_beats,
            f.out_lanes * f.out_bytes,
            pauses,
            seed,
            watchdog,
            drain=0 if good == len(frames) else watchdog - 1,
        )

    def run(self, stimulus: Stimulus, waveform: Path | None = None, shown: Sequence[str] = (),
            progress: Progress | None = None, expected: int = 0) -> Capture:  # fmt: skip
        """Simulate; a waveform with `shown` has these signals alone, where it can: their paths in the accelerator."""
        common = {"waveform": waveform, "progress": progress, "expected": expected}
        if self.engine == "amaranth":
            return pysim.run(self.accelerator, stimulus, **common)
        verilog, paths = self.verilog, [f"accelerator.{path}" for path in shown]
        if paths and self.engine != "icarus":
            verilog = self.work / "exposed.v"
            verilog.write_text(taps.expose(self.verilog.read_text(), ["accelerator.clk", *paths]))
        if self.engine == "verilator":
            return verilator.run(verilog, stimulus, folder=self.build, **common)
        simulator = "icarus" if self.engine == "icarus" else "verilator"
        paths = [f"{taps.TOP}.{path}" for path in paths]
        return cosim.run(verilog, stimulus, simulator=simulator, signals=paths, **common)

    def result(self, capture: Capture, good: int) -> Run:
        """Broken when the output is not `good` frames of the right length."""
        beats, f, t = capture.beats, self.formats, self.net.output
        ends = np.flatnonzero(beats["last"])
        expected = f.out_beats * np.arange(1, good + 1) - 1
        if len(beats) != good * f.out_beats or not np.array_equal(ends, expected):
            lengths = np.diff(ends, prepend=-1)
            odd = np.flatnonzero(lengths != f.out_beats)
            wrong = f"frame {odd[0]} has {lengths[odd[0]]} beats" if len(odd) else f"{len(beats)} beats came"
            raise Broken(f"the output is not {good} frames of {f.out_beats} beats: {wrong}")
        logits = unpack(beats["data"], f.out_bytes).reshape(good, *t.shape)
        classes = beats["user"].astype(np.int64).reshape(good, t.height, t.width, -1)[..., -1]
        return Run(
            logits,
            classes[:, 0, 0] if t.pixels == 1 else classes,
            beats["cycle"][ends].astype(np.int64),
            capture.cycles,
            capture.short_frames,
            capture.long_frames,
        )

    def send(
        self,
        frames: Sequence[NDArray[np.integer]],
        pauses: float,
        seed: int,
        waveform: Path | None = None,
        progress: Progress | None = None,
    ) -> Run:
        """Run once; a deadlock is repeated with a waveform that shows where it is."""
        stimulus, good = self.stimulus(frames, pauses, seed), self.good(frames)
        capture = self.run(stimulus, waveform, (), progress, good)
        if capture.stuck:
            self.raise_deadlock(frames, len(capture.frame_cycles) + 1, pauses, seed)
        return self.result(capture, good)

    def look(
        self, frames: Sequence[NDArray[np.integer]], pauses: float, seed: int, waveform: Path
    ) -> tuple[Capture, dict[str, Stream]]:
        """Run with a waveform and read the streams between the stages back from it."""
        names = [tap.name for tap in self.accelerator.taps]
        capture = self.run(self.stimulus(frames, pauses, seed), waveform, taps.signals(names))
        return capture, taps.read(waveform, names)

    def raise_deadlock(self, frames: Sequence[NDArray[np.integer]], entered: int, pauses: float, seed: int) -> None:
        """Look at the last few of the `entered` frames alone or, where they pass alone, at all of them."""
        for start in sorted({max(0, entered - 3), 0}, reverse=True):
            window = frames[start:entered]
            capture, streams = self.look(window, pauses, seed, self.work / "deadlock.vcd")
            if capture.stuck:
                break
        states = {"input": capture.input}
        for tap in self.accelerator.taps:
            stream = streams[tap.name]
            states[f"layer {tap.path}"] = (stream.valid, stream.ready, len(stream.words))
        raise Deadlock(
            capture.cycles, self.stimulus(window, pauses, seed).watchdog, states | {"output": capture.output}
        )


def simulate(
    net: Net,
    plan: Plan,
    images: NDArray[np.integer],
    *,
    engine: str = "verilator",
    pauses: float = 0.0,
    seed: int = 0,
    waveform: Path | None = None,
    build: Path | None = None,
    verilog: Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Send images [N, height, width, channels] through the machine, back to back.

    Parameters
    ----------
    engine : one of ENGINES
    pauses : probability in [0, 1) of a pause in each cycle, on the way in and on the way out
    seed : of the pauses
    waveform : VCD to write, of the whole machine and the whole run
    build : folder for Verilog and compiled models; None is a temporary one and the user's cache
    verilog : simulate this file, whose top is `bitfold`, instead of the one written for net and plan
    progress : called with (frames that have come out, N) now and then

    Raises
    ------
    BadInput : images, plan or an option do not suit, or a program is missing
    Deadlock : the machine stands still
    Broken : its streams break their contract
    """
    net.input.check(images)
    with tempfile.TemporaryDirectory() as work:
        machine = Machine(net, plan, engine, build, verilog, Path(work))
        return machine.send(as_frames(images), pauses, seed, waveform, progress)


def send(
    net: Net,
    plan: Plan,
    frames: Sequence[NDArray[np.integer]],
    *,
    engine: str = "verilator",
    pauses: float = 0.0,
    seed: int = 0,
    build: Path | None = None,
) -> Run:
    """`simulate` for frames [pixels, channels] of any length; those of the right length must come out.

    The run goes on for a while after the last of them, and more output is Broken.
    """
    with tempfile.TemporaryDirectory() as work:
        return Machine(net, plan, engine, build, None, Path(work)).send(frames, pauses, seed)


def as_frames(images: NDArray[np.integer]) -> list[NDArray[np.integer]]:
    """Images [N, height, width, channels] as frames [pixels, channels]."""
    n, height, width, channels = images.shape
    return list(images.reshape(n, height * width, channels))


def check(
    net: Net,
    plan: Plan,
    images: NDArray[np.integer],
    *,
    engine: str = "verilator",
    pauses: float = 0.0,
    seed: int = 0,
    waveform: Path | None = None,
    build: Path | None = None,
    verilog: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """`simulate`, then compare every logit and class with net(images), exactly.

    On a mismatch the run is repeated up to the first bad image with a waveform of the streams between the
    stages (kept as `build`/mismatch.vcd, if given), and the first layer, position and channel that differ
    are named.
    """
    expected = net(images)
    with tempfile.TemporaryDirectory() as work:
        machine = Machine(net, plan, engine, build, verilog, Path(work))
        run = machine.send(as_frames(images), pauses, seed, waveform, progress)
        wrong = run.logits != expected
        classes = expected.argmax(axis=-1).reshape(run.classes.shape)
        report = Report(
            run,
            machine.accelerator.cycles,
            len(images),
            int(wrong.any(axis=(1, 2, 3)).sum()),
            int(wrong.sum()),
            int((run.classes != classes).sum()),
        )
        if not wrong.any():
            return replace(report, first=_wrong_class(run.classes, classes))
        path = (build or machine.work) / "mismatch.vcd"
        first = _locate(machine, images, run.logits, expected, pauses, seed, path)
        return replace(report, first=first, waveform=path if build else waveform)


def _wrong_class(classes: NDArray[np.int64], expected: NDArray[np.int64]) -> Difference | None:
    """The first class that differs though no logit does."""
    for index in map(tuple, np.argwhere(classes != expected)):
        position = (*map(int, index), 0, 0)[:3]
        return Difference("class", "", *position, 0, int(expected[index]), int(classes[index]))
    return None


def _locate(
    machine: Machine,
    images: NDArray[np.integer],
    logits: Ints,
    expected: Ints,
    pauses: float,
    seed: int,
    path: Path,
) -> Difference:
    """What goes wrong first in the first bad image; with the one before it alone, if it still does."""
    index = tuple(map(int, np.argwhere(logits != expected)[0]))
    bad = index[0]
    for start in sorted({max(0, bad - 1), 0}, reverse=True):
        window = images[start : bad + 1]
        _, streams = machine.look(as_frames(window), pauses, seed, path)
        found = taps.locate(machine.net, machine.accelerator.taps, window, streams, bad - start)
        if found is not None:
            return replace(found, image=found.image + start)
    return Difference("output", "", *index, int(expected[index]), int(logits[index]))
