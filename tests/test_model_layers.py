"""Every kind of layer against loops over Python's integers, and the types it promises."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import LAYERS, binary_convs, images, layers_and_inputs, nets, tensors

from bitfold.model import layers
from bitfold.model.error import BadInput
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
    argmax,
    shifted_relu,
    trace,
    walk,
)
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor


def positions(x, kernel, stride, padding):
    """(row, column, window) of every place of the kernel on the padded object array x."""
    x = np.pad(x, ((0, 0), padding[:2], padding[2:], (0, 0)))
    for row, top in enumerate(range(0, x.shape[1] - kernel[0] + 1, stride)):
        for column, left in enumerate(range(0, x.shape[2] - kernel[1] + 1, stride)):
            yield row, column, x[:, top : top + kernel[0], left : left + kernel[1]]


def on_map(x, kernel, stride, padding):
    """What lies on the map of each place of the kernel: (row, column) to an object array [N, rows, columns, C]."""
    top, _, left, _ = padding
    found = {}
    for row, column, _ in positions(x, (kernel, kernel), stride, padding):
        y, x0 = row * stride - top, column * stride - left
        found[row, column] = x[:, max(y, 0) : y + kernel, max(x0, 0) : x0 + kernel]
    return found


def mapped(outputs):
    """The map of what each place gives, (row, column) to [N, C]."""
    rows, columns = max(outputs)
    return np.stack([np.stack([outputs[r, c] for c in range(columns + 1)], 1) for r in range(rows + 1)], 1)


def naive(layer, x):
    """The layer's meaning from DESIGN section 2, on an object array of Python integers."""
    match layer:
        case BinaryConv(weights, stride, padding):
            out = {}
            for row, column, window in positions(x, weights.shape[1:3], stride, padding):
                for channel, signs in enumerate(weights):
                    for image, values in enumerate(window):
                        pairs = zip(values.ravel(), signs.ravel(), strict=True)
                        out[image, row, column, channel] = sum(q if sign else -q for q, sign in pairs)
            y = np.empty(tuple(last + 1 for last in max(out)), object)
            for index, value in out.items():
                y[index] = value
            return y
        case Requantise(shift, lo, hi, offset):
            y = np.empty_like(x)
            for index, q in np.ndenumerate(x):
                total = q + (0 if offset is None else int(offset[index[-1]]))
                half = Fraction(1, 2) if shift > 0 else 0
                y[index] = min(max(math.floor(total / Fraction(2) ** shift + half), lo), hi)
            return y
        case Scale(factors):
            y = np.empty_like(x)
            for index, q in np.ndenumerate(x):
                y[index] = q * int(factors[index[-1]])
            return y
        case Table(values, lo):
            y = np.empty_like(x)
            for index, q in np.ndenumerate(x):
                y[index] = int(values[q - lo])
            return y
        case SumPool(kernel, stride, padding, valid=False):
            return mapped({(r, c): w.sum(axis=(1, 2)) for r, c, w in positions(x, (kernel, kernel), stride, padding)})
        case SumPool(kernel, stride, padding, valid=True):
            windows = on_map(x, kernel, stride, padding)
            divisor = math.prod(math.lcm(*{w.shape[axis] for w in windows.values()}) for axis in (1, 2))
            means = {place: w.sum(axis=(1, 2)) * Fraction(1, w[0, ..., 0].size) for place, w in windows.items()}
            y = mapped(means) * divisor
            assert all(q.denominator == 1 for q in y.ravel())
            return y.astype(object)
        case MaxPool(kernel, stride, padding):
            return mapped({place: w.max(axis=(1, 2)) for place, w in on_map(x, kernel, stride, padding).items()})
        case GlobalSum():
            return x.sum(axis=(1, 2), keepdims=True)
        case PadChannels(channels):
            return np.concatenate([x, np.zeros((*x.shape[:3], channels), object)], axis=3)
        case Chain(inners):
            for inner in inners:
                x = naive(inner, x)
            return x
        case Residual(body, skip, lo, hi):
            return np.clip(naive(body, x) + naive(skip, x), lo, hi)


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_layer_is_the_naive_loop(kind, data):
    layer, t = data.draw(layers_and_inputs(kind))
    x = images(Net(t, Chain()), 2, data.draw(st.integers(0, 99)))
    y = layer(x)
    np.testing.assert_array_equal(y, naive(layer, x.astype(object)))
    layer.infer(t).check(y)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_layers_widen_when_the_dtype_is_full(dtype):
    info = np.iinfo(dtype)
    low, high = (info.min, info.max) if dtype != np.int64 else (-(2**56), 2**56)
    x = np.array([[low] * 16, [high] * 16, [low, high] * 8], dtype).reshape(3, 4, 4, 1)
    every = [
        BinaryConv(np.ones((1, 3, 3, 1), np.bool_)),
        SumPool(2, 1),
        SumPool(3, 1, (1, 1, 1, 1), valid=True),
        MaxPool(2, 1, (1, 0, 1, 0)),
        GlobalSum(),
        Requantise(1, -(2**60), 2**60),
        Scale(np.array([-3])),
        Scale(np.array([0])),
        Residual(Chain(), Chain(), -(2**60), 2**60),
        Residual(Chain(), Chain(), 2**40, 2**41),
    ]
    for layer in every:
        np.testing.assert_array_equal(layer(x), naive(layer, x.astype(object)))


