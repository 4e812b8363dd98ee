"""The layout of McDonnell's MATLAB networks, ``TrainedWideResNet...mat``.

Cells, one a layer in the order of the data: ``BinaryWeights``, 0 and 1 [kernel height, kernel width, C_in, C_out]; of
the norms ``BNG`` (gamma), ``BNB`` (beta) and ``Moments`` (mean and deviation, not variance). ``LayerWeights`` is what a
weight of 1 stands for. ``Padding`` goes on all four sides; the pools of the skips have 1. A ReLU follows the input's
norm too. Other variables say how the network was trained.
"""

from __future__ import annotations

import math

from ..error import BadInput
from ..layers import SumPool
from .mat import Array, Variables, bits, cells, floats, ints
from .wide_resnet import Conv, Norm, WideResNet, conv, wide_resnet

NAME = "McDonnell's MATLAB networks"

_NAMES = ("BinaryWeights", "LayerWeights", "BNG", "BNB", "Moments", "Stride", "Padding")
KEYS = ", ".join(_NAMES)


def recognises(variables: Variables) -> bool:
    """Whether a file of these variables has this layout."""
    return "BinaryWeights" in variables


def network(variables: Variables) -> WideResNet:
    """The network in them; BadInput names the variable that is wrong."""
    if missing := [name for name in _NAMES if name not in variables]:
        raise BadInput(f"{', '.join(missing)} is not in it")
    weights = cells(variables["BinaryWeights"], "BinaryWeights")
    units = floats(variables["LayerWeights"].ravel(), "LayerWeights", len(weights))
    strides, paddings = (ints(variables[name], name, len(weights)) for name in ("Stride", "Padding"))
    convs: list[Conv] = []
    for index, (value, stride, around) in enumerate(zip(weights, strides, paddings, strict=True)):
        name = f"BinaryWeights{{{index + 1}}}"
        convs.append(conv(name, bits(value, name), stride, (around,) * 4))
        if not math.isclose(units[index], convs[index].unit, rel_tol=1e-3):
            raise BadInput(
                f"LayerWeights({index + 1}) is {units[index]:g}, not sqrt(2 / fan-in), {convs[index].unit:g}"
            )
    gammas, betas, moments = (cells(variables[name], name, len(weights) + 1) for name in ("BNG", "BNB", "Moments"))
    norms = [_norm(*each) for each in zip(range(1, len(weights) + 2), gammas, betas, moments, strict=True)]
    return wide_resnet(NAME, True, norms, convs, lambda rows: SumPool(3, 2, (1, 1, 1, 1), valid=True))


def _norm(index: int, gamma: Array, beta: Array, moments: Array) -> Norm:
    name = f"Moments{{{index}}}"
    mean, deviation = floats(moments, name, None, 2).T
    scale, shift = (
        floats(value.ravel(), f"{part}{{{index}}}", len(mean)) for value, part in ((gamma, "BNG"), (beta, "BNB"))
    )
    return Norm(name, mean, deviation, scale, shift)
