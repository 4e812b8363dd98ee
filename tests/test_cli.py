"""The `bitfold` command: its figures, its exit statuses, its one line about bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import run as bitfold

from bitfold.hw.plan import Plan
from bitfold.model import zoo
from bitfold.model.layers import BinaryConv, Chain, PadChannels, Requantise
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor


@pytest.fixture
def small(tmp_path):
    """A file with a network of one layer, and images for it."""
    random = np.random.default_rng(7)
    body = Chain((BinaryConv(random.random((4, 3, 3, 2)) < 0.5, padding=(1, 1, 1, 1)), Requantise(2, -4, 11)))
    net = Net(Tensor(4, 4, 2, 0, 15), body)
    net.save(tmp_path / "small.bitfold")
    np.save(tmp_path / "images.npy", random.integers(0, 16, (5, 4, 4, 2), dtype=np.uint8))
    return tmp_path


def test_demo_is_exact_and_tells_machines_so(tmp_path):
    pytest.importorskip("sklearn")
    status, out, err = bitfold("demo", "--json", "-o", tmp_path / "demo")
    assert status == 0, err
    figures = json.loads(out)
    assert figures["images"] == 359
    assert figures["mismatching_logits"] == 0
    assert figures["mismatching_logits_with_pauses"] == 0
    assert figures["accuracy"] >= 0.97
    assert figures["ideal_cycles_per_frame"] <= figures["cycles_per_frame"]
    assert figures["cycles_per_frame"] <= 1.01 * figures["ideal_cycles_per_frame"]
    assert figures["weights"] == zoo.load("digits").weights
    assert figures["lanes"] > 0
    assert {file.name for file in (tmp_path / "demo").glob("bitfold.*")} == {
        "bitfold.v",
        "bitfold.md",
        "bitfold.toml",
    }


def test_verilog_writes_three_files_named_alike(small):
    status, out, err = bitfold(
        "verilog", small / "small.bitfold", "-o", small / "out", "--name", "tiny", "--cycles", 200, "--json"
    )
    assert status == 0, err
    assert json.loads(out)["cycles_per_frame"] <= 200
    assert "module tiny(" in (small / "out" / "tiny.v").read_text()
    assert "# Module `tiny`" in (small / "out" / "tiny.md").read_text()
    again = bitfold(
        "verilog",
        small / "small.bitfold",
        "-o",
        small / "again",
        "--name",
        "tiny",
        "--plan",
        small / "out" / "tiny.toml",
    )
    assert again[0] == 0
    assert (small / "again" / "tiny.v").read_bytes() == (small / "out" / "tiny.v").read_bytes()


def test_verilog_with_registers_and_a_package_says_where_they_are(small):
    status, out, err = bitfold(
        "verilog", small / "small.bitfold", "-o", small / "soc", "--control", "axi-lite", "--ip-xact", "--json"
    )
    assert status == 0, err
    figures = json.loads(out)
    names = {"verilog", "sheet", "plan", "header", "registers", "ip_xact"}
    files = {Path(figures[name]).name for name in names}
    assert files == {file.name for file in (small / "soc").iterdir()}
    assert files == {"bitfold.v", "bitfold.md", "bitfold.toml", "bitfold.h", "bitfold_registers.py", "component.xml"}
    says = "control is one of none, axi-lite, wishbone, not apb"
    assert says in bitfold("verilog", small / "small.bitfold", "-o", small / "x", "--control", "apb")[2]


@pytest.mark.parametrize("engine", ["verilator", "amaranth"])
def test_simulate_compares_and_saves_logits(small, engine):
    status, out, err = bitfold(
        "simulate", small / "small.bitfold", "--images", small / "images.npy", "--engine", engine, "--pauses", 0.3,
        "--waveform", small / "run.vcd", "-o", small / "logits.npy", "--json",
    )  # fmt: skip
    assert status == 0, err
    figures = json.loads(out)
    assert figures["images"] == 5
    assert figures["mismatching_logits"] == 0
    expected = Net.load(small / "small.bitfold")(np.load(small / "images.npy"))
    np.testing.assert_array_equal(np.load(small / "logits.npy"), expected)
    assert (small / "run.vcd").stat().st_size > 0


def test_bad_input_gets_one_line_and_status_2(small):
    (small / "short.bitfold").write_bytes((small / "small.bitfold").read_bytes()[:40])
    (small / "text.npy").write_text("no array")
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 4, 4, 2)}\n" % 2**70
    (small / "huge.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    (small / "plan.toml").write_text("bitfold_plan = 1\n[layers]\n")
    np.save(small / "wrong.npy", np.zeros((1, 5, 4, 2), np.uint8))
    np.save(small / "floats.npy", np.zeros((1, 4, 4, 2)))
    Net(Tensor(3, 3, 5, 0, 15), Chain((PadChannels(1),))).save(small / "padded.bitfold")
    net, images = small / "small.bitfold", small / "images.npy"
    for words, says in [
        (("verilog", small / "none.bitfold", "-o", small / "x"), "none.bitfold"),
        (("verilog", small / "short.bitfold", "-o", small / "x"), "short.bitfold"),
        (("verilog", net, "-o", small / "x", "--cycles", 3), "takes at least"),
        (
            ("verilog", net, "-o", small / "x", "--cycles", 300, "--plan", small / "plan.toml"),
            "exclude each other",
        ),
        (("verilog", net, "-o", small / "x", "--plan", small / "plan.toml"), 'no line for layer "0"'),
        (("verilog", net, "-o", small / "x", "--name", "1st"), "1st"),
        (("verilog", net, "-o", small / "x", "--fps", 9, "--cycles", 300), "give one of them"),
        (("verilog", net, "-o", small / "x", "--target", "abacus"), 'no device is called "abacus"'),
        (("verilog", net, "-o", small / "x", "--name", "module"), "module"),
        (("verilog", net, "-o", net), "small.bitfold"),
        (("simulate", net, "--images", small / "text.npy"), "text.npy"),
        (("simulate", net, "--images", small / "none.npy"), "none.npy"),
        (("simulate", net, "--images", small / "wrong.npy"), "[1, 5, 4, 2]; expected [N, 4, 4, 2]"),
        (("simulate", net, "--images", small / "floats.npy"), "must be integers"),
        (("simulate", net, "--images", images, "--engine", "abacus"), "abacus"),
        (("simulate", net, "--images", images, "--waveform", images / "w.vcd"), "images.npy"),
        (("simulate", net, "--images", small / "huge.npy"), "huge.npy"),
        (("simulate", net), "--images"),
        (("simulate", net, "--images", images, "--seed", "x"), "--seed"),
        (("fly",), "fly"),
        (("simulate", net, "--images", images, "--pauses", 1.5), "1.5"),
    ]:
        status, out, err = bitfold(*words)
        assert status == 2, (words, out, err)
        assert out == ""
        assert says in err, (words, err)
        assert err.startswith("bitfold: ")
        assert err.count("\n") == 1, err
    assert not (small / "x").exists()


def test_plan_for_a_rate_is_a_file_that_verilog_takes(small):
    status, out, err = bitfold(
        "plan", small / "small.bitfold", "--fps", 1e6, "--clock", 50, "-o", small / "plan.toml", "--json"
    )
    assert status == 0, err
    figures = json.loads(out)
    assert figures["frames_per_second"] >= 1e6
    assert figures["cycles_per_frame"] <= 50
    assert [(stage["layer"], stage["kind"]) for stage in figures["stages"]] == [
        ("0", "Conv"),
        *(("", kind) for kind in ("queues", "converters", "frames")),
    ]
    assert sum(stage["luts"] for stage in figures["stages"]) == figures["luts"]
    assert f"# {figures['stages'][0]['cycles']} cycles, " in (small / "plan.toml").read_text()
    status, out, err = bitfold(
        "verilog", small / "small.bitfold", "-o", small / "v", "--plan", small / "plan.toml", "--json"
    )
    assert status == 0, err
    assert json.loads(out)["cycles_per_frame"] == figures["cycles_per_frame"]


def test_verilog_plans_as_plan_does(small):
    wanted = ("--fps", 1e5, "--clock", 50, "--target", "ecp5-25")
    status, out, err = bitfold("plan", small / "small.bitfold", *wanted, "-o", small / "plan.toml")
    assert status == 0, err
    status, out, err = bitfold("verilog", small / "small.bitfold", *wanted, "-o", small / "v", "--json")
    assert status == 0, err
    assert Plan.load(small / "v" / "bitfold.toml") == Plan.load(small / "plan.toml")
    sheet = (small / "v" / "bitfold.md").read_text()
    assert "Planned for ecp5-25." in sheet
    assert (
        f"At 50 MHz, which was asked for and not measured: {50e6 / json.loads(out)['cycles_per_frame']:,.1f} fr"
        in sheet
    )


def test_plan_for_a_device_fits_it(small):
    status, out, err = bitfold("plan", small / "small.bitfold", "--target", "ice40-hx8k", "--lut-share", 0.5)
    assert status == 0, err
    assert "of ice40-hx8k" in out
    assert "cycles a frame" in out


def test_rates_are_told_at_the_devices_clock_and_say_what_binds(small):
    net = small / "small.bitfold"
    status, out, err = bitfold("plan", net, "--target", "ice40-up5k", "--json")
    assert status == 0, err
    figures = json.loads(out)
    assert (figures["clock_mhz"], figures["clock_origin"]) == (28, "measured")
    assert figures["frames_per_second"] == 28e6 / figures["cycles_per_frame"]
    assert figures["bound"]["by"]
    status, out, err = bitfold("plan", net, "--target", "ice40-up5k", "--clock", 12)
    assert status == 0, err
    assert "frames a second at 12 MHz (asked)" in out
    assert f"\nbound by {', '.join(figures['bound']['by'])}: {figures['bound']['why']}\n" in out
    status, out, err = bitfold("plan", net, "--fps", 1000, "--json")
    assert status == 0, err
    figures = json.loads(out)
    assert (figures["clock_mhz"], figures["clock_origin"], figures["bound"]) == (100, "assumed", None)


def test_another_device_of_a_family_is_planned_for_and_its_plan_is_the_targets(small):
    net, wanted = small / "small.bitfold", ("--target", "ecp5-25", "--device", "luts=900,blocks=3")
    status, out, err = bitfold("plan", net, *wanted, "-o", small / "plan.toml")
    assert status == 0, err
    assert "of ecp5-25 with luts=900,blocks=3" in out
    status, out, err = bitfold("verilog", net, *wanted, "-o", small / "v")
    assert status == 0, err
    assert Plan.load(small / "v" / "bitfold.toml") == Plan.load(small / "plan.toml")
    assert Plan.load(small / "plan.toml").target == "ecp5-25"
    sheet = (small / "v" / "bitfold.md").read_text()
    assert "At 85 MHz, which place and route gave the machines tried on ecp5-25, not this one: " in sheet


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_choice_of_plans_is_drawn_and_tabled(small, ending):
    pytest.importorskip("matplotlib")
    status, out, err = bitfold("plan", small / "small.bitfold", "--pareto", small / f"curve.{ending}", "--json")
    assert status == 0, err
    rows = json.loads(out)
    table = (small / "curve.csv").read_text().splitlines()
    assert len(table) == len(rows) + 1
    assert table[0].split(",") == list(rows[0])
    assert {"svg": b"<?xml", "png": b"\x89PNG"}[ending] == (small / f"curve.{ending}").read_bytes()[
        : 5 if ending == "svg" else 4
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say how fast with --fps"),
        (("--fps", 1e9), "ask for at most"),
        (("--fps", -1), "--fps must be a number from 1e-06 to 1e+12, not -1"),
        (("--target", "abacus"), 'no device is called "abacus"'),
        (("--pareto", "curve.gif"), "a picture ends in .svg, .png or .pdf"),
        (("--fps", 1e6, "--target", "gw1nr-9", "--lut-share", 0.02), "no plan fits gw1nr-9; "),
    ],
)
def test_a_plan_that_cannot_be_is_one_line(small, words, message):
    status, out, err = bitfold("plan", small / "small.bitfold", *words)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
