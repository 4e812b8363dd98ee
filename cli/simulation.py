# amaranth: UnusedElaboratable=no
"""What `bitfold simulate` and `bitfold regress` do alike: a run on many images, wherever its parts are simulated."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from ..boards.netlist import check_family, of_machine
from ..hw.plan import Plan
from ..hw.verilog import known
from ..model import places
from ..model.error import BadInput
from ..model.net import Net
from ..model.tensor import Ints
from ..sim import cluster, parts, taps, verilator, workers
from ..sim.blocks import with_blocks
from ..sim.resume import journal
from ..sim.shipped import Shipped
from ..sim.taps import Difference
from .arguments import check_range
from .images import Images
from .progress import bar

LOCATED = 16
"""Images that differ whose layer is looked for: the first of all."""

JobsOption = Annotated[
    int | None,
    typer.Option("--jobs", metavar="N", help="Processes that simulate.", show_default="a process a processor"),
]
DaskOption = Annotated[
    str | None,
    typer.Option(
        "--dask", metavar="ADDRESS", help="Simulate on the Dask cluster of this scheduler; local starts one here."
    ),
]


@dataclass(frozen=True)
class How:
    """Where and how a run is simulated.

    jobs : processes; None for one a processor
    dask : address of a cluster's scheduler
    resume : file that keeps what is finished
    waveform : to write, of the whole run at once
    logits : whether they are wanted
    netlist : what Yosys makes of the machine for the plan's device is simulated in its place
    """

    jobs: int | None = None
    dask: str | None = None
    resume: Path | None = None
    waveform: Path | None = None
    logits: bool = False
    netlist: bool = False

    def check(self) -> None:
        """BadInput where parts of it exclude each other, or Dask is missing."""
        if self.jobs is not None:
            check_range("--jobs", self.jobs, 1, 4096)
        if self.dask is not None:
            if self.jobs is not None and self.dask != cluster.LOCAL:
                raise BadInput("--jobs is of processes here, and the cluster has its own: leave it out, or --dask")
            cluster.check_installed()
        if self.waveform is not None and (self.dask or self.resume or (self.jobs or 1) > 1):
            raise BadInput("--waveform is of one run from end to end: leave out --jobs, --dask and --resume")
        if self.logits and self.resume:
            raise BadInput("--resume keeps digests, not logits: leave out --output, or --resume")

    @property
    def processes(self) -> int:
        """How many simulate."""
        return self.jobs or len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Ran:
    """A run and what it was of; every figure that it is told by.

    done : the run's parts, in their order, up to the first with a fault
    differences : of each image that differs; of the first LOCATED with its layer
    seconds : simulated, in all runs that a resumed one is made of
    """

    result: parts.Result
    done: tuple[parts.Done, ...]
    cut: tuple[parts.Part, ...]
    differences: tuple[Difference, ...]
    logits: Ints | None
    about: Mapping[str, Any]
    seconds: float
    ideal_cycles: int
    right: int | None

    @property
    def fault(self) -> str:
        """What the machine did against its interface sheet, or nothing."""
        return next((part.fault for part in self.done if part.fault), "")

    def figures(self) -> dict[str, Any]:
        """The figures by name, of values of JSON."""
        result, first = self.result, self.result.first_difference
        figures = {
            "exact": result.exact,
            "images": result.images,
            "mismatching_images": result.mismatching_images,
            "mismatching_logits": result.mismatching_logits,
            "mismatching_classes": result.mismatching_classes,
            "first_difference": str(first) if first else None,
            "cycles_per_frame": result.cycles_per_frame,
            "ideal_cycles_per_frame": self.ideal_cycles,
            "latency_cycles": result.latency,
            "cycles": result.cycles,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(result.images / self.seconds, 3) if self.seconds else None,
            "logits": result.logits,
            **self.about,
            "version": version("bitfold"),
        }
        if self.right is not None and result.images:
            figures["test_error"] = (result.images - self.right) / result.images
        if self.fault:
            figures["fault"] = self.fault
        return figures


def job_of(
    net: Net,
    plan: Plan,
    engine: str,
    pauses: float,
    images: Images,
    cache: Path,
    work: Path,
    ship: Shipped | None,
    netlist: bool = False,
) -> tuple[parts.Job, str | None]:
    """What is to be simulated, and the digest of its Verilog; what is written for it comes into `work`."""
    if ship is not None:
        job = parts.Job(net, plan, engine, pauses, ship.files, images.count, ship.interface, cache)
        return job, parts.digest(ship.digest_of)
    if engine == "amaranth":
        return parts.Job(net, plan, engine, pauses, {}, images.count, cache=cache), None
    family = plan.family.name
    if netlist:
        check_family(family)
    path = known.verilog(net, plan, work, cache)
    files = {parts.VERILOG: path.read_bytes()}
    digest = parts.digest(files)
    if netlist:
        text = with_blocks(of_machine(path, taps.TOP, family, cache), family)
        files = {parts.VERILOG: text.encode()}
    return parts.Job(net, plan, engine, pauses, files, images.count, cache=cache, opaque=netlist), digest


def run(
    net: Net,
    plan: Plan,
    images: Images,
    *,
    engine: str,
    pauses: float,
    seed: int,
    how: How,
    cache: Path,
    console: Console,
    ship: Shipped | None = None,
) -> Ran:
    """Simulate the images, all parts of them that are not finished yet, and locate what differs.

    Progress goes to the console. Options are checked before. BadInput, or RuntimeError where the simulator fails; a
    machine that does not keep its interface sheet is a fault of the result.
    """
    with places.scratch() as work, ExitStack() as stack, bar(console, "compiling", "images") as progress:
        job, verilog = job_of(net, plan, engine, pauses, images, cache, work, ship, how.netlist)
        machine = job.machine(work)
        cycles = machine.accelerator.cycles
        cut = parts.cut(images.count, cycles, seed, whole=how.waveform is not None)
        about = {
            "network": net.digest(),
            "plan": plan.digest(),
            "verilog": verilog,
            **({"netlist": parts.digest(job.files)} if how.netlist else {}),
            "images_digest": images.digest(net),
            "engine": engine,
            "pauses": pauses,
            "seed": seed,
        }
        kept = stack.enter_context(journal(how.resume, about | {"count": images.count}, cut)) if how.resume else None
        done: dict[int, parts.Done] = dict(kept.done) if kept else {}
        before = kept.seconds if kept else 0.0
        left = [part for part in cut if part.index not in done]
        finished = images.count - sum(part.stop - part.start for part in left)
        if left and engine == "verilator" and how.dask in (None, cluster.LOCAL):
            verilator.build(machine.verilog, waveform=how.waveform is not None, folder=cache)
        began = time.monotonic()
        progress(finished, images.count)
        logits: dict[int, Ints] = {}
        for part, values in _parts(job, machine, left, images, how, lambda n, _: progress(finished + n, images.count)):
            done[part.part] = part
            if how.logits:
                logits[part.part] = values
            if kept:
                kept.add(part, before + time.monotonic() - began)
            if part.fault:
                break
        seconds = before + time.monotonic() - began
        ordered = tuple(done[index] for index in sorted(done))
        result = parts.summed(ordered)
        differences = tuple(each for part in ordered for each in part.differences)
        if differences:
            first = tuple(parts.located(job, machine, cut, images.batch, differences[:LOCATED]))
            differences = first + differences[LOCATED:]
            result = replace(result, first_difference=differences[0])
    return Ran(
        result,
        ordered,
        tuple(cut),
        differences,
        np.concatenate([logits[index] for index in sorted(logits)]) if how.logits else None,
        about,
        seconds,
        cycles,
        _right(images, cut, ordered),
    )


def _parts(
    job: parts.Job, machine: Any, left: list[parts.Part], images: Images, how: How, progress: Any
) -> Iterator[tuple[parts.Done, Ints]]:
    """What comes of the parts, wherever they are simulated."""
    if not left:
        return iter(())
    if how.dask is not None:
        jobs = min(how.processes, len(left))
        remote = job if how.dask == cluster.LOCAL else replace(job, cache=None)
        return cluster.parts_on(how.dask, remote, left, images.batch, jobs, progress)
    jobs = min(how.processes, len(left))
    if jobs == 1 or how.waveform is not None:
        return parts.here(job, machine, left, images.batch, how.waveform, progress)
    return workers.processes(job, left, images.batch, jobs, progress)


def _right(images: Images, cut: list[parts.Part], done: tuple[parts.Done, ...]) -> int | None:
    """Images whose class is the label; None where there are no labels, or no class for each image."""
    if images.labels is None or not all(part.classes for part in done):
        return None
    pairs = [(images.labels[cut[part.part].start : cut[part.part].stop], part.classes) for part in done]
    return sum(int((labels == np.array(classes)).sum()) for labels, classes in pairs)