BORDERS = [0, 2**7, 2**15, 2**24, 2**30, 2**31, 2**32, 2**53, 2**58]
near = st.tuples(st.sampled_from(BORDERS), st.sampled_from([-1, 1]), st.integers(-2, 2)).map(
    lambda t: t[0] * t[1] + t[2]
)
"""Integers around those at which a dtype ends, or a float's exactness, or half of it."""

DTYPES = [np.int8, np.int16, np.int32, np.int64]


def in_any_dtype(data, values):
    """The values [1, height, width, 1] in any dtype that holds them."""
    fitting = [each for each in DTYPES if np.iinfo(each).min <= min(values) and max(values) <= np.iinfo(each).max]
    return np.array(values, data.draw(st.sampled_from(fitting))).reshape(1, 1, -1, 1)


def same(layer, x):
    """The layer computes what Python's integers give, as a map of the type that it infers."""
    y = layer(x)
    np.testing.assert_array_equal(y, naive(layer, x.astype(object)))
    layer.infer(Tensor(*x.shape[1:], int(x.min()), int(x.max()))).check(y)


@given(data=st.data())
def test_requantise_at_the_borders(data):
    total = data.draw(near)
    offset = data.draw(st.none() | near | st.sampled_from([2**61, -(2**61)]))
    shift = data.draw(st.sampled_from([0, 1, 2, -1, -2, -7, 30, 31, 33]))
    left = max(0, -shift)
    rounding = 1 << shift - 1 if shift > 0 else 0
    q = (total >> left) - (offset or 0) - rounding  # so that the sum comes near a border after the left shift
    lo, hi = sorted([data.draw(near), data.draw(near)])
    assume(abs(q) < 2**60)
    layer = Requantise(shift, lo, hi, None if offset is None else np.array([offset]))
    x = in_any_dtype(data, [q, q + data.draw(st.integers(0, 1))])
    try:
        layer.infer(Tensor(1, 1, 1, int(x.min()), int(x.max())))
    except BadInput:
        assume(False)
    same(layer, x)


@pytest.mark.parametrize("total", [2**31 - 1, 2**31, -(2**31), -(2**31) - 1])
@pytest.mark.parametrize("addend", [0, 1, -1, 2**30, -(2**30), 2**31 - 1, 2**31, -(2**31), 2**40])
@pytest.mark.parametrize("left", [0, 1, 8])
def test_requantise_where_32_bits_end(total, addend, left):
    """The sum of value and addend, shifted left, is the last that 32 bits hold or the first that they do not."""
    q = (total >> left) - addend
    same(Requantise(-left, -(2**50), 2**50, np.array([addend])), np.array([q], np.int64).reshape(1, 1, 1, 1))


@pytest.mark.parametrize("left", [3, 4, 30])
@pytest.mark.parametrize("end", [2**63 - 1, -(2**63)])
def test_requantise_where_64_bits_end(left, end):
    """A sum that 64 bits hold once it is shifted is accepted, and one more is refused."""
    offset = end >> left + 1
    q = (end >> left) - offset
    layer = Requantise(-left, -(2**50), 2**50, np.array([offset]))
    same(layer, np.array([q]).reshape(1, 1, 1, 1))
    beyond = q + (1 if end > 0 else -1)
    with pytest.raises(BadInput, match=r"does not fit 64 bits$"):
        layer.infer(Tensor(1, 1, 1, beyond, beyond))


