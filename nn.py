"""The torch modules that a network is built of: trained in floating point, emulating the integers in eval mode.

A network is an nn.Sequential of these, with Residual for skips, Sequentials within each other as deep as wanted; any
loop may train it. `bitfold.calibrate` turns its activations into codes, `bitfold.export` makes it a Net. Needs torch:
pip install 'bitfold[train]'.
"""

from .model.train.modules import (
    ELU,
    Conv2d,
    Downsample,
    Head,
    Input,
    MaxPool,
    Norm,
    ReLU,
    Residual,
    ShiftedReLU,
    Sign,
    Stream,
)

__all__ = [
    "ELU",
    "Conv2d",
    "Downsample",
    "Head",
    "Input",
    "MaxPool",
    "Norm",
    "ReLU",
    "Residual",
    "ShiftedReLU",
    "Sign",
    "Stream",
]
