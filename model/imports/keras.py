"""The layout of McDonnell's Keras networks, ``..._allparams.mat``.

``conv2d``, ``conv2d_1``, ...: 0 and 1 [1, kernel height, kernel width, C_in, C_out]. ``batch_normalization_...``: rows
of C numbers, gamma, beta, mean and variance, or mean and variance alone. The numbers in the names count on from
whatever ran before: the order of the file is that of the data. A convolution that doubles the channels has a stride of
2, and no ReLU follows the input's norm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..error import BadInput, short
from ..layers import Padding, SumPool
from ..networks import CIFAR
from .mat import Array, Variables, bits, described, fits, floats
from .wide_resnet import Norm, WideResNet, conv, wide_resnet

NAME = "McDonnell's Keras networks"
KEYS = "conv2d..., batch_normalization..."

_CONV, _NORM = KEYS.replace(".", "").split(", ")

EPSILON = 1e-5
"""What these norms add to a variance."""


def recognises(variables: Variables) -> bool:
    """Whether a file of these variables has this layout."""
    return all(any(name.startswith(start) for name in variables) for start in (_CONV, _NORM))


def network(variables: Variables) -> WideResNet:
    """The network in them; BadInput names the variable that is wrong."""
    weights, norms = {}, []
    for name, value in variables.items():
        if name.startswith(_CONV):
            weights[name] = _weights(value, name)
        elif name.startswith(_NORM):
            norms.append(_norm(value, name))
        else:
            raise BadInput(f"{short(name)} is no variable of it")
    side, convs = CIFAR.height, []
    for index, (name, each) in enumerate(weights.items()):
        c_out, kernel, _, c_in = each.shape
        inside = 0 < index < len(weights) - 1
        stride = 2 if inside and c_out == 2 * c_in else 1
        convs.append(conv(name, each, stride, same(side, kernel, stride)))
        side = -(-side // stride)
    return wide_resnet(NAME, False, norms, convs, lambda rows: SumPool(3, 2, same(rows, 3, 2), valid=True))


def same(side: int, kernel: int, stride: int) -> Padding:
    """Keras' padding of that name, for square maps and kernels: an odd pixel goes to the bottom and to the right."""
    missing = max(0, (-(-side // stride) - 1) * stride + kernel - side)
    first, last = missing // 2, missing - missing // 2
    return first, last, first, last


def _weights(value: Array, name: str) -> NDArray[np.bool_]:
    if not fits(value, 1, None, None, None, None):
        raise BadInput(f"{name} is {described(value)}, not 1 x height x width x inputs x outputs of 0 and 1")
    return bits(value[0], name)


def _norm(value: Array, name: str) -> Norm:
    rows = floats(value, name, 4 if value.shape[:1] == (4,) else 2, None)
    mean, variance = rows[-2:]
    gamma, beta = rows[:2] if len(rows) == 4 else (np.ones_like(mean), np.zeros_like(mean))
    if variance.min() < 0:
        raise BadInput(f"{name} holds a variance below 0")
    return Norm(name, mean, np.sqrt(variance + EPSILON), gamma, beta)
