"""From a trained torch network to a Net: one plain recursion over its modules."""

from __future__ import annotations

import numpy as np
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
    SumPool,
    shifted_relu,
)
from .net import Net
from .tensor import Tensor
from .train import modules


def export(network: nn.Module, input: Tensor, classes: tuple[str, ...] = (), preprocessing: str = "") -> Net:
    """The integers of a quantised network: in eval mode, network(x) == Net(x) * 2^-Net.output.frac exactly.

    Parameters
    ----------
    network : built of train.modules, every activation calibrated
    input : type of the pixels
    classes, preprocessing : as in Net

    BadInput names the module that has no integer form.
    """
    return Net(input, Chain(_layers(network, input, "")), classes, preprocessing)


def _layers(module: nn.Module, t: Tensor, path: str) -> tuple[Layer, ...]:
    """The layers that compute `module` on an input of type t; `path` is torch's name for the module."""
    match module:
        case nn.Sequential():
            layers: tuple[Layer, ...] = ()
            for name, inner in module.named_children():
                converted = _layers(inner, t, f"{path}.{name}" if path else name)
                t = Chain(converted).infer(t)
                layers += converted
            return layers
        case modules.Input():
            offset = -module.mean.flatten().cpu().numpy().astype(np.int64)
            return (Requantise(0, t.lo + int(offset.min()), t.hi + int(offset.max()), offset),)
        case modules.BinaryConv2d():
            return (_binary_conv(module, path),)
        case modules.ShiftedReLU():
            _check_quantised(module, path)
            return (shifted_relu(module.bits, t.frac, module.frac),)
        case modules.Stream():
            _check_quantised(module, path)
            return (Requantise(t.frac - module.frac, module.lo, module.hi),)
        case modules.Downsample():
            pool = SumPool(2, 2, module.padding(t.height, t.width), scale=2)
            mean = _layers(module.stream, pool.infer(t), f"{path}.stream")
            return (pool, *mean, PadChannels(module.channels))
        case modules.Residual():
            body = _layers(module.body, t, f"{path}.body")
            rounded = _layers(module.stream, Chain(body).infer(t), f"{path}.stream")
            skip = _layers(module.skip, t, f"{path}.skip")
            return (Residual(Chain(body + rounded), Chain(skip), module.stream.lo, module.stream.hi),)
        case modules.GlobalSum():
            return (GlobalSum(),)
    raise BadInput(f"module {path or 'network'} ({type(module).__name__}) has no integer form")


def _binary_conv(module: modules.BinaryConv2d, path: str) -> BinaryConv:
    latent = module.weight.detach().cpu().numpy()
    if np.isnan(latent).any():
        raise BadInput(f"module {path or 'network'} (BinaryConv2d) has weights that are not numbers")
    # sign(0) = +1, and torch's [C_out, C_in, height, width] becomes [C_out, height, width, C_in].
    return BinaryConv((latent >= 0).transpose(0, 2, 3, 1), module.stride, module.padding, module.scale)


def _check_quantised(module: modules.Codes, path: str) -> None:
    if not module.quantised:
        raise BadInput(
            f"module {path or 'network'} ({type(module).__name__}) is still floating point: calibrate the network first"
        )
