"""Training images, moved, mirrored and cut out: whole batches of bytes, on the device that trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .recipe import Augment


@dataclass(frozen=True)
class Draws:
    """What happens to each of n images; None where it happens to none.

    mirrored : bool [n]
    moved : int64 [2, n]; what is seen lies so many pixels further down and to the right
    cut : int64 [2, n], the first row and column of a square, which may lie outside
    """

    mirrored: Tensor | None
    moved: Tensor | None
    cut: Tensor | None

    def __getitem__(self, part: slice) -> Draws:
        """Those of a part of the images."""
        return self._each(lambda drawn: drawn[..., part])

    def to(self, device: torch.device) -> Draws:
        """The same on a device."""
        return self._each(lambda drawn: drawn.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Draws:
        return Draws(*(None if drawn is None else change(drawn) for drawn in (self.mirrored, self.moved, self.cut)))


def draw(
    how: Augment, height: int, width: int, mirrored: NDArray[np.bool_] | None, random: np.random.Generator, n: int
) -> Draws:
    """Draws for `n` images, by `random` alone; which are mirrored is given, bool [n], or None."""
    moved = random.integers(-how.shift, how.shift, (2, n), endpoint=True) if how.shift else None
    # The square's centre is anywhere in the image, so that part of it may lie outside.
    cut = random.integers(((height,), (width,)), size=(2, n)) - how.cutout // 2 if how.cutout else None
    return Draws(*(None if each is None else torch.from_numpy(each) for each in (mirrored, moved, cut)))


def augment(
    images: Tensor, chosen: Tensor, how: Augment, draws: Draws, noise: torch.Generator, highest: int = 255
) -> Tensor:
    """The chosen of some images, each changed by its draws: uint8 [n, H, W, C].

    Parameters
    ----------
    images : uint8 [N, H, W, C] of pixels up to `highest`
    chosen : int64 [n], their indices
    draws : of the chosen ones
    noise : for what fills the squares
    """
    n, (height, width) = len(chosen), images.shape[1:3]
    if draws.mirrored is None and draws.moved is None:
        pixels = images[chosen]
    else:
        rows = torch.arange(height, device=images.device).expand(n, height)
        columns = torch.arange(width, device=images.device).expand(n, width)
        if draws.moved is not None:
            rows = (rows + draws.moved[0, :, None]).clamp_(0, height - 1)
            columns = (columns + draws.moved[1, :, None]).clamp_(0, width - 1)
        if draws.mirrored is not None:
            columns = torch.where(draws.mirrored[:, None], width - 1 - columns, columns)
        places = ((chosen[:, None] * height + rows)[:, :, None] * width + columns[:, None, :]).flatten()
        pixels = images.flatten(0, 2).index_select(0, places).reshape(n, height, width, -1)
    if draws.cut is not None:
        top, left = draws.cut[:, :, None]
        down, right = (torch.arange(size, device=images.device) for size in (height, width))
        inside = ((down >= top) & (down < top + how.cutout))[:, :, None]
        inside = inside & ((right >= left) & (right < left + how.cutout))[:, None, :]
        filling = torch.randint(highest + 1, pixels.shape, generator=noise, dtype=torch.uint8, device=images.device)
        pixels = torch.where(inside[..., None], filling, pixels)
    return pixels
