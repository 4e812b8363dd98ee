"""Images in folders, one a class, as ImageNet is commonly laid out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ...error import BadInput, install
from ...net import check_text
from ...tensor import Tensor
from .dataset import DataSet
from .image_files import SHORTER, SIDE, ImageFiles

SUFFIXES = (".jpg", ".jpeg", ".png")
"""Of the files that are images, in small letters or capitals."""


def folders(folder: Path) -> DataSet:
    """JPEG and PNG files ``train/CLASS/*`` and ``val/CLASS/*``, or ``test/CLASS/*``, whose classes train has too.

    They stay on disk and are cut to 224x224 when a batch needs them; the mean is ImageNet's. BadInput when
    ``train`` has no classes, and when Pillow is missing.
    """
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise BadInput(f"image files are read by Pillow, which is not installed; {install('train')}") from None
    classes = _classes(folder / "train")
    return DataSet(
        name="folders",
        input=Tensor(SIDE, SIDE, 3, lo=0, hi=255, frac=6),  # ImageNet's standard deviations: 58.4, 57.1, 57.4
        mean=(124, 116, 104),  # ImageNet's: 123.7, 116.3, 103.5
        classes=classes,
        preprocessing=f"shorter side resized to {SHORTER} pixels (Pillow, bilinear), the central {SIDE}x{SIDE} "
        "cut out, 0 to 255 in red, green, blue",
        train=lambda: _read(folder / "train", classes),
        test=lambda: _read(_held_out(folder), classes),
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


def _read(part: Path, classes: tuple[str, ...]) -> ImageFiles:
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
    return ImageFiles(tuple(paths), np.array(labels, np.int64))
