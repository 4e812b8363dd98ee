"""Networks with random weights, for benchmarks and tests."""

from __future__ import annotations

import math

import numpy as np

from .error import BadInput
from .layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    Layer,
    PadChannels,
    Padding,
    Requantise,
    Residual,
    SumPool,
    addition,
    shifted_relu,
)
from .limits import MAX_WEIGHTS
from .net import Net
from .tensor import Tensor

CIFAR = Tensor(32, 32, 3, 0, 255, frac=6)
"""The pixels of the papers' data sets."""

STREAM_FRAC = 8
"""Fraction bits of a residual stream (DESIGN 2.7 asks for 4)."""


def weight_scale(fan_in: int) -> int:
    """s such that 2^-s is the power of two nearest, by ratio, to sqrt(2 / fan_in) (DESIGN 2.4)."""
    return round(math.log2(fan_in / 2) / 2)


def wide_blocks(depth: int) -> int:
    """Blocks in each of the three stages of a wide residual network; BadInput unless the depth is 6k + 2."""
    if depth < 8 or depth % 6 != 2:
        raise BadInput(f"the depth of a wide residual network is 6k + 2 (8, 14, 20, ...), not {depth}")
    return (depth - 2) // 6


def wide_resnet(
    depth: int,
    width: int,
    input: Tensor = CIFAR,
    classes: int = 10,
    bits: int = 4,
    seed: int = 0,
) -> Net:
    """A wide residual network of arXiv 1802.08530 without batch normalisation, its weights random.

    Three stages of (depth - 2) / 6 pre-activation blocks with 16, 32 and 64 times `width` channels; the
    second and third stage start with a stride of 2. The pixels lose half their range first, as a mean.

    Parameters
    ----------
    depth : 6k + 2, else BadInput
    width : at least 1, else BadInput
    bits : of an activation, 2 to 8; the codes span [-1, 3)
    seed : the same seed gives the same network
    """
    blocks = wide_blocks(depth)
    if width < 1:
        raise BadInput(f"the width must be at least 1, not {width}")
    weights = blocks * 18 * (16**2 + 32**2 + 64**2) * width**2
    if weights > MAX_WEIGHTS:
        raise BadInput(f"depth {depth} and width {width} give about {weights:,} weights, more than {MAX_WEIGHTS:,}")
    rng = np.random.default_rng(seed)

    def conv(c_in: int, c_out: int, kernel: int, stride: int = 1) -> BinaryConv:
        weights = rng.integers(0, 2, (c_out, kernel, kernel, c_in), dtype=np.bool_)
        around: Padding = (kernel // 2,) * 4
        return BinaryConv(weights, stride, around, weight_scale(kernel**2 * c_in))

    def stream(frac: int) -> Requantise:
        return Requantise(frac - STREAM_FRAC, -(2**15), 2**15 - 1)

    def relu(frac: int = STREAM_FRAC) -> Requantise:
        return shifted_relu(bits, frac, bits - 2)

    def block(t: Tensor, c_out: int, stride: int) -> Residual:
        first, second = conv(t.channels, c_out, 3, stride), conv(c_out, c_out, 3)
        middle, last = bits - 2 + first.scale, bits - 2 + second.scale
        skip: tuple[Layer, ...] = ()
        if stride == 2:
            ends = (0, t.height % 2, 0, t.width % 2)
            skip = (SumPool(2, 2, ends, scale=2), stream(STREAM_FRAC + 2), PadChannels(c_out - t.channels))
        return Residual(Chain((relu(), first, relu(middle), second, stream(last))), Chain(skip))

    middle = (input.lo + input.hi + 1) // 2
    mean = np.full(input.channels, -middle, np.int64)
    stem = conv(input.channels, 16 * width, 3)
    layers: list[Layer] = [addition(mean, input), stem]
    layers.append(stream(input.frac + stem.scale))
    t = Chain(tuple(layers)).infer(input)
    for stage in range(3):
        for index in range(blocks):
            layers.append(block(t, 16 * width << stage, 2 if stage and not index else 1))
            t = layers[-1].infer(t)
    layers += [relu(), GlobalSum(), conv(t.channels, classes, 1)]
    return Net(input, Chain(tuple(layers)))


def cnv(input: Tensor = CIFAR, classes: int = 10, bits: int = 4, seed: int = 0) -> Net:
    """A network of the shape of FINN's CNV (arXiv 1612.07119, section 4.1), its weights random.

    Unpadded 3x3 convolutions in pairs of 64, 128 and 256 channels, 2x2 pools (means here, maxima there)
    after the first two pairs, and three dense layers; 59,461,376 products an image of 32x32x3.

    Parameters
    ----------
    input : 32x32 pixels, else BadInput
    bits : of an activation, 2 to 8; the codes span [-1, 3)
    seed : the same seed gives the same network
    """
    if (input.height, input.width) != (32, 32):
        raise BadInput(f"this network takes images of 32x32 pixels, not {input.height}x{input.width}")
    rng = np.random.default_rng(seed)
    middle = (input.lo + input.hi + 1) // 2
    mean = np.full(input.channels, -middle, np.int64)
    layers: list[Layer] = [addition(mean, input)]
    t = layers[0].infer(input)
    channels = (64, 64, 128, 128, 256, 256, 512, 512, classes)
    for index, c_out in enumerate(channels):
        kernel = 3 if index < 6 else 1
        weights = rng.integers(0, 2, (c_out, kernel, kernel, t.channels), dtype=np.bool_)
        conv = BinaryConv(weights, scale=weight_scale(kernel**2 * t.channels))
        layers.append(conv)
        if index == len(channels) - 1:
            break
        relu = shifted_relu(bits, t.frac + conv.scale, bits - 2)
        layers.append(relu)
        t = relu.infer(conv.infer(t))
        if index in (1, 3):
            pool = SumPool(2, 2, scale=2)
            layers += [pool, shifted_relu(bits, t.frac + 2, bits - 2)]
            t = layers[-1].infer(pool.infer(t))
    return Net(input, Chain(tuple(layers)))
