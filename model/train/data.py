"""Data sets: what a network is trained on, and the images held out to judge it.

Imports neither torch nor scikit-learn until a data set is asked for, so that a demonstration can show
the held-out images where nothing is installed to train.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..error import BadInput
from ..tensor import Tensor

DIGITS_MEAN = 5
"""The mean pixel of the digits, rounded: 4.88."""

DIGITS_FRAC = 3
"""Fraction bits of a digit's pixel: 2^3 is near the standard deviation, 6.02 (DESIGN 2.11)."""


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images: uint8 [N, height, width, channels] and int64 [N], the class of each."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> Images:
        """The images at these indices."""
        return Images(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class Data:
    """A data set in two parts; nothing is ever fitted to the held-out one.

    Parameters
    ----------
    train, held_out : the two parts
    input : type of the pixels, its fraction bits near log2 of their standard deviation
    mean : per channel, subtracted by the network's first layer
    classes : names, by label
    preprocessing : how an image becomes these integers, in words
    """

    train: Images
    held_out: Images
    input: Tensor
    mean: tuple[int, ...]
    classes: tuple[str, ...]
    preprocessing: str


def hold_out(labels: NDArray[np.int64], parts: int, seed: int) -> NDArray[np.bool_]:
    """Mark one image in `parts` of every class, drawn by `seed`: bool [N], the same wherever it runs."""
    # RandomState's stream is frozen for good; Generator's may change with numpy.
    random = np.random.RandomState(seed)
    held_out = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        held_out[members[: round(len(members) / parts)]] = True
    return held_out


def digits() -> Data:
    """scikit-learn's digits: 1797 handwritten digits, 8x8, ink 0 to 16; a fixed fifth is held out.

    BadInput when scikit-learn is missing; the images come with it, nothing is downloaded.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise BadInput(
            "the digits come with scikit-learn, which is not installed: pip install 'bitfold[train]'"
        ) from None
    pixels, labels = load_digits(return_X_y=True)
    everything = Images(pixels.astype(np.uint8).reshape(-1, 8, 8, 1), labels.astype(np.int64))
    held_out = hold_out(everything.labels, parts=5, seed=0)
    return Data(
        train=everything.take(np.flatnonzero(~held_out)),
        held_out=everything.take(np.flatnonzero(held_out)),
        input=Tensor(8, 8, 1, lo=0, hi=16, frac=DIGITS_FRAC),
        mean=(DIGITS_MEAN,),
        classes=tuple("0123456789"),
        preprocessing="8x8 pixels, 0 (paper) to 16 (ink), as scikit-learn's load_digits gives them",
    )


DATA: dict[str, Callable[[], Data]] = {"digits": digits}
"""Every data set by the name a recipe gives it."""
