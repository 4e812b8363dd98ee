"""Net: what is computed. An input tensor, a body of layers, and what its numbers mean to a person."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import file
from .error import BadInput
from .layers import BinaryConv, Chain, Layer, argmax, walk
from .tensor import Ints, Tensor

CACHED_VALUES = 2**18
"""Of the largest map of one block of images: one MiB of 32-bit sums."""


@dataclass(frozen=True, eq=False)
class Net:
    """A network of integers; construction validates it (BadInput names the layer and the rule broken).

    Parameters
    ----------
    input : type of the pixels as the camera gives them
    body : the layers; subtracting a mean is the first of them (a Requantise with offset)
    classes : names of the output channels, or () when they have none
    preprocessing : how an image becomes the input's integers, in words
    """

    input: Tensor
    body: Chain
    classes: tuple[str, ...] = ()
    preprocessing: str = ""
    output: Tensor = field(init=False)

    def __post_init__(self) -> None:
        output = walk(self.body, self.input, lambda path, layer, t: None)
        if self.classes and len(self.classes) != output.channels:
            raise BadInput(f"{len(self.classes)} class names for {output.channels} output channels")
        object.__setattr__(self, "output", output)

    def __call__(self, images: ArrayLike) -> Ints:
        """The reference: integers [N, height, width, channels] to exact logits [N, H', W', C'].

        BadInput when shape, dtype or interval are not the input's.
        """
        images = self.input.check(images)
        starts = range(0, max(1, len(images)), self._block)
        blocks = [images[start : start + self._block].astype(self.input.dtype) for start in starts]
        return np.concatenate([self.body(block) for block in blocks])

    def classify(self, images: ArrayLike) -> NDArray[np.int64]:
        """The class of each image, int64 [N]; ties go to the lowest index."""
        return argmax(self(images))

    @property
    def weights(self) -> int:
        """One-bit weights in the whole network."""
        return sum(layer.weights.size for layer, _ in self._visits if isinstance(layer, BinaryConv))

    def digest(self) -> str:
        """sha256 in hex of everything above; equal networks have equal digests."""
        return file.digest(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network's file whole or not at all; BadInput when that fails."""
        file.write(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The network that `save` wrote; BadInput, in one line, for any other file."""
        return file.read(cls, path)

    @cached_property
    def _visits(self) -> list[tuple[Layer, Tensor]]:
        """Every layer with the type of its input."""
        visits: list[tuple[Layer, Tensor]] = []
        walk(self.body, self.input, lambda path, layer, t: visits.append((layer, t)))
        return visits

    @cached_property
    def _block(self) -> int:
        """Images computed at once: as many as keep the largest map in a processor's cache."""
        return max(1, CACHED_VALUES // max(t.pixels * t.channels for _, t in self._visits))
