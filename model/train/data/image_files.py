"""Labelled images that stay on disk until a batch needs them."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...error import BadInput

if TYPE_CHECKING:
    from PIL import Image

SIZE = (224, 224, 3)
"""Height, width and channels of the images handed out, where nothing else is asked for."""

MODES = {1: "L", 3: "RGB"}
"""Pillow's name for images of so many channels."""

TRIES = 10
"""Crops drawn for one image before its middle is taken: in a long thin image none may fit."""

AREA = (0.08, 1.0)
"""The part of an image that a random crop covers."""

ASPECT = (3 / 4, 4 / 3)
"""Width over height of a random crop."""


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Labelled JPEG and PNG files: a path [N] each, int64 [N], the class of each, and (height, width, channels)."""

    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    size: tuple[int, int, int] = SIZE

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> ImageFiles:
        """The images at these indices, still unread."""
        return ImageFiles(tuple(self.paths[i] for i in indices), self.labels[indices], self.size)

    def batch(self, indices: NDArray[np.int64], random: np.random.Generator | None = None) -> NDArray[np.uint8]:
        """The pixels at these indices, decoded now: uint8 [n, *size], in red, green, blue, or the luma.

        A picture that has the size is taken as it is. Without `random` others are resized to cover 8/7 of the size, and
        the centre cut out. With it, a crop of 8 to 100 % of the area, its aspect 3/4 to 4/3 of the size's, is resized,
        the same for the same state of the generator (Szegedy et al., arXiv:1409.4842, section 6). BadInput names a
        file that cannot be decoded.
        """
        # Drawn here for all: what an image gets must not depend on which thread comes first.
        draws = [None] * len(indices) if random is None else list(random.random((len(indices), TRIES, 4)))
        pixels = np.empty((len(indices), *self.size), np.uint8)
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            sizes = [self.size] * len(indices)
            for n, image in enumerate(pool.map(_decode, [self.paths[i] for i in indices], sizes, draws)):
                pixels[n] = image.reshape(self.size)
        return pixels


def covering(side: int) -> int:
    """What a side is resized to before the centre is cut out: 256 for 224."""
    return side * 8 // 7


def _decode(path: str, size: tuple[int, int, int], draws: NDArray[np.float64] | None) -> NDArray[np.uint8]:
    from PIL import Image

    height, width, channels = size
    try:
        with Image.open(path) as file:
            image = file.convert(MODES[channels])
    except Exception as error:  # a broken file makes Pillow raise nearly anything, SyntaxError included
        reason = " ".join(str(error).split())
        raise BadInput(f"{path}: this image cannot be decoded ({reason}); replace or remove it") from None
    if image.size == (width, height):
        return np.asarray(image)
    return np.asarray(_centre(image, width, height) if draws is None else _crop(image, width, height, draws))


def _centre(image: Image.Image, width: int, height: int) -> Image.Image:
    from PIL import Image

    if image.width * height <= image.height * width:  # its width is what it has least of
        wide = covering(width)
        high = image.height * wide // image.width
    else:
        high = covering(height)
        wide = image.width * high // image.height
    left, top = (wide - width) // 2, (high - height) // 2
    resized = image.resize((wide, high), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + width, top + height))


def _crop(image: Image.Image, to_width: int, to_height: int, draws: NDArray[np.float64]) -> Image.Image:
    from PIL import Image

    shape = to_width / to_height
    # Where no crop fits, the largest centred one that has an allowed aspect.
    width = min(image.width, max(1, round(image.height * ASPECT[1] * shape)))
    height = min(image.height, max(1, round(image.width * ASPECT[1] / shape)))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    for area, aspect, x, y in draws.tolist():
        covered = image.width * image.height * (AREA[0] + (AREA[1] - AREA[0]) * area)
        ratio = ASPECT[0] * (ASPECT[1] / ASPECT[0]) ** aspect * shape
        wide, high = max(1, round(math.sqrt(covered * ratio))), max(1, round(math.sqrt(covered / ratio)))
        if wide <= image.width and high <= image.height:
            width, height = wide, high
            left, top = int(x * (image.width - width + 1)), int(y * (image.height - height + 1))
            break
    box = (left, top, left + width, top + height)
    return image.resize((to_width, to_height), Image.Resampling.BILINEAR, box=box)
