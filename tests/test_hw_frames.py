# amaranth: UnusedElaboratable=no
"""Frames of the wrong length, reset, samples out of range, and the class."""

import numpy as np
import pytest
from amaranth import signed, unsigned
from hypothesis import given
from hypothesis import strategies as st
from machines import beats, drive, examples, pack, plans, random_frames, run_accelerator
from strategies import images, random_weights

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.planner import balance
from bitfold.hw.stages.frames import COUNTER_BITS, Classifier, FrameGate, FrameGuard
from bitfold.hw.stream.beat import sample_shape, value_shape
from bitfold.hw.stream.flow import Flow
from bitfold.model.layers import BinaryConv, Chain, GlobalSum, Requantise, Residual
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

INPUT = Tensor(3, 4, 2, -5, 9)
CLASSIFIER = Net(
    INPUT,
    Chain(
        (
            BinaryConv(random_weights((3, 3, 3, 2), 1), 1, (1, 1, 1, 1)),
            Requantise(2, -8, 7),
            GlobalSum(),
            BinaryConv(random_weights((4, 1, 1, 3), 2)),
        )
    ),
)
RESIDUAL = Net(
    INPUT,
    Chain((Residual(Chain((BinaryConv(random_weights((2, 3, 3, 2), 1), 1, (1, 1, 1, 1)),)), Chain(), -99, 99),)),
)
IDENTITY = Net(INPUT, Chain())
PIXEL = Net(Tensor(1, 1, 2, -5, 9), Chain((BinaryConv(random_weights((3, 1, 1, 2), 1)),)))
NETS = {"classifier": CLASSIFIER, "map": RESIDUAL, "identity": IDENTITY, "one pixel": PIXEL}


@pytest.mark.parametrize(
    ("lo", "hi", "shape"),
    [
        (0, 255, unsigned(8)),
        (0, 256, unsigned(16)),
        (3, 3, unsigned(8)),
        (0, 0, unsigned(8)),
        (-128, 127, signed(8)),
        (-1, 128, signed(16)),
        (-129, 0, signed(16)),
    ],
)
def test_samples_are_whole_bytes(lo, hi, shape):
    assert sample_shape(Tensor(1, 1, 1, lo, hi)) == shape


@pytest.mark.parametrize(
    ("lo", "hi", "bits"), [(0, 127, 8), (0, 128, 16), (-128, 127, 8), (-129, 0, 16), (5, 9, 8), (0, 0, 8)]
)
def test_values_are_signed_whole_bytes(lo, hi, bits):
    assert value_shape(Tensor(1, 1, 1, lo, hi)) == signed(bits)


