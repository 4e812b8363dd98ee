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

SIDE = 224
"""Height and width of every image handed out."""

SHORTER = 256
"""What a test image's shorter side is resized to before its centre is cut out."""

TRIES = 10
"""Crops drawn for one image before its middle is taken: in a long thin image none may fit."""

AREA = (0.08, 1.0)
"""The part of an image that a random crop covers."""

ASPECT = (3 / 4, 4 / 3)
"""Width over height of a random crop."""


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Labelled JPEG and PNG files: a path [N] each, and int64 [N], the class of each."""

    paths: tuple[str, ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> ImageFiles:
        """The images at these indices, still unread."""
        return ImageFiles(tuple(self.paths[i] for i in indices), self.labels[indices])

    def batch(self, indices: NDArray[np.int64], random: np.random.Generator | None = None) -> NDArray[np.uint8]:
        """The pixels at these indices, decoded now: uint8 [n, 224, 224, 3], in red, green, blue.

        Without `random` the shorter side is resized to 256 and the centre cut out. With it, a crop of 8 to 100 %
        of the area and an aspect of 3/4 to 4/3 is resized, the same for the same state of the generator
        (Szegedy et al., arXiv:1409.4842, section 6). BadInput names a file that cannot be decoded.
        """
        # Drawn here for all: what an image gets must not depend on which thread comes first.
        draws = [None] * len(indices) if random is None else list(random.random((len(indices), TRIES, 4)))
        pixels = np.empty((len(indices), SIDE, SIDE, 3), np.uint8)
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for n, image in enumerate(pool.map(_decode, [self.paths[i] for i in indices], draws)):
                pixels[n] = image
        return pixels


def _decode(path: str, draws: NDArray[np.float64] | None) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except Exception as error:  # a broken file makes Pillow raise nearly anything, SyntaxError included
        reason = " ".join(str(error).split())
        raise BadInput(f"{path}: this image cannot be decoded ({reason}); replace or remove it") from None
    return np.asarray(_centre(image) if draws is None else _crop(image, draws))


def _centre(image: Image.Image) -> Image.Image:
    from PIL import Image

    shorter = min(image.size)
    width, height = (side * SHORTER // shorter for side in image.size)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + SIDE, top + SIDE))


def _crop(image: Image.Image, draws: NDArray[np.float64]) -> Image.Image:
    from PIL import Image

    # Where no crop fits, the largest centred one that has an allowed aspect.
    width, height = (min(a, round(b * ASPECT[1])) for a, b in (image.size, image.size[::-1]))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    for area, aspect, x, y in draws.tolist():
        covered = image.width * image.height * (AREA[0] + (AREA[1] - AREA[0]) * area)
        ratio = ASPECT[0] * (ASPECT[1] / ASPECT[0]) ** aspect
        wide, high = max(1, round(math.sqrt(covered * ratio))), max(1, round(math.sqrt(covered / ratio)))
        if wide <= image.width and high <= image.height:
            width, height = wide, high
            left, top = int(x * (image.width - width + 1)), int(y * (image.height - height + 1))
            break
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
