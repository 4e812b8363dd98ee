"""Training images in batches, prepared in the background while the network works on those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .augment import augment
from .data import ImageFiles, Images
from .recipe import Augment

AHEAD = 4
"""Batches prepared while one is worked on."""


@dataclass(frozen=True)
class Batch:
    """uint8 [n, H, W, C] and int64 [n]; `size` images in all parts of it together."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    size: int


@dataclass(frozen=True)
class Batches:
    """The batches of every epoch. Each is drawn by (seed, phase, epoch, its number) alone, wherever it starts.

    Parameters
    ----------
    size : of a batch; the last of an epoch may be smaller
    part, parts : of each batch only every `parts`-th image, from `part` on: one process's share
    highest : of a pixel
    """

    images: Images | ImageFiles
    size: int
    augment: Augment
    seed: int
    phase: int
    part: int = 0
    parts: int = 1
    highest: int = 255

    def __len__(self) -> int:
        """Batches in an epoch; a last one too small to share out is left away."""
        full, rest = divmod(len(self.images), self.size)
        return full + (rest >= self.parts)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number` from batch `start` on."""
        order = np.random.default_rng([self.seed, self.phase, number]).permutation(len(self.images))

        def prepare(step: int) -> Batch:
            chosen = order[step * self.size : (step + 1) * self.size]
            mine = chosen[self.part :: self.parts]
            random = np.random.default_rng([self.seed, self.phase, number, step, self.part])
            pixels = augment(self.images.batch(mine, random), self.augment, random, self.highest)
            return Batch(pixels, self.images.labels[mine], len(chosen))

        with ThreadPoolExecutor(1) as pool:
            ready: deque[Future[Batch]] = deque()
            try:
                for step in range(start, len(self)):
                    ready.append(pool.submit(prepare, step))
                    if len(ready) > AHEAD:
                        yield ready.popleft().result()
                while ready:
                    yield ready.popleft().result()
            finally:
                for future in ready:
                    future.cancel()
