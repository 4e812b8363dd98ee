"""Layers that train in floating point and emulate the integers exactly in eval mode.

Activations are float [N, C, H, W]. A module's real value x stands for the integer q = x * 2^frac that the
exported layer computes. Without an affine all factors are powers of two, so that float32 holds x exactly while
|q| < 2^24 (DESIGN 2.12); float64 always does. Training needs gradients through sign and rounding: the
straight-through estimator, the identity, stands in for both.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import torch
from torch import nn
from torch.nn import functional

from ..layers import Padding
from ..networks import weight_scale
from ..threshold import Threshold

FACTOR_BITS = 10
"""Of an exported affine's largest factor, sign apart."""


class _Binarise(torch.autograd.Function):
    """+scale where x >= 0, else -scale; the gradient passes unchanged (arXiv 1802.08530)."""

    # A Function of its own: the usual x + (sign(x) - x).detach() is not exactly +-1 in float32.

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: float) -> torch.Tensor:
        return torch.where(x >= 0, scale, -scale)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0], None


def binarise(x: torch.Tensor, scale: float) -> torch.Tensor:
    """scale * sign(x) with sign(0) = +1 (DESIGN 2.1).

    To the gradient it is the identity: neither clipped nor multiplied by the scale, as in the papers' code.
    """
    y: torch.Tensor = _Binarise.apply(x, scale)  # type: ignore[no-untyped-call]
    return y


class _Encode(torch.autograd.Function):
    """clip(floor(x * 2^frac + 1/2), lo, hi) * 2^-frac; the gradient passes where nothing was clipped."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, frac: int, lo: int, hi: int) -> torch.Tensor:
        ctx.save_for_backward(x)
        # Just below the half that still rounds up to lo, because hardtanh's gradient excludes its ends.
        low = (lo - 0.5) * 2.0**-frac
        ctx.ends = low - max(1.0, abs(low)) * 2.0**-20, (hi + 0.5) * 2.0**-frac
        # bfloat16 has no room for the half.
        wide = x.to(torch.promote_types(x.dtype, torch.float32), copy=True)
        return wide.mul_(2.0**frac).add_(0.5).floor_().clamp_(lo, hi).mul_(2.0**-frac).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        # One pass, which a mask would take three for.
        return torch.ops.aten.hardtanh_backward(grads[0], ctx.saved_tensors[0], *ctx.ends), None, None, None


def encode(x: torch.Tensor, frac: int, lo: int, hi: int) -> torch.Tensor:
    """The real values of Requantise's codes: round half up to `frac` fraction bits, clip (DESIGN 2.5).

    The gradient is the identity where the rounded value is no clipped one, else 0.
    """
    y: torch.Tensor = _Encode.apply(x, frac, lo, hi)  # type: ignore[no-untyped-call]
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


class Conv2d(nn.Module):
    """Convolution without bias; the latent weight is trained.

    1-bit weights stand for sign(weight) times a constant (arXiv 1802.08530, equation 1), by default the power of
    two nearest to sqrt(2 / fan-in) (DESIGN 2.4).

    Parameters
    ----------
    padding : (top, bottom, left, right), filled with `around`
    bits : of a weight: 1 (its sign) or 32 (as it is)
    exact : the constant is sqrt(2 / fan-in), to FACTOR_BITS bits, no power of two
    divide : the output is divided by 2^divide, whatever the weights are
    around : what a padded pixel is: real 0, or behind a Sign, which has no 0, -1
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int = 3,
        stride: int = 1,
        padding: Padding = (0, 0, 0, 0),
        bits: Literal[1, 32] = 1,
        exact: bool = False,
        divide: int = 0,
        around: Literal[0, -1] = 0,
    ) -> None:
        super().__init__()
        fan_in = c_in * kernel**2
        best = (2 / fan_in) ** 0.5
        self.weight = nn.Parameter(torch.randn(c_out, c_in, kernel, kernel) * best)
        self.stride = stride
        self.padding = padding
        self.bits = bits
        self.divide = divide
        self.around = around
        self.fine = FACTOR_BITS if exact else 0
        """Fraction bits of `factor`."""
        self.shift = weight_scale(fan_in)
        """The constant is factor * 2^-(shift + fine)."""
        self.factor = round(best * 2.0 ** (self.shift + self.fine)) if exact else 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.bits == 1:
            weight = binarise(self.weight, self.factor * 2.0 ** -(self.shift + self.fine))
        else:
            weight = self.weight
        if self.divide:
            weight = weight * 2.0**-self.divide
        if weight.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
            weight = weight.to(x.dtype)
        top, bottom, left, right = self.padding
        if top == bottom and left == right and not (self.around and any(self.padding)):
            pad = (top, left)
        else:
            x, pad = functional.pad(x, (left, right, top, bottom), value=float(self.around)), (0, 0)
        return functional.conv2d(x, weight, stride=self.stride, padding=pad)


