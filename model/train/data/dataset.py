"""What training knows of a data set before an image is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ...net import check_text
from ...tensor import Tensor
from .image_files import ImageFiles
from .images import Images


@dataclass(frozen=True)
class DataSet:
    """A data set in two parts; nothing is ever fitted to the test images.

    BadInput where a network could not hold its texts.

    Parameters
    ----------
    name : what `open_data` calls it
    input : type of the pixels, its fraction bits near log2 of their standard deviation (DESIGN 2.11)
    mean : of the training images, per channel, rounded; subtracted by the network's first layer
    classes : names, by label
    preprocessing : how an image becomes these integers, in words
    train, test : read the one part or the other when called; BadInput where its files are missing or wrong
    """

    name: str
    input: Tensor
    mean: tuple[int, ...]
    classes: tuple[str, ...]
    preprocessing: str
    train: Callable[[], Images | ImageFiles] = field(repr=False, compare=False)
    test: Callable[[], Images | ImageFiles] = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in self.classes:
            check_text(name, "class name")
        check_text(self.preprocessing, "preprocessing")
