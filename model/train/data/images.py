"""Labelled images in memory, and how a part of them is set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images: uint8 [N, height, width, channels] and int64 [N], the class of each."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    def take(self, indices: NDArray[np.int64]) -> Images:
        """The images at these indices."""
        return Images(self.images[indices], self.labels[indices])

    def batch(self, indices: NDArray[np.int64], random: np.random.Generator | None = None) -> NDArray[np.uint8]:
        """The pixels at these indices: uint8 [n, height, width, channels]; nothing here is drawn from `random`."""
        return self.images[indices]


def joined(parts: Sequence[Images]) -> Images:
    """The images of all parts, one part after the other."""
    return Images(np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts]))


def hold_out(labels: NDArray[np.int64], parts: int, seed: int) -> NDArray[np.bool_]:
    """Mark one image in `parts` of every class, drawn by `seed`: bool [N], the same wherever it runs."""
    # RandomState's stream is frozen for good; Generator's may change with numpy.
    random = np.random.RandomState(seed)
    held_out = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        held_out[members[: round(len(members) / parts)]] = True
    return held_out
