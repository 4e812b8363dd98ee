# amaranth: UnusedElaboratable=no
"""The convolution stage against its layer, and its declared figures against the clock."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from machines import (
    EVERY_FAMILY,
    coming_after,
    conv_foldings,
    conv_stage,
    examples,
    frame_distances,
    pack,
    random_frames,
    run_accelerator,
    run_stage,
    through,
    turned,
    unpack,
)
from some import few
from strategies import binary_convs, images, pauses, random_weights, requantises, tensors

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.device.target import FAMILIES, Family, Ram
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.stages.conv import ConvStage
from bitfold.hw.stages.windowed import credits_for
from bitfold.hw.stream.flow import Flow
from bitfold.model.layers import BinaryConv, Chain, Requantise, shifted_relu
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

GENERIC = FAMILIES["generic"]


@st.composite
def conv_stages(draw: DrawFn, ops: int = 2000, side: int = 9) -> tuple[ConvStage, Chain]:
    """A stage and the layers it stands for."""
    t = draw(tensors(side))
    layer = draw(binary_convs(t, ops))
    follows = draw(st.none() | requantises(layer.infer(t)))
    family = draw(st.sampled_from(EVERY_FAMILY))
    folding = draw(turned(draw(st.sampled_from(conv_foldings(layer, t))), layer, t))
    stage = conv_stage(t, layer, follows, folding, family)
    return stage, Chain((layer, follows) if follows else (layer,))


def check_exact(stage, layers, idle, stall, seed):
    frames = random_frames(stage.source, 3, seed)
    out = through(stage, frames, idle=idle, stall=stall, seed=seed)
    np.testing.assert_array_equal(out, layers(frames))


@given(conv_stages(), pauses, pauses, st.integers(0, 99))
@examples(40)
def test_stage_is_the_layer(drawn, idle, stall, seed):
    check_exact(*drawn, idle, stall, seed)


@pytest.mark.slow
@given(conv_stages(ops=8000), pauses, pauses, st.integers(0, 99))
@examples(200)
def test_stage_is_the_layer_at_length(drawn, idle, stall, seed):
    check_exact(*drawn, idle, stall, seed)


def check_figures(stage, layers):
    """Back to back, and pixel by pixel."""
    frames = random_frames(stage.source, 7)
    out = run_stage(stage, pack(stage.source, frames))
    np.testing.assert_array_equal(unpack(stage.sink, out.words), layers(frames))
    assert set(frame_distances(out.cycles, stage.sink.frame_words)[3:]) == {stage.cycles}
    for pixels in np.unique(np.r_[stage.needs, stage.needs - 1]):
        come = (np.minimum(stage.needs, stage.source.tensor.pixels) <= pixels).sum()
        assert coming_after(stage, pixels) == come * stage.sink.frame_words // stage.sink.tensor.pixels


@given(conv_stages(ops=500, side=6))
@examples(25)
def test_figures_are_as_declared(drawn):
    check_figures(*drawn)


@pytest.mark.slow
@given(conv_stages(ops=2000))
@examples(100)
def test_figures_are_as_declared_at_length(drawn):
    check_figures(*drawn)


KERNELS = [(1, 1), (3, 3), (5, 5), (7, 7), (1, 5), (5, 2), (3, 4)]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_every_kernel_and_stride_on_an_oblong_map_with_uneven_padding(kernel, stride):
    kh, kw = kernel
    pad = (kh - 1, max(0, kh - 2), kw // 3, kw - 1)
    t = Tensor(7, 5, 4, -3, 12)
    layer = BinaryConv(random_weights((4, *kernel, 4), 7), stride, pad)
    stage = ConvStage(Flow(t, 4), layer, None, Folding(4, 4), GENERIC)
    frames = random_frames(stage.source, 4)
    out = run_stage(stage, pack(stage.source, frames))
    np.testing.assert_array_equal(unpack(stage.sink, out.words), layer(frames))
    assert frame_distances(out.cycles, stage.sink.frame_words)[-1] == stage.cycles


IN_TURNS = product(("generic", "xc7", "ice40"), ((1, 4, 2), (3, 1, 3), (2, 2, 6), (6, 1, 2)), (1, 2), (1, 12))


@pytest.mark.parametrize(("family", "folding", "stride", "top"), few(IN_TURNS, 11))
def test_windows_that_take_turns(family, folding, stride, top):
    """Words of weights come in parts, also where they do not divide evenly; no cycle is lost."""
    (pe, simd, turns), family = folding, FAMILIES[family]
    t = Tensor(5, 6 * stride, 4, 0 if top == 1 else -3, top)
    layer = BinaryConv(random_weights((6, 3, 3, 4), 7), stride, (1, 1, 1, 1))
    stage = ConvStage(Flow(t, simd), layer, None, Folding(pe, simd, turns=turns), family)
    plain = ConvStage(Flow(t, simd), layer, None, Folding(pe, simd), family)
    assert stage.stored == [-(-width // turns) for width in plain.stored]
    assert stage.depth == turns * plain.depth
    check_figures(stage, layer)
    check_exact(stage, layer, 0.3, 0.3, 1)


FOLLOWS = [
    None,
    Requantise(0, -5, 5),
    Requantise(3, -8, 7),
    Requantise(-2, -128, 127),
    Requantise(-2, -1000, 1000, np.array([5, -300, 7, 0, 1, -1])),
    Requantise(3, -8, 7, np.array([50, -30, 7, 0, 4, -4])),
    shifted_relu(4, 2, 1),
]


@pytest.mark.parametrize("follows", FOLLOWS, ids=lambda layer: "sums" if layer is None else str(layer)[:30])
@pytest.mark.parametrize("pe", [1, 3])
@pytest.mark.parametrize(("lo", "hi"), [(-4, 3), (0, 15), (5, 8), (-9, -2), (3, 3)])
def test_every_kind_of_result_and_input(follows, pe, lo, hi):
    """Padding adds real 0 also where the input's interval does not hold it."""
    t = Tensor(3, 3, 3, lo, hi, 2)
    layer = BinaryConv(random_weights((6, 3, 3, 3), 3), 1, (1, 1, 1, 1), 0)
    stage = ConvStage(Flow(t, 3), layer, follows, Folding(pe, 3), GENERIC)
    frames = random_frames(stage.source, 2)
    expected = layer(frames) if follows is None else follows(layer(frames))
    np.testing.assert_array_equal(through(stage, frames), expected)


