# amaranth: UnusedElaboratable=no
"""Values of up to 60 bits and a sign: whatever the model accepts, the hardware builds and computes."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from machines import examples, plans, run_accelerator
from strategies import factors, images, random_weights, seeds

from bitfold.hw.accelerator import Accelerator
from bitfold.model.error import BadInput
from bitfold.model.layers import (
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
)
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

ENDS = [2**60, 2**60 - 1, 2**59, 2**31, 2**15, 1, 0]
ends = st.sampled_from(ENDS + [-end for end in ENDS])


@st.composite
def wide(draw: DrawFn) -> Tensor:
    """A small map whose interval has at least one end far out."""
    lo, hi = sorted([draw(ends), draw(ends)])
    return Tensor(draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3)), lo, hi)


def intervals(draw: DrawFn) -> tuple[int, int]:
    lo, hi = sorted([draw(ends), draw(ends)])
    return lo, hi


def conv(draw: DrawFn, t: Tensor) -> tuple[Layer, ...]:
    kernel = (draw(st.integers(1, t.height)), draw(st.integers(1, t.width)))
    pad = tuple(draw(st.integers(0, side - 1)) for side in (kernel[0], kernel[0], kernel[1], kernel[1]))
    weights = random_weights((draw(st.integers(1, 3)), *kernel, t.channels), draw(seeds))
    layer = BinaryConv(weights, draw(st.integers(1, 5)), pad)
    if draw(st.booleans()):
        return (layer,)
    try:
        return (layer, *requantise(draw, layer.infer(t)))
    except BadInput:  # to be narrowed
        return (layer,)


def requantise(draw: DrawFn, t: Tensor) -> tuple[Layer, ...]:
    """Any shift, one that brings the interval to an end, and offsets that bring the sum to one."""
    shift = draw(st.integers(-48, 62) | st.sampled_from([0, 1, -1, 60, 61, 62]))
    reach = draw(st.sampled_from([0, 1, 2**31, 2**59, 2**61]))
    chosen = np.random.default_rng(draw(seeds)).choice([-reach, 0, reach], t.channels)
    return (Requantise(shift, *intervals(draw), chosen if draw(st.booleans()) else None),)


def scale(draw: DrawFn, t: Tensor) -> tuple[Layer, ...]:
    return (Scale(draw(factors(t.channels, draw(st.sampled_from([1, 3, 2**24]))))),)


def table(draw: DrawFn, t: Tensor) -> tuple[Layer, ...]:
    """Of a few codes far out, and of values far out."""
    lo = min(draw(ends), 2**60 - 3)
    values = np.random.default_rng(draw(seeds)).choice([*ENDS, *(-end for end in ENDS)], 4)
    return Requantise(0, lo, lo + 3), Table(values, lo)


def pool(draw: DrawFn, t: Tensor, kind: Callable[[int, int, Padding], Pool]) -> tuple[Layer, ...]:
    kernel = draw(st.integers(1, min(t.height, t.width)))
    pad = tuple(draw(st.integers(0, kernel - 1)) for _ in range(4))
    return (kind(kernel, draw(st.integers(1, 5)), pad),)


def residual(draw: DrawFn, t: Tensor) -> tuple[Layer, ...]:
    body = Chain((Requantise(0, *intervals(draw)),)) if draw(st.booleans()) else Chain()
    return (Residual(body, Chain(), *intervals(draw)),)


KINDS = {
    "BinaryConv": conv,
    "Requantise": requantise,
    "Scale": scale,
    "Table": table,
    "SumPool": lambda draw, t: pool(draw, t, SumPool),
    "SumPool, valid pixels": lambda draw, t: pool(draw, t, lambda *window: SumPool(*window, valid=True)),
    "MaxPool": lambda draw, t: pool(draw, t, MaxPool),
    "GlobalSum": lambda draw, t: (GlobalSum(),),
    "PadChannels": lambda draw, t: (Requantise(0, t.lo, t.hi), PadChannels(draw(st.integers(1, 3)))),
    "Residual": residual,
}


@st.composite
def nets(draw: DrawFn, kind: str) -> Net:
    """A network of one layer, its input as wide as the model accepts."""
    t = draw(wide())
    layers = KINDS[kind](draw, t)
    while True:
        try:
            return Net(t, Chain(layers))
        except BadInput:
            assume((t.lo, t.hi) != (t.lo // 2, t.hi // 2))  # a shift and an offset that no input suits
            t = Tensor(*t.shape, t.lo // 2, t.hi // 2)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@examples(20, shrink=False)
def test_what_the_model_accepts_the_hardware_builds_and_computes(kind, data):
    net = data.draw(nets(kind))
    machine = Accelerator(net, data.draw(plans(net)))
    assert machine.resources.luts >= 0
    batch = images(net, 2, data.draw(seeds))
    run = run_accelerator(machine, batch)
    np.testing.assert_array_equal(run.logits, net(batch))
