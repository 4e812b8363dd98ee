"""How many labelled images networks get right, alone and together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from .error import BadInput
from .layers import argmax
from .net import Net
from .tensor import dtype_for

Pixels: TypeAlias = NDArray[np.integer[Any]] | Callable[[NDArray[np.int64]], NDArray[np.integer[Any]]]
"""Images [N, height, width, channels], or a function from indices [n] to the n images there,
which several threads may call at once."""

BLOCK = 128
"""Images between two calls of `progress`, and for each processor in memory at once where a function gives them."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What networks say about labelled images; ties go to the lowest class.

    Parameters
    ----------
    labels : int64 [N]
    classes : int64 [nets, N], the class that each network gives each image
    ensemble : int64 [N], the class of the networks' logits summed; of one network its own
    confusion : int64 [nets, classes, classes], images by label (row) and class given (column)
    """

    labels: NDArray[np.int64]
    classes: NDArray[np.int64]
    ensemble: NDArray[np.int64]
    confusion: NDArray[np.int64]

    @property
    def right(self) -> tuple[int, ...]:
        """Images that each network gets right."""
        return tuple(int((classes == self.labels).sum()) for classes in self.classes)

    @property
    def ensemble_right(self) -> int:
        """Images that the ensemble gets right."""
        return int((self.ensemble == self.labels).sum())


def agreement(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Share of the images, in [0, 1], that get the same class in both of int64 [N]."""
    return float((one == other).mean())


def judge(
    nets: Sequence[Net],
    images: Pixels,
    labels: NDArray[np.integer[Any]],
    progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """The classes that networks give images, against integer `labels` [N].

    The ensemble's logits are exact: each network's, shifted left to the most fraction bits of all, and summed.
    `progress` is called with (images done, N). BadInput when the images are not the networks' input, the labels
    not their classes, or the networks do not go together.
    """
    channels = _channels(nets)
    if not len(labels) or labels.min() < 0 or labels.max() >= channels:
        found = f"span [{labels.min()}, {labels.max()}]" if len(labels) else "are none"
        raise BadInput(f"the labels {found}; the networks have {channels} classes, from 0")
    if isinstance(images, np.ndarray) and len(images) != len(labels):
        raise BadInput(f"there are {len(labels)} labels for {len(images)} images")
    # Shifting by what each lacks of the most fraction bits makes one unit of all logits.
    shifts = [max(net.output.frac for net in nets) - net.output.frac for net in nets]
    spans = [(net.output.lo << shift, net.output.hi << shift) for net, shift in zip(nets, shifts, strict=True)]
    dtype_for(sum(lo for lo, _ in spans), sum(hi for _, hi in spans))
    truth: NDArray[np.int64] = labels.astype(np.int64)
    classes = np.empty((len(nets), len(labels)), np.int64)
    ensemble = np.empty(len(labels), np.int64)

    def judged(start: int) -> int:
        """Fill in a block of images; where it ends."""
        here = np.arange(start, min(start + BLOCK, len(labels)))
        block = images[here] if isinstance(images, np.ndarray) else images(here)
        logits = [net(block).astype(np.int64) for net in nets]
        classes[:, here] = [argmax(each) for each in logits]
        ensemble[here] = argmax(np.sum([each << shift for each, shift in zip(logits, shifts, strict=True)], axis=0))
        return start + len(here)

    # A processor a block: within one there is little that several could share.
    with threadpool_limits(1), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done in pool.map(judged, range(0, len(labels), BLOCK)):
            if progress:
                progress(done, len(labels))
    cells = channels * truth + classes
    counts = [np.bincount(each, minlength=channels**2).reshape(channels, channels) for each in cells]
    return Verdict(truth, classes, ensemble, np.array(counts))


def _channels(nets: Sequence[Net]) -> int:
    """How many classes all of the networks tell apart."""
    if not nets:
        raise BadInput("there is no network to judge")
    for net in nets:
        if net.output.pixels != 1:
            raise BadInput(f"a network gives a map of {net.output.height}x{net.output.width}, not one class an image")
    found = {net.output.channels for net in nets}
    if len(found) > 1:
        raise BadInput(f"the networks have {', '.join(map(str, sorted(found)))} classes; only alike ones go together")
    return found.pop()