NormKind: TypeAlias = Literal["batch", "batch-plain", "mean"]
"""Batch normalisation with and without learned scale and shift; only the mean is subtracted."""


class Norm(nn.Module):
    """Batch normalisation (arXiv 1907.06916, section IV): per channel, x * factor + offset.

    Once `quantised`, eval mode computes with the integers that are exported: factors of FACTOR_BITS bits and
    offsets on their grid.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    EPSILON = 1e-5

    def __init__(self, channels: int, kind: NormKind) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        learned = kind == "batch"
        self.gamma = nn.Parameter(torch.ones(channels)) if learned else None
        self.beta = nn.Parameter(torch.zeros(channels)) if learned else None
        self.momentum: float | None = 0.1
        self.batches = 0
        self.quantised = False
        self.factor_bits = FACTOR_BITS

    def get_extra_state(self) -> dict[str, int]:
        """Whether it rounds, which a checkpoint must hold."""
        return {"quantised": int(self.quantised)}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """As a checkpoint says."""
        self.quantised = bool(state["quantised"])

    def reset(self) -> None:
        """Forget the statistics: those of the batches to come are averaged, each counting as much."""
        self.momentum, self.batches = None, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return self.scale(x)
        x = x.float()
        self.batches += 1
        momentum = 1 / self.batches if self.momentum is None else self.momentum
        if self.kind == "mean":
            mean = x.mean((0, 2, 3))
            with torch.no_grad():
                self.mean.lerp_(mean, momentum)
            return x - mean.reshape(1, -1, 1, 1)
        return functional.batch_norm(
            x, self.mean, self.variance, self.gamma, self.beta, training=True, momentum=momentum, eps=self.EPSILON
        )

    def scale(self, x: torch.Tensor, share: float = 1.0) -> torch.Tensor:
        """x * factor + offset * share."""
        x = x if x.dtype == torch.float64 else x.float()
        factor, offset = (a.to(x.dtype).reshape(1, -1, 1, 1) for a in self.affine(share))
        return x * factor + offset

    def affine(self, share: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
        """(factor, offset * share), float64 [C], of eval mode."""
        factor = torch.ones_like(self.mean, dtype=torch.float64)
        if self.kind != "mean":
            factor /= (self.variance.double() + self.EPSILON).sqrt()
        if self.gamma is not None and self.beta is not None:
            factor *= self.gamma.detach().double()
            offset = self.beta.detach().double() - self.mean.double() * factor
        else:
            offset = -self.mean.double() * factor
        offset = offset * share
        if self.quantised:
            grid = 2.0 ** self.frac(factor)
            factor, offset = (factor * grid).round() / grid, (offset * grid).round() / grid
        return factor, offset

    def frac(self, factor: torch.Tensor) -> int:
        """Fraction bits of factors [C], of which the largest gets `factor_bits` bits."""
        largest = float(factor.abs().max())
        return self.factor_bits - math.frexp(largest)[1] if largest else 0


class Codes(nn.Module):
    """Real values, or `bits`-bit codes with `frac` fraction bits once `quantised`."""

    def __init__(self, bits: int = 8, frac: int = 0, quantised: bool = False) -> None:
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

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """x as codes."""
        return encode(x, self.frac, self.lo, self.hi)

    def get_extra_state(self) -> dict[str, int]:
        """The format, which a checkpoint must hold."""
        return {"bits": self.bits, "frac": self.frac, "quantised": int(self.quantised)}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """The format of a checkpoint."""
        self.bits, self.frac, self.quantised = state["bits"], state["frac"], bool(state["quantised"])


class ShiftedReLU(Codes):
    """max(-1, x), the activation that replaces batch normalisation (arXiv 1907.06916)."""

    @property
    def lo(self) -> int:
        return -(1 << self.frac)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encode(x) if self.quantised else functional.threshold(x, -1.0, -1.0)


class ReLU(Codes):
    """max(0, x), the activation behind batch normalisation (arXiv 1802.08530)."""

    @property
    def lo(self) -> int:
        return 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encode(x) if self.quantised else functional.relu(x)


class _TakeSign(torch.autograd.Function):
    """+1 where x >= 0, else -1; the gradient passes where x lies in (-1, 1), as hardtanh's does (arXiv 1602.02830)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        grad: torch.Tensor = torch.ops.aten.hardtanh_backward(grads[0], ctx.saved_tensors[0], -1.0, 1.0)
        return grad


