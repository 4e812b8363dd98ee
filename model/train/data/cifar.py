"""CIFAR-10 and CIFAR-100 in their binary versions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...error import BadInput
from ...tensor import Tensor
from .dataset import DataSet
from .images import Images, joined
from .source import MEND, Source

SIDE = 32

CIFAR10 = Source(
    title="CIFAR-10",
    places=("cifar10/cifar-10-batches-bin", "cifar10", "cifar-10-batches-bin", "."),
    url="https://www.cs.toronto.edu/~kriz/",
    md5={"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
)

CIFAR100 = Source(
    title="CIFAR-100",
    places=("cifar100/cifar-100-binary", "cifar100", "cifar-100-binary", "."),
    url="https://www.cs.toronto.edu/~kriz/",
    md5={"cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8"},
)

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_CIFAR100_CLASSES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

CIFAR100_CLASSES = tuple(_CIFAR100_CLASSES.split())
"""The fine labels, in the order of fine_label_names.txt."""


def cifar10(folder: Path) -> DataSet:
    """CIFAR-10: 50,000 and 10,000 colour images, 32x32, in 10 classes."""
    return DataSet(
        name="cifar10",
        input=Tensor(SIDE, SIDE, 3, lo=0, hi=255, frac=6),  # standard deviations 63.0, 62.1, 66.7
        mean=(125, 123, 114),  # 125.31, 122.95, 113.87
        classes=CIFAR10_CLASSES,
        preprocessing="32x32 pixels, 0 to 255 in red, green, blue, as CIFAR-10's files give them",
        train=lambda: _read(CIFAR10, folder, tuple(f"data_batch_{n}.bin" for n in range(1, 6)), 1, 10),
        test=lambda: _read(CIFAR10, folder, ("test_batch.bin",), 1, 10),
    )


def cifar100(folder: Path) -> DataSet:
    """CIFAR-100: 50,000 and 10,000 colour images, 32x32, in 100 classes, the fine ones."""
    return DataSet(
        name="cifar100",
        input=Tensor(SIDE, SIDE, 3, lo=0, hi=255, frac=6),  # standard deviations 68.2, 65.4, 70.4
        mean=(129, 124, 112),  # 129.30, 124.07, 112.43
        classes=CIFAR100_CLASSES,
        preprocessing="32x32 pixels, 0 to 255 in red, green, blue, as CIFAR-100's files give them",
        train=lambda: _read(CIFAR100, folder, ("train.bin",), 2, 100),
        test=lambda: _read(CIFAR100, folder, ("test.bin",), 2, 100),
    )


def _read(source: Source, folder: Path, files: tuple[str, ...], label_bytes: int, classes: int) -> Images:
    """Records of `label_bytes`, the last of them the label, and the planes of red, green and blue."""
    paths = source.obtain(folder, [(name,) for name in files])
    return joined([_records(path, label_bytes, classes) for path in paths])


def _records(path: Path, label_bytes: int, classes: int) -> Images:
    size = label_bytes + 3 * SIDE * SIDE
    data = np.fromfile(path, np.uint8)
    if not len(data) or len(data) % size:
        raise BadInput(f"{path} has {len(data):,} bytes, not a whole number of images of {size:,}; {MEND}")
    records = data.reshape(-1, size)
    labels = records[:, label_bytes - 1].astype(np.int64)
    if labels.max() >= classes:
        raise BadInput(f"{path} holds the label {labels.max()}, but there are {classes} classes; {MEND}")
    planes = records[:, label_bytes:].reshape(-1, 3, SIDE, SIDE)
    return Images(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels)
