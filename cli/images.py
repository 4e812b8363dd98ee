"""Images that a command simulates: of a file, or the test images of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ..model.error import BadInput
from ..model.net import Net
from .accuracy import check_fits
from .arguments import check_range, load_images

BLOCK = 256
"""Images in memory at once, where they are counted through."""

ImagesOption = Annotated[
    Path | None, typer.Option("--images", metavar="X.npy", help="Integers [N, height, width, channels].")
]
SetOption = Annotated[
    str | None, typer.Option("--set", metavar="NAME", help="Instead of images: the test images of a data set.")
]
CountOption = Annotated[int | None, typer.Option("--count", metavar="N", help="Of the data set: the first N images.")]


@dataclass(frozen=True)
class Images:
    """Images of a network's input.

    Parameters
    ----------
    name : of the data set or file
    batch : batch(start, stop) gives those from `start` up to `stop`, [n, height, width, channels]
    labels : int64 [count], the class of each, where that is known
    """

    name: str
    count: int
    batch: Callable[[int, int], NDArray[np.integer[Any]]]
    labels: NDArray[np.int64] | None = None

    def digest(self, net: Net) -> str:
        """sha256, in hex, of all images, as integers of as many bytes as the network's input takes."""
        hashed = hashlib.sha256()
        for start in range(0, self.count, BLOCK):
            block = self.batch(start, min(start + BLOCK, self.count)).astype(net.input.dtype)
            hashed.update(block.tobytes())
        return hashed.hexdigest()


def of_array(name: str, array: NDArray[np.integer[Any]]) -> Images:
    """The images of an array that a network takes."""
    return Images(name, len(array), lambda start, stop: array[start:stop])


def random_images(net: Net, count: int, seed: int) -> NDArray[np.integer[Any]]:
    """Random images of a network's input, the same for ever."""
    t = net.input
    # RandomState's stream is frozen for good; Generator's may change with numpy.
    return t.check(np.random.RandomState(seed).randint(t.lo, t.hi + 1, (count, *t.shape), np.int64))


def open_images(
    name: str, net: Net, file: Path | None, data_name: str | None, folder: Path | None, count: int | None
) -> Images:
    """Those that the options ask for; `name` is the network's, for messages. BadInput where they suit no network."""
    if (file is None) == (data_name is None):
        raise BadInput("give images by --images X.npy, or a data set by --set NAME")
    if data_name is None and (count is not None or folder is not None):
        raise BadInput("--data and --count are of a data set: name one by --set")
    if count is not None:
        check_range("--count", count, 1, 10**9)
    if file is not None:
        array = net.input.check(load_images(file))
        if not len(array):
            raise BadInput("there are no images to simulate")
        return of_array(file.name, array)
    from ..model.train.data import open_data  # here, because no other way needs its libraries

    assert data_name is not None
    data = open_data(data_name, folder, net.input.shape)
    check_fits(name, net, data, None)
    test = data.test()
    most = min(count or len(test), len(test))
    return Images(
        data_name, most, lambda start, stop: net.input.check(test.batch(np.arange(start, stop))), test.labels[:most]
    )
