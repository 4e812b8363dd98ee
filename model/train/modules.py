"""Layers that train in floating point and, in the same arithmetic, emulate the integers exactly.

Activations are float [N, C, H, W]. A module's real value x stands for the integer q = x * 2^frac that the
exported layer computes; all factors are powers of two, so float32 holds x exactly while |q| < 2^24
(DESIGN 2.12). Training needs gradients through sign and rounding: the straight-through estimator, the
identity, stands in for both.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ..layers import Padding
from ..networks import weight_scale


class _Sign(torch.autograd.Function):
    """+1 where x >= 0, else -1; the gradient passes unchanged, without clipping (arXiv 1802.08530)."""

    # A Function of its own: the usual x + (sign(x) - x).detach() is not exactly +-1 in float32.

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        return grads[0]


class _RoundHalfUp(torch.autograd.Function):
    """floor(x * 2^frac + 1/2) * 2^-frac, which is Requantise's rounding; the gradient passes unchanged."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, frac: int) -> torch.Tensor:
        return (x * 2.0**frac + 0.5).floor() * 2.0**-frac

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0], None


def sign(x: torch.Tensor) -> torch.Tensor:
    """sign(x) with sign(0) = +1 (DESIGN 2.1), the identity to the gradient."""
    y: torch.Tensor = _Sign.apply(x)  # type: ignore[no-untyped-call]
    return y


def round_half_up(x: torch.Tensor, frac: int) -> torch.Tensor:
    """x to `frac` fraction bits, ties upwards (DESIGN 2.5), the identity to the gradient."""
    y: torch.Tensor = _RoundHalfUp.apply(x, frac)  # type: ignore[no-untyped-call]
    return y


class Input(nn.Module):
    """Pixels to real values: (pixel - mean) * 2^-frac (DESIGN 2.11).

    Parameters
    ----------
    mean : per channel, integers
    frac : fraction bits of the pixels
    """

    mean: torch.Tensor

    def __init__(self, mean: tuple[int, ...], frac: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(1, -1, 1, 1))
        self.frac = frac

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) * 2.0**-self.frac


class BinaryConv2d(nn.Module):
    """Convolution by 2^-scale * sign(weight) (arXiv 1802.08530, equation 1); the latent weight is trained.

    Parameters
    ----------
    padding : (top, bottom, left, right), filled with real 0
    scale : weight_scale(fan-in) unless given
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int = 3,
        stride: int = 1,
        padding: Padding = (0, 0, 0, 0),
        scale: int | None = None,
    ) -> None:
        super().__init__()
        fan_in = c_in * kernel**2
        self.weight = nn.Parameter(torch.randn(c_out, c_in, kernel, kernel) * (2 / fan_in) ** 0.5)
        self.stride = stride
        self.padding = padding
        self.scale = weight_scale(fan_in) if scale is None else scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        top, bottom, left, right = self.padding
        if top == bottom and left == right:
            pad = (top, left)
        else:
            x, pad = functional.pad(x, (left, right, top, bottom)), (0, 0)
        return functional.conv2d(x, sign(self.weight) * 2.0**-self.scale, stride=self.stride, padding=pad)


class Codes(nn.Module):
    """Real values, or `bits`-bit codes with `frac` fraction bits once `quantised`."""

    def __init__(self, bits: int, frac: int, quantised: bool) -> None:
        super().__init__()
        self.bits = bits
        self.frac = frac
        self.quantised = quantised

    @property
    def lo(self) -> int:
        """The lowest code."""
        raise NotImplementedError

    @property
    def hi(self) -> int:
        """The highest code: all 2^bits are used."""
        return self.lo + (1 << self.bits) - 1

    def clip(self, x: torch.Tensor) -> torch.Tensor:
        """x within the real values of the codes."""
        return x.clamp(self.lo * 2.0**-self.frac, self.hi * 2.0**-self.frac)


class ShiftedReLU(Codes):
    """max(-1, x), the activation that replaces batch normalisation (arXiv 1907.06916)."""

    def __init__(self, bits: int = 8, frac: int = 0, quantised: bool = False) -> None:
        super().__init__(bits, frac, quantised)

    @property
    def lo(self) -> int:
        return -(1 << self.frac)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.clip(round_half_up(x, self.frac)) if self.quantised else x.clamp(min=-1)


class Stream(Codes):
    """The format of a residual stream: signed codes, the same in every block of a network (DESIGN 2.7)."""

    def __init__(self, bits: int = 16, frac: int = 8, quantised: bool = False) -> None:
        super().__init__(bits, frac, quantised)

    @property
    def lo(self) -> int:
        return -(1 << self.bits - 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The one rounding of a branch."""
        return self.clip(round_half_up(x, self.frac)) if self.quantised else x

    def add(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """The saturating sum of two branches."""
        return self.clip(a + b) if self.quantised else a + b


class Downsample(nn.Module):
    """A skip at a downsampling: the mean of 2x2 pixels, then `channels` channels of 0 (DESIGN 2.7).

    An odd map is padded with a row or column of real 0 at its end, and the divisor stays 4.
    """

    def __init__(self, channels: int, stream: Stream) -> None:
        super().__init__()
        self.channels = channels
        self.stream = stream

    @staticmethod
    def padding(height: int, width: int) -> Padding:
        """(top, bottom, left, right) that makes the map even."""
        return 0, height % 2, 0, width % 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        top, bottom, left, right = self.padding(x.shape[2], x.shape[3])
        mean = functional.avg_pool2d(functional.pad(x, (left, right, top, bottom)), 2)
        return functional.pad(self.stream(mean), (0, 0, 0, 0, 0, self.channels))


class Residual(nn.Module):
    """stream(body(x)) + skip(x), saturating."""

    def __init__(self, body: nn.Sequential, skip: nn.Sequential, stream: Stream) -> None:
        super().__init__()
        self.body = body
        self.skip = skip
        self.stream = stream

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stream.add(self.stream(self.body(x)), self.skip(x))


class GlobalSum(nn.Module):
    """Sum over all positions; its mean's divisor belongs to the scale of the next layer (DESIGN 2.10)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum((2, 3), keepdim=True)
