# amaranth: UnusedElaboratable=no
"""Rounding shift, clip and shifted ReLU, alone and as a stage."""

import numpy as np
import pytest
from amaranth import signed
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import evaluate, examples, random_frames, through
from strategies import pauses, requantises, tensors

from bitfold.hw.device.target import FAMILIES
from bitfold.hw.plan import divisors
from bitfold.hw.stages.requantise import RequantiseStage, Scaler, clip_code
from bitfold.hw.stream.flow import Flow
from bitfold.model.error import BadInput
from bitfold.model.layers import Requantise, shifted_relu
from bitfold.model.tensor import Tensor


@pytest.mark.parametrize(("lo", "hi", "top"), [(-9, 12, 7), (0, 12, 7), (-9, 7, 7), (0, 7, 7), (-3, 3, 0), (-9, -1, 3)])
def test_clip_code_clips_and_is_as_wide_as_its_range(lo, hi, top):
    values = range(lo, hi + 1)
    got = evaluate(lambda value: clip_code(value, lo, hi, top), range(min(lo, -1), hi + 1), values)
    assert got == [min(max(value, 0), top) for value in values]


REQUANTISES = [
    Requantise(2, -4, 3),
    Requantise(1, 0, 7),
    Requantise(0, -100, 100),
    Requantise(-3, -128, 127),
    Requantise(-3, -1000, 1000),
    Requantise(5, -1, 1),
    Requantise(3, 2, 5),
    Requantise(9, -7, 8),
    shifted_relu(4, 4, 2),
    shifted_relu(2, 0, 0),
    Requantise(2, -4, 3, np.array([17])),
    Requantise(2, -4, 3, np.array([-301])),
    Requantise(-1, -40, 3, np.array([-33])),
]


@pytest.mark.parametrize("layer", REQUANTISES, ids=str)
@pytest.mark.parametrize(("lo", "hi"), [(-50, 50), (0, 99), (-80, -3), (5, 60)])
def test_every_value_is_the_layers(layer, lo, hi):
    t = Tensor(1, 1, 1, lo, hi, 6)
    q = np.arange(lo, hi + 1).reshape(-1, 1, 1, 1)
    scaler = Scaler(t, layer)
    codes = evaluate(scaler.code, range(-(1 << scaler.width - 1), 1 << scaler.width - 1), q.ravel() + scaler.addend)
    np.testing.assert_array_equal(np.array(codes) + layer.lo, layer(q).ravel())


@given(data=st.data())
@examples(100, shrink=False)
def test_sums_of_62_bits_and_more_are_the_layers(data):
    """On both sides of where the floor is no longer taken off first, which would need more than 64 bits."""
    shift = data.draw(st.integers(-3, 62))
    sign = data.draw(st.sampled_from([-1, 1]))
    bits = min(60, max(1, 62 - shift + data.draw(st.integers(-2, 2))))
    lo = sign * (2 ** (bits - 1) + data.draw(st.sampled_from([0, 2 ** (bits - 1) - 1])))
    hi = min(lo + data.draw(st.sampled_from([0, 1, 255])), 2**60)
    reach = data.draw(st.sampled_from([0, 5, 2**61]))
    layer = Requantise(shift, lo, hi, np.array([data.draw(st.sampled_from([-reach, reach]))]))
    most = 2 ** data.draw(st.sampled_from([4, 40, 60])) >> max(0, -shift)
    t = Tensor(1, 1, 1, -most, data.draw(st.sampled_from([0, most])))
    try:
        layer.infer(t)
    except BadInput:
        assume(False)
    scaler = Scaler(t, layer)
    assert scaler.floor_first == (shift >= 0 and abs(lo).bit_length() + shift < 62)
    assert -(2**63) <= min(scaler.interval) <= max(scaler.interval) < 2**63
    q = np.array([t.lo, t.lo + 1, -1, 0, t.hi]).reshape(-1, 1, 1, 1)
    codes = evaluate(scaler.code, signed(scaler.width), [int(x) + int(scaler.addend[0]) for x in q.ravel()])
    np.testing.assert_array_equal(np.array(codes) + layer.lo, layer(q).ravel())


def test_width_is_the_least_that_holds_the_sum():
    assert Scaler(Tensor(1, 1, 1, -8, 7), Requantise(0, -8, 7)).width == 5
    assert Scaler(Tensor(1, 1, 1, -8, 7), Requantise(0, 0, 7)).width == 4
    assert Scaler(Tensor(1, 1, 1, 0, 0), Requantise(0, 0, 1)).width == 1


@given(data=st.data(), idle=pauses, stall=pauses)
@examples(40)
def test_stage_is_the_layer(data, idle, stall):
    t = data.draw(tensors(side=3))
    layer = data.draw(requantises(t))
    stage = RequantiseStage(Flow(t, data.draw(st.sampled_from(divisors(t.channels)))), layer, FAMILIES["generic"])
    frames = random_frames(stage.source, 3, data.draw(st.integers(0, 99)))
    np.testing.assert_array_equal(through(stage, frames, idle=idle, stall=stall), layer(frames))
