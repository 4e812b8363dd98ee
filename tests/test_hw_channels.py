# amaranth: UnusedElaboratable=no
"""PadChannels."""

from math import gcd

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from machines import Series, examples, frame_distances, pack, random_frames, run_stage, through
from strategies import pauses, tensors

from bitfold.hw.device.target import FAMILIES
from bitfold.hw.plan import divisors
from bitfold.hw.stages.channels import PadChannelsStage
from bitfold.hw.stream.flow import Flow
from bitfold.hw.stream.queue import Queue
from bitfold.model.layers import PadChannels
from bitfold.model.tensor import Tensor


@given(tensors(side=3), st.integers(1, 8), st.data(), pauses, pauses)
@examples(30)
def test_stage_is_the_layer(t, more, data, idle, stall):
    """Among the inputs are intervals that do not contain 0, and others of the same width."""
    layer = PadChannels(more)
    lanes = [*divisors(gcd(t.channels, more)), *(pixels * t.channels for pixels in divisors(t.width))]
    stage = PadChannelsStage(Flow(t, data.draw(st.sampled_from(lanes))), layer)
    frames = random_frames(stage.source, 3, data.draw(st.integers(0, 99)))
    # By itself the stage may have no register and so no clock.
    series = Series(stage, Queue(stage.sink, 1, FAMILIES["generic"]))
    np.testing.assert_array_equal(through(series, frames, idle=idle, stall=stall), layer(frames))


def test_zeros_count_from_the_wider_interval():
    stage = PadChannelsStage(Flow(Tensor(1, 1, 2, 100, 107), 1), PadChannels(1))
    assert (stage.source.bits, stage.sink.bits) == (3, 7)
    np.testing.assert_array_equal(through(stage, np.array([[[[100, 107]]]])), [[[[100, 107, 0]]]])


def test_a_frame_takes_a_cycle_a_word():
    stage = PadChannelsStage(Flow(Tensor(2, 2, 4, -8, 7), 2), PadChannels(6))
    out = run_stage(stage, pack(stage.source, random_frames(stage.source, 4)))
    assert set(frame_distances(out.cycles, stage.sink.frame_words)) == {stage.cycles} == {20}
