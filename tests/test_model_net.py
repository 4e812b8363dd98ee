"""Net: what it refuses, and that it computes the same in any block size."""

import numpy as np
import pytest
from hypothesis import given
from strategies import images, nets

from bitfold.model import net as net_module
from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Chain, GlobalSum, PadChannels, Requantise, Residual, SumPool
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

PIXELS = Tensor(4, 4, 2, 0, 15, frac=4)


def conv(c_in, c_out, kernel=3, scale=0):
    return BinaryConv(np.ones((c_out, kernel, kernel, c_in), np.bool_), scale=scale)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((conv(3, 1),), "layer 0 (BinaryConv): the weights expect 3 channels, the input has 2"),
        (
            (GlobalSum(), conv(2, 1)),
            "layer 1 (BinaryConv): the 3x3 kernel is larger than the padded 1x1 map",
        ),
        ((SumPool(5, 1),), "layer 0 (SumPool): the 5x5 kernel is larger than the padded 4x4 map"),
        (
            (Chain((Requantise(0, 0, 1, np.zeros(3, np.int64)),)),),
            "layer 0.0 (Requantise): the offset has 3 channels, the input has 2",
        ),
        (
            (Requantise(-48, 0, 1, np.full(2, 2**20)),),
            f"layer 0 (Requantise): the interval [{2**68}, {2**68 + (15 << 48)}] does not fit 64 bits",
        ),
        (
            (Residual(Chain((PadChannels(1),))),),
            "layer 0 (Residual): the body gives 4x4x3, the skip 4x4x2",
        ),
        (
            (GlobalSum(), Residual(Chain((Residual(Chain((conv(2, 2, 1, scale=3),))),)))),
            "layer 1.body.0 (Residual): the body has 7 fraction bits, the skip 4; an addition demands equal ones",
        ),
        (
            (Residual(Chain(), Chain((conv(9, 1),))),),
            "layer 0.skip.0 (BinaryConv): the weights expect 9 channels, the input has 2",
        ),
    ],
)
def test_refusals_name_the_layer_and_the_rule(layers, message):
    with pytest.raises(BadInput) as error:
        Net(PIXELS, Chain(layers))
    assert str(error.value) == message


def test_class_names_must_match_the_outputs():
    with pytest.raises(BadInput) as error:
        Net(PIXELS, Chain(), ("one",))
    assert str(error.value) == "1 class names for 2 output channels"


def test_images_are_checked():
    with pytest.raises(BadInput) as error:
        Net(PIXELS, Chain())(np.full((1, 4, 4, 2), 16))
    assert str(error.value) == "the values span [16, 16]; expected [0, 15]"


@given(net=nets())
def test_blocks_of_images_do_not_change_the_result(net):
    x = images(net, 5)
    together = net(x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(net_module, "CACHED_VALUES", 1)
        one_by_one = Net(net.input, net.body)(x)
    np.testing.assert_array_equal(together, one_by_one)
    assert together.dtype == one_by_one.dtype
    assert net(x[:0]).shape == (0, *net.output.shape)
    net.output.check(together)


def test_unsigned_images_and_weights_and_classes():
    net = Net(PIXELS, Chain((GlobalSum(), conv(2, 3, 1), Residual(Chain((conv(3, 3, 1),))))))
    assert net.weights == 6 + 9
    assert net(np.full((2, 4, 4, 2), 15, np.uint8)).shape == (2, 1, 1, 3)
    assert net.classify(np.full((2, 4, 4, 2), 15, np.uint8)).tolist() == [0, 0]