@given(data=st.data())
def test_residual_at_the_borders(data):
    """Two branches of the same values and of other ones, clipped to intervals that begin and end at borders."""
    x = in_any_dtype(data, data.draw(st.lists(near, min_size=1, max_size=3)))
    lo, hi = sorted([data.draw(near), data.draw(near)])
    other = Chain((Requantise(0, *sorted([data.draw(near), data.draw(near)])),))
    branches = [Chain(), data.draw(st.sampled_from([Chain(), other]))]
    same(Residual(*(branches if data.draw(st.booleans()) else branches[::-1]), lo, hi), x)


@pytest.mark.parametrize("body", [2**30 - 1, 2**30, -(2**30), -(2**30) - 1, 2**31 - 1])
@pytest.mark.parametrize("skip", [0, 2**30 - 1, 2**30, 2**30 + 1, -(2**30) - 1, -(2**31)])
@pytest.mark.parametrize("clip", [(-(2**40), 2**40), (-(2**40), 5), (-5, 2**40), (-(2**31) - 1, 0), (2**40, 2**41)])
def test_residual_where_32_bits_end(body, skip, clip):
    for a, b in ((body, skip), (skip, body)):
        total = Residual(Chain(), Chain(), *clip).add(*(np.array([v]).reshape(1, 1, 1, 1) for v in (a, b)))
        assert total.item() == min(max(a + b, clip[0]), clip[1])


