"""The networks of arXiv 1802.08530 and 1907.06916: wide residual, their ImageNet form, plain; FINN's CNV, AlexNet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import nn

from ..error import BadInput
from ..layers import Padding
from ..networks import wide_blocks
from ..tensor import Tensor
from .modules import ELU, Conv2d, Downsample, Head, Input, MaxPool, Norm, ReLU, Residual, ShiftedReLU, Sign, Stream
from .recipe import Network

DEPTHS = {"resnet18": 18, "cnv": 9, "alexnet": 8}
"""Of the forms that have but one."""


def build(form: Network, input: Tensor, mean: tuple[int, ...], classes: int) -> nn.Sequential:
    """The network of a recipe: pixels [N, C, H, W] to logits [N, classes, 1, 1].

    Parameters
    ----------
    input : type of the pixels
    mean : per channel of the pixels

    BadInput for a depth without whole blocks.
    """
    return _Builder(form, input).build(mean, classes)


def _same(height: int, width: int, stride: int, kernel: int = 3) -> Padding:
    """Padding with ceil(size / stride) positions, the first centred on the first pixel."""
    before = kernel // 2

    def end(size: int) -> int:
        return (math.ceil(size / stride) - 1) * stride + kernel - before - size

    return before, max(0, end(height)), before, max(0, end(width))


@dataclass
class _Builder:
    """Keeps the shape of the map while layers are added."""

    form: Network
    input: Tensor

    def __post_init__(self) -> None:
        self.stream = Stream()
        self.around: Literal[0, -1] = 0
        """What a convolution pads with here: -1 behind a Sign."""
        self.height, self.width, self.channels = self.input.height, self.input.width, self.input.channels

    def build(self, mean: tuple[int, ...], classes: int) -> nn.Sequential:
        form = self.form
        if form.depth != DEPTHS.get(form.form, form.depth):
            raise BadInput(f"the depth of {form.form} is {DEPTHS[form.form]}, not {form.depth}")
        layers: list[nn.Module] = [Input(mean, self.input.frac)]
        match form.form:
            case "wide":
                blocks = wide_blocks(form.depth)
                layers += [self.conv(form.channels), self.stream]
                layers += self.stages(3, blocks)
            case "resnet18":
                layers += [self.conv(form.channels, stride=2, kernel=7), self.stream, self.pool()]
                layers += self.stages(4, 2)
            case "plain":
                if form.depth < 4 or form.depth % 3 != 1:
                    raise BadInput(f"the depth of a plain network is 3k + 1 (4, 7, 10, ...), not {form.depth}")
                layers += self.plain((form.depth - 1) // 3)
            case "cnv":
                layers += self.cnv()
            case "alexnet":
                layers += self.alexnet()
        return nn.Sequential(*layers, *self.head(classes))

    def conv(
        self,
        channels: int,
        stride: int = 1,
        kernel: int = 3,
        divide: int = 0,
        padded: bool = True,
    ) -> Conv2d:
        conv = Conv2d(
            self.channels,
            channels,
            kernel,
            stride,
            _same(self.height, self.width, stride, kernel) if padded else (0, 0, 0, 0),
            bits=self.form.weights,
            exact=self.form.scale == "exact",
            divide=divide,
            around=self.around,
        )
        self.channels = channels
        if padded:
            self.height, self.width = math.ceil(self.height / stride), math.ceil(self.width / stride)
        else:
            self.shrink(kernel, stride)
        return conv

    def pool(self) -> MaxPool:
        """Halves the map before the first block: the maximum of 3x3 pixels."""
        padding = _same(self.height, self.width, 2)
        self.height, self.width = math.ceil(self.height / 2), math.ceil(self.width / 2)
        return MaxPool(3, 2, padding)

    def activation(self) -> list[nn.Module]:
        """The layers between a sum and the next convolution."""
        if self.form.activation == "sign":
            assert self.form.norm != "none"  # Recipe's rule
            self.around = -1
            return [Sign(Norm(self.channels, self.form.norm))]
        kinds: dict[str, type[nn.Module]] = {"shifted-relu": ShiftedReLU, "relu": ReLU, "elu": ELU}
        norm = [] if self.form.norm == "none" else [Norm(self.channels, self.form.norm)]
        return [*norm, kinds[self.form.activation]()]

    def stages(self, stages: int, blocks: int) -> list[nn.Module]:
        """Pre-activation residual blocks; a stage after the first halves the map and doubles the channels."""
        return [self.block(halve=stage > 0 and block == 0) for stage in range(stages) for block in range(blocks)]

    def block(self, halve: bool) -> Residual:
        skip = nn.Sequential()
        before = self.channels
        if halve:
            skip.append(Downsample(before, self.stream))
        channels = 2 * before if halve else before
        first = [*self.activation(), self.conv(channels, stride=2 if halve else 1)]
        second = [*self.activation(), self.conv(channels, divide=self.form.branch_shift)]
        return Residual(nn.Sequential(*first, *second), skip, self.stream)

    def plain(self, convs: int) -> list[nn.Module]:
        """Three stages of convolutions; the second and third halve the map and double the channels."""
        layers: list[nn.Module] = [self.conv(self.form.channels)]
        for index in range(1, 3 * convs):
            halve = index % convs == 0
            layers += [*self.activation(), self.conv(self.channels * (1 + halve), stride=1 + halve)]
        return layers

    def cnv(self) -> list[nn.Module]:
        """Pairs of unpadded 3x3 convolutions of 1, 2 and 4 times the channels, a 2x2 maximum behind the first two
        pairs, and two dense layers of 8 times (arXiv 1612.07119, section 4.1)."""
        layers: list[nn.Module] = []
        for pair, wider in enumerate((1, 2, 4)):
            for index in range(2):
                layers += self.activation() if layers else []
                layers.append(self.valid(self.form.channels * wider, 3))
                if index == 1 and pair < 2:
                    layers.append(self.maximum(2, 2))
        for _ in range(2):
            layers += [*self.activation(), self.dense(8 * self.form.channels)]
        return layers

    def alexnet(self) -> list[nn.Module]:
        """AlexNet's five convolutions, of which the first, second and fifth are followed by a 3x3 maximum of stride 2,
        and two dense layers: with 96 channels 96, 256, 384, 384, 256, 4096, 4096 (BitFlow-Net, BinaryNets)."""
        third = self.form.channels // 3
        if self.form.channels % 3:
            raise BadInput(f"the channels of alexnet are a multiple of 3 (96, as published), not {self.form.channels}")
        layers: list[nn.Module] = [self.conv(3 * third, 4, 11), self.maximum(3, 2)]
        layers += [*self.activation(), self.conv(8 * third, kernel=5), self.maximum(3, 2)]
        layers += [*self.activation(), self.conv(12 * third), *self.activation(), self.conv(12 * third)]
        layers += [*self.activation(), self.conv(8 * third), self.maximum(3, 2)]
        for _ in range(2):
            layers += [*self.activation(), self.dense(128 * third)]
        return layers

    def valid(self, channels: int, kernel: int) -> Conv2d:
        """A convolution without padding."""
        return self.conv(channels, kernel=kernel, padded=False)

    def dense(self, channels: int) -> Conv2d:
        """Of all values of the map: a kernel as large as it is."""
        if self.height != self.width:
            raise BadInput(f"a dense layer here takes square maps, and the images leave {self.height}x{self.width}")
        return self.valid(channels, self.height)

    def maximum(self, kernel: int, stride: int) -> MaxPool:
        self.shrink(kernel, stride)
        return MaxPool(kernel, stride)

    def shrink(self, kernel: int, stride: int) -> None:
        """The map becomes that of the windows that fit in."""
        if min(self.height, self.width) < kernel:
            raise BadInput(
                f"the images are too small for {self.form.form}: a {self.height}x{self.width} map is left "
                f"for a {kernel}x{kernel} window"
            )
        self.height, self.width = (self.height - kernel) // stride + 1, (self.width - kernel) // stride + 1

    def head(self, classes: int) -> list[nn.Module]:
        form = self.form
        positions = self.height * self.width
        divide = round(math.log2(positions * form.temperature))
        layers = self.activation()
        norm = None if form.final_norm == "none" else Norm(classes, form.final_norm)
        return [*layers, Head(self.conv(classes, kernel=1), norm, positions, divide)]