def lengths_to_frames(net, lengths, seed=0):
    """Frames [pixels, channels] of the lengths, from images of the network; whole ones are the images."""
    t = net.input
    batch = images(net, len(lengths), seed).reshape(len(lengths), t.pixels, t.channels)
    return [np.concatenate([image] * (1 + n // t.pixels))[:n] for image, n in zip(batch, lengths, strict=True)]


def check_frames(net, plan, lengths, **pauses):
    """Bad frames are counted and dropped, good ones are right."""
    frames = lengths_to_frames(net, lengths)
    good = [frame for frame in frames if len(frame) == net.input.pixels]
    run = run_accelerator(Accelerator(net, plan), frames, len(good), **pauses)
    expected = net(np.array(good).reshape(-1, *net.input.shape))
    np.testing.assert_array_equal(run.logits, expected)
    np.testing.assert_array_equal(run.best, expected.argmax(axis=-1))
    short = sum(n < net.input.pixels for n in lengths)
    assert run.counters == (short, len(lengths) - short - len(good))


CASES = {
    "good": [12, 12, 12],
    "short": [12, 11, 12, 12],
    "long": [12, 13, 12, 12],
    "one pixel": [1, 12, 1, 1, 12],
    "way too long": [12, 24, 12, 36, 12, 35, 12],
    "no end for frames": [12, 12 * 5 + 7, 12],
    "bad ones in a row": [5, 13, 11, 25, 1, 1, 12],
    "bad first": [7, 12],
    "long first": [13, 12],
    "twice as long": [24, 12],
}


@pytest.mark.parametrize("name", ["classifier", "map", "identity"])
@pytest.mark.parametrize("case", CASES)
def test_bad_frames_are_counted_and_dropped(case, name):
    net = NETS[name]
    check_frames(net, balance(net, 10**6 if case == "way too long" else 300), CASES[case])


def test_frames_of_one_pixel():
    check_frames(PIXEL, balance(PIXEL, 6), [1, 2, 1, 1, 5, 1])


def test_frames_of_one_pixel_take_a_cycle():
    machine = Accelerator(PIXEL, balance(PIXEL, 1))
    run = run_accelerator(machine, images(PIXEL, 40))
    assert machine.cycles == 1
    assert set(np.diff(run.cycles[-20:])) == {1}


@given(st.data(), st.lists(st.integers(1, 30), max_size=6), st.sampled_from([0.0, 0.4]), st.integers(0, 99))
@examples(12)
def test_any_mixture_of_frames(data, lengths, pausing, seed):
    net = NETS[data.draw(st.sampled_from(["classifier", "map", "identity"]))]
    plan = data.draw(plans(net))
    beats = [-(-n // plan.input_pixels) * plan.input_pixels for n in lengths]
    check_frames(net, plan, [*beats, 12, 12], idle=pausing, stall=pausing, seed=seed)


@pytest.mark.parametrize("name", ["classifier", "map", "identity"])
@pytest.mark.parametrize("taken", [1, 7, 11, 12, 20, 36])
def test_reset_drops_what_is_inside(name, taken):
    """What came out before the reset is right, and so is the first frame after it."""
    net = NETS[name]
    machine = Accelerator(net, balance(net, 300))
    batch = images(net, 6)
    before = beats(machine, list(batch.reshape(6, 12, 2)))[:taken]
    after = beats(machine, list(batch[4:].reshape(2, 12, 2)))
    seen = drive(
        machine,
        {"i": before + after},
        {"o": None},
        reset_after=taken,
        patience=900,
        peek=[machine.short_frames, machine.long_frames],
    )
    t, lanes = net.output, machine.plan.output_lanes
    frame_words = t.pixels * t.channels // lanes
    words = [machine.o.payload.shape().from_bits(word) for word in seen["o"].words]
    values = np.array([[word.values[lane] for lane in range(lanes)] for word in words])
    expected = net(batch)
    tail = 2 * frame_words
    np.testing.assert_array_equal(values[-tail:].reshape(2, *t.shape), expected[4:])
    np.testing.assert_array_equal(values[:-tail].ravel(), expected.ravel()[: values[:-tail].size])
    assert seen.peeked == (0, 0)


def test_samples_out_of_range_become_the_nearest_inside():
    batch = np.arange(-128, 128 - 16).reshape(-1, 3, 4, 2)
    run = run_accelerator(Accelerator(IDENTITY, balance(IDENTITY, 24)), batch)
    np.testing.assert_array_equal(run.logits, batch.clip(-5, 9))


@pytest.mark.parametrize(("lo", "hi"), [(0, 200), (3, 255), (7, 7), (0, 255), (-128, 127), (-200, 100), (-2, -1)])
def test_all_samples_of_a_byte_become_codes(lo, hi):
    t = Tensor(1, 1, 1, lo, hi)
    shape = sample_shape(t)
    first = -(1 << shape.width - 1) if shape.signed else 0
    samples = np.arange(first, first + (1 << shape.width), 1 if shape.width == 8 else 97)
    guard = FrameGuard(Flow(t, 1), FAMILIES["generic"])
    mask = (1 << shape.width) - 1
    feeds = {"i": [int(sample) & mask | 1 << shape.width for sample in samples]}
    seen = drive(guard, feeds, {"o": len(samples), "verdict": len(samples)})
    np.testing.assert_array_equal(np.array(seen["o"].words) + lo, samples.clip(lo, hi))


def test_counters_stop_at_their_largest_value(monkeypatch):
    monkeypatch.setattr("bitfold.hw.stages.frames.COUNTER_BITS", 2)
    guard = FrameGuard(Flow(Tensor(1, 2, 1, 0, 1), 1), FAMILIES["generic"])
    short = [1 << 8] * 6
    long = [0, 0, 1 << 8] * 6
    peek = [guard.short_frames, guard.long_frames]
    seen = drive(guard, {"i": short + long}, {"o": 24, "verdict": 12}, peek=peek)
    assert seen["verdict"].words == [0] * 12
    assert seen.peeked == (3, 3)
    assert COUNTER_BITS == 16


def test_frames_that_end_within_a_pixel_are_dropped():
    """A beat is a part of a pixel; the frame ends with its last beat alone."""
    guard = FrameGuard(Flow(Tensor(1, 2, 4, 0, 3), 2), FAMILIES["generic"])
    lengths = [4, 1, 4, 3, 5, 4]
    feeds = {"i": [last << 16 for n in lengths for last in [0] * (n - 1) + [1]]}
    peek = [guard.short_frames, guard.long_frames]
    seen = drive(guard, feeds, {"o": 4 * len(lengths), "verdict": len(lengths)}, peek=peek)
    assert seen["verdict"].words == [1, 0, 1, 0, 0, 1]
    assert seen.peeked == (2, 1)


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.sampled_from([0.0, 0.5]), st.integers(0, 99))
@examples(20)
def test_gate_lets_only_good_frames_pass(verdicts, pausing, seed):
    gate = FrameGate(Flow(Tensor(2, 2, 2, 0, 15), 1))
    words = pack(gate.source, random_frames(gate.source, len(verdicts), seed))
    passed = [word for k, word in enumerate(words) if verdicts[k // 8]]
    feeds = {"i": words, "verdict": [int(good) for good in verdicts]}
    out = drive(gate, feeds, {"o": len(passed)}, idle=pausing, stall=pausing, seed=seed)["o"]
    assert out.words == passed


@given(st.sampled_from([1, 2, 3, 6]), st.integers(0, 2), st.sampled_from([0.0, 0.5]), st.integers(0, 99))
@examples(20)
def test_class_is_the_lowest_index_of_the_largest(lanes, span, pausing, seed):
    """Values of so few kinds that most pixels have ties."""
    t = Tensor(3, 2, 6, -2, -2 + span)
    classifier = Classifier(Flow(t, lanes), FAMILIES["generic"])
    frames = random_frames(classifier.source, 4, seed)
    words = pack(classifier.source, frames)
    out = drive(classifier, {"i": words}, {"o": len(words)}, idle=pausing, stall=pausing, seed=seed)["o"]
    fields = [classifier.o.payload.shape().from_bits(word) for word in out.words]
    values = np.array([[word.values[lane] for lane in range(lanes)] for word in fields])
    np.testing.assert_array_equal(values.reshape(frames.shape), frames)
    best = np.array([word.best for word in fields]).reshape(4, 3, 2, -1)
    so_far = [frames[..., : (k + 1) * lanes].argmax(axis=-1) for k in range(6 // lanes)]
    np.testing.assert_array_equal(best, np.stack(so_far, axis=-1))
    assert [word.last for word in fields] == ([0] * (36 // lanes - 1) + [1]) * 4