@given(data=st.data())
def test_sums_at_the_borders(data):
    """A pool and a global sum whose total comes near a border, by equal and by different values."""
    count = data.draw(st.integers(1, 6))
    total = data.draw(near)
    values = [total // count] * count
    values[0] += total - sum(values)
    assume(count**2 * max(map(abs, values)) < 2**60)
    column = in_any_dtype(data, values).reshape(1, count, 1, 1)
    same(GlobalSum(), column)
    padding = count - 1
    same(SumPool(count, 1, (0, 0, padding, 0)), column)
    same(SumPool(count, count, (padding, 0, 0, padding)), np.repeat(column, count, axis=2))


@pytest.mark.parametrize("end", [2**31 - 1, 2**31, -(2**31), -(2**31) - 1])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_sums_where_32_bits_end(end, dtype):
    for side in (2, 3):
        x = np.full((1, side, side, 1), end // side**2, dtype)
        x[0, 0, 0, 0] += end - int(x.sum(dtype=np.int64))
        for layer in (SumPool(side, 1), GlobalSum()):
            assert layer(x).item() == end


@given(data=st.data())
def test_scales_at_the_borders(data):
    factor = data.draw(st.sampled_from([1, -1, 2, -2, 3, 2**24, -(2**24), 2**24 - 1]))
    q = data.draw(near) // factor
    assume(abs(q * factor) < 2**59)
    same(Scale(np.array([factor])), in_any_dtype(data, [q, q + 1]))


@given(data=st.data())
def test_convolutions_at_the_borders(data):
    count = data.draw(st.integers(1, 6))
    total = data.draw(near)
    weights = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    signs = np.where(weights, 1, -1).tolist()
    values = [sign * (total // count) for sign in signs]
    values[0] += signs[0] * (total - sum(sign * value for sign, value in zip(signs, values, strict=True)))
    assume(count * max(map(abs, values)) < 2**60)
    x = in_any_dtype(data, values).reshape(1, 1, 1, count)
    both = np.stack([weights, ~weights])[:, None, None]
    assert BinaryConv(both)(x).ravel().tolist() == [total, -total]


@pytest.mark.parametrize("stride", [1, 2, 4, 5, 6, 9, 40])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2), (5, 5)])
def test_any_stride(stride, kernel):
    x = np.arange(2 * 13 * 11 * 2).reshape(2, 13, 11, 2)
    weights = np.random.default_rng(stride).random((3, *kernel, 2)) < 0.5
    for pad in ((0, 0, 0, 0), (kernel[0] - 1, 0, 0, kernel[1] - 1)):
        same(BinaryConv(weights, stride, pad), x)
        same(SumPool(kernel[0], stride, (*pad[:2], *pad[:2])), x)


@given(data=st.data())
def test_a_convolution_in_parts_is_the_whole(data):
    """Few windows at a time, rows and columns of them, give what all at once give."""
    t = data.draw(tensors(side=6))
    conv = data.draw(binary_convs(t))
    x = images(Net(t, Chain()), 2, 1)
    whole = conv(x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "BLOCK", data.draw(st.integers(1, 4 * conv.fan_in * len(x) * whole.shape[2])))
        parts = conv(x)
    np.testing.assert_array_equal(parts, whole)
    assert parts.dtype == whole.dtype


def test_rounding_is_half_up_also_below_zero():
    x = np.arange(-6, 7, dtype=np.int8).reshape(1, 1, 13, 1)
    assert Requantise(2, -9, 9)(x).ravel().tolist() == [-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert Requantise(0, -9, 9)(x).ravel().tolist() == x.ravel().tolist()
    assert Requantise(-1, -9, 9)(x).ravel().tolist()[:4] == [-9, -9, -8, -6]


def test_shifted_relu_clips_at_minus_one_and_uses_all_codes():
    relu = shifted_relu(bits=4, frac_in=6, frac=2)
    t = Tensor(1, 1, 1, -1000, 1000, 6)
    assert relu.infer(t) == Tensor(1, 1, 1, -4, 11, 2)
    y = relu(np.arange(-1000, 1001).reshape(-1, 1, 1, 1))
    assert sorted(set(y.ravel().tolist())) == list(range(-4, 12))


@given(data=st.data())
def test_conv_interval_is_reached_and_never_left(data):
    t = data.draw(tensors(side=4))
    conv = data.draw(binary_convs(t))
    for all_one in (False, True):
        conv = BinaryConv(np.full_like(conv.weights, all_one), 1, conv.padding, conv.scale)
        widest = max(t.lo, t.hi, key=abs)
        bound = conv.infer(t)
        y = conv(np.full((1, *t.shape), widest, t.dtype))
        bound.check(y)
        inside = t.height >= conv.kernel[0] and t.width >= conv.kernel[1]
        if inside:
            assert (bound.hi if all_one == (widest > 0) else bound.lo) in y


@given(data=st.data())
def test_no_input_leaves_the_interval_of_a_mixed_kernel(data):
    t = data.draw(tensors(side=3))
    kernel = (t.height, t.width)
    weights = np.random.default_rng(data.draw(st.integers(0, 99))).random((2, *kernel, t.channels)) < 0.5
    conv = BinaryConv(weights)
    x = np.where(weights, t.hi, t.lo)
    y = np.concatenate([conv(x), conv(np.where(weights, t.lo, t.hi))])
    conv.infer(t).check(y)
    assert y[0, 0, 0, 0] == np.where(weights[0], t.hi, -t.lo).sum()


@pytest.mark.parametrize(
    ("layer", "interval"),
    [
        (SumPool(2, 1), (-12, 20)),
        (SumPool(2, 1, (1, 0, 0, 0)), (-12, 20)),
        (SumPool(2, 1, (1, 0, 0, 0), valid=True), (-12, 20)),
        (SumPool(3, 1, (1, 1, 1, 1), valid=True), (-36, 60)),
        (SumPool(2, 2, (0, 0, 0, 1), valid=True), (-12, 20)),
        (MaxPool(2, 1, (1, 0, 0, 1)), (-3, 5)),
        (GlobalSum(), (-18, 30)),
        (PadChannels(1), (-3, 5)),
        (Scale(np.array([3])), (-9, 15)),
        (Scale(np.array([-3])), (-15, 9)),
        (Scale(np.array([0])), (0, 0)),
        (Table(np.array([7, 0, 0, 2, 2, 0, 1, 0, -9]), -3), (-9, 7)),
        (Residual(Chain(), Chain(), -4, 6), (-4, 6)),
    ],
)
def test_intervals_of_the_sums(layer, interval):
    t = Tensor(2, 3, 1, -3, 5)
    output = layer.infer(t)
    assert (output.lo, output.hi) == interval
    ends = layer(np.stack([np.full(t.shape, t.lo, t.dtype), np.full(t.shape, t.hi, t.dtype)]))
    assert (ends.min(), ends.max()) == interval


@pytest.mark.parametrize(("lo", "hi"), [(-9, -3), (-4, 4), (2, 7)])
def test_padding_never_wins_a_maximum(lo, hi):
    """torch's rule; a real 0 in its place would win over negative values."""
    t, layer = Tensor(2, 2, 1, lo, hi, frac=3), MaxPool(3, 2, (1, 2, 2, 0))
    x = np.array([hi, lo, lo, hi], t.dtype).reshape(1, 2, 2, 1)
    assert layer(x).ravel().tolist() == [hi, lo]
    assert layer.infer(t) == Tensor(2, 1, 1, lo, hi, frac=3)


def test_a_mean_of_valid_pixels_is_the_sum_times_4_6_or_9():
    """Of a padded 3x3 window: inside, at an edge, in a corner; 36 times the mean, with no rounding."""
    layer = SumPool(3, 1, (1, 1, 1, 1), 2, valid=True)
    t = Tensor(4, 5, 1, 2, 9, 3)
    assert layer.infer(t) == Tensor(4, 5, 1, 72, 324, 5)
    ones = np.ones((1, 4, 5, 1), np.int8)
    sums = SumPool(3, 1, (1, 1, 1, 1))(ones)
    factors = layer(ones) // sums
    np.testing.assert_array_equal(
        factors[0, ..., 0], [[9, 6, 6, 6, 9], [6, 4, 4, 4, 6], [6, 4, 4, 4, 6], [9, 6, 6, 6, 9]]
    )
    assert (layer(ones) == 36).all()


@pytest.mark.parametrize(
    ("layer", "size", "divisors"),
    [
        (SumPool(2, 2), (5, 4), (2, 2)),
        (SumPool(3, 2, (1, 1, 1, 1)), (8, 7), (6, 6)),
        (SumPool(3, 2, (0, 1, 0, 1)), (8, 8), (6, 6)),
        (SumPool(3, 2, (0, 1, 0, 0)), (8, 7), (6, 3)),
        (SumPool(3, 1, (1, 1, 1, 1)), (2, 1), (2, 1)),
        (SumPool(5, 1, (2, 2, 2, 2)), (9, 9), (60, 60)),
        (SumPool(9, 1, (8, 0, 0, 0)), (1, 9), (1, 9)),
    ],
)
def test_divisors_hang_on_the_windows_there_are(layer, size, divisors):
    assert replace(layer, valid=True).divisors(*size) == divisors
    assert layer.divisors(*size) == (layer.kernel, layer.kernel)


def test_a_mean_of_an_outrageous_divisor_is_refused():
    layer = SumPool(7, 1, (3, 3, 3, 3), valid=True)
    message = (
        "windows of 4, 5, 6, 7 rows and 4, 5, 6, 7 columns on the map have means of the divisor 176,400, larger than "
        "65,536; use a smaller kernel or less padding"
    )
    for ask in (lambda: layer.infer(Tensor(9, 9, 1, 0, 1)), lambda: layer(np.zeros((1, 9, 9, 1), np.int8))):
        with pytest.raises(BadInput) as error:
            ask()
        assert str(error.value) == message
    with pytest.raises(BadInput, match=r"^windows of 1, 2, 3, \.\.\., 20 rows and 20 columns on the map have"):
        SumPool(20, 1, (19, 19, 0, 0), valid=True).divisors(20, 20)


@pytest.mark.parametrize("layer", [SumPool(2, 1, (0, 1, 0, 0)), PadChannels(1)])
def test_padding_puts_zero_into_the_interval(layer):
    assert (layer.infer(Tensor(2, 2, 1, 3, 5)).lo, layer.infer(Tensor(2, 2, 1, -5, -3)).hi) == (0, 0)


@pytest.mark.parametrize(("lo", "hi"), [(-3, 4), (-2, 5), (-3, 5)])
def test_a_table_has_a_value_for_every_input_and_no_more(lo, hi):
    message = rf"^the table has values for \[-3, 5\], the input lies in \[{lo}, {hi}\]: put a Requantise that clips "
    table, t = Table(np.arange(9) * 100, -3, 7), Tensor(1, 1, 1, lo, hi, 2)
    if (lo, hi) == (-3, 5):
        assert table.infer(t) == Tensor(1, 1, 1, 0, 800, 7)
    else:
        with pytest.raises(BadInput, match=message):
            table.infer(t)


def test_a_table_of_8_bits_takes_any_dtype():
    table = Table(np.arange(256) - 128, -128)
    x = np.array([-128, 127, 0, -1]).reshape(1, 2, 2, 1)
    for dtype in (np.int8, np.int16, np.int64):
        np.testing.assert_array_equal(table(x.astype(dtype)), x)
    assert table(x).dtype == np.int8


def test_scales_move_the_binary_point():
    t = Tensor(2, 2, 1, 0, 3, frac=5)
    assert BinaryConv(np.ones((1, 1, 1, 1), np.bool_), scale=3).infer(t).frac == 8
    assert SumPool(2, 2, scale=2).infer(t).frac == 7
    assert Requantise(4, 0, 3).infer(t).frac == 1
    assert Scale(np.ones(1, np.int64), scale=3).infer(t).frac == 8


@pytest.mark.parametrize(("lo", "hi"), [(-3, 5), (2, 7), (-7, -2)])
def test_interval_of_a_scale_is_that_of_all_its_channels(lo, hi):
    t, layer = Tensor(1, 2, 4, lo, hi, 1), Scale(np.array([2, -3, 0, 1]), 1)
    x = np.array([lo, hi]).reshape(1, 1, 2, 1).repeat(4, axis=3)
    y = layer(x)
    assert y.tolist() == [[[[2 * q, -3 * q, 0, q] for q in (lo, hi)]]]
    assert layer.infer(t) == Tensor(1, 2, 4, y.min(), y.max(), 2)


def test_a_kept_batch_normalisation_is_a_scale_and_a_shifted_relu():
    """gamma = (0.75, -1.5), beta = (0.5, 2): factors in quarters, beta as the offset, max(-1, x) as the clip."""
    t = Tensor(1, 1, 2, -40, 40, frac=3)
    relu = shifted_relu(bits=4, frac_in=5, frac=2)
    norm = Chain((Scale(np.array([3, -6]), 2), Requantise(relu.shift, relu.lo, relu.hi, np.array([16, 64]))))
    q = np.arange(-40, 41)
    y = norm(np.stack([q, q], -1).reshape(-1, 1, 1, 2))
    for channel, (gamma, beta) in enumerate([(0.75, 0.5), (-1.5, 2.0)]):
        exact = np.floor((gamma * q / 2**3 + beta) * 2**2 + 0.5)
        assert y[:, 0, 0, channel].tolist() == np.clip(exact, -4, 11).tolist()
    assert norm.infer(t) == Tensor(1, 1, 2, -4, 11, 2)


def test_what_a_scale_cannot_take_is_named():
    layer = Scale(np.array([2**24, -(2**24)]))
    with pytest.raises(BadInput) as error:
        layer.infer(Tensor(1, 1, 3, 0, 1))
    assert str(error.value) == "there are 2 factors, the input has 3 channels"
    with pytest.raises(BadInput) as error:
        layer.infer(Tensor(1, 1, 2, 0, 2**36 + 1))
    reached = 2**60 + 2**24
    assert str(error.value) == (
        f"a tensor's interval [{-reached}, {reached}] reaches beyond [-2^60, 2^60], which hardware is made for"
    )


def test_argmax_takes_the_first_of_the_largest():
    assert argmax(np.array([[[[1, 7, 7]]], [[[2, 2, 2]]]])).tolist() == [1, 0]


@given(nets())
def test_trace_shows_what_walk_announces(net):
    types = {}
    output = walk(net.body, net.input, lambda path, layer, t: types.setdefault(path, (layer, t)))
    steps = list(trace(net.body, images(net, 2)))
    assert {path for path, _, _ in steps} == set(types)
    for path, layer, y in steps:
        assert layer is types[path][0]
        layer.infer(types[path][1]).check(y)
    assert output == net.output
    np.testing.assert_array_equal(steps[-1][2], net.body(images(net, 2)))


def test_paths_name_chains_by_index_and_residuals_by_branch():
    body = Chain((Chain((GlobalSum(),)), Residual(Chain((GlobalSum(),)))))
    paths = [path for path, _, _ in trace(body, np.ones((1, 1, 1, 1), np.int8))]
    assert paths == ["0.0", "0", "1.body.0", "1.body", "1.skip", "1", ""]


BITS = np.ones((2, 3, 3, 1), np.bool_)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: BinaryConv(np.ones((2, 3, 3), np.bool_)),
            "the weights must be bool [C_out, kernel height, kernel width, C_in], not bool [2, 3, 3]",
        ),
        (
            lambda: BinaryConv(np.ones((2, 3, 3, 1), np.int8)),
            "the weights must be bool [C_out, kernel height, kernel width, C_in], not int8 [2, 3, 3, 1]",
        ),
        (lambda: BinaryConv(BITS, stride=0), "the stride must be at least 1, not 0"),
        (
            lambda: BinaryConv(BITS, 1, (0, 0, -1, 0)),
            "padding must be four numbers (top, bottom, left, right) >= 0, not (0, 0, -1, 0)",
        ),
        (
            lambda: BinaryConv(BITS, 1, (0, 3, 0, 0)),
            "padding (0, 3, 0, 0) must be smaller than the 3x3 kernel",
        ),
        (lambda: SumPool(0, 1), "the kernel must be at least 1x1, not 0x0"),
        (lambda: SumPool(2, 1, valid=1), "valid must be True or False, not 1"),
        (lambda: MaxPool(2, 1, (0, 2, 0, 0)), "padding (0, 2, 0, 0) must be smaller than the 2x2 kernel"),
        (lambda: MaxPool(2, 1.0), "stride must be an integer, not 1.0"),
        (lambda: Requantise(63, 0, 1), "the shift must lie in [-48, 62], not 63"),
        (lambda: Requantise(0, 1, 0), "the clip interval [1, 0] is empty"),
        (
            lambda: Requantise(0, 0, 2**60 + 1),
            f"the clip interval [0, {2**60 + 1}] reaches beyond [-2^60, 2^60], which hardware is made for",
        ),
        (
            lambda: Residual(Chain(), Chain(), -(2**60) - 1, 0),
            f"the clip interval [{-(2**60) - 1}, 0] reaches beyond [-2^60, 2^60], which hardware is made for",
        ),
        (lambda: Requantise(0, 0, 1, np.zeros(0, np.int64)), "the offset must be int64 [C], not int64 [0]"),
        (lambda: Requantise(0, 0, 1, np.array([2**61 + 1])), "the offset must lie in [-2^61, 2^61]"),
        (lambda: Requantise(0, 0, 1, np.array([-(2**63)])), "the offset must lie in [-2^61, 2^61]"),
        (lambda: Requantise(0, 0, 1, [1, 2]), "the offset must be int64 [C], not list"),
        (lambda: Requantise(0.0, 0, 1), "shift must be an integer, not 0.0"),
        (
            lambda: BinaryConv([[[[True]]]]),
            "the weights must be bool [C_out, kernel height, kernel width, C_in], not list",
        ),
        (lambda: BinaryConv(BITS, True), "stride must be an integer, not True"),
        (lambda: BinaryConv(BITS, 2**62), f"the stride must be at most 1024, as a kernel's side, not {2**62}"),
        (lambda: SumPool(2, 1025), "the stride must be at most 1024, as a kernel's side, not 1025"),
        (lambda: SumPool(3000, 1, (2999,) * 4), "the kernel must be at most 1024x1024, not 3000x3000"),
        (
            lambda: BinaryConv(np.ones((1, 1, 1025, 1), np.bool_)),
            "the kernel must be at most 1024x1024, not 1x1025",
        ),
        (
            lambda: SumPool(2, 1, (0, 0, 1)),
            "padding must be four numbers (top, bottom, left, right) >= 0, not (0, 0, 1)",
        ),
        (
            lambda: SumPool(2, 1, (0, 0, 1, 0.5)),
            "padding must be four numbers (top, bottom, left, right) >= 0, not (0, 0, 1, 0.5)",
        ),
        (lambda: SumPool(2, 1, 1), "padding must be four numbers (top, bottom, left, right) >= 0, not 1"),
        (lambda: PadChannels(None), "channels must be an integer, not None"),
        (lambda: Chain(GlobalSum()), "the layers of a chain must be a tuple, not GlobalSum"),
        (
            lambda: Chain((GlobalSum(), Tensor(1, 1, 1, 0, 1))),
            "layer 1 of a chain is a Tensor, none of BinaryConv, Requantise, Scale, Table, SumPool, MaxPool, "
            "GlobalSum, PadChannels, Chain, Residual",
        ),
        (lambda: Residual(GlobalSum()), "the body of a residual must be a Chain, not GlobalSum"),
        (lambda: Residual(Chain(), None), "the skip of a residual must be a Chain, not NoneType"),
        (lambda: Requantise(0, 0, 1, np.zeros((1, 2))), "the offset must be int64 [C], not float64 [1, 2]"),
        (lambda: Scale(np.ones(2)), "the factors must be int64 [C], not float64 [2]"),
        (lambda: Scale(np.ones((1, 2), np.int64)), "the factors must be int64 [C], not int64 [1, 2]"),
        (lambda: Scale(np.ones(0, np.int64)), "the factors must be int64 [C], not int64 [0]"),
        (
            lambda: Scale(np.array([2**24 + 1, 0])),
            "the factors must lie in [-2^24, 2^24], not in [0, 16777217]",
        ),
        (
            lambda: Scale(np.array([-(2**63), 3])),
            f"the factors must lie in [-2^24, 2^24], not in [{-(2**63)}, 3]",
        ),
        (lambda: Table([1, 2], 0), "the values must be int64 [entries], not list"),
        (lambda: Table(np.zeros(0, np.int64), 0), "the values must be int64 [entries], not int64 [0]"),
        (lambda: Table(np.zeros(257, np.int64), 0), "a table has at most 256 values, not 257"),
        (lambda: Table(np.zeros(2, np.int64), 0.5), "lo must be an integer, not 0.5"),
        (
            lambda: Table(np.array([0, 2**60 + 1]), 0),
            f"the values' interval [0, {2**60 + 1}] reaches beyond [-2^60, 2^60], which hardware is made for",
        ),
        (lambda: Residual(Chain(), Chain(), 1, 0), "the clip interval [1, 0] is empty"),
        (lambda: PadChannels(0), "the channels to append must be at least 1, not 0"),
        (lambda: shifted_relu(9, 0, 0), "activations have 2 to 8 bits, not 9"),
        (
            lambda: shifted_relu(4, 0, -1),
            "a shifted ReLU needs -1 to be an integer: frac must be >= 0, not -1",
        ),
    ],
)
def test_constructors_say_what_is_wrong(make, message):
    with pytest.raises(BadInput) as error:
        make()
    assert str(error.value) == message


