"""What networks have in common that one machine with loadable weights serves."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .error import BadInput
from .layers import BinaryConv, Chain, Layer, Requantise, Residual, Scale, Table
from .net import Net


def shape(net: Net) -> Net:
    """The network that stands for all of its shape, the same for each of them.

    Its layers, geometry, shifts and clips are theirs, and its intervals contain theirs. What may differ is gone: the
    weights' signs, the offsets of those Requantise that have some, the factors of a Scale as far as they have no more
    bits and no other signs than the network's, the values of a Table but for the least and the largest; names and
    preprocessing. BadInput where intervals that wide do not go together.
    """
    try:
        return Net(net.input, _chain(net.body))
    except BadInput as error:
        raise BadInput(f"weights that are loaded, with the largest factors of as many bits: {error}") from None


def _chain(chain: Chain) -> Chain:
    return replace(chain, layers=tuple(map(_layer, chain.layers)))


def _layer(layer: Layer) -> Layer:
    match layer:
        case Chain():
            return _chain(layer)
        case Residual():
            return replace(layer, body=_chain(layer.body), skip=_chain(layer.skip))
        case BinaryConv():
            return replace(layer, weights=np.zeros_like(layer.weights))
        case Requantise() if layer.offset is not None:
            return replace(layer, offset=np.zeros_like(layer.offset))
        case Scale():
            return replace(layer, factors=_widest(layer))
        case Table():
            least, most = layer.reach
            return replace(layer, values=np.array([least] + [most] * (len(layer.values) - 1), np.int64))
    return layer


def _widest(layer: Scale) -> NDArray[np.int64]:
    """The largest factors of as many bits, positive and negative ones in turn where both kinds occur."""
    least, most = layer.extremes
    factors = np.full(len(layer.factors), (1 << max(-least, most).bit_length()) - 1, np.int64)
    if least < 0:
        factors[int(most > 0) :: 1 + (most > 0)] *= -1
    return factors
