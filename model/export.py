"""From a trained torch network to a Net: one plain recursion over its modules."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import nn

from .error import BadInput
from .layers import (
    MAX_ENTRIES,
    BinaryConv,
    Chain,
    GlobalSum,
    Layer,
    MaxPool,
    PadChannels,
    Requantise,
    Residual,
    Scale,
    SumPool,
    Table,
    addition,
    finer,
)
from .net import Net
from .tensor import Tensor
from .threshold import Threshold
from .train import modules

FINE = ((32, 12), (36, 16))
"""(bits, fraction bits) of an activation and of a residual stream in floating point's stead: +-2^19."""

FINE_SCALED = ((22, 12), (32, 16))
"""The same beside normalisations and exact scales, whose products must stay below 2^60: activations to 2^10."""

FINE_FACTOR = 20
"""Bits of a normalisation's largest factor, sign apart."""

FINE_FACTOR_EXACT = 12
"""The same where the weights have a factor too: the products of both must stay below 2^60."""


SIGN_FRAC = -1
"""Fraction bits of a sign's code: from one to the other it is 2."""


_DENSE = "bitfold.nn.Conv2d with a kernel as large as the map, without a Flatten before it"
_MEAN = "bitfold.nn.Head, which takes the mean of the whole map behind the last convolution"

INSTEAD: dict[type[nn.Module], str] = {
    nn.Conv2d: "bitfold.nn.Conv2d, whose weights are signs",
    nn.Linear: _DENSE,
    nn.Flatten: f"for the Linear behind it {_DENSE}",
    nn.BatchNorm2d: 'bitfold.nn.Norm(channels, "batch"), or none and bitfold.nn.ShiftedReLU behind it',
    nn.MaxPool2d: "bitfold.nn.MaxPool",
    nn.ReLU: "bitfold.nn.ShiftedReLU, or bitfold.nn.ReLU",
    nn.ELU: "bitfold.nn.ELU",
    nn.AvgPool2d: _MEAN,
    nn.AdaptiveAvgPool2d: _MEAN,
}
"""What to take for modules of torch's own, which know no codes and no binary points."""


class NoIntegerForm(BadInput):
    """What a module computes, no layer does."""


def export(network: nn.Module, input: Tensor, classes: tuple[str, ...] = (), preprocessing: str = "") -> Net:
    """The integers of a quantised network: in eval mode, network(x) == Net(x) * 2^-Net.output.frac exactly.

    Parameters
    ----------
    network : built of train.modules, every activation calibrated
    input : type of the pixels
    classes, preprocessing : as in Net

    NoIntegerForm names the module that has none; BadInput says what no Net may be.
    """
    return Net(input, Chain(_layers(network, _Values(input), "")), classes, preprocessing)


def fine(network: nn.Module) -> nn.Module:
    """A copy in which every float activation is a code so fine that it stands for the float itself.

    Exported, it is the float twin of a network of few bits, and runs wherever a Net does.
    """
    exact = any(isinstance(module, modules.Conv2d) and module.factor != 1 for module in network.modules())
    scaled = exact or any(isinstance(module, modules.Norm) for module in network.modules())
    activation, stream = FINE_SCALED if scaled else FINE
    return _coded(network, activation, stream, FINE_FACTOR_EXACT if exact else FINE_FACTOR)