ARRAYS = {
    "weights": (BITS, BinaryConv),
    "offset": (np.array([1, -2]), lambda offset: Requantise(0, 0, 1, offset)),
    "factors": (np.array([3, 4]), Scale),
    "values": (np.array([5, -6]), lambda values: Table(values, 0)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_a_layer_owns_its_array(name):
    """What the caller does with his own, and with views of it, before or after, changes nothing."""
    values, make = ARRAYS[name]
    given = np.repeat(values, 2, axis=0)
    view = given[::2]
    frozen = values.copy()
    frozen.flags.writeable = False
    for array in (view, given[::2].copy(), np.asfortranarray(view), frozen):
        layer = make(array)
        array.flags.writeable = True
        given[...] = 0
        array[...] = 0
        np.testing.assert_array_equal(getattr(layer, name), values)
        given[...] = np.repeat(values, 2, axis=0)


@pytest.mark.parametrize("name", ARRAYS)
def test_nobody_can_write_a_layer_s_array(name):
    values, make = ARRAYS[name]
    held = getattr(make(values), name)
    with pytest.raises(ValueError, match="read-only"):
        held[...] = 0
    for array in (held, held.view(), held.T):
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            array.flags.writeable = True
    assert type(held) is np.ndarray
    assert held.flags.c_contiguous
    assert getattr(make(held), name) is held  # memory that is safe already is shared


def test_the_signs_of_a_convolution_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        BinaryConv(BITS).signs[...] = 0


def test_true_is_one_whatever_byte_it_is():
    """numpy's view of a mask of 0 and 255 as bool keeps the bytes, and its sums count them."""
    mask = np.array([0, 255, 2, 1], np.uint8).reshape(1, 1, 1, 4)
    for seen in (mask.view(np.bool_), np.frombuffer(mask.tobytes(), np.bool_).reshape(1, 1, 1, 4)):
        weights = BinaryConv(seen).weights
        assert weights.view(np.uint8).ravel().tolist() == [0, 1, 1, 1]
        assert weights.sum() == 3


def test_numbers_and_sequences_of_any_kind_become_python_s():
    conv = BinaryConv(BITS, np.int8(2), [np.int64(1), 0, 2, 0], np.uint8(3))
    assert (conv.stride, conv.padding, conv.scale) == (2, (1, 0, 2, 0), 3)
    pool = SumPool(np.int64(3), np.int16(2), np.array([1, 0, 2, 0]), np.int8(1), np.True_)
    assert pool == SumPool(3, 2, (1, 0, 2, 0), 1, True)
    assert type(pool.valid) is bool
    numbers = [conv.stride, conv.scale, *conv.padding, pool.kernel, pool.stride, pool.scale, *pool.padding]
    step, add = Requantise(np.int8(1), np.int8(-100), np.int8(100)), Residual(Chain(), lo=np.int8(-1), hi=np.int8(1))
    numbers += [step.shift, step.lo, step.hi, add.lo, add.hi, Scale(np.ones(1, np.int64), np.int8(2)).scale]
    assert {type(number) for number in [*numbers, PadChannels(np.int8(1)).channels]} == {int}
    given_layers = [GlobalSum()]
    chain = Chain(given_layers)
    given_layers.clear()
    assert chain == Chain((GlobalSum(),))
