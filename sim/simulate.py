# amaranth: UnusedElaboratable=no
"""Running a network's machine on images, and holding every value it gives against the reference."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..hw.accelerator import Accelerator
from ..hw.load import words
from ..hw.plan import Plan
from ..hw.verilog.formats import PLAIN, Formats, Interface, formats
from ..hw.verilog.write import write_machine
from ..model.error import BadInput, suggest
from ..model.net import Net
from ..model.places import scratch
from ..model.tensor import Ints
from ..model.write import check_folder, check_place
from . import cosim, pysim, taps, verilator
from .contents import bring
from .protocol import Trial, given, running_best, trials
from .stimulus import Broken, Capture, Progress, Stimulus, frame_beats
from .taps import CLASS, OUTPUT, Difference, Stream
from .tools import module, program

ENGINES = ("verilator", "icarus", "amaranth", "verilator-cocotb")
"""Fast C++; cocotb in Icarus Verilog; Amaranth's simulator; cocotb in Verilator."""

VERILATOR, COCOTB = ("verilator",), ("cocotb", "cocotbext.axi")
"""Packages that engines need."""

PathLike: TypeAlias = str | os.PathLike[str]

MAX_PAUSES = 0.999
"""Beyond it a run takes thousands of times as long as without pauses, and shows nothing that fewer do not."""


