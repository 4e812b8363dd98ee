"""Networks of Brevitas against what their QONNX graphs compute in 64-bit floats: every code, and what is refused."""

from __future__ import annotations

import contextlib
import re

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from machines import examples, run_accelerator
from numpy.testing import assert_array_equal

from bitfold import Accelerator, balance
from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Requantise, Residual, walk

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from qonnx_graphs import DOMAIN, Graph, evaluate, run  # noqa: E402

from bitfold.model.imports.graphs import staircase  # noqa: E402
from bitfold.model.imports.qonnx import from_qonnx, load  # noqa: E402

RANDOM = np.random.default_rng(12)


@pytest.fixture(autouse=True)
def exact_factors(monkeypatch):
    """Of as many bits as a Scale may have, so that every step is exact; and the same weights in any order of tests."""
    monkeypatch.setattr(staircase, "FACTOR_BITS", 24)
    RANDOM.bit_generator.state = np.random.default_rng(12).bit_generator.state


def codes(net, n=4, seed=0):
    """Images of the network's input type, both ends of its interval among their pixels."""
    random = np.random.default_rng(seed)
    batch = random.integers(net.input.lo, net.input.hi, (n, *net.input.shape), endpoint=True)
    batch[0, 0, 0, 0], batch[-1, -1, -1, -1] = net.input.lo, net.input.hi
    return batch


def judged(model, net, batch, scale=1.0, zero=0.0):
    """What the model gives for images whose pixels are codes of such a scale, as the network's output has it."""
    planes = (batch.transpose(0, 3, 1, 2) - zero) * scale
    shape = model.graph.input[0].type.tensor_type.shape.dim
    found = [run(model, each[None] if len(shape) == 4 else each.reshape(1, -1)) for each in planes]
    if any(each is None for each in found):
        return None
    result = np.concatenate(found)
    return result.transpose(0, 2, 3, 1) if result.ndim == 4 else result[:, None, None]


def check_codes(graph, output, last, first=1.0, offset=0.0, zero=0.0, n=4, constant=False):
    """Every code of the network is the graph's: its output is codes of the scale `last`, minus an offset.

    Its input are codes of the scale `first`, minus `zero`.
    """
    model = graph.model(output)
    net = from_qonnx(model)
    batch = codes(net, n)
    expected = judged(model, net, batch, first, zero)
    assert expected is not None
    expected = expected / np.float32(last).astype(float) + offset
    assert_array_equal(np.rint(expected), expected.round(6))
    varying = (np.ptp(expected, (0, 1, 2)) > 0.5).mean()
    assert varying >= 0.5 or constant, "channels of one code are not worth comparing"
    assert_array_equal(net(batch), np.rint(expected).astype(np.int64))
    return net


def layers(net):
    """All of them, in order."""
    found = []
    walk(net.body, net.input, lambda path, layer, t: found.append(layer))
    return found[1:]


def kinds(net):
    """The names of its layers, in order."""
    return [type(layer).__name__ for layer in layers(net)]


def norms(graph, x, channels, top=4.0):
    """A batch normalisation that fits what images of pixels from 0 to `top` give there; every fourth gamma below 0."""
    model = graph.model(x)
    planes = RANDOM.uniform(0, top, (16, *graph.shape))
    found = np.concatenate([evaluate(model, each) for each in planes])
    axes = (0, 2, 3)[: found.ndim - 1]
    return norm(graph, x, found.mean(axes), found.std(axes), RANDOM)


def norm(graph, x, mean, deviation, random):
    """One of such parameters, roughly."""
    channels = len(mean)
    gamma = random.uniform(0.5, 2, channels) * np.where(np.arange(channels) % 4 == 3, -1, 1)
    mean = mean + random.normal(0, 0.3, channels) * deviation
    return graph.norm(x, gamma, random.normal(0, 0.3, channels), mean, random.uniform(0.5, 2, channels) * deviation**2)


def signs(*shape):
    """Latent weights."""
    return RANDOM.normal(size=shape)


def begun(channels=3, height=6, width=5, scale=0.25, bits=4):
    """A graph of 4-bit unsigned codes, and the name of these."""
    graph = Graph(channels, height, width)
    return graph, graph.quant("input", scale, bits, signed=0)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (2, 1)])
def test_convolution_norm_and_relu(bits, stride, pad):
    graph, x = begun()
    x = graph.conv(x, signs(5, 3, 3, 3), 0.13, stride, pad)
    x = graph.relu(norms(graph, x, 5), 0.37, bits)
    net = check_codes(graph, x, 0.37, 0.25)
    assert kinds(net) == (["BinaryConv", "Requantise"] if bits == 1 else ["BinaryConv", "Scale", "Requantise"])


def test_weights_have_a_scale_for_each_output_and_a_bias():
    graph, x = begun()
    x = graph.conv(x, signs(4, 3, 3, 2), [0.1, 0.2, 0.05, 0.3], bias=[0.3, -0.2, 0.1, 4.0])
    check_codes(graph, graph.quant(x, 0.71, 5), 0.71, 0.25)


def test_scales_of_powers_of_two_are_shifts():
    """And ties, which go to the even code, need two of them."""
    for rounding, once in (("HALF_UP", ["Requantise"]), ("ROUND", ["Residual", *["Chain", "Requantise"] * 2])):
        graph, x = begun(scale=0.25)
        x = graph.quant(graph.conv(x, signs(4, 3, 3, 3), 0.5, pad=1), 2.0, 4, signed=0, rounding=rounding)
        x = graph.quant(graph.conv(x, signs(2, 4, 3, 3), 0.125), 1.0, 3, signed=0, rounding=rounding)
        net = check_codes(graph, x, 1.0, 0.25)
        assert kinds(net) == ["BinaryConv", *once] * 2
        assert (net.input.frac, net.output.frac) == (2, 0)
        shifts = [layer.shift for layer in layers(net) if isinstance(layer, Requantise)]
        assert shifts == ([4, 2] if rounding == "HALF_UP" else [5, 5, 3, 3])


