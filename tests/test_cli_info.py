# amaranth: UnusedElaboratable=no
"""`bitfold info`: what a network is, and with a plan what its one bit costs."""

import json
import shutil

import pytest
from commands import run

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.plan import Plan
from bitfold.hw.planner import balance
from bitfold.model import zoo
from bitfold.model.card import card_path


def told(*words):
    status, out, err = run("info", *words, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def test_a_network_alone():
    status, out, err = run("info", "digits")
    assert (status, err) == (0, "")
    lines = {line[:18].strip(): line[18:].strip() for line in out.splitlines()}
    assert lines == {
        "network": "digits",
        "digest": zoo.load("digits").digest(),
        "input": "8x8x1 values of 5 bits",
        "output": "1x1x10 values of 13 bits",
        "weights": "74,512",
        "products a frame": "747,136",
        "test set": "359 images of digits",
        "test error": "1.11 %",
        "float test error": "0.84 %",
    }
    found = told("digits")
    assert (found["weights"], found["products_a_frame"], found["one_bit"]) == (74512, 747136, None)
    assert found["judged"]["test_error"] == zoo.card("digits").test_error


def test_a_plan_has_its_price(tmp_path):
    net = zoo.load("digits")
    plan = balance(net, 4608, "ice40-hx8k")
    plan.save(tmp_path / "plan.toml")
    found = told("digits", "--plan", tmp_path / "plan.toml")["one_bit"]
    machine = Accelerator(net, plan)
    assert found["cost"]["luts"] == machine.resources.luts
    assert (found["cycles"], found["device"], found["clock"]["mhz"]) == (machine.cycles, "ice40-hx8k", 60.0)
    assert found["judged"]["images"] == 359
    assert found["dsps"] == 0
    found = told("digits", "--plan", tmp_path / "plan.toml", "--clock", 12)["one_bit"]
    assert found["frames_per_second"] == 12e6 / machine.cycles


def test_a_rate_or_a_device_plans():
    cycles = told("digits", "--cycles", 4608)["one_bit"]
    assert (cycles["cycles"], cycles["device"]) == (4608, None)
    fitted = told("digits", "--target", "ecp5-25", "--fps", 10000, "--clock", 50)["one_bit"]
    assert (fitted["device"], fitted["clock"]) == ("ecp5-25", {"mhz": 50.0, "origin": "asked"})
    assert fitted["frames_per_second"] >= 10000
    smaller = told("digits", "--target", "ecp5-25", "--device", "luts=9000")["one_bit"]
    assert (smaller["luts"], smaller["device"]) == (9000, "ecp5-25 with luts=9000")
    assert smaller["cost"]["luts"] <= 9000
    status, out, _ = run("info", "digits", "--target", "ecp5-25", "--fps", 10000)
    assert status == 0
    assert "8 bits, in DSPs" in out
    assert "not known" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--clock", 50), "--clock is a machine's: name one with --target, --fps, --cycles or --plan"),
        (("--fps", 9, "--cycles", 9), "--fps and --target choose a plan, and --plan and --cycles another; give one of"),
        (("--cycles", 9, "--plan", "x"), "--plan and --cycles exclude each other; give one of them"),
    ],
)
def test_what_says_no_machine_is_refused(words, says):
    status, out, err = run("info", "digits", *words)
    assert (status, out) == (2, "")
    assert err.startswith(f"bitfold: {says}")


def test_a_card_is_the_networks(tmp_path):
    for name in ("digits", "digits-tiny"):
        shutil.copy(zoo.path(name), tmp_path)
    assert told(tmp_path / "digits.bitfold")["judged"] is None
    shutil.copy(card_path(zoo.path("digits")), tmp_path / "digits-tiny.json")
    for command in ("info", "report"):
        status, _, err = run(command, tmp_path / "digits-tiny.bitfold")
        assert (status, "is another network's card: make " in err) == (2, True)


def test_loadable_machines_have_no_baseline(tmp_path):
    Plan(balance(zoo.load("digits"), 4608).foldings, weights="loadable").save(tmp_path / "plan.toml")
    assert told("digits", "--plan", tmp_path / "plan.toml")["one_bit"]["eight"] is None
    status, out, _ = run("info", "digits", "--plan", tmp_path / "plan.toml")
    assert status == 0
    assert "There is no baseline: " in out