class Deadlock(RuntimeError):  # noqa: N818
    """The machine stands still; the message shows the state of every stream.

    `streams` maps a name, in the order data flow, to (valid, ready, transfers); `when` says in which run it was.
    """

    def __init__(self, cycle: int, quiet: int, streams: dict[str, tuple[bool, bool, int]], when: str = ""):
        self.streams = streams
        width = max(map(len, streams))
        lines = [f"{when}the machine stands still: no transfer in or out in the {quiet} cycles up to cycle {cycle}"]
        for name, (valid, ready, transfers) in streams.items():
            lines.append(f"  {name:{width}}  valid {valid:d}  ready {ready:d}  {transfers} transfers")
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Run:
    """What the machine gave.

    Parameters
    ----------
    logits : int64 [N, H', W', C], the network's output; C is 0 where classes alone come out
    best : int64 [N, H', W', beats a pixel], the class or tuser: the index of the pixel's largest value up to each beat
    last_cycles : int64 [N], the cycle of each frame's last output beat, counted from the end of reset
    cycles : simulated cycles
    short_frames, long_frames : malformed frames the machine counted
    """

    logits: Ints
    best: NDArray[np.int64]
    last_cycles: NDArray[np.int64]
    cycles: int
    short_frames: int
    long_frames: int

    @property
    def classes(self) -> NDArray[np.int64]:
        """The class of each image [N] or, when the output is a map, of each pixel [N, H', W']."""
        classes = self.best[..., -1]
        return classes[:, 0, 0] if classes.shape[1:] == (1, 1) else classes

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
    """One network's hardware in one engine, ready to run any number of times.

    `opaque` : its Verilog has no names inside, so that nothing but its ports can be looked at
    """

    def __init__(
        self,
        net: Net,
        plan: Plan,
        engine: str,
        build: PathLike | None,
        verilog: PathLike | None,
        work: Path,
        cache: PathLike | None = None,
        interface: Interface = PLAIN,
        opaque: bool = False,
    ) -> None:
        check_engine(engine)
        if engine == "amaranth" and interface != PLAIN:
            raise BadInput("Amaranth's simulator has no Verilog and so the plain interface alone; take another engine")
        if verilog is not None:
            if engine == "amaranth":
                raise BadInput("the engine amaranth does not read Verilog; take verilator or icarus")
            verilog = Path(verilog)
            if not verilog.is_file():
                raise BadInput(f"{verilog} is no file of Verilog; check the path, or leave it out")
        if build is not None:
            build = Path(build)
            check_folder(build)
        self.net, self.plan, self.engine, self.opaque = net, plan, engine, opaque
        self.build, self.cache = build, Path(cache) if cache is not None else build
        self.formats: Formats = formats(net, plan, interface)
        self.accelerator = Accelerator(net, plan)
        self.load = words(net, self.accelerator) if plan.loadable else np.zeros(0, np.uint32)
        self.work = work
        if engine != "amaranth":
            self.verilog = verilog or write_machine(self.accelerator, build or work, interface=interface, cache=cache)

    def good(self, frames: Sequence[NDArray[np.integer]]) -> int:
        """How many of the frames are of the right length and must come out."""
        t = self.net.input
        return sum(frame.size == t.pixels * t.channels for frame in frames)

    def stimulus(self, frames: Sequence[NDArray[np.integer]], pauses: float, seed: int, **how: int | bool) -> Stimulus:
        """Frames of samples in raster order, of any length in whole beats; `how` are further parts of the Stimulus."""
        if not frames:
            raise BadInput("there are no images to simulate")
        lanes, f = self.formats.in_lanes, self.formats
        for frame in frames:
            if not frame.size or frame.size % lanes:
                raise BadInput(f"a frame of {frame.size} samples is not beats of {lanes}")
        stages = [stage for _, stage in self.accelerator.pipeline.stages]
        once_through = f.in_beats + sum(stage.cycles + stage.latency for stage in stages)
        # Bad frames leave no trace at the output: those inside may all have to be dropped before something shows.
        bad = min(len(frames) - self.good(frames), self.accelerator.frames_inside)
        watchdog = 1_000 + once_through + bad * self.accelerator.cycles
        return Stimulus(
            frame_beats([frame.reshape(-1, lanes) for frame in frames], f.in_bytes, f.in_width),
            f.in_beats,
            f.out_beats,
            f.out_width,
            pauses,
            seed,
            load=self.load,
            **{"watchdog": watchdog, "drain": watchdog if bad else 0} | how,
        )

    def run(self, stimulus: Stimulus, waveform: Path | None = None, shown: Sequence[str] = (),
            progress: Progress | None = None, expected: int = 0) -> Capture:  # fmt: skip
        """`run_all` of one; Broken where it breaks its contract."""
        [capture] = self.run_all([stimulus], waveform, shown, progress, expected)
        if capture.broken:
            raise Broken(capture.broken)
        return capture

    def run_all(self, stimuli: Sequence[Stimulus], waveform: Path | None = None, shown: Sequence[str] = (),
                progress: Progress | None = None, expected: int = 0) -> list[Capture]:  # fmt: skip
        """Simulate one stimulus after the other, each from a reset on, up to the first that ends badly.

        A waveform with `shown` has these signals alone, where it can: their paths in the accelerator.
        """
        common = {"waveform": waveform, "progress": progress, "expected": expected}
        if self.engine == "amaranth":
            return pysim.run(self.accelerator, stimuli, **common)
        verilog, paths = self.verilog, [f"accelerator.{path}" for path in shown]
        if paths and self.engine != "icarus":
            verilog = self.work / "exposed.v"
            text = self.verilog.read_text(encoding="utf-8")
            verilog.write_text(taps.expose(text, ["accelerator.clk", *paths]), encoding="utf-8")
            bring(self.verilog, self.work)
        if self.engine == "verilator":
            return verilator.run(verilog, stimuli, folder=self.cache, **common)
        simulator = "icarus" if self.engine == "icarus" else "verilator"
        paths = [f"{taps.TOP}.{path}" for path in paths]
        return cosim.run(verilog, stimuli, simulator=simulator, signals=paths, **common)

    def result(self, capture: Capture, good: int) -> Run:
        """The `good` frames of a run that has come to its end."""
        beats, f, t = capture.beats, self.formats, self.net.output
        values, best = given(beats, f)
        return Run(
            values.reshape(good, t.height, t.width, 0 if f.interface.out == "class" else t.channels),
            best.reshape(good, t.height, t.width, f.out_beats // t.pixels),
            beats["cycle"][f.out_beats - 1 :: f.out_beats].astype(np.int64),
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
        good = self.good(frames)
        capture = self.run(self.stimulus(frames, pauses, seed), waveform, (), progress, good)
        return self.settle(capture, frames, pauses, seed)

    def settle(self, capture: Capture, frames: Sequence[NDArray[np.integer]], pauses: float, seed: int) -> Run:
        """The result of a run of frames; Broken or Deadlock where it has none."""
        if capture.broken:
            raise Broken(capture.broken)
        if capture.stuck:
            self.raise_deadlock(frames, len(capture.frame_cycles) + 1, pauses, seed)
        return self.result(capture, self.good(frames))

    def try_protocol(self, tried: Sequence[Trial], captures: Sequence[Capture]) -> None:
        """Broken or Deadlock where what the trials gave is not what the interface sheet says."""
        for trial, capture in zip(tried, captures, strict=False):
            if capture.stuck:
                self.raise_protocol_deadlock(tried)
            if fault := capture.broken or trial.fault(capture, self.formats, self.net):
                raise Broken(f"{trial.name}: {fault}")

    def look(
        self, frames: Sequence[NDArray[np.integer]], pauses: float, seed: int, waveform: Path
    ) -> tuple[Capture, dict[str, Stream]]:
        """Run with a waveform and read the streams between the stages back from it."""
        [capture], streams = self._look([self.stimulus(frames, pauses, seed)], waveform)
        if capture.broken:
            raise Broken(capture.broken)
        return capture, streams

    def _look(self, stimuli: Sequence[Stimulus], waveform: Path) -> tuple[list[Capture], dict[str, Stream]]:
        """The same of several stimuli, however they end; no stream of a machine without names inside."""
        if self.opaque:
            return self.run_all(stimuli), {}
        names = [tap.name for tap in self.accelerator.taps]
        captures = self.run_all(stimuli, waveform, taps.signals(names))
        return captures, taps.read(waveform, names)

    def raise_deadlock(self, frames: Sequence[NDArray[np.integer]], entered: int, pauses: float, seed: int) -> None:
        """Look at the last few of the `entered` frames alone or, where they pass alone, at all of them."""
        for start in sorted({max(0, entered - 3), 0}, reverse=True):
            window = frames[start:entered]
            capture, streams = self.look(window, pauses, seed, self.work / "deadlock.vcd")
            if capture.stuck:
                break
        raise self.deadlock(capture, streams, self.stimulus(window, pauses, seed).watchdog)

    def raise_protocol_deadlock(self, tried: Sequence[Trial]) -> None:
        """Repeat the trials with a waveform."""
        captures, streams = self._look([trial.stimulus for trial in tried], self.work / "deadlock.vcd")
        last = tried[len(captures) - 1]
        raise self.deadlock(captures[-1], streams, last.stimulus.watchdog, f"{last.name}: ")

    def deadlock(self, capture: Capture, streams: dict[str, Stream], quiet: int, when: str = "") -> Deadlock:
        """A deadlock with the state of every stream that could be looked at."""
        states = {"input": capture.input}
        for tap in self.accelerator.taps if streams else ():
            stream = streams[tap.name]
            states[f"layer {tap.path}"] = (stream.valid, stream.ready, len(stream.words))
        return Deadlock(capture.cycles, quiet, states | {"output": capture.output}, when)


def check_engine(engine: str) -> None:
    """BadInput where there is no such engine, or where what it runs on is not installed."""
    if engine not in ENGINES:
        near = suggest(engine, ENGINES)
        raise BadInput(f"there is no engine {engine}; {near}there are {', '.join(ENGINES)}")
    for name in {"icarus": COCOTB, "verilator": VERILATOR, "verilator-cocotb": COCOTB + VERILATOR}.get(engine, ()):
        module(name)
    if engine == "icarus":
        program("iverilog", "iverilog")
    elif engine != "amaranth":
        program("g++", "g++")
        if engine == "verilator-cocotb":
            program("make", "make")


def check_options(engine: str, pauses: float, seed: int, waveform: PathLike | None) -> Path | None:
    """BadInput where a run with these cannot be, to be asked before any work; the waveform's path."""
    check_engine(engine)
    if not isinstance(pauses, int | float | np.number) or not 0 <= pauses <= MAX_PAUSES:
        raise BadInput(f"pauses is a probability from 0 to {MAX_PAUSES}, not {pauses}")
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise BadInput(f"the seed must be an integer from 0 to {2**32 - 1:,}, not {seed}")
    if waveform is None:
        return None
    check_place(waveform)
    return Path(waveform)


def _some(images: NDArray[np.integer]) -> NDArray[np.integer]:
    if not len(images):
        raise BadInput("there are no images to simulate")
    return images


def simulate(
    net: Net,
    plan: Plan,
    images: ArrayLike,
    *,
    engine: str = "verilator",
    pauses: float = 0.0,
    seed: int = 0,
    waveform: PathLike | None = None,
    build: PathLike | None = None,
    cache: PathLike | None = None,
    verilog: PathLike | None = None,
    interface: Interface = PLAIN,
    progress: Progress | None = None,
) -> Run:
    """Send images [N, height, width, channels] through the machine, back to back.

    Parameters
    ----------
    engine : one of ENGINES
    pauses : probability in [0, MAX_PAUSES] of a pause in each cycle, on the way in and on the way out
    seed : of the pauses, in [0, 2^32)
    waveform : VCD to write, of the whole machine and the whole run
    build : folder for Verilog and compiled models; None is a temporary one and the user's cache
    cache : folder for compiled models alone, and for what Yosys keeps
    verilog : simulate this file, whose top is `bitfold`, instead of the one written for net and plan
    interface : how the Verilog's ports are
    progress : called with (frames that have come out, N) now and then

    Raises
    ------
    BadInput : images, plan or an option do not suit, or a program is missing
    Deadlock : the machine stands still
    Broken : its streams break their contract
    """
    waveform = check_options(engine, pauses, seed, waveform)
    images = _some(net.input.check(images))
    with scratch() as work:
        machine = Machine(net, plan, engine, build, verilog, work, cache, interface)
        return machine.send(as_frames(images), pauses, seed, waveform, progress)


def send(
    net: Net,
    plan: Plan,
    frames: Sequence[NDArray[np.integer]],
    *,
    engine: str = "verilator",
    pauses: float = 0.0,
    seed: int = 0,
    build: PathLike | None = None,
) -> Run:
    """`simulate` for frames [pixels, channels] of any length; those of the right length must come out.

    The run goes on for a while after the last of them, and more output is Broken.
    """
    with scratch() as work:
        return Machine(net, plan, engine, build, None, work).send(frames, pauses, seed)


def as_frames(images: NDArray[np.integer]) -> list[NDArray[np.integer]]:
    """Images [N, height, width, channels] as frames [pixels, channels]."""
    n, height, width, channels = images.shape
    return list(images.reshape(n, height * width, channels))


def check(
    net: Net,
    plan: Plan,
    images: ArrayLike,
    *,
    engine: str = "verilator",
    pauses: float = 0.0,
    seed: int = 0,
    waveform: PathLike | None = None,
    build: PathLike | None = None,
    cache: PathLike | None = None,
    verilog: PathLike | None = None,
    interface: Interface = PLAIN,
    progress: Progress | None = None,
) -> Report:
    """`simulate`, then compare every logit and class with net(images), exactly; then try what the interface sheet says.

    On a mismatch the run is repeated up to the first bad image with a waveform of the streams between the
    stages (kept as `build`/mismatch.vcd, if given), and the first layer, position and channel that differ
    are named. Where there is none, frames of wrong lengths, samples out of range, resets and sinks that wait follow in
    the same simulation (``protocol.trials``); Broken or Deadlock says what is not as the sheet says.
    """
    waveform = check_options(engine, pauses, seed, waveform)
    images = _some(net.input.check(images))
    with scratch() as work:
        machine = Machine(net, plan, engine, build, verilog, work, cache, interface)
        tried = trials(machine, len(images), seed)
        found = compare(machine, images, pauses, seed, tried, waveform, progress)
        report = Report(
            found.run,
            machine.accelerator.cycles,
            len(images),
            int(found.wrong.any(axis=(1, 2, 3)).sum()),
            int(found.wrong.sum()),
            int(found.wrong_classes.sum()),
        )
        differences = found.differences()
        if not found.wrong.any():
            return replace(report, first=differences[0] if differences else None)
        first = next(each for each in differences if each.layer == OUTPUT)
        path = (machine.build or machine.work) / "mismatch.vcd"
        first = locate(machine, images, first, pauses, seed, path)
        return replace(report, first=first, waveform=path if build else waveform)


@dataclass(frozen=True)
class Compared:
    """What a machine gave for images, beside what the network gives.

    Parameters
    ----------
    expected : int64 [N, H', W', C], the network's logits
    best : int64 [N, H', W', beats a pixel], the index of the pixel's largest value up to each beat
    latency : cycles from the first frame's first beat in to its last beat out
    """

    run: Run
    expected: Ints
    best: NDArray[np.int64]
    latency: int

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """[N, H', W', C or, where classes alone come out, 0]: the logits that differ."""
        given: NDArray[np.bool_] = self.run.logits != self.expected[..., : self.run.logits.shape[-1]]
        return given

    @property
    def wrong_classes(self) -> NDArray[np.bool_]:
        """[N, H', W']: the pixels of which a class differs."""
        given: NDArray[np.bool_] = (self.run.best != self.best).any(axis=-1)
        return given

    def differences(self) -> list[Difference]:
        """Of each image that differs the first logit, or where none does the first class."""
        wrong = self.wrong
        bad = wrong.any(axis=(1, 2, 3)) | self.wrong_classes.any(axis=(1, 2))
        return [self._first(int(image), wrong[image]) for image in np.flatnonzero(bad)]

    def _first(self, image: int, wrong: NDArray[np.bool_]) -> Difference:
        if wrong.any():
            at = (image, *map(int, np.argwhere(wrong)[0]))
            return Difference(OUTPUT, "", *at, int(self.expected[at]), int(self.run.logits[at]))
        row, column, beat = map(int, np.argwhere(self.run.best[image] != self.best[image])[0])
        # The channel is the last of its beat.
        channel = (beat + 1) * self.expected.shape[-1] // self.best.shape[-1] - 1
        at = (image, row, column, beat)
        return Difference(CLASS, "", image, row, column, channel, int(self.best[at]), int(self.run.best[at]))


def compare(
    machine: Machine,
    images: NDArray[np.integer],
    pauses: float,
    seed: int,
    tried: Sequence[Trial] = (),
    waveform: Path | None = None,
    progress: Progress | None = None,
) -> Compared:
    """Run images and, where all are right, trials; Deadlock or Broken where the machine does not keep its sheet."""
    expected, frames = machine.net(images), as_frames(images)
    stimuli = [machine.stimulus(frames, pauses, seed), *(trial.stimulus for trial in tried)]
    captures = machine.run_all(stimuli, waveform, (), progress, len(frames))
    run = machine.settle(captures[0], frames, pauses, seed)
    last, first = run.last_cycles[0], captures[0].frame_cycles[0, 0]
    found = Compared(run, expected, running_best(expected, run.best.shape[-1]), int(last) - int(first) + 1)
    if not found.wrong.any() and not found.wrong_classes.any():
        machine.try_protocol(tried, captures[1:])
    return found


def locate(
    machine: Machine,
    images: NDArray[np.integer],
    output: Difference,
    pauses: float,
    seed: int,
    path: Path,
) -> Difference:
    """What goes wrong first in an image of which `output` does; with the one before it alone, if it still does.

    The waveform at `path` shows it.
    """
    bad = output.image
    for start in sorted({max(0, bad - 1), 0}, reverse=True):
        window = images[start : bad + 1]
        _, streams = machine.look(as_frames(window), pauses, seed, path)
        found = taps.locate(machine.net, machine.accelerator.taps, window, streams, bad - start)
        if found is not None:
            return replace(found, image=found.image + start)
    return output
