"""Images in folders, one a class, as ImageNet is commonly laid out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ...error import BadInput, install
from ...net import check_text
from ...tensor import Tensor
from .dataset import DataSet
from .image_files import MODES, ImageFiles, covering

SUFFIXES = (".jpg", ".jpeg", ".png")
"""Of the files that are images, in small letters or capitals."""


MEANS = {1: (117,), 3: (124, 116, 104)}
"""ImageNet's, for so many channels: 123.7, 116.3, 103.5, and 117.1 of their luma."""


def folders(folder: Path, size: tuple[int, int, int]) -> DataSet:
    """JPEG and PNG files ``train/CLASS/*`` and ``val/CLASS/*``, or ``test/CLASS/*``, whose classes train has too.

    They stay on disk and are cut to `size`, (height, width, channels), when a batch needs them; the mean is ImageNet's.
    BadInput when ``train`` has no classes, when Pillow is missing, and for other channels than 1 and 3.
    """
    height, width, channels = size
    if channels not in MODES:
        raise BadInput(f"pictures in folders have 1 channel or 3, not {channels}; give others as arrays")
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise BadInput(f"image files are read by Pillow, which is not installed; {install('train')}") from None
    classes = _classes(folder / "train")
    return DataSet(
        name="folders",
        input=Tensor(height, width, channels, lo=0, hi=255, frac=6),  # ImageNet's standard deviations: 58.4, 57.1, 57.4
        mean=MEANS[channels],
        classes=classes,
        preprocessing=f"resized to cover {covering(height)}x{covering(width)} pixels (Pillow, bilinear), the central "
        f"{height}x{width} cut out, 0 to 255 in {'red, green, blue' if channels == 3 else 'luma'}; as it is where it "
        "has that size",
        train=lambda: _read(folder / "train", classes, size),
        test=lambda: _read(_held_out(folder), classes, size),
    )


def _held_out(folder: Path) -> Path:
    for name in ("val", "test"):
        if (folder / name).is_dir():
            return folder / name
    raise BadInput(f"{folder} has neither val nor test beside train: put the held-out images there, a folder a class")


def _classes(part: Path) -> tuple[str, ...]:
    """The names of the folders in `part`, sorted; hidden ones do not count."""
    if not part.is_dir():
        raise BadInput(f"{part} does not exist: put the images there, a folder a class")
    names = sorted(entry.name for entry in os.scandir(part) if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise BadInput(f"{part} holds no folders: put the images there, a folder a class")
    for name in names:
        check_text(name, f"folder in {part} named")
    return tuple(names)


def _read(part: Path, classes: tuple[str, ...], size: tuple[int, int, int]) -> ImageFiles:
    paths: list[str] = []
    labels: list[int] = []
    for name in _classes(part):
        if name not in classes:
            raise BadInput(f"{part / name}: train has no class {name}; remove it, or add images of it to train")
        found = sorted(entry.path for entry in os.scandir(part / name) if entry.name.lower().endswith(SUFFIXES))
        if not found:
            raise BadInput(f"{part / name} holds no image: {', '.join(SUFFIXES)} are read; remove it, or add some")
        paths += found
        labels += [classes.index(name)] * len(found)
    return ImageFiles(tuple(paths), np.array(labels, np.int64), size)
