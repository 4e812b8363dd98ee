"""Parts of a run on a Dask cluster, which runs those of a lost worker again."""

from __future__ import annotations

import pickle
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.error import BadInput, install
from ..model.places import scratch
from ..model.tensor import Ints
from .parts import Batch, Done, Job, Part, again, play, sources
from .stimulus import Progress
from .verilator import Ended

LOCAL = "local"
"""The address of a cluster that is started here, for this run."""
AHEAD = 2
"""Parts that wait for each thread of the cluster, at the most: the images of all may not fit."""
PATIENCE = 20
"""Seconds in which a scheduler has to answer."""


def check_installed() -> None:
    """BadInput where Dask is missing."""
    try:
        import distributed  # noqa: F401
    except ModuleNotFoundError as error:
        raise BadInput(f"the Python package {error.name} is missing; {install('cluster')}") from None


def parts_on(
    address: str, job: Job, parts: Sequence[Part], batch: Batch, jobs: int, progress: Progress
) -> Iterator[tuple[Done, Ints]]:
    """What comes of each part, once, as they are finished; `progress` counts the images of finished ones.

    `address` is a scheduler's, such as tcp://HOST:8786, or LOCAL for `jobs` processes here. BadInput where there is no
    scheduler, or its workers have another bitfold; RuntimeError where a part has lost its worker too often.
    """
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    packed = zlib.compress(pickle.dumps(job), 1)
    waiting, lost = deque(parts), Counter[int]()
    finished, left = 0, sum(part.stop - part.start for part in parts)
    with _client(address, jobs) as client:
        known: dict[Any, Part] = {}
        futures = as_completed()

        def submit(part: Part) -> None:
            images = batch(part.start, part.stop)
            future = client.submit(_play, packed, sources(), part, images, pure=False, retries=0)
            known[future] = part
            futures.add(future)

        def fill() -> None:
            while waiting and len(known) < AHEAD * max(1, sum(client.nthreads().values())):
                submit(waiting.popleft())

        fill()
        for future in futures:
            part = known.pop(future)
            try:
                done, logits = future.result()
            except KilledWorker:
                raise RuntimeError(
                    f"images {part.start} to {part.stop - 1} have ended each worker of the cluster that took them"
                ) from None
            except Ended as error:
                lost[part.index] += 1
                again(error, lost[part.index], part)
                submit(part)
                continue
            finished += part.stop - part.start
            progress(finished, left)
            fill()
            yield done, logits


def _play(packed: bytes, expected: str, part: Part, images: NDArray[np.integer[Any]]) -> tuple[Done, Ints]:
    """A part, in a worker."""
    if sources() != expected:
        raise BadInput("the cluster's workers have another version of bitfold; install this one there")
    job = pickle.loads(zlib.decompress(packed))
    with scratch() as work:
        return play(job, job.machine(work), part, images)


@contextmanager
def _client(address: str, jobs: int) -> Iterator[Any]:
    """A client of the cluster, which ends with it where it is LOCAL."""
    from distributed import Client

    if address == LOCAL:
        with Client(n_workers=jobs, threads_per_worker=1, dashboard_address=None, silence_logs="ERROR") as client:
            yield client
        return
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise BadInput(
            f"no Dask scheduler answers at {address}: {str(error).partition(chr(10))[0]}; give the address that it "
            f"shows, such as tcp://HOST:8786, or {LOCAL}"
        ) from None
    with client:
        yield client
