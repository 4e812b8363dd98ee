"""Training images, moved, mirrored and cut out: whole batches of integers, in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .recipe import Augment


def augment(
    images: NDArray[np.uint8], how: Augment, random: np.random.Generator, highest: int = 255
) -> NDArray[np.uint8]:
    """Images [N, H, W, C] of pixels up to `highest`, each changed by its own draw from `random`."""
    n, height, width, _ = images.shape
    rows = np.broadcast_to(np.arange(height), (n, height))
    columns = np.broadcast_to(np.arange(width), (n, width))
    if how.flip:
        columns = np.where(random.random((n, 1)) < 0.5, columns[:, ::-1], columns)
    if how.shift:
        down, right = random.integers(-how.shift, how.shift, (2, n, 1), endpoint=True)
        rows = np.clip(rows + down, 0, height - 1)
        columns = columns[np.arange(n)[:, None], np.clip(np.arange(width) + right, 0, width - 1)]
    if how.flip or how.shift:
        images = images[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    if how.cutout:
        # The square's centre is anywhere in the image, so that part of it may lie outside.
        top = random.integers(height, size=(n, 1)) - how.cutout // 2
        left = random.integers(width, size=(n, 1)) - how.cutout // 2
        in_rows = (np.arange(height) >= top) & (np.arange(height) < top + how.cutout)
        in_columns = (np.arange(width) >= left) & (np.arange(width) < left + how.cutout)
        inside = in_rows[:, :, None, None] & in_columns[:, None, :, None]
        noise = random.integers(highest + 1, size=images.shape, dtype=np.uint8)
        images = np.where(inside, noise, images)
    return images