def rehearsed(network: nn.Module, bits: int) -> nn.Module:
    """A copy that exports as the network will once it is trained to activations of `bits` bits, or 0 for floats.

    Their binary points are guessed, in the middle: what an ELU's table costs hangs on its own.
    """
    return _coded(network, (bits, bits // 2), (16, 8), modules.FACTOR_BITS) if bits else fine(network)


def _coded(network: nn.Module, activation: tuple[int, int], stream: tuple[int, int], factor_bits: int) -> nn.Module:
    """A copy with codes of these (bits, fraction bits)."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, modules.Codes):
            module.bits, module.frac = stream if isinstance(module, modules.Stream) else activation
            module.quantised = True
        elif isinstance(module, modules.Norm):
            module.quantised, module.factor_bits = True, factor_bits
    return network


@dataclass(frozen=True)
class _Values:
    """Integers between modules: q stands for q * 2^-frac + origin, where origin is -1 behind a Sign and else 0."""

    t: Tensor
    origin: int = 0

    def behind(self, module: nn.Module, layers: tuple[Layer, ...]) -> _Values:
        """What the module gives, whose layers these are."""
        return _Values(Chain(layers).infer(self.t), _origin(module, self.origin))


def _origin(module: nn.Module, origin: int) -> int:
    """Of what the module makes of values with this one."""
    match module:
        case nn.Sequential():
            return functools.reduce(lambda origin, inner: _origin(inner, origin), module, origin)
        case modules.Sign():
            return -1
        case modules.MaxPool():
            return origin
    return 0


def _layers(module: nn.Module, values: _Values, path: str) -> tuple[Layer, ...]:
    """The layers that compute `module` on such values; `path` is torch's name for the module."""
    t = values.t
    if values.origin and not isinstance(module, nn.Sequential | modules.Conv2d | modules.MaxPool | modules.Head):
        raise NoIntegerForm(
            f"module {path or 'network'} ({type(module).__name__}) takes values of a Sign, of which code c is 2c - 1; "
            "only convolutions and maximum pools do"
        )
    if isinstance(module, modules.Codes) and not module.quantised:
        raise NoIntegerForm(
            f"module {path or 'network'} ({type(module).__name__}) is still floating point: calibrate the network first"
        )
    match module:
        case nn.Sequential():
            layers: tuple[Layer, ...] = ()
            for name, inner in module.named_children():
                converted = _layers(inner, values, _join(path, name))
                values = values.behind(inner, converted)
                layers = _merged(layers, converted, t)
            return layers
        case modules.Input():
            return (addition(-module.mean.flatten().cpu().numpy().astype(np.int64), t),)
        case modules.Conv2d():
            return _conv(module, values, path, module.divide)
        case modules.Norm():
            return _affine(module, t, 1.0, path)
        case modules.Sign():
            return _sign(module, t, path)
        case modules.Stream() | modules.ShiftedReLU() | modules.ReLU():
            return (Requantise(t.frac - module.frac, module.lo, module.hi),)
        case modules.ELU():
            if 1 << module.bits > MAX_ENTRIES:
                raise NoIntegerForm(
                    f"module {path or 'network'} (ELU) has codes of {module.bits} bits; there are tables for codes of "
                    f"at most {MAX_ENTRIES.bit_length() - 1}"
                )
            rounding = Requantise(t.frac - module.frac, module.lo, module.hi)
            return rounding, Table(module.table().numpy(), module.lo, module.frac)
        case modules.MaxPool():
            return (MaxPool(module.kernel, module.stride, module.padding),)
        case modules.Downsample():
            pool = SumPool(2, 2, module.padding(t.height, t.width), scale=2)
            mean = _layers(module.stream, _Values(pool.infer(t)), _join(path, "stream"))
            return (pool, *mean, *((PadChannels(module.channels),) if module.channels else ()))
        case modules.Residual():
            body = _layers(module.body, values, _join(path, "body"))
            rounded = _layers(module.stream, values.behind(module.body, body), _join(path, "stream"))
            skip = _layers(module.skip, values, _join(path, "skip"))
            return (Residual(Chain(_merged(body, rounded, t)), Chain(skip), module.stream.lo, module.stream.hi),)
        case modules.Head():
            summed = _Values(GlobalSum().infer(t), values.origin * t.pixels)
            pooled = (GlobalSum(), *_conv(module.conv, summed, _join(path, "conv"), module.conv.divide + module.divide))
            if module.norm is None:
                return pooled
            share = module.positions * 2.0**-module.divide
            return (*pooled, *_affine(module.norm, Chain(pooled).infer(t), share, _join(path, "norm")))
    own = INSTEAD.get(type(module))
    name = f"torch's {type(module).__name__}" if own else type(module).__name__
    mend = f"take {own}" if own else "take modules of bitfold.nn"
    raise NoIntegerForm(f"module {path or 'network'} ({name}) has no integer form: {mend}")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _merged(layers: tuple[Layer, ...], after: tuple[Layer, ...], t: Tensor) -> tuple[Layer, ...]:
    """All of them, the first of which takes t; of an addition and the rounding behind it one layer is made, and of
    what is linear a comparison's part."""
    match layers, after:
        case (*before, Requantise(0, _, _, offset)), (Requantise(offset=None) as rounding, *rest) if (
            before and offset is not None
        ):
            return (*before, replace(rounding, offset=offset), *rest)
        case _, (Scale() as scale, Requantise(lo=0, hi=1) as bit, *rest) if _is_sign(Chain((*layers, scale, bit)), t):
            return (*_compared(layers, scale, bit, t), *rest)
        case _, (Requantise(lo=0, hi=1) as bit, *rest) if _is_sign(Chain((*layers, bit)), t):
            return (*_compared(layers, None, bit, t), *rest)
        case (*before, MaxPool() as pool), (Requantise() as rounding, *rest):
            # Rounding first, which never changes an order, leaves the pool narrower values.
            return _merged((*_merged(tuple(before), (rounding,), t), pool), tuple(rest), t)
    return layers + after


def _is_sign(chain: Chain, t: Tensor) -> bool:
    """Whether the last layer gives signs."""
    return chain.infer(t).frac == SIGN_FRAC


def _compared(layers: tuple[Layer, ...], scale: Scale | None, bit: Requantise, t: Tensor) -> tuple[Layer, ...]:
    """`layers`, which take t, and a comparison of what they give, which takes over all that is linear in them."""
    types = [t]
    for layer in layers:
        types.append(layer.infer(types[-1]))
    channels = types[-1].channels
    least = tuple(Fraction(_reached(bit.shift) - int(each)) for each in np.broadcast_to(bit.addend, channels))
    signs = (1,) * channels if scale is None else tuple(int(factor) for factor in scale.factors)
    return _judged(layers, types, Threshold(signs, least))


def _judged(layers: tuple[Layer, ...], types: list[Tensor], threshold: Threshold) -> tuple[Layer, ...]:
    """`layers` and whether what they give reaches the threshold; types are those of their inputs and of the output."""
    channels = types[-1].channels
    while layers:
        match layers[-1]:
            case Requantise(shift, lo, hi) as added if (
                shift <= 0
                and lo <= (types[-2].lo + int(np.min(added.addend))) << -shift
                and (types[-2].hi + int(np.max(added.addend))) << -shift <= hi
            ):
                each = np.broadcast_to(added.addend, channels)
                threshold = threshold.of_multiples([Fraction(2**-shift)] * channels)
                threshold = threshold.of_sums([Fraction(int(addend)) for addend in each])
            case Scale(factors):
                threshold = threshold.of_multiples([Fraction(int(factor)) for factor in factors])
            case BinaryConv(weights) as conv if min(threshold.signs) < 0:
                inverted = np.array(threshold.signs).reshape(-1, 1, 1, 1) < 0
                layers = (*layers[:-1], replace(conv, weights=weights ^ inverted))
                threshold = Threshold((1,) * channels, threshold.least)
                break
            case MaxPool(kernel, stride, padding) as pool if not any(padding) or min(threshold.signs) > 0:
                # The largest sum reaches a number where any does, and the largest is small enough where all are.
                before = _judged(layers[:-1], types[:-1], threshold)
                if min(threshold.signs) > 0:
                    return (*before, pool)
                offset = np.where(np.array(threshold.signs) > 0, 0, 1 - kernel**2)
                return (*before, SumPool(kernel, stride), Requantise(0, 0, 1, offset))
            case _:
                break
        layers, types = layers[:-1], types[:-1]
    return (*layers, *_comparison(threshold, types[-1]))


def _sign(module: modules.Sign, t: Tensor, path: str) -> tuple[Layer, ...]:
    if module.bits > 1:
        affine = _affine(module.norm, t, 1.0, path)
        normal = Chain(affine).infer(t)
        # The codes count from -1 on: 1 is added.
        one = addition(np.full(t.channels, 1 << normal.frac, np.int64), normal)
        return _merged((*affine, one), (Requantise(normal.frac - module.frac, module.lo, module.hi),), t)
    try:
        threshold = module.threshold()
    except BadInput as error:
        raise BadInput(f"module {path or 'network'} (Sign): {error}") from None
    return _comparison(threshold.of_multiples([Fraction(1, 2) ** t.frac] * t.channels), t)


def _comparison(threshold: Threshold, t: Tensor) -> tuple[Layer, ...]:
    """The bit that says whether threshold.signs * q is no less than threshold.least; its step is 2, as from -1 to 1."""
    layers: tuple[Layer, ...] = ()
    if min(threshold.signs) < 0:
        layers = (Scale(np.array(threshold.signs, np.int64)),)
        t = layers[0].infer(t)
    shift = t.frac - SIGN_FRAC
    rounding = _reached(shift) // 2
    return (*layers, Requantise(shift, 0, 1, _reached(shift) - rounding - threshold.integers(t.lo, t.hi)))


def _reached(shift: int) -> int:
    """The least value that a shift leaves at 1 or above."""
    return 1 << max(0, shift)


def _conv(module: modules.Conv2d, values: _Values, path: str, divide: int) -> tuple[Layer, ...]:
    if module.bits != 1:
        raise NoIntegerForm(
            f"module {path or 'network'} (Conv2d) has {module.bits}-bit weights, which have no integer form"
        )
    if any(module.padding) and module.around != values.origin:
        raise NoIntegerForm(
            f"module {path or 'network'} (Conv2d) pads with {module.around}, and code 0 of its input stands for "
            f"{values.origin}: give it around={values.origin}"
        )
    latent = module.weight.detach().cpu().numpy()
    if np.isnan(latent).any():
        raise BadInput(f"module {path or 'network'} (Conv2d) has weights that are not numbers")
    # sign(0) = +1, and torch's [C_out, C_in, height, width] becomes [C_out, height, width, C_in].
    signs = (latent >= 0).transpose(0, 2, 3, 1)
    layers: tuple[Layer, ...] = (BinaryConv(signs, module.stride, module.padding, module.shift + divide),)
    if values.origin:
        layers += _moved(signs, values, layers[0].infer(values.t))
    if module.factor == 1:
        return layers
    return (*layers, Scale(np.full(len(signs), module.factor, np.int64), module.fine))


def _moved(signs: np.ndarray[Any, np.dtype[np.bool_]], values: _Values, t: Tensor) -> tuple[Layer, ...]:
    """What an origin other than 0 adds to sums of type t: itself times the sum of the weights."""
    total = (2 * signs.astype(np.int64) - 1).sum((1, 2, 3)) * values.origin
    up = max(0, -values.t.frac)
    total <<= values.t.frac + up
    if not (total % 2**up).any():
        return (addition(total >> up, t),)
    # An odd fan-in leaves half a step, which finer ones count.
    steps = finer(up, t)
    return (steps, addition(total, steps.infer(t)))


def _affine(module: modules.Norm, t: Tensor, share: float, path: str) -> tuple[Layer, ...]:
    """Factor and offset per channel, as `module.affine(share)` rounds them."""
    factor, offset = module.affine(share)
    if not (factor.isfinite().all() and offset.isfinite().all()):
        raise BadInput(f"module {path or 'network'} (Norm) has factors or offsets that are not numbers")
    frac = module.frac(factor)
    layers: tuple[Layer, ...] = ()
    if module.kind != "mean":
        layers = (Scale(_integers(factor, frac), frac),)
    elif t.frac < frac:
        # Room for the offset's fraction.
        layers = (finer(frac - t.frac, t),)
    t = Chain(layers).infer(t)
    if float(offset.abs().max()) * 2.0**t.frac > 2**61:
        raise BadInput(f"module {path or 'network'} (Norm) moves its input further than 64 bits hold")
    return (*layers, addition(_integers(offset, t.frac), t))


def _integers(values: torch.Tensor, frac: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return (values * 2.0**frac).cpu().numpy().astype(np.int64)
