"""Net: what is computed. An input tensor, a body of layers, and what its numbers mean to a person."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import file
from .error import BadInput, commands, printable
from .layers import (
    BinaryConv,
    Chain,
    Layer,
    Pool,
    Requantise,
    Residual,
    Scale,
    Table,
    Windowed,
    argmax,
    padded_size,
    walk,
)
from .limits import (
    LEAST_CHANNELS,
    MAX_CONSTANTS,
    MAX_DEPTH,
    MAX_LAYERS,
    MAX_MOVED,
    MAX_PRODUCTS,
    MAX_TEXT,
    MAX_WEIGHTS,
)
from .tensor import Ints, Tensor, settle

CACHED_VALUES = 2**18
"""Of the largest map of one block of images: one MiB of 32-bit sums."""


@dataclass(frozen=True, eq=False)
class Net:
    """A network of integers; construction validates it (BadInput names the layer and the rule broken).

    A Net that can be made can be saved, and is no larger than ``limits`` allows.

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
        for name, kind in (("input", Tensor), ("body", Chain)):
            if type(getattr(self, name)) is not kind:
                raise BadInput(
                    f"a network's {name} must be a {kind.__name__}, not {type(getattr(self, name)).__name__}"
                )
        output = walk(self.body, self.input, _Sizes().add)
        if not isinstance(self.classes, tuple | list):
            raise BadInput(f"the class names must be a tuple of texts, not {type(self.classes).__name__}")
        settle(self, classes=tuple(self.classes), output=output)
        if self.classes and len(self.classes) != output.channels:
            raise BadInput(f"{len(self.classes)} class names for {output.channels} output channels")
        for name in self.classes:
            check_text(name, "class name")
        check_text(self.preprocessing, "preprocessing")
        file.check(self)

    def __call__(self, images: ArrayLike) -> Ints:
        """The reference: integers [N, height, width, channels] to exact logits [N, H', W', C'].

        BadInput when shape, dtype or interval are not the input's.
        """
        return self.in_blocks(self.body, images)

    def in_blocks(self, body: Callable[[Ints], Ints], images: ArrayLike) -> Ints:
        """What a body gives for images, as many of them at a time as suit the network's own; BadInput as above."""
        images = self.input.check(images)
        starts = range(0, max(1, len(images)), self._block)
        blocks = [images[start : start + self._block].astype(self.input.dtype) for start in starts]
        return np.concatenate([body(block) for block in blocks])

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
        largest = self.output.pixels * self.output.channels
        for layer, t in self._visits:
            height, width = padded_size(t, layer.padding if isinstance(layer, Windowed) else (0, 0, 0, 0))
            largest = max(largest, height * width * t.channels)
        return max(1, CACHED_VALUES // largest)


def check_text(text: object, what: str) -> None:
    """BadInput unless a network can hold the text: of any script, in one line, no longer than `MAX_TEXT`."""
    if not isinstance(text, str):
        raise BadInput(f"the {what} {text!r:.80} is no text")
    shown = printable(text[:40]) + "..." * (len(text) > 40)
    if len(text) > MAX_TEXT:
        raise BadInput(f'the {what} "{shown}" has {len(text):,} characters; shorten it to {MAX_TEXT:,}')
    if found := commands(text):
        raise BadInput(
            f'the {what} "{shown}" holds {found[0].encode("unicode_escape").decode()}; remove that character'
        )


class _Sizes:
    """What the layers of a network take together."""

    def __init__(self) -> None:
        self.layers = self.weights = self.constants = self.products = self.moved = 0

    def add(self, path: str, layer: Layer, t: Tensor) -> None:
        """One more layer, `t` its input; BadInput where it is too much."""
        if path.count(".") >= MAX_DEPTH:
            raise BadInput(f"it lies in more than {MAX_DEPTH} others")
        self.layers += 1
        if not isinstance(layer, Chain | Residual):
            output = layer.infer(t)
            work = output.pixels * max(output.channels, LEAST_CHANNELS)
            self.moved += work
            if isinstance(layer, BinaryConv):
                self.weights += layer.weights.size
                self.products += work * layer.fan_in
            if isinstance(layer, Pool):
                self.moved += work * layer.kernel**2
            if isinstance(layer, BinaryConv | Scale) or (isinstance(layer, Requantise) and layer.offset is not None):
                self.constants += output.channels
            if isinstance(layer, Table):
                self.constants += len(layer.values)
        for count, most, unit in (
            (self.layers, MAX_LAYERS, "layers"),
            (self.weights, MAX_WEIGHTS, "weights"),
            (self.constants, MAX_CONSTANTS, "constants (offsets, factors, tables, outputs of convolutions)"),
            (self.products, MAX_PRODUCTS, "products a frame"),
            (self.moved, MAX_MOVED, "values and operations of pools a frame"),
        ):
            if count > most:
                raise BadInput(f"with it the network has {count:,} {unit}, more than {most:,}")
