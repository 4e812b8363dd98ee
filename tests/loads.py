"""Networks of one shape, and loads as streams carry them."""

from dataclasses import replace

import numpy as np

from bitfold.model.layers import BinaryConv, Chain, Requantise, Residual, Scale, Table
from bitfold.model.net import Net

LAST = 1 << 32


def another(net: Net, seed: int) -> Net:
    """A network of the shape of `net` with other contents."""
    rng = np.random.default_rng(seed)

    def layer(old):
        match old:
            case Chain(layers):
                return Chain(tuple(map(layer, layers)))
            case Residual():
                return replace(old, body=layer(old.body), skip=layer(old.skip))
            case BinaryConv():
                return replace(old, weights=rng.random(old.weights.shape) < rng.random())
            case Requantise() if old.offset is not None:
                most = max(8, 2 * int(np.abs(old.offset).max()))
                return replace(old, offset=rng.integers(-most, most, old.offset.shape, endpoint=True))
            case Scale():
                return replace(old, factors=rng.permutation(old.factors))
            case Table():
                return replace(old, values=rng.permutation(old.values))
        return old

    return Net(net.input, layer(net.body), net.classes, net.preprocessing)


def beats(load) -> list[int]:
    """The payloads of a load."""
    return [*map(int, load[:-1]), int(load[-1]) | LAST]