def test_16_to_16_channels_on_8x8_take_576_cycles_a_frame():
    t = Tensor(8, 8, 16, -16, 15, 4)
    layer = BinaryConv(random_weights((16, 3, 3, 16), 1), 1, (1, 1, 1, 1), 3)
    relu = shifted_relu(5, 7, 4)
    stage = ConvStage(Flow(t, 16), layer, relu, Folding(16, 16), GENERIC)
    frames = random_frames(stage.source, 22)
    out = run_stage(stage, pack(stage.source, frames))
    np.testing.assert_array_equal(unpack(stage.sink, out.words), relu(layer(frames)))
    assert frame_distances(out.cycles, stage.sink.frame_words) == [576] * 21
    assert stage.cycles == 576


@pytest.mark.parametrize(("simd", "pe", "kernel"), [(1, 1, 1), (2, 4, 1), (8, 8, 1), (8, 4, 2), (4, 8, 3)])
def test_latency_counts_from_the_step_that_reads_the_last_tap(simd, pe, kernel):
    """Without padding the last tap is the last word that came, and it is read a cycle after it came."""
    t = Tensor(kernel, kernel, 8, 0, 3)
    layer = BinaryConv(random_weights((pe, kernel, kernel, 8), 2))
    stage = ConvStage(Flow(t, simd), layer, None, Folding(pe, simd), GENERIC)
    words = pack(stage.source, random_frames(stage.source, 1))
    last = 150
    out = run_stage(stage, words, at={"i": [*range(len(words) - 1), last]})
    assert out.cycles == [last + 1 + stage.latency]


def test_credits_hide_the_latency_and_are_few():
    assert credits_for(1, 8) == 14
    assert credits_for(9, 8) == 2
    assert credits_for(14, 8) == 1
    t = Tensor(8, 8, 2, 0, 3)
    stage = ConvStage(Flow(t, 2), BinaryConv(random_weights((1, 1, 1, 2), 2)), None, Folding(1, 2), GENERIC)
    out = run_stage(stage, pack(stage.source, random_frames(stage.source, 2)))
    assert set(np.diff(out.cycles)) == {1}


def test_a_clip_wider_than_the_sums_keeps_codes_in_their_places():
    net = Net(
        Tensor(2, 2, 2, -2, 1),
        Chain((BinaryConv(random_weights((4, 1, 1, 2), 3)), Requantise(0, -2, 253))),
    )
    batch = images(net, 3)
    machine = Accelerator(net, Plan({"0": Folding(4, 2)}, 4))
    np.testing.assert_array_equal(run_accelerator(machine, batch).logits, net(batch))


@pytest.mark.parametrize("chain", [1, 2])
@pytest.mark.parametrize(("kernel", "parts"), [(1, 2), (3, 14)])
def test_weights_in_several_rows_of_blocks(chain, kernel, parts):
    family = Family("small", chain=chain, blocks=(Ram("block", 1, {8: 8}, cost=1),))
    t = Tensor(4, 4, 8, 0, 3)
    layer = BinaryConv(random_weights((12, kernel, kernel, 8), 4))
    stage = ConvStage(Flow(t, 4), layer, None, Folding(2, 4), family)
    assert [len(stage.parts(rows, 8, family)) for rows in stage.weight_rows()] == [parts] * chain
    check_exact(stage, layer, 0.2, 0.2, 1)