@pytest.mark.parametrize("rounding", ["ROUND", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"])
@pytest.mark.parametrize(("signed", "narrow"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_every_rounding_of_ties(rounding, signed, narrow):
    """The scales are powers of two, so half of all values lie between two codes."""
    graph = Graph(2, 4, 4)
    x = graph.conv(graph.quant("input", 1.0, 6, signed=1), signs(3, 2, 1, 1), 0.5)
    check_codes(graph, graph.quant(x, 1.0, 4, signed=signed, narrow=narrow, rounding=rounding), 1.0)


@pytest.mark.parametrize("zero", [0.0, 3.0, -5.0, 0.25])
def test_zero_points(zero):
    graph = Graph(2, 4, 4)
    x = graph.quant("input", 0.5, 4, zero=8.0)
    x = graph.conv(x, signs(3, 2, 3, 3), 0.5)
    x = graph.quant(x, 0.7, 4, zero=zero)
    whole = zero == int(zero)
    check_codes(graph, x, 0.7, 0.5, offset=0.0 if whole else zero)  # an offset of all channels is left out


def test_bits_that_stand_for_1_and_minus_1():
    graph = Graph(3, 6, 6)
    x = graph.bipolar(norms(graph, graph.conv(graph.quant("input", 1.0, 8, signed=0), signs(5, 3, 3, 3)), 5, top=255))
    x = graph.bipolar(norms(graph, graph.conv(x, signs(4, 5, 3, 3)), 4, top=255), 0.6)
    net = check_codes(graph, x, 1.2, offset=0.5)
    assert kinds(net) == ["BinaryConv", "Requantise"] * 2
    assert (net.output.lo, net.output.hi) == (0, 1)


def test_bits_that_are_padded_with_0():
    graph = Graph(3, 5, 5)
    x = graph.conv(graph.quant("input", 1.0, 8, signed=0), signs(5, 3, 3, 3))
    x = graph.bipolar(norms(graph, x, 5, top=255), 0.5)
    x = graph.bipolar(norms(graph, graph.conv(x, signs(4, 5, 3, 3), pad=1), 4, top=255))
    net = check_codes(graph, x, 2.0, offset=0.5)
    assert kinds(net) == ["BinaryConv", "Requantise", "Requantise", "BinaryConv", "Requantise"]
    middle = net.body.layers[2]
    assert (middle.lo, middle.hi) == (-1, 1)


def test_one_signed_bit_of_a_quant_is_bipolar():
    graph, x = begun()
    x = graph.quant(norms(graph, graph.conv(x, signs(5, 3, 3, 3)), 5), 0.5, 1)
    check_codes(graph, x, 1.0, 0.25, offset=0.5)


def test_one_signed_bit_with_a_zero_point():
    graph, x = begun()
    x = graph.quant(norms(graph, graph.conv(x, signs(5, 3, 3, 3)), 5), 0.5, 1, zero=0.75)
    check_codes(graph, graph.quant(graph.conv(x, signs(4, 5, 3, 3), 0.25), 0.375, 6), 0.375, 0.25)


def test_sums_of_0_are_1():
    """Of two inputs, so that many are."""
    graph, x = begun(channels=2)
    check_codes(graph, graph.bipolar(graph.conv(x, np.array([[[[1.0]], [[-1.0]]]])), 0.5), 1.0, 0.25, offset=0.5, n=20)


def test_weights_of_0_are_1():
    graph, x = begun()
    weights = np.round(signs(4, 3, 3, 3))
    assert (weights == 0).any()
    net = check_codes(graph, graph.quant(graph.conv(x, weights, 0.25), 0.5, 6), 0.5, 0.25)
    assert_array_equal(net.body.layers[0].weights, (weights >= 0).transpose(0, 2, 3, 1))


def test_quantised_weights_of_two_values():
    """By a Quant of one bit, or of several that uses two of them."""
    graph, x = begun()
    x = graph.add("Conv", x, graph.quant(signs(4, 3, 3, 3), 0.25, 1, zero=0.0))
    x = graph.relu(x, 0.5, 4)
    x = graph.add("Conv", x, graph.quant(np.clip(signs(2, 4, 2, 2) * 100, -1, 1), 0.5, 2, narrow=1))
    x = graph.add("Conv", graph.quant(x, 0.5, 8), graph.quant(signs(2, 2, 1, 1), 0.5, 1, signed=0, zero=0.5))
    check_codes(graph, graph.quant(x, 0.5, 8), 0.5, 0.25)


@pytest.mark.parametrize("scale", [0.11, 0.3, 0.7, 1.3])
def test_fraction_bits_name_the_power_of_two_nearest_to_a_scale(scale):
    graph, x = begun(scale=0.4)
    x = graph.relu(norms(graph, graph.conv(x, signs(4, 3, 3, 3), 0.37), 4), scale, 4)
    net = from_qonnx(graph.model(graph.quant(graph.conv(x, signs(3, 4, 3, 3), 0.21), scale, 4)))
    found = []
    walk(net.body, net.input, lambda path, layer, t: found.append(t.frac) if isinstance(layer, BinaryConv) else None)
    assert [*found, net.output.frac] == [1, round(-np.log2(scale)), round(-np.log2(scale))]


def test_thresholds_whose_codes_have_no_code_for_0():
    graph, x = begun()
    x = graph.multi_threshold(graph.conv(x, signs(4, 3, 3, 3), 0.25), [[0.0, 1.0, 2.0]], out_scale=0.5, out_bias=-0.75)
    check_codes(graph, graph.quant(graph.conv(x, signs(3, 4, 3, 2), 0.25), 0.25, 6), 0.25, 0.25)


def test_thresholds_in_any_order():
    graph, x = begun()
    x = graph.add("Relu", graph.conv(x, signs(4, 3, 3, 3), 0.25))
    check_codes(graph, graph.multi_threshold(x, [[1.0, -1.0, 2.0, 0.0]]), 1.0, 0.25)


def test_thresholds():
    graph, x = begun()
    x = graph.conv(x, signs(3, 3, 3, 3), 1.0)
    first = RANDOM.normal(-1, 1, (3, 1))
    x = graph.multi_threshold(x, first + RANDOM.uniform(0.2, 0.5, (3, 1)) * np.arange(7), out_scale=0.5, out_bias=-1.0)
    net = check_codes(graph, x, 0.5, 0.25)
    assert (net.output.lo, net.output.hi) == (-2, 5)


def test_one_threshold_needs_no_factor_and_two_may_be_the_same():
    graph, x = begun()
    x = graph.multi_threshold(graph.conv(x, signs(6, 3, 1, 1)), [[0.1]], out_scale=2.0, out_bias=-1.0)
    x = graph.multi_threshold(graph.conv(x, signs(3, 6, 2, 2)), [[-0.1, -0.1], [0.4, 0.4], [0.1, 0.1]])
    net = check_codes(graph, x, 1.0, 0.25)
    assert kinds(net)[:2] == ["BinaryConv", "Requantise"]


@pytest.mark.parametrize("kind", ["GlobalAveragePool", "ReduceMean", "ReduceSum"])
def test_global_pools(kind):
    """Of bits, which stand for 1 and -1."""
    graph = Graph(3, 4, 8)
    x = graph.bipolar("input", 0.25)
    x = graph.add(kind, x) if kind == "GlobalAveragePool" else graph.add(kind, x, np.array([2, -1]), keepdims=1)
    check_codes(graph, graph.quant(x, 0.0625, 8), 0.0625, 0.5, zero=0.5)


def test_average_pools():
    graph, x = begun(height=7, width=9, scale=1.0)
    x = graph.quant(graph.pool("AveragePool", x, 2), 0.25, 6, signed=0)
    x = graph.pool("AveragePool", x, 2, stride=1, pad=1, count_include_pad=1)
    check_codes(graph, graph.quant(x, 0.125, 8, signed=0), 0.125)


def test_average_pools_pad_with_0():
    """Of bits too, which have no code for it."""
    graph = Graph(3, 4, 5)
    x = graph.pool("AveragePool", graph.bipolar("input", 1.0), 2, stride=1, pad=1, count_include_pad=1)
    check_codes(graph, graph.quant(x, 0.25, 5), 0.25, 2.0, zero=0.5)


def test_average_pools_of_the_pixels_on_the_map():
    graph, x = begun(height=6, width=5, scale=1.0)
    x = graph.pool("AveragePool", x, 3, stride=2, pad=1, count_include_pad=0)
    net = check_codes(graph, graph.quant(x, 0.37, 5, signed=0), 0.37)
    assert net.body.layers[0].valid


def check_window(build, height, width, padding):
    """A window's padding, and its values by onnxruntime: onnx's own reference has other ideas of `auto_pad`."""
    graph, x = begun(height=height, width=width, scale=1.0)
    net = from_qonnx(graph.model(build(graph, x)))
    assert net.body.layers[0].padding == padding
    alone = Graph(3, height, width)
    model = alone.model(build(alone, "input"))
    model.ir_version = 9
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    batch = codes(net)
    planes = batch.transpose(0, 3, 1, 2).astype(np.float32)
    real = np.concatenate([session.run(None, {"input": each[None]})[0] for each in planes])
    assert_array_equal(net(batch), real.transpose(0, 2, 3, 1))


UPPER, LOWER, VALID = "SAME_UPPER", "SAME_LOWER", "VALID"


@pytest.mark.parametrize(
    ("height", "mode", "padding"),
    [(6, UPPER, (1, 1, 1, 1)), (7, UPPER, (1, 2, 1, 1)), (7, LOWER, (2, 1, 1, 1)), (6, VALID, (0, 0, 0, 0))],
)
def test_a_convolution_padded_by_rule(height, mode, padding):
    weights = np.where(signs(2, 3, 4, 3) < 0, -1, 1).astype(np.float32)
    attributes = {"auto_pad": mode, "kernel_shape": [4, 3], "strides": [2, 2]}
    check_window(lambda graph, x: graph.add("Conv", x, weights, **attributes), height, 9, padding)


@pytest.mark.parametrize(
    ("height", "stride", "padding", "attributes"),
    [
        (7, 2, (0, 1, 0, 0), {"auto_pad": UPPER}),
        (7, 2, (1, 0, 0, 0), {"auto_pad": LOWER}),
        (7, 2, (0, 0, 0, 0), {"auto_pad": VALID}),
        (7, 2, (0, 1, 0, 0), {"ceil_mode": 1}),
        (6, 3, (0, 0, 0, 0), {"ceil_mode": 1}),  # the last window would begin beyond the map
    ],
)
def test_a_maximum_pool_padded_by_rule(height, stride, padding, attributes):
    attributes = attributes | {"kernel_shape": [2, 2], "strides": [stride] * 2}
    check_window(lambda graph, x: graph.add("MaxPool", x, **attributes), height, 8, padding)


def test_factors_below_0_turn_weights():
    graph, x = begun()
    x = graph.conv(graph.add("Mul", x, np.float32(-1)), signs(4, 3, 3, 3), 0.25)
    x = graph.add("Sub", np.float32(1), x)
    net = check_codes(graph, graph.quant(x, 0.47, 6), 0.47, 0.25)
    assert kinds(net) == ["BinaryConv", "Scale", "Requantise"]
    assert net.body.layers[1].extremes[0] > 0


@pytest.mark.parametrize(("height", "ceil"), [(6, 0), (7, 0), (7, 1)])
def test_maximum_pools(height, ceil):
    """In front of a quantiser, where factors below 0 would make minima, and behind one."""
    graph, x = begun(height=height, width=6)
    x = norms(graph, graph.conv(x, signs(5, 3, 3, 3), pad=1), 5)
    x = graph.relu(graph.pool("MaxPool", x, 2), 0.37, 4)
    graph.nodes[-3].attribute.append(onnx.helper.make_attribute("ceil_mode", ceil))
    graph.nodes[-3].attribute.remove(next(each for each in graph.nodes[-3].attribute if each.name == "ceil_mode"))
    net = check_codes(graph, graph.pool("MaxPool", x, 3, stride=1, pad=1), 0.37, 0.25)
    assert kinds(net) == ["BinaryConv", "MaxPool", "Scale", "Requantise", "MaxPool"]


def test_a_maximum_of_bits():
    graph, x = begun()
    x = graph.bipolar(norms(graph, graph.conv(x, signs(5, 3, 3, 3), pad=1), 5))
    check_codes(graph, graph.pool("MaxPool", x, 2), 2.0, 0.25, offset=0.5)


def test_a_residual_block_of_one_quantiser():
    graph, x = begun(channels=4)
    skip = graph.quant(x, 0.3, 5)
    y = graph.relu(norms(graph, graph.conv(skip, signs(4, 4, 3, 3), pad=1), 4), 0.4, 4)
    y = graph.quant(norms(graph, graph.conv(y, signs(4, 4, 3, 3), pad=1), 4), 0.3, 5)
    x = graph.relu(graph.add("Add", skip, y), 0.5, 4)
    net = check_codes(graph, x, 0.5, 0.25)
    [residual] = [layer for layer in net.body.layers if isinstance(layer, Residual)]
    assert residual.skip.layers == ()
    assert (residual.lo, residual.hi) == (-16, 12 + 15)  # the skip's 4-bit codes reach 12 of the coarser steps


def test_a_residual_block_with_a_convolution_in_its_skip_inside_another():
    graph, x = begun(channels=4, height=8, width=8)
    x = graph.quant(x, 0.25, 5)
    y = graph.relu(norms(graph, graph.conv(x, signs(6, 4, 3, 3), stride=2, pad=1), 6), 0.4, 4)
    z = graph.quant(norms(graph, graph.conv(y, signs(6, 6, 3, 3), pad=1), 6), 0.4, 4)
    y = graph.quant(graph.add("Add", z, y), 0.3, 6)
    skip = graph.quant(norms(graph, graph.conv(x, signs(6, 4, 1, 1), stride=2), 6), 0.3, 6)
    net = check_codes(graph, graph.relu(graph.add("Sub", y, skip), 0.5, 4), 0.5, 0.25)
    assert kinds(net).count("Residual") == 2
    assert kinds(net).count("BinaryConv") == 3


@pytest.mark.parametrize(("weight", "summand", "last", "residuals"), [(0.13, 0.3, 0.71, 1), (0.5, 0.25, 0.5, 4)])
def test_its_machine_computes_it(weight, summand, last, residuals):
    """A residual block and a head; with powers of two, where ties go to even codes, sums of two lines too."""
    graph, x = begun(channels=2, height=4, width=4)
    skip = graph.quant(x, summand, 5)
    y = graph.relu(graph.conv(skip, signs(2, 2, 3, 3), weight, pad=1), summand, 3)
    y = graph.quant(graph.conv(y, signs(2, 2, 3, 3), weight, pad=1), summand, 5)
    x = graph.pool("MaxPool", graph.relu(graph.add("Add", skip, y), last, 3), 2)
    net = from_qonnx(graph.model(graph.dense(graph.add("Flatten", x), signs(3, 8), bias=RANDOM.normal(size=3))))
    assert kinds(net).count("Residual") == residuals
    batch = codes(net)
    assert_array_equal(run_accelerator(Accelerator(net, balance(net, cycles=200)), batch).logits, net(batch))


def test_summands_of_other_scales():
    """A power of two between them is a shift, a ratio of small numbers a factor; else factors have 12 bits."""
    for one, other, expected in ((0.25, 1.0, []), (0.75, 0.5, ["Scale"]), (0.3, 0.7, ["Scale"])):
        graph, x = begun(channels=4)
        left = graph.quant(graph.conv(x, signs(4, 4, 3, 3), 0.25, pad=1), one, 5)
        right = graph.quant(graph.conv(x, signs(4, 4, 3, 3), 0.25, pad=1), other, 5)
        model = graph.model(graph.add("Add", left, right))
        net = from_qonnx(model)
        batch = codes(net)
        found, real = net(batch), judged(model, net, batch, 0.25)
        unit = 0.25 if one != 0.3 else 0.3 / 2**11
        assert np.abs(found * unit - real).max() <= (0 if one != 0.3 else 16 * unit)
        [residual] = [layer for layer in net.body.layers if isinstance(layer, Residual)]
        scales = [type(branch.layers[-1]).__name__ for branch in (residual.body, residual.skip)]
        assert [name for name in scales if name == "Scale"] == expected


def test_what_two_branches_share_is_computed_once():
    graph, x = begun(channels=4)
    stem = graph.conv(x, signs(4, 4, 3, 3), 0.3, pad=1)
    y = graph.quant(norms(graph, stem, 4), 0.55, 5)  # factors below 0 may not turn what the skip sees too
    net = check_codes(graph, graph.quant(graph.add("Add", y, graph.quant(stem, 0.55, 5)), 0.7, 8), 0.7, 0.25)
    assert kinds(net).count("BinaryConv") == 1


def test_sums_that_no_quantiser_has_seen():
    graph, x = begun(channels=4)
    one, other = (graph.conv(x, signs(4, 4, 3, 3), 0.25, pad=1, bias=RANDOM.normal(size=4)) for _ in range(2))
    net = check_codes(graph, graph.quant(graph.add("Add", one, other), 0.5, 5), 0.5, 0.25)
    [residual] = [layer for layer in net.body.layers if isinstance(layer, Residual)]
    assert [len(branch.layers) for branch in (residual.body, residual.skip)] == [1, 1]


def test_a_branch_takes_the_fraction_bits_of_the_other():
    """By its convolution; without one, by a Scale of ones."""
    graph, x = begun(channels=4)
    y = graph.add("Mul", graph.conv(x, signs(4, 4, 3, 3), 0.125, pad=1), np.float32(8))
    net = check_codes(graph, graph.quant(graph.add("Add", x, y), 0.47, 5), 0.47, 0.25)
    assert kinds(net) == ["Residual", "Chain", "BinaryConv", "Chain", "Scale", "Requantise"]
    graph, x = begun(channels=4)
    y = graph.add("Mul", graph.quant(x, 0.5, 3, signed=0, rounding="HALF_UP"), np.float32(0.5))
    net = check_codes(graph, graph.quant(graph.add("Add", x, y), 0.47, 5), 0.47, 0.25)
    assert kinds(net) == ["Residual", "Chain", "Requantise", "Scale", "Chain", "Scale", "Requantise"]


@pytest.mark.parametrize(
    ("cuts", "constant"),
    [
        ([(0.0, None), (-1, 0.7)], False),
        ([(0.0, None), (0.5, 2)], False),
        ([(None, 1), (2, 3)], True),
        ([(2, 3), (-1, 1)], True),
    ],
)
def test_one_cut_behind_the_other(cuts, constant):
    graph, x = begun()
    x = norms(graph, graph.conv(x, signs(4, 3, 3, 3)), 4)
    for least, most in cuts:
        ends = ["" if end is None else np.float32(end) for end in (least, most)]
        x = graph.add("Clip", x, *ends)
    check_codes(graph, graph.quant(x, 0.17, 6), 0.17, 0.25, constant=constant)


@pytest.mark.parametrize(("least", "most"), [(1.0, None), (None, 2.0), (1.5, 2.5), (50.0, None), (None, -50.0)])
def test_cuts_between_steps_are_layers(least, most):
    graph, x = begun()
    x = graph.add("Add", x, np.float32(0.5))
    x = graph.add("Clip", x, *("" if end is None else np.float32(end) for end in (least, most)))
    x = graph.quant(graph.conv(x, signs(4, 3, 3, 3), 0.25), 0.5, 7)
    net = check_codes(graph, x, 0.5, 0.25, constant=50 in (least, -(most or 0)))
    assert kinds(net)[:2] == ["Requantise", "BinaryConv"]


def test_dense_layers_see_a_flattened_map_in_its_order():
    graph, x = begun(channels=3, height=4, width=5)
    x = graph.add("Flatten", x, axis=1)
    x = graph.relu(graph.dense(x, signs(7, 60), bias=RANDOM.normal(size=7)), 0.3, 4)
    latent = graph.bipolar(signs(6, 7), 0.2)
    x = graph.add("MatMul", x, graph.add("Transpose", latent, perm=[1, 0]))
    x = graph.add("Add", x, RANDOM.normal(size=6))
    net = check_codes(graph, graph.quant(norms(graph, x, 6), 0.3, 6), 0.3, 0.25)
    assert net.output.shape == (1, 1, 6)


def test_a_network_of_dense_layers_alone():
    graph = Graph(12)
    x = graph.relu(graph.dense(graph.quant("input", 0.5, 4), signs(7, 12)), 0.2, 3)
    net = check_codes(graph, graph.quant(graph.dense(x, signs(4, 7)), 0.21, 6), 0.21, 0.5)
    assert net.input.shape == (1, 1, 12)


def test_constants_and_reshapes_on_the_way():
    graph, x = begun()
    x = graph.add("Identity", graph.conv(x, signs(4, 3, 3, 3), 0.25))
    x = graph.add("Mul", x, RANDOM.uniform(0.5, 1, (1, 4, 1, 1)))
    x = graph.add("Div", graph.add("Sub", 1.5, x), np.float32(0.7))
    x = graph.add("Sub", graph.add("Add", x, RANDOM.normal(size=(4, 1, 1))), np.float32(0.2))
    x = graph.add("Clip", x, np.float32(-1.5), np.float32(2.5))
    x = graph.add("Dropout", graph.quant(x, 0.17, 6))
    check_codes(graph, x, 0.17, 0.25)


def test_logits_keep_their_ratios():
    """Biases in 256ths of the sums' unit; factors of each class in 12 bits."""
    graph, x = begun(channels=4)
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", x), axis=1)
    uniform = graph.dense(pooled, signs(5, 4), 0.1, bias=RANDOM.normal(size=5))
    each = graph.dense(pooled, signs(5, 4), RANDOM.uniform(0.1, 0.2, (5, 1)), bias=RANDOM.normal(size=5))
    unit = 0.25 / 30 * 0.1
    for output, most in ((uniform, unit / 512), (each, 4 * 15 * 30 * unit * 2**-11)):
        model = graph.model(output)
        net = from_qonnx(model)
        batch = codes(net, 20)
        real = judged(model, net, batch, 0.25).reshape(20, 5)
        found = net(batch).reshape(20, 5)
        step = (found * real).sum() / (found.astype(float) ** 2).sum()
        assert np.abs(found * step - real).max() <= 2 * most
        assert 0.7 < step * 2.0**net.output.frac < 1.42
        assert_array_equal(found.argmax(1), real.argmax(1))


def test_pixels_of_whole_numbers_need_no_quantiser():
    graph = Graph(2, 5, 5)
    graph.annotation = "UINT8"
    x = graph.add("Div", "input", np.float32(255))
    x = graph.quant(norms(graph, graph.conv(x, signs(4, 2, 3, 3), pad=1), 4, top=255), 0.2, 5)
    net = check_codes(graph, x, 0.2)
    assert (net.input.lo, net.input.hi, net.preprocessing) == (
        0, 255, "integers from 0 to 255, as the model's input takes them",
    )  # fmt: skip


@pytest.mark.parametrize(("element", "interval"), [("UINT8", (0, 255)), ("INT8", (-128, 127))])
def test_pixels_of_a_type_of_8_bits_need_no_quantiser(element, interval):
    graph = Graph(2, 5, 5)
    graph.element = onnx.TensorProto.DataType.Value(element)
    x = graph.add("Div", graph.add("Cast", "input", to=onnx.TensorProto.DOUBLE), np.float32(255))
    x = graph.quant(norms(graph, graph.conv(x, signs(4, 2, 3, 3), pad=1), 4, top=255), 0.2, 5)
    net = check_codes(graph, x, 0.2)
    assert (net.input.lo, net.input.hi) == interval


def test_what_prepares_images_is_left_out():
    graph = Graph(2, 5, 5)
    x = graph.add("Div", graph.add("Sub", "input", np.reshape([100.0, 120], (1, 2, 1, 1))), np.float32(64))
    x = graph.quant(x, 0.0625, 7)
    net = from_qonnx(graph.model(graph.quant(graph.conv(x, signs(4, 2, 3, 3), 0.5), 0.5, 5)))
    assert (net.input.lo, net.input.hi, net.input.frac) == (-64, 63, 4)
    assert net.preprocessing == (
        "whole numbers c from -64 to 63, the codes that node /Quant_2 (Quant) gives for 0.0625 c"
    )
    graph = Graph(2, 5, 5)
    net = from_qonnx(graph.model(graph.conv(graph.bipolar("input", 0.5), signs(4, 2, 3, 3))))
    assert net.preprocessing == (
        "whole numbers c from 0 to 1, the codes that node /BipolarQuant_0 (BipolarQuant) gives for 1 c -0.5"
    )
    graph = Graph(2, 5, 5)
    x = graph.quant("input", [[[[0.5]], [[0.25]]]], 4)
    net = from_qonnx(graph.model(graph.quant(graph.pool("MaxPool", x, 2), 0.25, 8)))
    assert net.preprocessing == "whole numbers c from -8 to 7, the codes that node /Quant_0 (Quant) gives"


def test_dense_networks_as_finn_has_them():
    """Images that are flattened before they are quantised; a norm of one mean and variance, of plain operators."""
    graph = Graph(2, 3, 4)
    x = graph.add("Reshape", "input", np.array([1, -1]))
    x = graph.quant(graph.add("Sub", graph.add("Mul", np.float32(2), x), np.float32(1)), 0.5, 2, narrow=1)
    hidden = graph.add("Transpose", graph.bipolar(signs(6, 24)), perm=[1, 0])
    x = graph.quant(norms(graph, graph.add("MatMul", x, hidden), 6, top=1), 1.0, 2, narrow=1)
    x = graph.add("MatMul", x, graph.add("Transpose", graph.bipolar(signs(3, 6)), perm=[1, 0]))
    deviation = graph.add("Pow", graph.add("Add", np.float32(1.69), np.float32(1e-5)), np.float32(0.5))
    x = graph.add("Div", graph.add("Sub", x, np.float32(0.3)), deviation)
    x = graph.quant(graph.add("Add", graph.add("Mul", x, np.float32(0.9)), np.float32(0.2)), 0.5, 4)
    model = graph.model(x)
    net = from_qonnx(model)
    assert (net.input.shape, net.input.lo, net.input.hi) == ((3, 4, 2), -1, 1)
    batch = codes(net, 50)
    planes = (batch.transpose(0, 3, 1, 2) * 0.5 + 1) / 2
    real = np.concatenate([run(model, each[None]) for each in planes])
    assert_array_equal(net(batch)[:, 0, 0], np.rint(real / 0.5))


@st.composite
def graphs(draw: DrawFn):
    """A random graph of blocks, its output's scale and offset, and its input's scale."""
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    graph = Graph(channels := draw(st.integers(1, 4)), draw(st.integers(2, 7)), draw(st.integers(2, 7)))
    size = graph.shape[2:]
    first = float(np.float32(random.uniform(0.1, 1)))
    bits = draw(st.integers(1, 8))
    x = graph.quant("input", first, bits, signed=draw(st.integers(0, 1)) if bits > 1 else 0)
    scale, deviation, zero = first, 5 * first, 0.0

    def random_norm(x, channels, deviation):
        return norm(graph, x, np.zeros(channels), np.full(channels, deviation), random)

    def activation(x, channels):
        """A norm, perhaps, and a quantiser: its name, scale and offset."""
        kind = draw(st.sampled_from(["relu", "signed", "bipolar", "thresholds", "pool"]))
        if draw(st.booleans()) or kind == "bipolar":
            x, spread = random_norm(x, channels, deviation), 2.0
        else:
            spread = deviation
        if kind == "bipolar":
            width = float(np.float32(random.uniform(0.2, 1)))
            return graph.bipolar(x, width), 2 * width, 0.5
        if kind == "thresholds":
            start, step = random.normal(0, spread, (channels, 1)), random.uniform(0.1, 1, (channels, 1)) * spread
            return graph.multi_threshold(x, start + step * np.arange(draw(st.integers(1, 9)))), 1.0, 0.0
        bits = draw(st.integers(2, 8))
        width = float(np.float32(random.uniform(2, 6) * spread / 2**bits))
        if kind == "pool" and min(size) > 1:
            size[:] = [each - 1 for each in size]
            x = graph.pool("MaxPool", x, 2, stride=1)
        return (graph.quant(x, width, bits) if kind == "signed" else graph.relu(x, width, bits)), width, 0.0

    for _ in range(draw(st.integers(1, 3))):
        block = draw(st.sampled_from(["conv", "residual", "average"]))
        if block == "average" and min(size) > 1:
            x = graph.pool("AveragePool", x, 2, stride=1)
            size[:] = [each - 1 for each in size]
            continue
        outs = channels if block == "residual" else draw(st.integers(1, 6))
        kernel = draw(st.sampled_from([1, 3]))
        pad = kernel // 2 if block == "residual" or min(size) < kernel or draw(st.booleans()) else 0
        weights = random.normal(size=(outs, channels, kernel, kernel))
        unit = float(np.float32(random.uniform(0.05, 0.5)))
        y = graph.conv(x, weights, unit, pad=pad, bias=random.normal(size=outs) if draw(st.booleans()) else None)
        deviation = 3 * unit * np.sqrt(weights[0].size)
        if block == "residual":
            bits, width = draw(st.integers(3, 6)), float(np.float32(random.uniform(0.2, 1)))
            x = graph.add("Add", graph.quant(x, width, bits), graph.quant(random_norm(y, outs, deviation), width, bits))
            deviation = 2 * width
            y = x
        elif not pad:
            size[:] = [each - kernel + 1 for each in size]
        x, scale, zero = activation(y, outs)
        channels = outs
    if block == "average":
        x, scale, zero = activation(x, channels)
    return graph, graph.add("Identity", x), scale, zero, first


def check_random(drawn):
    graph, output, last, zero, first = drawn
    model = graph.model(output)
    net = from_qonnx(model)
    batch = codes(net, 3)
    real = judged(model, net, batch, first)
    if real is None:
        reject()
    assert_array_equal(net(batch), np.rint(real / last + zero).astype(np.int64))


def test_factors_of_few_bits_miss_few_codes(monkeypatch):
    """As it is shipped: of 8-bit pixels, by one at the most."""
    bits = staircase.FACTOR_BITS
    graph = Graph(3, 9, 9)
    x = graph.conv(graph.quant("input", 1.0, 8, signed=0), signs(16, 3, 3, 3), pad=1)
    model = graph.model(graph.relu(norms(graph, x, 16, top=255), 0.2, 4))
    exact = from_qonnx(model)
    monkeypatch.undo()
    assert bits > staircase.FACTOR_BITS
    net = from_qonnx(model)
    most = [max(layer.extremes) for layer in (exact.body.layers[1], net.body.layers[1])]
    assert most[1] < 2**staircase.FACTOR_BITS <= most[0]
    batch = codes(net, 200)
    difference = np.abs(net(batch) - exact(batch))
    assert 0 < difference.mean() < 1e-3
    assert difference.max() == 1


@given(graphs())
@examples(60, shrink=False)
def test_random_graphs(drawn):
    check_random(drawn)


@pytest.mark.slow
@given(graphs())
@examples(1500)
def test_random_graphs_at_length(drawn):
    check_random(drawn)


def add(kind, *inputs, **attributes):
    """A graph of one node on 4-bit codes [1, 3, 6, 5]."""

    def build():
        graph, x = begun()
        return graph, graph.add(kind, x, *inputs, **attributes)

    return build


def weighted(values, **attributes):
    """A convolution by constants that no BipolarQuant has seen."""
    return add("Conv", values, **({"pads": [0] * 4, "strides": [1, 1], "dilations": [1, 1], "group": 1} | attributes))


def grown(build):
    """A graph of several nodes on 4-bit codes."""

    def made():
        graph, x = begun()
        return graph, build(graph, x)

    return made


KERNEL = np.where(signs(2, 3, 3, 3) < 0, -0.5, 0.5)

REFUSED = {
    "Conv_1 (Conv): its weights have 2 magnitudes in output 1; 1-bit weights have one, as BipolarQuant gives them": (
        weighted(KERNEL * np.where(np.arange(54) == 30, 2, 1).reshape(2, 3, 3, 3))
    ),
    "Conv_1 (Conv): its channels come in groups; each output of a layer sees all of them": (
        weighted(KERNEL[:, :1], group=3)
    ),
    "Conv_1 (Conv): its strides are [2, 1], its dilations [1, 1]; a layer has one stride alone": (
        weighted(KERNEL, strides=[2, 1])
    ),
    "Conv_1 (Conv): its strides are [1, 1], its dilations [2, 2]; a layer has one stride alone": (
        weighted(KERNEL, dilations=[2, 2])
    ),
    "Conv_1 (Conv): padding (3, 3, 3, 3) must be smaller than the 3x3 kernel": weighted(KERNEL, pads=[3] * 4),
    "Conv_1 (Conv): its weights expect 2 channels, its input has 3": weighted(KERNEL[:, :2]),
    "Mul_2 (Mul): its constant of the shape [1, 3] is not one number a channel": grown(
        lambda graph, x: graph.add("Mul", graph.add("Flatten", x), np.ones((1, 3)) / 3)
    ),
    "Gemm_3 (Gemm): its bias of the shape [1] is not one number an output": grown(
        lambda graph, x: graph.dense(graph.add("Flatten", x), signs(2, 90), bias=[1.0])
    ),
    "Conv_1 (Conv): its weights of the shape [2, 3, 3] do not go with [N, 3, 6, 5]": weighted(KERNEL[..., 0]),
    "Sigmoid_1 (Sigmoid): no layer computes this operator": add("Sigmoid"),
    "Trunc_1 (Trunc): no layer computes this operator": add("Trunc", np.float32(1), domain=DOMAIN),
    "Mul_1 (Mul): its constant of the shape [5] is not one number a channel": add("Mul", np.ones(5) / 3),
    "Mul_1 (Mul): both its inputs depend on the image; no layer multiplies or divides these": grown(
        lambda graph, x: graph.add("Mul", x, x)
    ),
    "Div_1 (Div): it divides by 0": add("Div", [[[0.5]], [[0.0]], [[0.25]]]),
    "Div_1 (Div): it divides by what depends on the image; no layer does": grown(
        lambda graph, x: graph.add("Div", np.float32(2), x)
    ),
    "Conv_3 (Conv): its input has a scale for each channel; a convolution's input has one for all of them": grown(
        lambda graph, x: graph.conv(graph.quant(x, [[[[1.0]], [[0.5]], [[0.25]]]], 4), signs(2, 3, 3, 3))
    ),
    "Conv_4 (Conv): a Relu or Clip in front of it cuts between the steps of what it takes; put a quantiser there": (
        grown(lambda graph, x: graph.conv(graph.add("Relu", graph.add("Add", x, np.float32(-0.1))), signs(2, 3, 3, 3)))
    ),
    "Conv_3 (Conv): it pads with 0, for which its input has no code": grown(
        lambda graph, x: graph.conv(graph.add("Add", x, np.float32(-0.1)), signs(2, 3, 3, 3), pad=1)
    ),
    "Quant_1 (Quant): it has 9 bits; activations have 1 to 8": grown(lambda graph, x: graph.quant(x, 0.1, 9)),
    "Quant_1 (Quant): it has 2.5 bits; activations have 1 to 8": grown(lambda graph, x: graph.quant(x, 0.1, 2.5)),
    "Quant_1 (Quant): its scale must be above 0": grown(lambda graph, x: graph.quant(x, 0.0, 4)),
    "Quant_1 (Quant): its rounding mode ANY is none of ROUND, HALF_EVEN, HALF_UP, HALF_DOWN, CEIL, FLOOR, UP, DOWN": (
        grown(lambda graph, x: graph.quant(x, 0.1, 4, rounding="ANY"))
    ),
    "Quant_1 (Quant): its zero point and its bit width must be one number each": grown(
        lambda graph, x: graph.quant(x, 0.1, 4, zero=[[[[1.0]], [[0.0]], [[0.0]]]])
    ),
    "MultiThreshold_3 (MultiThreshold): its levels lie too unevenly for a factor and a shift; space them evenly": (
        grown(lambda graph, x: graph.multi_threshold(graph.conv(x, signs(1, 3, 3, 3)), [[0.0, 0.2, 0.5, 2.0, 2.3]]))
    ),
    "MultiThreshold_1 (MultiThreshold): its data_layout must be NCHW": grown(
        lambda graph, x: graph.multi_threshold(x, [[0.5]], data_layout="NHWC")
    ),
    "MultiThreshold_1 (MultiThreshold): its thresholds have the shape [2, 1]; it must be [3, n], with n of 1 to 255": (
        grown(lambda graph, x: graph.multi_threshold(x, [[0.5], [1.0]]))
    ),
    "AveragePool_1 (AveragePool): its kernel of [2, 3] on [N, 3, 6, 5] is not the square one that a layer has": (
        add("AveragePool", kernel_shape=[2, 3])
    ),
    "AveragePool_1 (AveragePool): its last window reaches beyond the map (ceil_mode); pad the map instead": (
        add("AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    ),
    "ReduceMean_1 (ReduceMean): it reduces the axes [1]; a layer reduces 2 and 3, height and width": (
        add("ReduceMean", axes=[1])
    ),
    "Reshape_1 (Reshape): it makes [1, 6, 3, 5] of [N, 3, 6, 5]; a layer can only flatten it": (
        add("Reshape", np.array([1, 6, 3, 5]))
    ),
    "Gemm_2 (Gemm): its weights of the shape [2, 4] do not go with [N, 3, 6, 5]": grown(
        lambda graph, x: graph.dense(x, signs(2, 4))
    ),
    "BatchNormalization_2 (BatchNormalization): it normalises each of [N, 90] apart; a layer does so by channel": (
        grown(lambda graph, x: graph.norm(graph.add("Flatten", x), *np.ones((4, 90))))
    ),
    "BatchNormalization_1 (BatchNormalization): its parameters must be one number a channel, its variances above 0": (
        grown(lambda graph, x: graph.norm(x, np.ones(3), np.ones(3), np.ones(3), [1.0, -1, 1]))
    ),
    "BatchNormalization_1 (BatchNormalization): a constant is not a finite number": grown(
        lambda graph, x: graph.norm(x, np.ones(3), [0, np.nan, 0], np.ones(3), np.ones(3))
    ),
    "Add_4 (Add): it adds maps of 6x5x2 and 6x5x3": grown(
        lambda graph, x: graph.add("Add", graph.quant(graph.conv(x, signs(2, 3, 3, 3), pad=1), 0.25, 4), x)
    ),
    "Cast_1 (Cast): it makes integers of real numbers; a quantiser does": add("Cast", to=onnx.TensorProto.INT32),
    "Slice_1 (Slice): no layer computes this operator": add("Slice"),
    "Cast_1 (Cast): its inputs and attributes do not go together: \"'to'\"": add("Cast"),
}
"""What is wrong with a node, after "node /", and the graph that has it."""


@pytest.mark.parametrize("message", REFUSED)
def test_what_no_layer_says_is_refused_by_its_node(message, tmp_path):
    graph, output = REFUSED[message]()
    message = f"node /{message}"
    with pytest.raises(BadInput) as refusal:
        from_qonnx(graph.model(output))
    assert str(refusal.value) == message
    onnx.save(graph.model(output), tmp_path / "net.onnx")
    with pytest.raises(BadInput) as refusal:
        load(tmp_path / "net.onnx")
    assert str(refusal.value) == f"{tmp_path}/net.onnx: {message}"


def test_an_input_of_real_numbers_is_refused():
    graph = Graph(3, 6, 5)
    with pytest.raises(BadInput) as refusal:
        from_qonnx(graph.model(graph.conv("input", signs(2, 3, 3, 3))))
    assert str(refusal.value) == (
        "its input 'input' reaches Conv before a quantiser, so nothing says which integers it has: begin with a Quant "
        "(QuantIdentity), or annotate it as UINT8"
    )
    graph = Graph(10**10, 1, 1)
    with pytest.raises(BadInput, match="10000000000"):
        from_qonnx(graph.model(graph.quant("input", 1.0, 4)))
    for shape in ((3, 0, 5), (3, 6)):
        graph = Graph(*shape)
        with pytest.raises(BadInput, match=r"^its input has the shape \[1, 3, .*all of them numbers but N$"):
            from_qonnx(graph.model(graph.quant("input", 1.0, 4)))


def test_other_graphs_are_refused():
    graph, x = begun()
    model = graph.model(graph.quant(x, 1.0, 4))
    model.graph.output.append(onnx.helper.make_tensor_value_info(x, onnx.TensorProto.FLOAT, None))
    graph, x = begun()
    with pytest.raises(BadInput, match=r"^its output is a flattened map; a network gives a map or one value a class$"):
        from_qonnx(graph.model(graph.add("Flatten", x)))
    with pytest.raises(BadInput, match=r"^it has 1 inputs and 2 outputs; a network has one of each$"):
        from_qonnx(model)
    graph = Graph(3, 6, 5)
    with pytest.raises(BadInput, match=r"^its output .* does not depend on its input 'input'$"):
        from_qonnx(graph.model(graph.bipolar(np.ones((1, 2)))))


def test_files_that_are_no_models_are_refused_in_a_line(tmp_path):
    graph, x = begun()
    raw = graph.model(graph.quant(graph.conv(x, signs(2, 3, 3, 3)), 1.0, 4)).SerializeToString()
    for content in (b"", b"nothing", raw[: len(raw) // 2], raw[:-3], b"\x89HDF" + raw):
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises(BadInput) as refusal:
            load(tmp_path / "x.onnx")
        assert str(refusal.value).startswith(f"{tmp_path}/x.onnx")
        assert "\n" not in str(refusal.value)
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        load(tmp_path / "none.onnx")


def whole_file() -> bytes:
    """A model of most kinds of node."""
    graph, x = begun()
    y = graph.relu(norms(graph, graph.conv(x, signs(3, 3, 3, 3), pad=1), 3), 0.3, 4)
    x = graph.add("Add", graph.quant(y, 0.3, 4), graph.quant(x, 0.3, 4))
    x = graph.dense(graph.add("Flatten", graph.pool("MaxPool", x, 2)), signs(2, 18))
    return graph.model(x).SerializeToString()


WHOLE = whole_file()


@given(st.data())
@examples(300, shrink=False)
def test_a_damaged_file_is_read_or_refused(data):
    raw = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    model = onnx.ModelProto()
    try:
        model.ParseFromString(bytes(raw))
    except Exception:
        reject()
    with contextlib.suppress(BadInput):
        from_qonnx(model)


def test_weights_may_lie_in_another_file(tmp_path):
    graph, x = begun()
    model = graph.model(graph.quant(graph.conv(x, signs(8, 3, 3, 3)), 0.5, 4))
    expected = from_qonnx(model).digest()
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=100)
    assert load(tmp_path / "net.onnx").digest() == expected
    (tmp_path / "net.data").unlink()
    with pytest.raises(BadInput, match=r"net\.onnx is not a whole ONNX model \(.*net\.data.*\); export it again$"):
        load(tmp_path / "net.onnx")


BREVITAS = """
Quant(narrow, rounding_mode, signed)
BipolarQuant() Conv(dilations, group, kernel_shape, pads, strides)
BatchNormalization(epsilon, momentum, training_mode) Relu() Quant(narrow, rounding_mode, signed)
Quant(narrow, rounding_mode, signed)
BipolarQuant() Conv(dilations, group, kernel_shape, pads, strides)
BatchNormalization(epsilon, momentum, training_mode) Relu() Quant(narrow, rounding_mode, signed)
BipolarQuant() Conv(dilations, group, kernel_shape, pads, strides)
BatchNormalization(epsilon, momentum, training_mode) Quant(narrow, rounding_mode, signed)
Add() Relu() Quant(narrow, rounding_mode, signed)
GlobalAveragePool() Flatten(axis) BipolarQuant() Gemm(alpha, beta, transB)
"""
"""What Brevitas 0.13.4 and torch 2.13 wrote of a stem, a Block and the head of examples/brevitas_digits.py."""


def test_graphs_are_made_as_brevitas_writes_them():
    graph = Graph(1, 8, 8)
    x = graph.quant("input", 1.0, 8, signed=0)
    x = graph.relu(norms(graph, graph.conv(x, signs(4, 1, 3, 3), pad=1), 4), 0.3, 4)
    skip = graph.quant(x, 0.3, 5)
    y = graph.relu(norms(graph, graph.conv(skip, signs(4, 4, 3, 3), pad=1), 4), 0.4, 4)
    y = graph.quant(norms(graph, graph.conv(y, signs(4, 4, 3, 3), pad=1), 4), 0.3, 5)
    x = graph.relu(graph.add("Add", skip, y), 0.4, 4)
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x), axis=1)
    model = graph.model(graph.dense(x, signs(10, 4), bias=np.zeros(10)))
    made = [f"{node.op_type}({', '.join(sorted(each.name for each in node.attribute))})" for node in model.graph.node]
    assert made == re.findall(r"\w+\(.*?\)", BREVITAS)
    domains = {node.domain for node in model.graph.node if "Quant" in node.op_type}
    assert domains == {"qonnx.custom_op.general"}
    net = from_qonnx(model)
    assert (net.input.lo, net.input.hi) == (0, 255)
    assert kinds(net).count("BinaryConv") == 4
