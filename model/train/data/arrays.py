"""Images and labels as NumPy's files hold them: one .npz, or a folder of .npy files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...error import BadInput, cut
from ...tensor import Tensor
from .dataset import DataSet
from .images import Images

NAMES = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
"""How the four arrays may be called: as in Keras' files, and as in MedMNIST's."""

CLASSES = "classes"
"""The array of the classes' names, which may be there too."""

READ = frozenset(name for names in (*NAMES, (CLASSES,)) for name in names)

MOST_CLASSES = 10_000

UNREADABLE = (
    OSError, ValueError, TypeError, KeyError, OverflowError, SyntaxError, TokenError, EOFError, MemoryError,
    NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What numpy raises of files that hold no array."""


def arrays(place: Path) -> DataSet:
    """The arrays of an .npz file, or of the .npy files or the one .npz in a folder, called as in `NAMES`.

    Images are integers from 0 to 255, [N, height, width] or [N, height, width, channels], of any size; labels count
    from 0, [N] or [N, 1]; an array `classes` of text names the classes. Mean and binary point are those of the
    training images, which are read at once. BadInput says which array is missing or wrong.
    """
    found = _open(place)
    pixels, labels, *held_out = (found[name] for name in _named(place, found))
    train = _images(place, pixels, labels)
    total, squares = moments(train.images)
    mean = total / (train.images.size // len(total))
    variance = squares.sum() / train.images.size - (mean**2).mean()
    _, height, width, channels = train.images.shape
    classes = _classes(place, found, int(train.labels.max()) + 1)

    def test() -> Images:
        images = _images(place, *held_out)
        if images.images.shape[1:] != train.images.shape[1:]:
            is_, should = ("x".join(map(str, each.images.shape[1:])) for each in (images, train))
            raise BadInput(f"{place}: the test images are {is_}, those to train on {should}; make them alike")
        if (highest := int(images.labels.max())) >= len(classes):
            raise BadInput(f"{place}: a test label is {highest}, and there are {len(classes)} classes to train on")
        return images

    return DataSet(
        name="arrays",
        input=Tensor(height, width, channels, lo=0, hi=255, frac=max(0, round(np.log2(max(1, variance)) / 2))),
        mean=tuple(int(each) for each in np.rint(mean)),
        classes=classes,
        preprocessing=f"{height}x{width} pixels, {channels} channel{'s' * (channels > 1)}, 0 to 255, as in the arrays",
        train=lambda: train,
        test=test,
    )


def _open(place: Path) -> Mapping[str, NDArray[Any]]:
    """The arrays in a place by their names."""
    if place.is_dir():
        files = sorted(place.glob("*.npy"))
        if files:
            return {file.stem: _read(file) for file in files if file.stem in READ}
        packed = sorted(place.glob("*.npz"))
        if len(packed) != 1:
            raise BadInput(
                f"{place} holds no .npy file and {len(packed) or 'no'} .npz: put {', '.join(NAMES[0])} there"
                + (", or name the .npz with --data" if packed else "")
            )
        place = packed[0]
    try:
        with open(place, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.lib.npyio.NpzFile):
                return {name: archive[name] for name in archive.files if name in READ}
    except UNREADABLE as error:
        raise BadInput(f"{place} is not a readable .npz file: {_said(error)}") from None
    raise BadInput(f"{place} is one array, not several: give an .npz file, or the folder of the .npy files")


def _read(file: Path) -> NDArray[Any]:
    """The array of a .npy file, mapped, because reading would allocate whatever size the header claims."""
    try:
        return np.lib.format.open_memmap(file, mode="r")
    except UNREADABLE as error:
        raise BadInput(f"{file} is not a readable .npy file: {_said(error)}") from None


def _said(error: BaseException) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return cut(" ".join(reason.split())) or type(error).__name__


def _named(place: Path, found: Mapping[str, NDArray[Any]]) -> tuple[str, str, str, str]:
    """The names under which all four arrays are there."""
    for names in NAMES:
        if all(name in found for name in names):
            return names
    nearest = max(NAMES, key=lambda names: sum(name in found for name in names))
    missing = ", ".join(name for name in nearest if name not in found)
    others = " or ".join(", ".join(names) for names in NAMES)
    raise BadInput(f"{place} has no array {missing}: it needs {others}")


def _images(place: Path, pixels: NDArray[Any], labels: NDArray[Any]) -> Images:
    """Labelled images of two arrays; BadInput where they are none."""
    shape = "x".join(map(str, pixels.shape))
    if pixels.dtype.kind not in "iu":
        raise BadInput(f"{place}: images are {pixels.dtype}, and have to be integers from 0 to 255: give them as uint8")
    if pixels.ndim not in (3, 4) or not pixels.size:
        raise BadInput(
            f"{place}: images are {shape or 'one number'}, not [N, height, width] or [N, height, width, channels]"
        )
    if pixels.ndim == 4 and pixels.shape[1] in (1, 3) and pixels.shape[3] > 4:
        raise BadInput(f"{place}: images are {shape}, channels first: put them last with numpy.moveaxis(images, 1, 3)")
    if pixels.dtype != np.uint8:
        if pixels.min() < 0 or pixels.max() > 255:
            raise BadInput(f"{place}: pixels go from {pixels.min()} to {pixels.max()}, and 0 to 255 are taken")
        pixels = pixels.astype(np.uint8)
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.dtype.kind not in "iu" or flat.ndim != 1:
        shown = f"{labels.dtype} [{', '.join(map(str, labels.shape))}]"
        raise BadInput(f"{place}: labels are {shown}, and have to be integers [N]; of one row an image take argmax(1)")
    if len(flat) != len(pixels):
        raise BadInput(f"{place}: {len(flat):,} labels for {len(pixels):,} images; there is one for each")
    if flat.min() < 0 or flat.max() >= MOST_CLASSES:
        raise BadInput(
            f"{place}: labels go from {flat.min()} to {flat.max()}; they count classes from 0, {MOST_CLASSES:,} at most"
        )
    return Images(pixels.reshape(*pixels.shape[:3], -1), flat.astype(np.int64))


def moments(images: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each channel the sum of all pixels and of their squares, exact: int64 [channels] each."""
    values = np.arange(256)
    total = np.zeros((images.shape[3], 256), np.int64)
    for start in range(0, len(images), 1000):
        block = images[start : start + 1000]
        for channel, counts in enumerate(total):
            counts += np.bincount(block[..., channel].ravel(), minlength=256)
    return total @ values, total @ values**2


def _classes(place: Path, found: Mapping[str, NDArray[Any]], count: int) -> tuple[str, ...]:
    """Their names: those of the array `classes`, or numbers."""
    if CLASSES not in found:
        return tuple(map(str, range(count)))
    names = found[CLASSES]
    if names.dtype.kind != "U" or names.ndim != 1 or not count <= len(names) <= MOST_CLASSES:
        shown = f"{names.dtype} [{', '.join(map(str, names.shape))}]"
        raise BadInput(f"{place}: classes are {shown}, and have to be the names of {count} classes or more, text [N]")
    return tuple(names.tolist())
