"""Hypothesis strategies for tensors, every kind of layer, and whole networks.

A strategy of layers takes the layer's input Tensor and draws only what is legal on it. Maps, channels and
operations stay small enough for a simulator; `ops` bounds the additions of one convolution per image.
Everything random is derived from drawn seeds, and seed 0 is the plainest value, so failures shrink.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from bitfold.model.layers import (
    KINDS,
    MAX_ENTRIES,
    BinaryConv,
    Chain,
    GlobalSum,
    Layer,
    MaxPool,
    PadChannels,
    Padding,
    Pool,
    Requantise,
    Residual,
    Scale,
    SumPool,
    Table,
    shifted_relu,
)
from bitfold.model.net import Net
from bitfold.model.tensor import Ints, Tensor

# The same examples on every run; a busy machine is slow, not wrong.
settings.register_profile("patient", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

SIDE = 9
OPS = 60_000

channels = st.integers(1, 4) | st.sampled_from([5, 8, 16]) | st.integers(1, 64)
strides = st.integers(1, 4) | st.sampled_from([1, 2, 5, 7, 12])
seeds = st.integers(0, 2**16)
pauses = st.sampled_from([0.0, 0.3, 0.6])
"""Of a source or a sink: the probability of one in each cycle."""


def random_weights(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Bits of the shape; all +1 for seed 0."""
    return np.random.default_rng(seed).random(shape) < 0.5 if seed else np.ones(shape, np.bool_)


def images(net: Net, n: int, seed: int = 0) -> Ints:
    """`n` images of the network's input type, [n, height, width, channels].

    Every second one holds only the interval's two ends, the others all its values; all contain both ends
    when they have room for them.
    """
    rng = np.random.default_rng(seed)
    t = net.input
    batch = rng.integers(t.lo, t.hi, (n, *t.shape), dtype=np.int64, endpoint=True)
    batch[1::2] = rng.choice([t.lo, t.hi], batch[1::2].shape)
    flat = batch.reshape(n, -1)
    flat[:, 0] = t.lo
    flat[:, -1] = t.hi
    return batch.astype(t.dtype)


@st.composite
def tensors(draw: DrawFn, side: int = SIDE) -> Tensor:
    """Pixels, activations, binary values, residual streams and intervals that do not contain 0."""
    height, width = draw(st.integers(1, side)), draw(st.integers(1, side))
    bits = draw(st.integers(1, 8) | st.just(16))
    lo = draw(st.sampled_from([0, -(2 ** (bits - 1)), -(2**bits) + 1]) | st.integers(-300, 300))
    hi = lo + 2**bits - 1
    return Tensor(height, width, draw(channels), lo, hi, draw(st.integers(0, 6)))


def _split(draw: DrawFn, total: int, kernel: int) -> tuple[int, int]:
    """(before, after) of `total` padded lines, each smaller than the kernel."""
    after = draw(st.integers(max(0, total - kernel + 1), min(total, kernel - 1)))
    return total - after, after


def _conv(draw: DrawFn, kernel: tuple[int, int], stride: int, pad: Padding, ins: int, outs: int) -> BinaryConv:
    """A convolution whose scale is about the power of two nearest to sqrt(2 / fan-in)."""
    weights = random_weights((outs, *kernel, ins), draw(seeds))
    natural = round(0.5 * np.log2(weights[0].size / 2))
    return BinaryConv(weights, stride, pad, natural + draw(st.integers(-1, 1)))