class Sign(Codes):
    """Batch normalisation and the sign of it, +1 or -1 and +1 for 0: the activation of a fully binary layer.

    Not `quantised` it is the float that a sign stands for, the normalised value clipped to [-1, 1]. Code c of one bit
    stands for 2c - 1. In eval mode the normalisation is a comparison of the sum with a number, in exact arithmetic
    (BitFlow-Net's BatchShift, DESIGN 2.9). Behind it convolutions pad with -1.

    Parameters
    ----------
    norm : of the sums
    bits : 1, or so many of the clipped value in place of its sign; those with `frac` fraction bits from -1 on
    """

    def __init__(self, norm: Norm, bits: int = 1, frac: int = 0, quantised: bool = False) -> None:
        super().__init__(bits, frac, quantised)
        self.norm = norm

    @property
    def lo(self) -> int:
        return 0

    @property
    def hi(self) -> int:
        return 1 if self.bits == 1 else 2 << self.frac

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised values x to the sign, or to codes of clip(x, -1, 1)."""
        if self.bits == 1:
            y: torch.Tensor = _TakeSign.apply(x)  # type: ignore[no-untyped-call]
            return y
        return encode(x + 1, self.frac, self.lo, self.hi) - 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.quantised:
            return functional.hardtanh(self.norm(x))
        if self.training or self.bits > 1:
            return self.encode(self.norm(x))
        signs, least = (each.to(x.device).reshape(1, -1, 1, 1) for each in self.least())
        return torch.where(x.double() * signs >= least, 1.0, -1.0).to(x.dtype)

    def threshold(self) -> Threshold:
        """What the sums are compared with."""
        norm = self.norm
        one = torch.ones_like(norm.mean)
        gamma = one if norm.gamma is None else norm.gamma.detach()
        beta = 0 * one if norm.beta is None else norm.beta.detach()
        sigma = one if norm.kind == "mean" else (norm.variance.double() + norm.EPSILON).sqrt()
        return Threshold.of(*(each.double().cpu().numpy() for each in (gamma, beta, norm.mean, sigma)))

    def least(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(s, b), float64 [C]: the sign of x is +1 where s * x >= b, b rounded up so that every float64 x is judged
        as by the exact number."""
        signs, least = self.threshold().floats()
        return torch.from_numpy(signs), torch.from_numpy(least)


