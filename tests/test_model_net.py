"""Net: what it refuses, and that it computes the same in any block size."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from strategies import images, nets

from bitfold.model import net as net_module
from bitfold.model.error import BadInput
from bitfold.model.layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    Layer,
    PadChannels,
    Requantise,
    Residual,
    Scale,
    SumPool,
    Table,
)
from bitfold.model.net import Net
from bitfold.model.networks import wide_resnet
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


def nested(levels):
    chain = Chain()
    for _ in range(levels):
        chain = Chain((chain,))
    return chain


def tree(levels, width):
    """A chain of the same chain, again and again: few objects, many layers."""
    chain = Chain()
    for _ in range(levels):
        chain = Chain((chain,) * width)
    return chain


def alternating(count):
    """Convolutions from 8,192 channels to as many."""
    return (PadChannels(8190), *(BinaryConv(np.ones((8192, 1, 1, 8192), np.bool_)), Requantise(0, 0, 1)) * count)


AROUND = (1023,) * 4
ONES = Requantise(0, 0, 1)
MOVED = "values and operations of pools a frame, more than 1,073,741,824"
LIMITS: list[tuple[Tensor, tuple[Layer, ...], str]] = [
    (
        PIXELS,
        (SumPool(1024, 1, AROUND),),
        f"layer 0 (SumPool): with it the network has 35,390,866,260,256 {MOVED}",
    ),
    (
        Tensor(512, 512, 64, 0, 1),
        (SumPool(1024, 1, AROUND),),
        "layer 0 (SumPool): the padded map of 2558x2558x64 has more than 67,108,864 values",
    ),
    (
        Tensor(512, 512, 2, 0, 1),
        (BinaryConv(np.ones((1, 128, 128, 2), np.bool_), 1, (127,) * 4),),
        "layer 0 (BinaryConv): with it the network has 428,155,600,896 products a frame, more than 68,719,476,736",
    ),
    (PIXELS, (PadChannels(2**15 - 1),), "layer 0 (PadChannels): a map of 4x4x32769 has more than 32,768 channels"),
    (
        PIXELS,
        (PadChannels(2**15 - 2), *(Requantise(0, 0, 1, np.zeros(2**15, np.int64)),) * 33),
        "layer 33 (Requantise): with it the network has 1,081,344 constants (offsets, factors, tables, outputs of "
        "convolutions), more than 1,048,576",
    ),
    (
        Tensor(1, 1, 1, 0, 255),
        (Table(np.arange(256), 0),) * 4097,
        "layer 4096 (Table): with it the network has 1,048,832 constants (offsets, factors, tables, outputs of "
        "convolutions), more than 1,048,576",
    ),
    (
        Tensor(1, 1, 2, 0, 1),
        alternating(5),
        "layer 9 (BinaryConv): with it the network has 335,544,320 weights, more than 268,435,456",
    ),
    (PIXELS, (Chain(),) * 8192, "layer 8191 (Chain): with it the network has 8,193 layers, more than 8,192"),
    (PIXELS, (tree(20, 1000),), "with it the network has 8,193 layers, more than 8,192"),
    (PIXELS, (nested(32),), f"layer {'0.' * 32}0 (Chain): it lies in more than 32 others"),
    (PIXELS, (nested(900),), f"layer {'0.' * 32}0 (Chain): it lies in more than 32 others"),
    (
        Tensor(1024, 2048, 1, 0, 1),
        (ONES,) * 17,
        f"layer 16 (Requantise): with it the network has 1,140,850,688 {MOVED}",
    ),
    (
        PIXELS,
        (Scale(np.ones(2, np.int64), 2**9),),
        "layer 0 (Scale): a tensor's fraction bits must lie in [-512, 512], not 516",
    ),
]


@pytest.mark.parametrize(("source", "layers", "message"), LIMITS)
def test_what_costs_too_much_is_refused_before_it_is_made(source, layers, message):
    tracemalloc.start()
    try:
        with pytest.raises(BadInput) as error:
            Net(source, Chain(layers))
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert str(error.value).endswith(message)


def test_published_networks_are_accepted():
    """The largest wide residual network of the papers, and the first and the largest maps of an ImageNet ResNet."""
    assert wide_resnet(20, 10).weights == 26_737_120
    stem = BinaryConv(np.ones((64, 7, 7, 3), np.bool_), 2, (3, 3, 3, 3))
    relu = Requantise(0, 0, 1)
    blocks = [
        layer
        for c_in, c_out, stride in [(64, 256, 1), (256, 512, 2), (512, 1024, 2), (1024, 2048, 2)]
        for layer in (BinaryConv(np.ones((c_out, 3, 3, c_in), np.bool_), stride, (1, 1, 1, 1)), relu)
    ]
    net = Net(Tensor(224, 224, 3, 0, 255), Chain((stem, relu, SumPool(3, 2, (1, 1, 1, 1)), relu, *blocks, GlobalSum())))
    assert net.output.shape == (1, 1, 2048)


def test_a_full_network_still_works():
    net = Net(PIXELS, Chain((*(Chain(),) * 8160, nested(30))))
    x = np.zeros((1, 4, 4, 2), np.int8)
    np.testing.assert_array_equal(net(x), x)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("one",), "1 class names for 2 output channels"),
        ("ab", "the class names must be a tuple of texts, not str"),
        (("one", 2), "the class name 2 is no text"),
        (("one", "a\x1b[2J"), r'the class name "a\x1b[2J" holds \x1b; remove that character'),
        (("one", "\u202eab"), r'the class name "\u202eab" holds \u202e; remove that character'),
        (("one", "a\ud800"), r'the class name "a\ud800" holds \ud800; remove that character'),
        (("one", "a\u2028b"), r'the class name "a\u2028b" holds \u2028; remove that character'),
        (("one", "x" * 2001), f'the class name "{"x" * 40}..." has 2,001 characters; shorten it to 2,000'),
    ],
)
def test_class_names_that_no_file_could_hold_are_refused(classes, message):
    with pytest.raises(BadInput) as error:
        Net(PIXELS, Chain(), classes)
    assert str(error.value) == message


def test_a_description_larger_than_a_file_s_is_refused():
    with pytest.raises(BadInput) as error:
        Net(Tensor(1, 1, 1000, 0, 1), Chain(), ("\N{GRINNING FACE}" * 400,) * 1000)
    assert str(error.value) == (
        "the network's description takes 5,605,264 bytes, a file has room for 4,194,304: shorten the class names"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Net((4, 4, 2), Chain()), "a network's input must be a Tensor, not tuple"),
        (lambda: Net(PIXELS, (GlobalSum(),)), "a network's body must be a Chain, not tuple"),
        (lambda: Net(PIXELS, GlobalSum()), "a network's body must be a Chain, not GlobalSum"),
        (lambda: Net(PIXELS, Chain(), (), None), "the preprocessing None is no text"),
        (
            lambda: Net(PIXELS, Chain(), (), "two\nlines"),
            r'the preprocessing "two\nlines" holds \n; remove that character',
        ),
    ],
)
def test_odd_parts_are_refused(make, message):
    with pytest.raises(BadInput) as error:
        make()
    assert str(error.value) == message


def test_class_names_in_a_list_become_the_network_s_own():
    names = ["one", "two"]
    net = Net(PIXELS, Chain(), names)
    names[0] = "three"
    assert net.classes == ("one", "two")
    assert net.digest() == Net(PIXELS, Chain(), ("one", "two")).digest()


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


@pytest.mark.parametrize(
    ("layers", "count"),
    [
        ((SumPool(256, 128, (255,) * 4),), 256),
        ((BinaryConv(np.ones((1, 256, 1, 2), np.bool_), 9, (255, 255, 0, 0)),), 4096),
        ((PadChannels(2**13), BinaryConv(np.ones((1, 1, 1, 2**13 + 2), np.bool_))), 1024),
    ],
)
def test_many_images_take_no_more_memory_than_few(layers, count):
    """Their number at once follows from the largest map: a padded one, or the last."""
    net = Net(PIXELS, Chain((*layers, GlobalSum())))
    tracemalloc.start()
    try:
        net(np.zeros((count, 4, 4, 2), np.int8))
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_unsigned_images_and_weights_and_classes():
    net = Net(PIXELS, Chain((GlobalSum(), conv(2, 3, 1), Residual(Chain((conv(3, 3, 1),))))))
    assert net.weights == 6 + 9
    assert net(np.full((2, 4, 4, 2), 15, np.uint8)).shape == (2, 1, 1, 3)
    assert net.classify(np.full((2, 4, 4, 2), 15, np.uint8)).tolist() == [0, 0]
