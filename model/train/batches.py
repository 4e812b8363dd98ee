"""Training images in batches, on the device that trains."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .augment import augment, draw
from .data import ImageFiles, Images
from .recipe import Augment

AHEAD = 4
"""Batches read from files while one is worked on."""


class Pool:
    """Labelled images for a device: whole on it, or read from their files batch by batch.

    Parameters
    ----------
    images : of the data set
    device : torch's

    Attributes
    ----------
    labels : int64 [N], on the device
    whole : uint8 [N, H, W, C] on the device; None where the images lie in files
    sides : (H, W)
    """

    def __init__(self, images: Images | ImageFiles, device: torch.device) -> None:
        self.source = images
        self.device = device
        self.labels = _tensor(images.labels).to(device)
        self.whole = _tensor(images.images).to(device) if isinstance(images, Images) else None
        height, width, _ = images.size
        self.sides = height, width

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: NDArray[np.int64]) -> Tensor:
        """The images at these indices as they are: uint8 [n, H, W, C] on the device."""
        if self.whole is not None:
            return self.whole[torch.from_numpy(indices).to(self.device)]
        return torch.from_numpy(self.source.batch(indices)).to(self.device)


def _tensor(values: NDArray[Any]) -> Tensor:
    """The same in torch, which takes no array that is read-only or not in order."""
    return torch.from_numpy(np.require(values, requirements=["C", "W"]))


@dataclass(frozen=True)
class Batch:
    """uint8 [n, H, W, C] and int64 [n] on the device; `size` images in all parts of it together."""

    images: Tensor
    labels: Tensor
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

    pool: Pool
    size: int
    augment: Augment
    seed: int
    phase: int
    part: int = 0
    parts: int = 1
    highest: int = 255

    def __len__(self) -> int:
        """Batches in an epoch; a last one too small to share out is left away."""
        full, rest = divmod(len(self.pool), self.size)
        return full + (rest >= self.parts)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number` from batch `start` on."""
        pool, device, how = self.pool, self.pool.device, self.augment
        n = len(pool)
        random = np.random.default_rng([self.seed, self.phase, number])
        order = random.permutation(n)
        draws = draw(how, *pool.sides, self._mirrored(number, order, random), random, n).to(device)
        chosen = torch.from_numpy(order).to(device)
        noise = torch.Generator(device)
        with closing(self._sources(number, order, chosen, start)) as sources:
            for step, (images, places) in enumerate(sources, start):
                mine = self._share(step)
                noise.manual_seed(int(self._drawn(number, step).integers(2**63)))
                pixels = augment(images, places, how, draws[mine], noise, self.highest)
                yield Batch(pixels, pool.labels[chosen[mine]], min(self.size, n - step * self.size))

    def _share(self, step: int) -> slice:
        """This process's share of a batch, in an epoch's order."""
        return slice(step * self.size + self.part, (step + 1) * self.size, self.parts)

    def _drawn(self, number: int, step: int) -> np.random.Generator:
        """What draws for this process's share of a batch."""
        return np.random.default_rng([self.seed, self.phase, number, step, self.part])

    def _mirrored(self, number: int, order: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.bool_] | None:
        """Which images are mirrored in an epoch, in its order: bool [N]; None for none."""
        match self.augment.flip:
            case "random":
                return random.random(len(order)) < 0.5
            case "alternating":
                # Of each image every second epoch is the same.
                at_first = np.random.default_rng([self.seed, self.phase]).random(len(order)) < 0.5
                mirrored: NDArray[np.bool_] = at_first[order] ^ bool(number % 2)
                return mirrored
        return None

    def _sources(
        self, number: int, order: NDArray[np.int64], chosen: Tensor, start: int
    ) -> Generator[tuple[Tensor, Tensor], None, None]:
        """For each batch of an epoch images on the device, and the places of this process's share among them.

        Those in memory are all images; those in files are read ahead in a thread, and are the share itself.
        """
        steps = range(start, len(self))
        if self.pool.whole is not None:
            for step in steps:
                yield self.pool.whole, chosen[self._share(step)]
            return

        def read(step: int) -> NDArray[np.uint8]:
            return self.pool.source.batch(order[self._share(step)], self._drawn(number, step))

        ready: deque[Future[NDArray[np.uint8]]] = deque()
        with ThreadPoolExecutor(1) as thread:
            try:
                for step in steps:
                    while len(ready) <= AHEAD and step + len(ready) < len(self):
                        ready.append(thread.submit(read, step + len(ready)))
                    images = torch.from_numpy(ready.popleft().result()).to(self.pool.device, non_blocking=True)
                    yield images, torch.arange(len(images), device=self.pool.device)
            finally:
                for future in ready:
                    future.cancel()
