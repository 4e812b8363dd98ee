"""Small networks for the simulators: one of every kind of layer, and a residual one with a head."""

import numpy as np

from bitfold.model.layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    MaxPool,
    PadChannels,
    Requantise,
    Residual,
    Scale,
    SumPool,
    Table,
    shifted_relu,
)
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

INPUT = Tensor(4, 5, 2, -8, 7, 2)


def bits(*shape: int, seed: int = 0) -> np.ndarray:
    """Random weights."""
    return np.random.default_rng(seed).random(shape) < 0.5


def images(net: Net, n: int, seed: int = 0) -> np.ndarray:
    """`n` random images of the network's input type."""
    rng = np.random.default_rng(seed)
    return rng.integers(net.input.lo, net.input.hi, (n, *net.input.shape), endpoint=True)


KINDS = {
    "conv": Chain((BinaryConv(bits(4, 3, 3, 2), 2, (1, 0, 0, 2), 1),)),
    "conv and requantise": Chain((BinaryConv(bits(3, 1, 3, 2), 1, (0, 0, 1, 1)), Requantise(2, -4, 11))),
    "requantise": Chain((Requantise(1, -3, 2, np.array([1, -5])),)),
    "scale": Chain((Scale(np.array([3, -5])),)),
    "scale and requantise": Chain((Scale(np.array([-7, 12]), 3), Requantise(3, -4, 11, np.array([5, -9])))),
    "table": Chain((Table(np.array([5, -3, 0, 0, 7, -8, 2, 1, 9, 4, -1, -1, 3, 6, 12, -20]), -8),)),
    "sum pool": Chain((SumPool(3, 2, (1, 1, 0, 1)),)),
    "mean of valid pixels": Chain((SumPool(3, 1, (1, 1, 0, 1), valid=True),)),
    "max pool": Chain((MaxPool(3, 2, (1, 1, 0, 1)),)),
    "global sum": Chain((GlobalSum(),)),
    "pad channels": Chain((PadChannels(3),)),
    "chain": Chain((Chain((Requantise(0, -2, 2),)), Chain())),
    "residual": Chain((Residual(Chain((BinaryConv(bits(2, 3, 3, 2), 1, (1, 1, 1, 1)),)), Chain(), -9, 9),)),
}
"""A body of every kind of layer, for INPUT."""


def residual_net(flip: str = "") -> Net:
    """Convolution, residual block, head; one weight of the layer at path `flip` has the other sign."""
    weights = {
        "0": bits(4, 3, 3, 2, seed=1),
        "2.body.1": bits(4, 3, 3, 4, seed=2),
        "5": bits(3, 1, 1, 4, seed=3),
    }
    if flip:
        weights[flip][2, 0, 0, 1] ^= True
    body = Chain(
        (
            shifted_relu(4, 8, 2),
            BinaryConv(weights["2.body.1"], 1, (1, 1, 1, 1), 2),
            Requantise(-4, -(2**15), 2**15 - 1),
        )
    )
    head = (shifted_relu(4, 8, 2), GlobalSum(), BinaryConv(weights["5"]))
    first = (BinaryConv(weights["0"], 1, (1, 1, 1, 1), 2), Requantise(-4, -(2**15), 2**15 - 1))
    return Net(INPUT, Chain((*first, Residual(body), *head)), ("a", "b", "c"))