def _pixels(t: Tensor, kernel: tuple[int, int], stride: int, pad: Padding) -> int:
    rows = (t.height + pad[0] + pad[1] - kernel[0]) // stride + 1
    return rows * ((t.width + pad[2] + pad[3] - kernel[1]) // stride + 1)


def _window(draw: DrawFn, size: int, kernel: int) -> tuple[int, int]:
    """Padding (before, after) that makes a map of `size` lines hold the kernel."""
    return _split(draw, draw(st.integers(max(0, kernel - size), 2 * (kernel - 1))), kernel)


@st.composite
def binary_convs(draw: DrawFn, t: Tensor, ops: int = OPS) -> BinaryConv:
    """Kernels 1, 3, 5, 7, now and then not square; strides 1 to 4 and larger; any padding, even or not."""
    side = draw(st.sampled_from([1, 3, 5, 7]))
    kernel = (side, side)
    if draw(st.integers(0, 4)) == 4:
        kernel = (side, draw(st.sampled_from([1, 2, 3, 4, 5])))
    if kernel[0] * kernel[1] * t.channels > ops // 4:
        kernel = (1, 1)
    stride = draw(strides)
    top, bottom = _window(draw, t.height, kernel[0])
    left, right = _window(draw, t.width, kernel[1])
    pad = (top, bottom, left, right)
    each = _pixels(t, kernel, stride, pad) * kernel[0] * kernel[1] * t.channels
    outs = min(draw(channels), max(1, ops // each))
    return _conv(draw, kernel, stride, pad, t.channels, outs)


def _same_conv(draw: DrawFn, t: Tensor, outs: int, stride: int, ops: int) -> BinaryConv:
    """An odd kernel whose map is as large as t's for stride 1, and as SumPool(2, 2)'s for stride 2."""
    kernels = [k for k in (3, 5, 7) if t.pixels * k * k * t.channels * outs <= ops * stride**2]
    if stride == 1 or (t.height % 2 == 0 and t.width % 2 == 0):
        kernels.insert(0, 1)
    k = draw(st.sampled_from(kernels or [3]))

    def total(size: int) -> int:
        if stride == 1:
            return k - 1
        return k - 2 + draw(st.integers(0, 1)) if size % 2 == 0 and k > 1 else max(0, k - 2)

    pad = (*_split(draw, total(t.height), k), *_split(draw, total(t.width), k))
    return _conv(draw, (k, k), stride, pad, t.channels, outs)


def offsets(t: Tensor) -> SearchStrategy[np.ndarray | None]:
    """None, or one integer per channel of the order of the interval."""
    reach = max(1, min((t.hi - t.lo) // 2, 2**20))

    def draw_all(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return rng.integers(-reach, reach, t.channels, dtype=np.int64, endpoint=True)

    return st.none() | seeds.map(draw_all)


@st.composite
def requantises(draw: DrawFn, t: Tensor) -> Requantise:
    """Negative, zero and positive shifts to 1..16 bits, with an offset or not; shifted ReLUs among them."""
    if 0 <= t.frac <= 30 and draw(st.booleans()):
        return draw(activations(t))
    bits = draw(st.integers(1, 8) | st.just(16))
    whole = (t.hi - t.lo).bit_length() - bits
    shift = draw(st.just(0) | st.integers(max(-6, whole - 4), max(-6, whole)))
    lo = draw(st.sampled_from([-(2 ** (bits - 1)), 0, -(2**bits) + 1]))
    return Requantise(shift, lo, lo + 2**bits - 1, draw(offsets(t)))


def rectifiable(t: Tensor) -> bool:
    """Whether every shifted ReLU takes t: its shift is legal, and t, an offset's bit more, fits when shifted left."""
    return 7 - 48 <= t.frac <= 40 and t.bits + 1 + max(0, 7 - t.frac) <= 63


@st.composite
def activations(draw: DrawFn, t: Tensor) -> Requantise:
    """A shifted ReLU of 2 to 8 bits, now and then with an offset; t is rectifiable."""
    bits = draw(st.integers(2, 8))
    relu = shifted_relu(bits, t.frac, draw(st.integers(0, bits - 1)))
    offset = draw(offsets(t)) if draw(st.integers(0, 3)) == 3 else None
    return Requantise(relu.shift, relu.lo, relu.hi, offset)


def factors(n: int, reach: int) -> SearchStrategy[np.ndarray]:
    """`n` integers in [-reach, reach], of which every third is 0, +-1 or +-2^k; all 1 for seed 0."""

    def draw_all(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        powers = 1 << rng.integers(0, reach.bit_length(), n)
        plain = rng.choice([-1, 0, 1], n) * rng.choice(np.stack([powers, np.ones_like(powers)]), axis=0)
        drawn = rng.integers(-reach, reach, n, endpoint=True)
        return np.where(rng.integers(0, 3, n) == 0, plain, drawn) if seed else np.ones(n, np.int64)

    return seeds.map(draw_all)


@st.composite
def scales(draw: DrawFn, t: Tensor, width: int = 48) -> Scale:
    """Factors of a few bits or of many, each channel's its own or all the same; products of `width` bits at most."""
    room = max(1, width - 1 - max(abs(t.lo), abs(t.hi)).bit_length())
    reach = 2 ** min(draw(st.sampled_from([1, 3, 8, 24])), room) - 1
    shared = draw(st.booleans())
    each = draw(factors(1 if shared else t.channels, reach))
    return Scale(np.broadcast_to(each, t.channels), draw(st.integers(0, 4)))


TABLE_BITS = MAX_ENTRIES.bit_length() - 1
"""Of the widest code that a table may have values for."""


@st.composite
def tables(draw: DrawFn, t: Tensor) -> Table:
    """Values of 1 to 16 bits, of a pattern (a line with a bend, as activations have) or of none."""
    bits = draw(st.integers(1, 8) | st.just(16))
    lo = draw(st.sampled_from([0, -(2 ** (bits - 1)), -(2**bits) + 1]))
    entries = t.hi - t.lo + 1
    if draw(st.booleans()):
        values = np.random.default_rng(draw(seeds)).integers(lo, lo + 2**bits, entries)
    else:
        slope, bend = draw(st.integers(-3, 3)), draw(st.integers(0, entries - 1))
        values = np.clip(lo + slope * np.maximum(np.arange(entries) - bend, 0), lo, lo + 2**bits - 1)
    return Table(values, t.lo, draw(st.integers(0, 6)))


def tabled(t: Tensor) -> SearchStrategy[Layer]:
    """A table, or what makes the input narrow enough for one."""
    return tables(t) if t.bits <= TABLE_BITS else requantises(t)


def sum_pools(t: Tensor) -> SearchStrategy[SumPool]:
    """Of any window, of real 0 in the padding or of the map's pixels alone."""
    return _pooled(t, SumPool) | _pooled(t, lambda *window: SumPool(*window, valid=True))


def max_pools(t: Tensor) -> SearchStrategy[MaxPool]:
    """Of any window."""
    return _pooled(t, MaxPool)


@st.composite
def _pooled(draw: DrawFn, t: Tensor, kind: Callable[[int, int, Padding], Pool]) -> Pool:
    """Windows of 1 to 4, overlapping or not, padded or not."""
    kernel = draw(st.integers(1, 4))
    short = max(kernel - t.height, kernel - t.width) > 0
    pad = (0, 0, 0, 0)
    if short or draw(st.booleans()):
        pad = (*_window(draw, t.height, kernel), *_window(draw, t.width, kernel))
    return kind(kernel, draw(strides), pad)


@st.composite
def chains(draw: DrawFn, t: Tensor, ops: int = OPS) -> Chain:
    """None to three layers, of which at most one has a wide result."""
    layers: list[Layer] = []
    for _ in range(draw(st.integers(0, 3))):
        kinds = [requantises(t)]
        if t.bits <= 16:
            kinds += [binary_convs(t, ops), sum_pools(t), max_pools(t), scales(t), tabled(t)]
        layers.append(draw(st.one_of(kinds)))
        t = layers[-1].infer(t)
    return Chain(tuple(layers))


@st.composite
def residuals(draw: DrawFn, t: Tensor, ops: int = OPS, inner: bool = False) -> Residual:
    """Identity and downsampling blocks, one or two convolutions deep, now and then with a residual inside.

    t is rectifiable. An `inner` one keeps its input's shape.
    """
    down = not inner and min(t.height, t.width) > 1 and draw(st.booleans())
    skip: tuple[Layer, ...] = ()
    outs = t.channels
    if down:
        skip = (SumPool(2, 2), Requantise(2, -(2**15), 2**15 - 1))
        if more := draw(st.integers(0, min(t.channels, 32))):
            skip += (PadChannels(more),)
            outs += more
    goal = Chain(skip).infer(t)
    body: list[Layer] = []
    for depth in range(draw(st.integers(1, 2))):
        here = Chain(tuple(body)).infer(t)
        if draw(st.integers(0, 3)) == 3:
            norm = draw(scales(here))  # a batch normalisation kept
            if rectifiable(norm.infer(here)):
                body.append(norm)
                here = norm.infer(here)
        relu = draw(activations(here))
        middle = relu.infer(here)
        body += [relu, _same_conv(draw, middle, outs, 2 if down and depth == 0 else 1, ops)]
    if not inner and draw(st.integers(0, 5)) == 5:
        here = Chain(tuple(body)).infer(t)
        wide = Requantise(here.frac - goal.frac, -(2**15), 2**15 - 1)
        body += [wide, draw(residuals(wide.infer(here), ops, inner=True))]
    acc = Chain(tuple(body)).infer(t)
    body.append(Requantise(acc.frac - goal.frac, -(2**15), 2**15 - 1, draw(offsets(acc))))
    bits = draw(st.sampled_from([16, 12, 8]))
    branches = [Chain(tuple(body)), Chain(skip)]
    if draw(st.integers(0, 4)) == 4:
        branches.reverse()  # the skip is then the slower branch
    return Residual(*branches, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


LAYERS: dict[type[Layer], Callable[[Tensor], SearchStrategy[Layer]]] = {
    BinaryConv: binary_convs,
    Requantise: requantises,
    Scale: scales,
    Table: tables,
    SumPool: sum_pools,
    MaxPool: max_pools,
    GlobalSum: lambda t: st.just(GlobalSum()),
    PadChannels: lambda t: st.integers(1, 8).map(PadChannels),
    Chain: chains,
    Residual: residuals,
}
"""The strategy of every kind of layer, given its input."""
assert set(LAYERS) == set(KINDS), f"no strategy for {set(KINDS) - set(LAYERS)}"


@st.composite
def layers_and_inputs(draw: DrawFn, kind: type[Layer] | None = None) -> tuple[Layer, Tensor]:
    """A layer of the kind, or of any, with an input it accepts."""
    kind = kind or draw(st.sampled_from(list(LAYERS)))
    t = draw(tensors().filter(lambda t: t.bits <= TABLE_BITS) if kind is Table else tensors())
    return draw(LAYERS[kind](t)), t


@st.composite
def bare_nets(draw: DrawFn, side: int = 4) -> Net:
    """Networks without a window: what stands between input and output stores a few words or none."""

    def branch(t: Tensor, inner: bool) -> Chain:
        """Of a residual: its shape and fraction bits stay."""
        layers: list[Layer] = []
        for _ in range(draw(st.integers(0, 2))):
            kind = draw(st.integers(0, 2 if inner else 3))
            if kind == 0:
                layers.append(Chain())
            elif kind == 1:
                layers.append(Requantise(0, -8, 7, draw(offsets(t))))
            elif kind == 2:
                layers.append(Scale(draw(factors(t.channels, 3))))
            else:
                layers.append(Residual(branch(t, True), branch(t, True), -99, 99))
            t = layers[-1].infer(t)
        return Chain(tuple(layers))

    lo, bits = draw(st.integers(-9, 3)), draw(st.integers(0, 4))
    height, width = draw(st.integers(1, side)), draw(st.integers(1, side))
    t = source = Tensor(height, width, draw(st.integers(1, 6) | st.just(12)), lo, lo + 2**bits - 1)
    layers: list[Layer] = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.integers(0, 5))
        if kind == 0:
            layers.append(PadChannels(draw(st.integers(1, 2 * t.channels))))
        elif kind == 1:
            layers.append(draw(requantises(t)))
        elif kind == 2:
            layers.append(draw(scales(t)))
        elif kind == 3:
            layers.append(Residual(branch(t, False), branch(t, False), -99, 99))
        elif kind == 4:
            layers.append(draw(tabled(t)))
        else:
            layers.append(GlobalSum())
        t = layers[-1].infer(t)
        if t.bits > 16:
            break
    return Net(source, Chain(tuple(layers)))


@st.composite
def nets(draw: DrawFn, ops: int = OPS, side: int = SIDE) -> Net:
    """Perhaps a mean to subtract, one to four blocks, and a head (its last norm kept or not) or a map of results."""
    source = draw(tensors(side))
    layers: list[Layer] = []
    t = source

    def add(*strategies: SearchStrategy[Layer]) -> None:
        nonlocal t
        layers.append(draw(st.one_of(strategies)))
        t = layers[-1].infer(t)

    if draw(st.booleans()):
        add(requantises(t))
    for _ in range(draw(st.integers(1, 4))):
        if t.bits > 16:
            add(requantises(t))
        kinds = [binary_convs(t, ops), sum_pools(t), max_pools(t), LAYERS[PadChannels](t), scales(t), tabled(t)]
        add(*kinds, *([residuals(t, ops)] if rectifiable(t) else []))
    if draw(st.booleans()) or not rectifiable(t):
        return Net(source, Chain(tuple(layers)))
    add(activations(t))
    add(st.just(GlobalSum()))
    classes = draw(st.integers(1, 10))
    add(st.just(_conv(draw, (1, 1), 1, (0, 0, 0, 0), t.channels, classes)))
    if draw(st.booleans()):
        add(scales(t))
        if draw(st.booleans()):
            add(requantises(t))
    return Net(source, Chain(tuple(layers)), tuple(f"class {i}" for i in range(classes)))
