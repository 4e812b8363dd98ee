"""The wide residual networks have the papers' shapes and numbers of weights."""

import numpy as np
import pytest
from strategies import images

from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Requantise, Residual, trace
from bitfold.model.networks import cnv, wide_resnet
from bitfold.model.tensor import Tensor


@pytest.mark.parametrize(("width", "weights"), [(1, 268_336), (4, 4_280_512), (10, 26_737_120)])
def test_weights_of_depth_20(width, weights):
    net = wide_resnet(20, width)
    assert net.weights == weights
    assert net.output.shape == (1, 1, 10)


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (16, 9)])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_small_ones_use_their_whole_range(size, bits):
    net = wide_resnet(8, 1, Tensor(*size, 1, 0, 16, 3), 5, bits, seed=1)
    assert net.output.shape == (1, 1, 5)
    x = images(net, 4)
    net.output.check(net(x))
    streams = []
    for _, layer, y in trace(net.body, x):
        if isinstance(layer, Requantise) and layer.hi - layer.lo == 2**bits - 1:
            assert y.min() == layer.lo
            assert y.max() > 0
        if isinstance(layer, Residual):
            streams.append(y)
    assert len(streams) == 3
    assert all(y.min() > -(2**15) and y.max() < 2**15 - 1 for y in streams)


def test_seeds():
    same, other = wide_resnet(8, 1, seed=3), wide_resnet(8, 1, seed=4)
    assert wide_resnet(8, 1, seed=3).digest() == same.digest() != other.digest()
    assert np.any(same.body.layers[1].weights != other.body.layers[1].weights)


@pytest.mark.parametrize(
    ("depth", "width", "message"),
    [
        (9, 1, "the depth of a wide residual network is 6k + 2 (8, 14, 20, ...), not 9"),
        (2, 1, "the depth of a wide residual network is 6k + 2 (8, 14, 20, ...), not 2"),
        (8, 0, "the width must be at least 1, not 0"),
        (20, 100, "depth 20 and width 100 give about 2,903,040,000 weights, more than 268,435,456"),
        (6 * 10**9 + 2, 1, "depth 6000000002 and width 1 give about 96,768,000,000,000 weights, more than 268,435,456"),
    ],
)
def test_refusals(depth, width, message):
    with pytest.raises(BadInput) as error:
        wide_resnet(depth, width)
    assert str(error.value) == message


def test_cnv_has_its_shape_and_uses_its_range():
    net = cnv()
    assert net.weights == 1_542_848
    products = 0
    x = images(net, 1)
    for _, layer, y in trace(net.body, x):
        if isinstance(layer, BinaryConv):
            products += y[0, ..., 0].size * layer.weights.size
        if isinstance(layer, Requantise) and layer.hi - layer.lo == 15:
            assert y.min() == layer.lo
            assert y.max() > 0
    assert products == 59_461_376
    assert net.output.shape == (1, 1, 10)
    with pytest.raises(BadInput, match=r"^this network takes images of 32x32 pixels, not 28x28$"):
        cnv(Tensor(28, 28, 1, 0, 255, 6))