class ELU(Codes):
    """x where it is positive, else exp(x) - 1 (arXiv 1907.06916, section IV).

    Once `quantised`, x becomes a code first, and the ELU of that is rounded to as many fraction bits: a function of the
    code, which a Table holds. What is positive is rounded once.
    """

    @property
    def lo(self) -> int:
        """The highest code whose ELU is -1, but at most half of all codes are negative."""
        ends = math.floor((self.frac + 1) * math.log(2) * 2.0**self.frac) + 1
        return -min(ends, 1 << self.bits - 1)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """The rounded ELU of x's code; the gradient is the ELU's at that code, where nothing was clipped."""
        # bfloat16 holds codes of 8 bits, but not the exponential.
        codes = super().encode(x).to(torch.promote_types(x.dtype, torch.float32))
        return encode(functional.elu(codes), self.frac, -(1 << self.frac), self.hi).to(x.dtype)

    def table(self) -> torch.Tensor:
        """int64 [2^bits]: the output's codes for the input's codes lo to hi, of `frac` fraction bits both."""
        codes = torch.arange(self.lo, self.hi + 1, dtype=torch.float64)
        return (self.encode(codes * 2.0**-self.frac) * 2.0**self.frac).long()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encode(x) if self.quantised else functional.elu(x)


class Stream(Codes):
    """The format of a residual stream: signed codes, the same in every block of a network (DESIGN 2.7).

    In train mode nothing is rounded: the grid is meant to be finer than what training could notice.
    """

    def __init__(self, bits: int = 16, frac: int = 8, quantised: bool = False) -> None:
        super().__init__(bits, frac, quantised)

    @property
    def lo(self) -> int:
        return -(1 << self.bits - 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The one rounding of a branch."""
        return self.encode(x) if self.quantised and not self.training else x

    def add(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """The saturating sum of two branches."""
        total: torch.Tensor = self(a + b)
        return total


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


class MaxPool(nn.Module):
    """The largest value of kernel x kernel pixels; a padded pixel takes no part.

    Parameters
    ----------
    padding : (top, bottom, left, right), each smaller than the kernel
    """

    def __init__(self, kernel: int, stride: int, padding: Padding = (0, 0, 0, 0)) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride
        self.padding = padding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        top, bottom, left, right = self.padding
        if any(self.padding):
            x = functional.pad(x, (left, right, top, bottom), value=-math.inf)
        return functional.max_pool2d(x, self.kernel, self.stride)


class Residual(nn.Module):
    """stream(body(x)) + skip(x), saturating."""

    def __init__(self, body: nn.Sequential, skip: nn.Sequential, stream: Stream) -> None:
        super().__init__()
        self.body = body
        self.skip = skip
        self.stream = stream

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stream.add(self.stream(self.body(x)), self.skip(x))


class Head(nn.Module):
    """1x1 convolution to the classes, normalisation if any, mean over all positions, temperature.

    All of it is linear: in eval mode the pooling comes first and the normalisation last, once per class, which
    gives the same logits with H * W times fewer operations (DESIGN 2.10). In train mode a normalisation sees the
    class maps before pooling, as in the papers. The mean's divisor and the temperature are one power of two.

    Parameters
    ----------
    positions : H * W
    divide : of the sum over all positions, by 2^divide
    """

    def __init__(self, conv: Conv2d, norm: Norm | None, positions: int, divide: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm
        self.positions = positions
        self.divide = divide

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        share = 2.0**-self.divide
        if self.norm is None or not self.training:
            # Sums in full precision: only the last product may be rounded, and its gradient is small.
            y = self.conv((x if x.dtype == torch.float64 else x.float()).sum((2, 3), keepdim=True)) * share
            return y if self.norm is None else self.norm.scale(y, self.positions * share)
        maps: torch.Tensor = self.norm(self.conv(x))
        return maps.sum((2, 3), keepdim=True) * share
