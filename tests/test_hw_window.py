# amaranth: UnusedElaboratable=no
"""Geometry by brute force, and the line buffer's depth in steady state."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import HangError, examples, frame_distances, pack, random_frames, run_stage
from strategies import random_weights, sum_pools, tensors

import bitfold.hw.stages.conv
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.plan import Folding
from bitfold.hw.stages.conv import ConvStage
from bitfold.hw.stream.flow import Flow
from bitfold.hw.window.window import Geometry
from bitfold.model.layers import BinaryConv
from bitfold.model.tensor import Tensor


@st.composite
def geometries(draw) -> Geometry:
    t = draw(tensors())
    pool = draw(sum_pools(t))
    return Geometry(t.height, t.width, (pool.kernel, pool.kernel), pool.stride, pool.padding)


@given(geometries())
@examples(200)
def test_geometry_by_brute_force(g):
    top, left = g.padding[0], g.padding[2]
    bases, needs = [], []
    for row in range(g.out_height):
        for column in range(g.out_width):
            y0, x0 = row * g.stride - top, column * g.stride - left
            taps = [
                y * g.width + x
                for y in range(max(0, y0), min(g.height, y0 + g.kernel[0]))
                for x in range(max(0, x0), min(g.width, x0 + g.kernel[1]))
            ]
            bases.append(y0 * g.width + x0)
            needs.append(max([*needs, max(taps) + 1]))
    np.testing.assert_array_equal(g.bases, bases)
    np.testing.assert_array_equal(g.needs, needs)
    right, down, on = g.steps
    moves = np.diff([*bases, bases[0] + g.pixels])
    expected = [right] * (g.out_width - 1) + [down]
    np.testing.assert_array_equal(moves, [*(expected * g.out_height)[:-1], on])


@given(geometries())
@examples(200)
def test_lead_lets_an_even_output_never_wait(g):
    """An input that has brought its even share and the lead has brought each window's pixels; a pixel less has not."""
    outputs = len(g.needs)
    even = np.arange(outputs) * g.pixels // outputs
    assert (even + g.lead >= g.needs).all()
    assert (even + g.lead - 1 < g.needs).any()


@dataclass(frozen=True)
class Shallow(Geometry):
    """A buffer `less` pixels short of the depth that Geometry asks for."""

    less: int = 0

    @property
    def depth(self) -> int:
        return super().depth - self.less


LAYERS = [
    # height, width, kernel, stride, padding, words a pixel; pixels of depth without which all is still even
    (6, 6, (3, 3), 1, (1, 1, 1, 1), 1, 3),
    (5, 7, (3, 3), 1, (0, 0, 0, 0), 1, 10),
    (6, 4, (5, 5), 1, (2, 2, 2, 2), 1, 3),
    (6, 6, (3, 3), 2, (0, 1, 0, 1), 1, 10),
    (8, 8, (3, 3), 2, (1, 0, 1, 0), 1, 10),
    (7, 5, (1, 1), 1, (0, 0, 0, 0), 2, 2),
    (6, 6, (2, 2), 2, (0, 0, 0, 0), 1, 5),
    (6, 6, (1, 1), 2, (0, 0, 0, 0), 1, 9),
]


def even_run(layer, less, monkeypatch, frames=6):
    """Distances of frames in steady state, with an even input at the stage's own rate, and the stage's cycles."""
    height, width, kernel, stride, padding, words, _ = layer
    monkeypatch.setattr(bitfold.hw.stages.conv, "Geometry", lambda *args: Shallow(*args, less=less))
    t = Tensor(height, width, words, 0, 3)
    conv = BinaryConv(random_weights((1, *kernel, words), 1), stride, padding)
    stage = ConvStage(Flow(t, 1), conv, None, Folding(1, 1), FAMILIES["generic"])
    stream = pack(stage.source, random_frames(stage.source, frames))
    due = [k * stage.cycles // stage.source.frame_words for k in range(len(stream))]
    out = run_stage(stage, stream, at={"i": due})
    return frame_distances(out.cycles, stage.sink.frame_words), stage.cycles


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_depth_is_enough_for_an_even_input(layer, monkeypatch):
    distances, cycles = even_run(layer, 0, monkeypatch)
    assert set(distances[1:]) == {cycles}


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_spare_depth_is_known(layer, monkeypatch):
    """At least the two pixels of jitter; without one more the stage slows down or stands still."""
    spare = layer[-1]
    assert spare >= 2
    distances, cycles = even_run(layer, spare, monkeypatch)
    assert set(distances[1:]) == {cycles}
    try:
        distances, _ = even_run(layer, spare + 1, monkeypatch)
    except HangError:
        return
    assert distances[-1] > cycles
