"""Parts of a run in processes on this computer; one that is lost has its part run again by another."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from ..model.error import BadInput
from ..model.places import scratch
from ..model.tensor import Ints
from .parts import Batch, Done, Job, Part, again, play
from .stimulus import Progress
from .verilator import Ended


@dataclass
class _Worker:
    """A process, and what it is at."""

    process: BaseProcess
    pipe: Connection
    part: Part | None = None
    frames: int = field(default=0)


def processes(
    job: Job, parts: Sequence[Part], batch: Batch, jobs: int, progress: Progress
) -> Iterator[tuple[Done, Ints]]:
    """What comes of each part, once, in the order in which they are finished; `progress` counts their images.

    RuntimeError where a part has lost its worker too often, or the simulator fails.
    """
    waiting, lost = deque(parts), Counter[int]()
    finished, left = 0, sum(part.stop - part.start for part in parts)
    with scratch() as folder, ExitStack() as stack:
        free: list[_Worker] = []
        busy: dict[Connection, _Worker] = {}
        while waiting or busy:
            while waiting and len(busy) < jobs:
                worker = free.pop() if free else stack.enter_context(_worker(job, folder))
                worker.part, worker.frames = waiting.popleft(), 0
                busy[worker.pipe] = worker
                with suppress(OSError):  # gone already, which reading from it will show
                    worker.pipe.send((worker.part, batch(worker.part.start, worker.part.stop)))
            for pipe in wait(list(busy)):
                worker = busy[pipe]
                part = worker.part
                match _received(worker):
                    case "frames", int(frames):
                        worker.frames = frames
                    case "done", Done() as done, logits:
                        finished += part.stop - part.start
                        free.append(busy.pop(pipe))
                        yield done, logits
                    case "refused", str(words):
                        raise BadInput(words)
                    case "failed", str(words):
                        raise RuntimeError(words)
                    case "lost", str(words), bool(alive):
                        busy.pop(pipe)
                        if alive:
                            free.append(worker)
                        lost[part.index] += 1
                        again(Ended(words), lost[part.index], part)
                        waiting.appendleft(part)
                progress(finished + sum(worker.frames for worker in busy.values()), left)


def _received(worker: _Worker) -> tuple[Any, ...]:
    """What a worker says; that it is lost where it is gone."""
    try:
        return worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        return "lost", f"the worker was ended with status {worker.process.exitcode}", False


@contextmanager
def _worker(job: Job, folder: Path) -> Iterator[_Worker]:
    """A process for the job, ended when this is left; its temporary files are in `folder`."""
    context = multiprocessing.get_context("spawn")  # threads that are here already make a fork unsafe
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, job, str(folder)), daemon=True)
    process.start()
    theirs.close()
    try:
        yield _Worker(process, ours)
    finally:
        process.kill()
        process.join()
        ours.close()


def _serve(pipe: Connection, job: Job, folder: str) -> None:
    """Simulate the parts that come, until the process is ended, or the one that has started it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal; the other one ends this
    threading.Thread(target=_follow, daemon=True).start()
    tempfile.tempdir = folder
    with threadpool_limits(1), scratch() as work:
        machine = None
        while True:
            part, images = pipe.recv()
            try:
                machine = machine or job.machine(work)
                done, logits = play(job, machine, part, images, None, lambda frames, _: pipe.send(("frames", frames)))
            except Ended as error:
                pipe.send(("lost", str(error), True))
            except BadInput as error:
                pipe.send(("refused", str(error)))
            except (RuntimeError, OSError) as error:
                pipe.send(("failed", str(error)))
            else:
                pipe.send(("done", done, logits))


def _follow() -> None:
    """End this process when the one that has started it ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
