# amaranth: UnusedElaboratable=no
"""Flow, queue, converters and fork."""

import numpy as np
import pytest
from amaranth import unsigned
from hypothesis import given
from hypothesis import strategies as st
from machines import (
    EVERY_FAMILY,
    HangError,
    Series,
    drive,
    evaluate,
    examples,
    pack,
    random_frames,
    run_stage,
    through,
    unpack,
)

from bitfold.hw.device.arithmetic import wrap_add
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.plan import divisors
from bitfold.hw.stream.converters import Narrow, Widen, converters
from bitfold.hw.stream.flow import Flow
from bitfold.hw.stream.fork import Fork
from bitfold.hw.stream.queue import Queue
from bitfold.model.tensor import Tensor

TWELVE = Tensor(2, 3, 12, -5, 9)
pauses = st.sampled_from([0.0, 0.2, 0.7])


def test_flow_counts_words_and_packs_the_lowest_channel_lowest():
    flow = Flow(TWELVE, 3)
    assert (flow.words, flow.frame_words, flow.bits) == (4, 24, 12)
    word = pack(flow, np.array([[[[-5, -4, 9]]]]))
    assert word == [0xE10]
    assert flow.zero().value == 0x555
    codes = [evaluate(lambda word, k=k: flow.codes(word)[k], unsigned(12), word)[0] for k in range(3)]
    assert codes == [0, 1, 14]
    frames = random_frames(flow, 2)
    np.testing.assert_array_equal(unpack(flow, pack(flow, frames)), frames)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 60), st.data())
@examples(100)
def test_flow_counts_pixels(channels, groups, count, data):
    """Whole words and what they hold a part of, in Python's integers, of words of a part, one and several pixels."""
    width = data.draw(st.integers(1, 6))
    every = [*divisors(channels * groups), *(n * channels * groups for n in divisors(width))]
    flow = Flow(Tensor(7, width, channels * groups, 0, 1), data.draw(st.sampled_from(every)))
    assert flow.pixels * flow.tensor.channels == flow.lanes * flow.words
    assert flow.frame_words * flow.lanes == flow.tensor.pixels * flow.tensor.channels
    # Lane after lane: words 0 to count - 1 hold lanes 0 to count * lanes - 1.
    assert flow.held(count) == len({lane // flow.tensor.channels for lane in range(count * flow.lanes)})
    pixels = np.arange(1, count + 1)
    wanted = [min(n for n in range(k, k + flow.pixels) if n % flow.pixels == 0) for k in pixels.tolist()]
    assert flow.whole(pixels).tolist() == wanted


def test_flow_refuses_lanes_that_do_not_divide():
    with pytest.raises(ValueError, match=r"^5 lanes do not divide 12 channels$"):
        Flow(TWELVE, 5)
    with pytest.raises(ValueError, match=r"^0 lanes do not divide 12 channels$"):
        Flow(TWELVE, 0)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])
def test_wrap_add_is_modulo(size):
    for step in range(-2 * size, 2 * size + 1):
        got = evaluate(lambda value, step=step: wrap_add(value, step, size), range(size), range(size))
        assert got == [(value + step) % size for value in range(size)]


LANES = st.sampled_from(divisors(12))
SMALL, LARGE = FAMILIES["ice40"], FAMILIES["xc7"]
"""Look-up tables."""


@given(LANES, LANES, st.sampled_from([SMALL, LARGE]), pauses, pauses, st.integers(0, 9))
@examples(45)
def test_converters_change_lanes_only(before, after, family, idle, stall, seed):
    stages = converters(Flow(TWELVE, before), after, family)
    assert len(stages) == (0 if before == after else 1 if before % after == 0 or after % before == 0 else 2)
    if stages:
        stage = Series(*stages)
        assert (stage.source.lanes, stage.sink.lanes) == (before, after)
        frames = random_frames(stage.source, 2, seed)
        np.testing.assert_array_equal(through(stage, frames, idle=idle, stall=stall, seed=seed), frames)


@pytest.mark.parametrize(
    "stage",
    [
        Widen(Flow(TWELVE, 2), 6),
        Narrow(Flow(TWELVE, 6), 2, SMALL),
        Narrow(Flow(TWELVE, 6), 2, LARGE),
        Narrow(Flow(TWELVE, 12), 1, LARGE),
    ],
)
def test_converters_move_a_narrow_word_a_cycle(stage):
    out = run_stage(stage, pack(stage.source, random_frames(stage.source, 3)))
    distance = stage.sink.lanes // min(stage.source.lanes, stage.sink.lanes)
    assert set(np.diff(out.cycles)) == {distance}
    assert out.cycles[0] <= distance - 1 + stage.latency


@pytest.mark.parametrize("family", ["generic", "ecp5", "ice40"])
@pytest.mark.parametrize("depth", [1, 2, 3, 31, 32, 33, 40])
def test_queue_holds_its_depth_exactly_and_has_its_latency(depth, family):
    words = list(range(100))
    flow = Flow(Tensor(10, 10, 1, 0, 127), 1)
    with pytest.raises(HangError) as hang:
        drive(Queue(flow, depth, FAMILIES[family]), {"i": words}, {"o": 100}, stall=1.0)
    assert len(hang.value.seen["i"].words) == depth
    out = run_stage(queue := Queue(flow, depth, FAMILIES[family]), words)
    assert out.words == words
    assert out.cycles[0] == queue.latency
    if depth > 1:
        assert set(np.diff(out.cycles)) == {1}


@given(st.integers(1, 40), st.sampled_from(EVERY_FAMILY), pauses, pauses, st.integers(0, 9))
@examples(20)
def test_queue_keeps_the_order(depth, family, idle, stall, seed):
    words = list(range(100))
    queue = Queue(Flow(Tensor(10, 10, 1, 0, 127), 1), depth, family)
    assert run_stage(queue, words, idle=idle, stall=stall, seed=seed).words == words


@given(pauses, pauses, pauses, st.integers(0, 9))
@examples(15)
def test_fork_gives_each_word_to_both(idle, stall0, stall1, seed):
    words = list(range(60))
    fork = Fork(Flow(Tensor(10, 10, 1, 0, 127), 1))
    stalls = {"o0": stall0, "o1": stall1}
    out = drive(fork, {"i": words}, {"o0": 60, "o1": 60}, idle=idle, stall=stalls, seed=seed)
    assert out["o0"].words == out["o1"].words == words
    if not (idle or stall0 or stall1):
        assert out["o0"].cycles == out["o1"].cycles == words


@pytest.mark.parametrize(("ahead", "behind"), [("o0", "o1"), ("o1", "o0")])
def test_fork_lets_an_output_run_one_word_ahead(ahead, behind):
    fork = Fork(Flow(Tensor(1, 1, 1, 0, 127), 1))
    with pytest.raises(HangError) as hang:
        drive(fork, {"i": [1, 2, 3]}, {"o0": 3, "o1": 3}, stall={behind: 1.0})
    assert hang.value.seen[ahead].words == [1]
    assert hang.value.seen["i"].words == hang.value.seen[behind].words == []
