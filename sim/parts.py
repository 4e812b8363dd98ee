"""A run on many images, cut into parts that are simulated anywhere, each from a reset on."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..hw.plan import Plan
from ..hw.verilog.formats import PLAIN, Interface
from ..model import kept
from ..model.net import Net
from ..model.tensor import Ints
from .protocol import trials
from .simulate import Deadlock, Machine, compare, locate
from .stimulus import Broken, Progress
from .taps import OUTPUT, Difference
from .verilator import Ended

CYCLES = 2_000_000
"""Of a part: a minute or so, in which no result is kept; and little beside them that the first frame takes longer."""
LEAST = 16
"""Images of a part at the least, so that the rate in steady state shows."""
SPREAD = 8
"""Parts into which few images are cut, so that several processes have their share."""
TRIES = 3
"""Times that a part may lose its worker."""

Batch: TypeAlias = Callable[[int, int], NDArray[np.integer[Any]]]
"""batch(start, stop): the images from `start` up to `stop`, [n, height, width, channels], of the network's input."""


@dataclass(frozen=True)
class Part:
    """Images from `start` up to `stop` of a run; `seed` is of their pauses, and behind the `last` come the trials."""

    index: int
    start: int
    stop: int
    seed: int
    last: bool


def cut(images: int, cycles: int, seed: int, *, whole: bool = False) -> list[Part]:
    """The parts of a run on so many images, `cycles` each; or one, as a `whole`. Nothing else decides where one ends.

    The first has the run's seed, the others those that follow it.
    """
    size = images if whole else max(LEAST, min(CYCLES // cycles, -(-images // SPREAD)))
    starts = range(0, images, size)
    return [
        Part(index, start, min(start + size, images), (seed + index) % 2**32, index == len(starts) - 1)
        for index, start in enumerate(starts)
    ]


@dataclass(frozen=True)
class Job:
    """All that a worker has to know, wherever it is.

    Parameters
    ----------
    files : by name, bitfold.v and the contents of memories that it reads; none for the engine amaranth
    images : of the whole run
    cache : folder for compiled models; None is that of whoever runs it
    opaque : the Verilog has no names inside: a netlist
    """

    net: Net
    plan: Plan
    engine: str
    pauses: float
    files: Mapping[str, bytes]
    images: int
    interface: Interface = PLAIN
    cache: Path | None = None
    opaque: bool = False

    def machine(self, work: Path) -> Machine:
        """The machine, its files in the folder `work`."""
        for name, content in self.files.items():
            (work / name).write_bytes(content)
        verilog = work / VERILOG if self.files else None
        return Machine(self.net, self.plan, self.engine, None, verilog, work, self.cache, self.interface, self.opaque)


VERILOG = "bitfold.v"
"""The file with the machine, in Job.files."""


@functools.cache
def sources() -> str:
    """Digest of the sources that simulate and compare."""
    root = Path(__file__).parents[1]
    found = sorted(path for room in ("hw", "model", "sim") for path in root.glob(f"{room}/**/*") if path.is_file())
    return kept.key(*(path.read_bytes() for path in found if path.suffix in (".py", ".cpp", ".h", ".vlt")))


def digest(files: Mapping[str, bytes]) -> str:
    """sha256, in hex, of a machine's files one after the other, the Verilog first: what sha256sum says of it alone."""
    hashed = hashlib.sha256(files[VERILOG])
    for name in sorted(files.keys() - {VERILOG}):
        hashed.update(files[name])
    return hashed.hexdigest()


@dataclass(frozen=True)
class Done:
    """What came of a part.

    Parameters
    ----------
    logits : for each image the first half of its logits' sha256, in hex; of its classes where these alone come out
    classes : of each image that has one class, else none
    differences : of each image that differs, counted in the whole run, where what leaves the machine differs first
    mismatching_logits, mismatching_classes : values that differ; pixels of which a class does
    cycles : simulated cycles
    latency : cycles from the first frame's first beat in to its last beat out
    cycles_per_frame : in steady state; None below 3 frames
    fault : what the machine did against its interface sheet, in lines, after which nothing else here holds
    """

    part: int
    logits: tuple[str, ...] = ()
    classes: tuple[int, ...] = ()
    differences: tuple[Difference, ...] = ()
    mismatching_logits: int = 0
    mismatching_classes: int = 0
    cycles: int = 0
    latency: int = 0
    cycles_per_frame: float | None = None
    fault: str = ""


def play(
    job: Job,
    machine: Machine,
    part: Part,
    images: NDArray[np.integer[Any]],
    waveform: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Done, Ints]:
    """Simulate a part; also the logits that the machine gave, which are none where it has a fault."""
    tried = trials(machine, job.images, part.seed) if part.last else ()
    try:
        found = compare(machine, images, job.pauses, part.seed, tried, waveform, progress)
    except (Broken, Deadlock) as error:
        return Done(part.index, fault=str(error)), np.zeros((0, *machine.net.output.shape), np.int64)
    run = found.run
    values = (run.logits if run.logits.shape[-1] else run.best).astype("<i8")
    one = machine.net.output.pixels == 1
    done = Done(
        part.index,
        tuple(hashlib.sha256(np.ascontiguousarray(each)).hexdigest()[:32] for each in values),
        tuple(map(int, run.classes)) if one else (),
        tuple(each.moved(part.start) for each in found.differences()),
        int(found.wrong.sum()),
        int(found.wrong_classes.sum()),
        run.cycles,
        found.latency,
        run.cycles_per_frame,
    )
    return done, run.logits


def again(error: Ended, lost: int, part: Part) -> None:
    """RuntimeError where a part has lost its worker too often."""
    if lost >= TRIES:
        raise RuntimeError(
            f"images {part.start} to {part.stop - 1}: {error}, {TRIES} times; give fewer --jobs where memory is short"
        )


def here(
    job: Job, machine: Machine, parts: Sequence[Part], batch: Batch, waveform: Path | None, progress: Progress
) -> Iterator[tuple[Done, Ints]]:
    """Simulate the parts in this process, one after the other; `progress` counts the images of these parts."""
    finished, left = 0, sum(part.stop - part.start for part in parts)

    def tell(frames: int, _: int) -> None:
        progress(finished + frames, left)

    def play_again(part: Part) -> tuple[Done, Ints]:
        images = batch(part.start, part.stop)
        for lost in itertools.count(1):
            try:
                return play(job, machine, part, images, waveform, tell)
            except Ended as error:
                again(error, lost, part)
        raise AssertionError

    for part in parts:
        done = play_again(part)
        finished += part.stop - part.start
        yield done


def located(
    job: Job, machine: Machine, parts: Sequence[Part], batch: Batch, differences: Sequence[Difference]
) -> Iterator[Difference]:
    """Of images that differ at the output, the first layer that does, where that can be seen; each is run again."""
    for difference in differences:
        if difference.layer == OUTPUT and not job.opaque:
            part = next(part for part in parts if part.start <= difference.image < part.stop)
            images, path = batch(part.start, difference.image + 1), machine.work / "mismatch.vcd"
            found = locate(machine, images, difference.moved(-part.start), job.pauses, part.seed, path)
            yield found.moved(part.start)
        else:
            yield difference


@dataclass(frozen=True)
class Result:
    """What came of a run, of all its parts together.

    Parameters
    ----------
    exact : every logit and every class is the network's, and the machine keeps its interface sheet
    first_difference : of the first image that differs; with the layer, where that was looked for
    logits : sha256, in hex, of the digests of all images' logits
    latency : cycles from the first frame's first beat in to its last beat out
    cycles_per_frame : in steady state, the mean of the parts'; None where none has 3 frames
    cycles : simulated cycles
    """

    exact: bool
    images: int
    mismatching_images: int
    mismatching_logits: int
    mismatching_classes: int
    first_difference: Difference | None
    logits: str
    latency: int
    cycles_per_frame: float | None
    cycles: int


def summed(done: Sequence[Done]) -> Result:
    """The result of a run whose parts, in their order, are these."""
    differences = [each for part in done for each in part.differences]
    digests = [digest for part in done for digest in part.logits]
    rates = [part.cycles_per_frame for part in done if part.cycles_per_frame is not None]
    return Result(
        exact=not differences and not any(part.fault for part in done),
        images=len(digests),
        mismatching_images=len(differences),
        mismatching_logits=sum(part.mismatching_logits for part in done),
        mismatching_classes=sum(part.mismatching_classes for part in done),
        first_difference=differences[0] if differences else None,
        logits=hashlib.sha256("".join(digests).encode()).hexdigest(),
        latency=done[0].latency if done else 0,
        cycles_per_frame=float(np.mean(rates)) if rates else None,
        cycles=sum(part.cycles for part in done),
    )
