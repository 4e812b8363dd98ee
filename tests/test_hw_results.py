# amaranth: UnusedElaboratable=no
"""The queue behind a pipeline that cannot stall."""

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from hypothesis import given
from hypothesis import strategies as st
from machines import examples, pack, random_frames, run_stage
from strategies import pauses

from bitfold.hw.stream.flow import Flow
from bitfold.hw.stream.results import ResultQueue
from bitfold.hw.stream.stage import Stage
from bitfold.model.tensor import Tensor

FLOW = Flow(Tensor(4, 5, 2, 0, 15), 2)


class Pipeline(Stage):
    """Registers alone, with a result queue of as many places as it asks for, or fewer."""

    def __init__(self, latency, fewer=0, cycles=0):
        super().__init__(FLOW, FLOW)
        self.latency = latency
        self.results = ResultQueue(FLOW, latency, cycles)
        self.results.credits -= fewer

    def elaborate(self, platform):
        m = Module()
        m.submodules.results = results = self.results
        word, done = self.i.payload, self.i.valid & self.i.ready
        m.d.comb += [self.i.ready.eq(results.room), results.enter.eq(done)]
        for k in range(self.latency - 1):
            held, valid = Signal(FLOW.bits, name=f"word{k}"), Signal(name=f"valid{k}")
            m.d.sync += [held.eq(word), valid.eq(done)]
            word, done = held, valid
        m.d.comb += [results.result.eq(word), results.done.eq(done)]
        wiring.connect(m, results.o, wiring.flipped(self.o))
        return m


WORDS = pack(FLOW, random_frames(FLOW, 4))


@given(st.integers(1, 5), st.sampled_from([0, 10**9]), pauses, pauses, st.integers(0, 99))
@examples(15)
def test_no_word_is_lost(latency, cycles, idle, stall, seed):
    stage = Pipeline(latency, cycles=cycles)
    assert run_stage(stage, WORDS, idle=idle, stall=stall, seed=seed).words == WORDS


@pytest.mark.parametrize("latency", [1, 2, 5])
def test_words_that_come_seldom_have_one_place(latency):
    """As soon as a frame's words have a cycle to spare beyond the pipeline and the way out."""
    words = FLOW.frame_words
    assert ResultQueue(FLOW, latency, words * (latency + 2) - 1).credits == latency + 1
    stage = Pipeline(latency, cycles=words * (latency + 2))
    assert stage.results.credits == 1
    out = run_stage(stage, WORDS)
    assert out.words == WORDS
    assert set(np.diff(out.cycles)) == {stage.results.interval} == {latency + 1}


@pytest.mark.parametrize("latency", [1, 2, 5])
def test_credits_are_the_fewest_for_a_word_a_cycle(latency):
    assert set(np.diff(run_stage(Pipeline(latency), WORDS).cycles)) == {1}
    assert set(np.diff(run_stage(Pipeline(latency, fewer=1), WORDS).cycles)) != {1}


@pytest.mark.parametrize("latency", [1, 3])
def test_a_result_is_offered_after_the_latency(latency):
    out = run_stage(Pipeline(latency), WORDS, at={"i": range(10, 10 + 9 * len(WORDS), 9)})
    assert out.cycles == [10 + 9 * k + latency for k in range(len(WORDS))]
