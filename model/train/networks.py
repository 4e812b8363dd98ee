"""The networks of arXiv 1802.08530 and 1907.06916: wide residual, their ImageNet form, plain."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from ..error import BadInput
from ..layers import Padding
from ..networks import wide_blocks
from ..tensor import Tensor
from .modules import ELU, Conv2d, Downsample, Head, Input, Norm, ReLU, Residual, ShiftedReLU, Sign, Stream
from .recipe import Network


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
        self.height, self.width, self.channels = self.input.height, self.input.width, self.input.channels

    def build(self, mean: tuple[int, ...], classes: int) -> nn.Sequential:
        form = self.form
        layers: list[nn.Module] = [Input(mean, self.input.frac)]
        match form.form:
            case "wide":
                blocks = wide_blocks(form.depth)
                layers += [self.conv(form.channels, first=True), self.stream]
                layers += self.stages(3, blocks)
            case "resnet18":
                if form.depth != 18:
                    raise BadInput(f"the depth of resnet18 is 18, not {form.depth}")
                layers += [self.conv(form.channels, stride=2, kernel=7, first=True), self.stream]
                layers += [self.pool()]
                layers += self.stages(4, 2)
            case "plain":
                if form.depth < 4 or form.depth % 3 != 1:
                    raise BadInput(f"the depth of a plain network is 3k + 1 (4, 7, 10, ...), not {form.depth}")
                layers += self.plain((form.depth - 1) // 3)
        return nn.Sequential(*layers, *self.head(classes))

    def conv(self, channels: int, stride: int = 1, kernel: int = 3, divide: int = 0, first: bool = False) -> Conv2d:
        """A convolution of activations, or the first one, of pixels."""
        signs = self.form.activation == "sign" and not first
        conv = Conv2d(
            self.channels,
            channels,
            kernel,
            stride,
            _same(self.height, self.width, stride, kernel),
            bits=self.form.weights,
            exact=self.form.scale == "exact",
            divide=divide,
            around=-1 if signs else 0,
        )
        self.channels = channels
        self.height, self.width = math.ceil(self.height / stride), math.ceil(self.width / stride)
        return conv

    def pool(self) -> Downsample:
        """Halves the map before the first block; a mean in place of the papers' maximum, which has no integer form."""
        self.height, self.width = math.ceil(self.height / 2), math.ceil(self.width / 2)
        return Downsample(0, self.stream)

    def activation(self) -> list[nn.Module]:
        """The layers between a sum and the next convolution."""
        if self.form.activation == "sign":
            assert self.form.norm != "none"  # Recipe's rule
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
        layers: list[nn.Module] = [self.conv(self.form.channels, first=True)]
        for index in range(1, 3 * convs):
            halve = index % convs == 0
            layers += [*self.activation(), self.conv(self.channels * (1 + halve), stride=1 + halve)]
        return layers

    def head(self, classes: int) -> list[nn.Module]:
        form = self.form
        positions = self.height * self.width
        divide = round(math.log2(positions * form.temperature))
        layers = self.activation()
        norm = None if form.final_norm == "none" else Norm(classes, form.final_norm)
        return [*layers, Head(self.conv(classes, kernel=1), norm, positions, divide)]
