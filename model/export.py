"""From a trained torch network to a Net: one plain recursion over its modules."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from .error import BadInput
from .layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    Layer,
    PadChannels,
    Requantise,
    Residual,
    Scale,
    SumPool,
)
from .net import Net
from .tensor import Tensor
from .train import modules

FINE = ((32, 12), (36, 16))
"""(bits, fraction bits) of an activation and of a residual stream in floating point's stead: +-2^19."""

FINE_SCALED = ((22, 12), (32, 16))
"""The same beside normalisations and exact scales, whose products must stay below 2^60: activations to 2^10."""

FINE_FACTOR = 20
"""Bits of a normalisation's largest factor, sign apart."""

FINE_FACTOR_EXACT = 12
"""The same where the weights have a factor too: the products of both must stay below 2^60."""


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
    return Net(input, Chain(_layers(network, input, "")), classes, preprocessing)


def fine(network: nn.Module) -> nn.Module:
    """A copy in which every float activation is a code so fine that it stands for the float itself.

    Exported, it is the float twin of a network of few bits, and runs wherever a Net does.
    """
    exact = any(isinstance(module, modules.Conv2d) and module.factor != 1 for module in network.modules())
    scaled = exact or any(isinstance(module, modules.Norm) for module in network.modules())
    activation, stream = FINE_SCALED if scaled else FINE
    return _coded(network, activation, stream, FINE_FACTOR_EXACT if exact else FINE_FACTOR)


def rehearsed(network: nn.Module, bits: int) -> nn.Module:
    """A copy that exports as the network will once it is trained to activations of `bits` bits, or 0 for floats."""
    return _coded(network, (bits, 0), (16, 8), modules.FACTOR_BITS) if bits else fine(network)


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


def _layers(module: nn.Module, t: Tensor, path: str) -> tuple[Layer, ...]:
    """The layers that compute `module` on an input of type t; `path` is torch's name for the module."""
    match module:
        case nn.Sequential():
            layers: tuple[Layer, ...] = ()
            for name, inner in module.named_children():
                converted = _layers(inner, t, _join(path, name))
                t = Chain(converted).infer(t)
                layers = _merged(layers, converted)
            return layers
        case modules.Input():
            return (_offset(-module.mean.flatten().cpu().numpy().astype(np.int64), t),)
        case modules.Conv2d():
            return _conv(module, path, module.divide)
        case modules.Norm():
            return _affine(module, t, 1.0, path)
        case modules.Stream() | modules.ShiftedReLU() | modules.ReLU():
            if not module.quantised:
                raise NoIntegerForm(
                    f"module {path or 'network'} ({type(module).__name__}) is still floating point: "
                    "calibrate the network first"
                )
            return (Requantise(t.frac - module.frac, module.lo, module.hi),)
        case modules.Downsample():
            pool = SumPool(2, 2, module.padding(t.height, t.width), scale=2)
            mean = _layers(module.stream, pool.infer(t), _join(path, "stream"))
            return (pool, *mean, *((PadChannels(module.channels),) if module.channels else ()))
        case modules.Residual():
            body = _layers(module.body, t, _join(path, "body"))
            rounded = _layers(module.stream, Chain(body).infer(t), _join(path, "stream"))
            skip = _layers(module.skip, t, _join(path, "skip"))
            return (Residual(Chain(_merged(body, rounded)), Chain(skip), module.stream.lo, module.stream.hi),)
        case modules.Head():
            pooled = (GlobalSum(), *_conv(module.conv, _join(path, "conv"), module.conv.divide + module.divide))
            if module.norm is None:
                return pooled
            share = module.positions * 2.0**-module.divide
            return (*pooled, *_affine(module.norm, Chain(pooled).infer(t), share, _join(path, "norm")))
    raise NoIntegerForm(f"module {path or 'network'} ({type(module).__name__}) has no integer form")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _offset(offset: np.ndarray[tuple[int], np.dtype[np.int64]], t: Tensor) -> Requantise:
    """An addition per channel that clips nothing."""
    return Requantise(0, t.lo + int(offset.min()), t.hi + int(offset.max()), offset)


def _merged(layers: tuple[Layer, ...], after: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """All of them; of an addition and the rounding behind it one layer is made."""
    match layers, after:
        case (*before, Requantise(0, _, _, offset)), (Requantise(offset=None) as rounding, *rest) if (
            before and offset is not None
        ):
            return (*before, replace(rounding, offset=offset), *rest)
    return layers + after


def _conv(module: modules.Conv2d, path: str, divide: int) -> tuple[Layer, ...]:
    if module.bits != 1:
        raise NoIntegerForm(
            f"module {path or 'network'} (Conv2d) has {module.bits}-bit weights, which have no integer form"
        )
    latent = module.weight.detach().cpu().numpy()
    if np.isnan(latent).any():
        raise BadInput(f"module {path or 'network'} (Conv2d) has weights that are not numbers")
    # sign(0) = +1, and torch's [C_out, C_in, height, width] becomes [C_out, height, width, C_in].
    signs = (latent >= 0).transpose(0, 2, 3, 1)
    conv = BinaryConv(signs, module.stride, module.padding, module.shift + divide)
    if module.factor == 1:
        return (conv,)
    return (conv, Scale(np.full(len(signs), module.factor, np.int64), module.fine))


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
        up = frac - t.frac
        layers = (Requantise(-up, t.lo << up, t.hi << up),)
    t = Chain(layers).infer(t)
    if float(offset.abs().max()) * 2.0**t.frac > 2**61:
        raise BadInput(f"module {path or 'network'} (Norm) moves its input further than 64 bits hold")
    return (*layers, _offset(_integers(offset, t.frac), t))


def _integers(values: torch.Tensor, frac: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return (values * 2.0**frac).cpu().numpy().astype(np.int64)
