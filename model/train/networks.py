"""The networks of arXiv 1802.08530 and 1907.06916 without batch normalisation."""

from __future__ import annotations

import math

from torch import nn

from ..error import BadInput
from ..layers import Padding
from ..networks import weight_scale
from ..tensor import Tensor
from .modules import BinaryConv2d, Downsample, GlobalSum, Input, Residual, ShiftedReLU, Stream


def _same(height: int, width: int, stride: int) -> Padding:
    """Padding of a 3x3 kernel with ceil(size / stride) positions, the first centred on the first pixel."""

    def end(size: int) -> int:
        return (math.ceil(size / stride) - 1) * stride + 2 - size

    return 1, end(height), 1, end(width)


def wide_resnet(
    input: Tensor,
    mean: tuple[int, ...],
    classes: int,
    depth: int,
    channels: int,
    temperature: float,
) -> nn.Sequential:
    """Pre-activation wide residual network: pixels [N, C, H, W] to logits [N, classes, 1, 1].

    1-bit weights, shifted ReLUs, and three stages of (depth - 2) / 6 blocks, of which the second and third
    halve the map and double the channels.

    Parameters
    ----------
    input : type of the pixels
    mean : per channel of the pixels
    depth : 6k + 2 convolutions
    channels : of the first stage; the paper's width times 16
    temperature : the logits are divided by it (arXiv 1907.06916), to the nearest power of two
    """
    if depth < 8 or depth % 6 != 2:
        raise BadInput(f"the depth of a wide residual network is 6k + 2 (8, 14, 20, ...), not {depth}")
    stream = Stream()
    height, width = input.height, input.width
    layers: list[nn.Module] = [
        Input(mean, input.frac),
        BinaryConv2d(input.channels, channels, padding=_same(height, width, 1)),
        stream,
    ]
    for stage in range(3):
        for block in range((depth - 2) // 6):
            halve = stage > 0 and block == 0
            stride = 2 if halve else 1
            padding = _same(height, width, stride)
            skip = nn.Sequential()
            before = channels
            if halve:
                skip.append(Downsample(channels, stream))
                channels, height, width = 2 * channels, math.ceil(height / 2), math.ceil(width / 2)
            body = nn.Sequential(
                ShiftedReLU(),
                BinaryConv2d(before, channels, stride=stride, padding=padding),
                ShiftedReLU(),
                BinaryConv2d(channels, channels, padding=_same(height, width, 1)),
            )
            layers.append(Residual(body, skip, stream))
    # One power of two stands for the weights' scale, the mean over all positions and the temperature.
    scale = weight_scale(channels) + round(math.log2(height * width * temperature))
    layers += [ShiftedReLU(), GlobalSum(), BinaryConv2d(channels, classes, kernel=1, scale=scale)]
    return nn.Sequential(*layers)
