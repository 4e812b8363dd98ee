"""MNIST and Fashion-MNIST: four IDX files each, plain or gzipped."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...error import BadInput
from ...tensor import Tensor
from .dataset import DataSet
from .images import Images
from .source import MEND, Source

SIDE = 28

MNIST = Source(
    title="MNIST",
    places=("mnist", "MNIST/raw", "."),
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
    md5={
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
)

FASHION_MNIST = Source(
    title="Fashion-MNIST",
    places=("fashion-mnist", "fashion_mnist", "FashionMNIST/raw", "."),
    url="https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    md5={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)

LABELS_MD5 = {
    "a25bea736e30d166cdddb491f175f624": "MNIST",
    "27ae3e4e09519cfbb04c329615203637": "MNIST",
    "9018921c3c673c538a1fc5bad174d6f9": "Fashion-MNIST",
    "15d484375f8d13e6eb1aabb0c3f46965": "Fashion-MNIST",
}
"""Whose labels a file holds, by the MD5 of its IDX form: the two sets' files have the same names."""


def mnist(folder: Path) -> DataSet:
    """MNIST: 60,000 and 10,000 handwritten digits, 28x28."""
    return DataSet(
        name="mnist",
        input=Tensor(SIDE, SIDE, 1, lo=0, hi=255, frac=6),  # standard deviation 78.6
        mean=(33,),  # 33.32
        classes=tuple("0123456789"),
        preprocessing="28x28 pixels, 0 (paper) to 255 (ink), as MNIST's files give them",
        train=lambda: _read(MNIST, folder, "train"),
        test=lambda: _read(MNIST, folder, "t10k"),
    )


def fashion_mnist(folder: Path) -> DataSet:
    """Fashion-MNIST: 60,000 and 10,000 articles of clothing, 28x28, in MNIST's format."""
    return DataSet(
        name="fashion-mnist",
        input=Tensor(SIDE, SIDE, 1, lo=0, hi=255, frac=6),  # standard deviation 90.0
        mean=(73,),  # 72.94
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        preprocessing="28x28 pixels, 0 (background) to 255, as Fashion-MNIST's files give them",
        train=lambda: _read(FASHION_MNIST, folder, "train"),
        test=lambda: _read(FASHION_MNIST, folder, "t10k"),
    )


def _read(source: Source, folder: Path, part: str) -> Images:
    paths = source.obtain(folder, [_spellings(f"{part}-images-idx3-ubyte"), _spellings(f"{part}-labels-idx1-ubyte")])
    images, labels = (_unpacked(path) for path in paths)
    owner = LABELS_MD5.get(hashlib.md5(labels, usedforsecurity=False).hexdigest(), source.title)
    if owner != source.title:
        raise BadInput(
            f"{paths[1]} holds the labels of {owner}, not of {source.title}: "
            f"put the files of {source.title} into {folder / source.places[0]}"
        )
    pixels = _array(paths[0], images, (SIDE, SIDE))
    classes = _array(paths[1], labels, ())
    if len(pixels) != len(classes):
        raise BadInput(
            f"{paths[1]} holds {len(classes)} labels for the {len(pixels)} images of {paths[0].name}; {MEND}"
        )
    if classes.max() > 9:
        raise BadInput(f"{paths[1]} holds the label {classes.max()}, but there are 10 classes; {MEND}")
    return Images(pixels[..., None], classes.astype(np.int64))


def _spellings(name: str) -> tuple[str, ...]:
    dotted = name.replace("-idx", ".idx")
    return name, dotted, name + ".gz", dotted + ".gz"


def _unpacked(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        return gzip.decompress(path.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadInput(f"{path} is not a whole gzip file ({error}); {MEND}") from None


def _array(path: Path, data: bytes, item: tuple[int, ...]) -> NDArray[np.uint8]:
    """The array of an IDX file of bytes: uint8 [N, *item]."""
    header = 4 * (2 + len(item))
    # Two zero bytes, 8 for unsigned bytes, and how many dimensions there are.
    magic = bytes([0, 0, 8, 1 + len(item)])
    if data[:4] != magic or len(data) < header:
        raise BadInput(
            f"{path} starts with {data[:4].hex() or 'nothing'}, not with {magic.hex()} and its dimensions; {MEND}"
        )
    count, *dims = np.frombuffer(data, ">u4", 1 + len(item), 4).tolist()
    if tuple(dims) != item or not count:
        found, wanted = ("x".join(map(str, shape)) for shape in ((count, *dims), ("N", *item)))
        raise BadInput(f"{path} holds {found} values, not {wanted}; {MEND}")
    size = header + count * math.prod(item)
    if len(data) != size:
        raise BadInput(f"{path} has {len(data):,} bytes where its header says {size:,}; {MEND}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(count, *item).copy()
