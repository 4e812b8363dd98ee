"""Wide residual networks with their batch normalisations (arXiv 1802.08530), in floats, as their files give them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..error import BadInput
from ..layers import BinaryConv, Padding, SumPool
from ..networks import CIFAR, weight_scale
from ..tensor import Tensor

EXTREME = 2**16
"""Beyond what the numbers of a norm are, and below its inverse."""


@dataclass(frozen=True, eq=False)
class Norm:
    """A trained batch normalisation: (x - mean) / deviation * gamma + beta, all float64 [C].

    On the images it was trained on, what it takes has this mean and deviation, what it gives the mean beta and the
    deviation gamma.

    Parameters
    ----------
    name : in the file
    mean, deviation, gamma, beta : BadInput where one is beyond `EXTREME`, a deviation or all gammas below its inverse
    """

    name: str
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    gamma: NDArray[np.float64]
    beta: NDArray[np.float64]

    def __post_init__(self) -> None:
        largest = max(float(np.abs(each).max()) for each in (self.mean, self.deviation, self.gamma, self.beta))
        least = min(float(self.deviation.min()), float(np.abs(self.gamma).max()))
        if largest > EXTREME or least < 1 / EXTREME:
            raise BadInput(
                f"{self.name} has numbers beyond {EXTREME:,}, or deviations or gammas below its inverse, "
                "which no trained norm has"
            )

    def __call__(self, x: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """What it makes of [..., C]."""
        y: NDArray[np.float64] = (x - self.mean) / self.deviation * self.gamma + self.beta
        return y


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution whose weights stand for +-sqrt(2 / fan-in); `name` in the file."""

    name: str
    layer: BinaryConv

    @property
    def unit(self) -> float:
        """What a weight of 1 stands for."""
        return float(np.sqrt(2 / self.layer.fan_in))


def conv(name: str, weights: NDArray[np.bool_], stride: int, padding: Padding) -> Conv:
    """A convolution by that name; BadInput, with the name, where it can be none."""
    try:
        return Conv(name, BinaryConv(weights, stride, padding, weight_scale(weights[0].size)))
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None


@dataclass(frozen=True, eq=False)
class Half:
    """Norm, ReLU, convolution: half of a residual block's branch."""

    norm: Norm
    conv: Conv


@dataclass(frozen=True, eq=False)
class Block:
    """A residual block. Where the first half has a stride, its skip is the mean of valid pixels, and zero channels."""

    halves: tuple[Half, Half]
    pool: SumPool | None


@dataclass(frozen=True, eq=False)
class WideResNet:
    """Norm, perhaps ReLU, convolution; blocks; norm, ReLU, 1x1 convolution, norm; the mean of all positions.

    Parameters
    ----------
    layout : of the file
    input : the pixels
    stem : its ReLU only where `relu`
    blocks : one stage after the other; those with a pool begin one
    logits : the norm behind the head
    """

    layout: str
    input: Tensor
    relu: bool
    stem: Half
    blocks: tuple[Block, ...]
    head: Half
    logits: Norm

    @property
    def stages(self) -> list[list[Block]]:
        """The blocks, stage by stage."""
        stages: list[list[Block]] = [[]]
        for block in self.blocks:
            if block.pool:
                stages.append([])
            stages[-1].append(block)
        return stages


def wide_resnet(
    layout: str, relu: bool, norms: Sequence[Norm], convs: Sequence[Conv], pool: Callable[[int], SumPool]
) -> WideResNet:
    """The network of these norms and convolutions, in the order of the data; BadInput names one that does not belong.

    Parameters
    ----------
    pool : of the skip of a block that takes maps of that many rows
    """
    if len(convs) < 4 or len(convs) % 2 or len(norms) != len(convs) + 1:
        raise BadInput(
            f"it holds {len(convs)} convolutions and {len(norms)} norms where a wide residual network has 2 "
            "convolutions a block and 2 around them, a norm before each and one behind the last"
        )
    stem, *rest, head = (Half(norm, conv) for norm, conv in zip(norms[:-1], convs, strict=True))
    t = _through(stem, CIFAR)
    blocks: list[Block] = []
    for first, second in zip(rest[::2], rest[1::2], strict=True):
        if first.conv.layer.stride > 1 and not blocks:
            raise BadInput(f"{first.conv.name} has a stride in the first block, where none has one")
        narrows = pool(t.height) if first.conv.layer.stride > 1 else None
        body = _through(second, _through(first, t))
        skip = replace(narrows.infer(t), channels=2 * t.channels) if narrows else t
        if body.shape != skip.shape:
            raise BadInput(f"{second.conv.name} gives {_size(body)} where its block's skip gives {_size(skip)}")
        if blocks and not narrows and second.conv.layer.fan_in != blocks[-1].halves[1].conv.layer.fan_in:
            raise BadInput(f"{second.conv.name} has a kernel of another size than the block before it")
        blocks.append(Block((first, second), narrows))
        t = body
    if head.conv.layer.kernel != (1, 1):
        kernel = "x".join(map(str, head.conv.layer.kernel))
        raise BadInput(f"{head.conv.name} has a kernel of {kernel} where the last has 1x1")
    _check_channels(norms[-1], _through(head, t))
    return WideResNet(layout, CIFAR, relu, stem, tuple(blocks), head, norms[-1])


def _through(half: Half, t: Tensor) -> Tensor:
    """The size of what comes out of a norm and a convolution; BadInput where they do not take `t`."""
    _check_channels(half.norm, t)
    try:
        return replace(half.conv.layer.infer(t), lo=t.lo, hi=t.hi)
    except BadInput as error:
        raise BadInput(f"{half.conv.name}: {error}") from None


def _check_channels(norm: Norm, t: Tensor) -> None:
    if len(norm.mean) != t.channels:
        raise BadInput(f"{norm.name} has {len(norm.mean)} channels where its input has {t.channels}")


def _size(t: Tensor) -> str:
    return "x".join(map(str, t.shape))
