# amaranth: UnusedElaboratable=no
"""Every variant of the ports, in simulation: all that the sheet says, and the network's values, exactly."""

import re
import shutil

import numpy as np
import pytest
from strategies import images, random_weights
from test_hw_verilog import lint, quiet

from bitfold.hw.planner import balance, fit
from bitfold.hw.verilog.formats import Interface
from bitfold.hw.verilog.write import write
from bitfold.model import zoo
from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Chain
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.sim.simulate import check, simulate
from bitfold.sim.stimulus import Broken

COLOURS = Net(Tensor(4, 3, 3, 0, 255), Chain((BinaryConv(random_weights((6, 3, 3, 3), 1), 1, (1, 1, 1, 1)),)))
"""A map, of pixels of 24 bits; its values have 16 bits, three a beat."""
INTERFACES = {
    "class": Interface(out="class"),
    "padded": Interface(padded=True),
    "counted": Interface(counted=True),
    "aresetn": Interface(aresetn=True),
    "axi-lite": Interface(control="axi-lite"),
    "wishbone": Interface(control="wishbone"),
    "all": Interface("class", padded=True, counted=True, aresetn=True, control="axi-lite"),
}
PLAN = balance(COLOURS, 150)


@pytest.mark.parametrize("kind", INTERFACES)
def test_the_sheet_holds_and_values_are_the_networks(kind):
    """A map, with all trials of the sheet, in Verilator."""
    report = check(COLOURS, PLAN, images(COLOURS, 4), pauses=0.2, interface=INTERFACES[kind])
    assert report.exact
    assert report.run.logits.shape[-1] == (0 if INTERFACES[kind].out == "class" else 6)


@pytest.mark.parametrize("kind", ["padded", "all"])
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not on PATH")
def test_cocotb_agrees(kind):
    batch = images(COLOURS, 2)
    run = simulate(COLOURS, PLAN, batch, engine="icarus", pauses=0.3, interface=INTERFACES[kind])
    np.testing.assert_array_equal(run.classes, COLOURS(batch).argmax(axis=-1))


def test_amaranths_simulator_has_no_ports():
    with pytest.raises(BadInput, match=r"^Amaranth's simulator has no Verilog and so the plain interface alone"):
        simulate(COLOURS, PLAN, images(COLOURS, 1), engine="amaranth", interface=INTERFACES["class"])


@pytest.mark.slow
def test_classes_of_all_held_out_digits():
    from bitfold.model.train.data import open_data

    net, data = zoo.load("digits-tiny"), open_data("digits", None).test()
    pixels = data.batch(np.arange(len(data)))
    report = check(net, fit(net, 1024), pixels, interface=INTERFACES["all"])
    assert report.exact
    np.testing.assert_array_equal(report.run.classes, net.classify(pixels))


def test_digits_through_all_variants_at_once():
    pytest.importorskip("sklearn")
    from bitfold.model.train.data import open_data

    net, data = zoo.load("digits-tiny"), open_data("digits", None).test()
    pixels = data.batch(np.arange(20))
    run = simulate(net, fit(net, 256), pixels, interface=INTERFACES["all"])
    np.testing.assert_array_equal(run.classes, net.classify(pixels))


MUTANTS = {
    "class": (r"assign m_axis_tvalid = .*;", "assign m_axis_tvalid = o__valid;"),
    "padded": (r"assign m_axis_tdata = .*;", "assign m_axis_tdata = ~64'h0;"),
    "counted": (r"(?s)(module bitfold\(.*?\? \d'h0)b", r"\1a"),
    "aresetn": (r"assign rst = ~ aresetn;", "assign rst = 1'h0;"),
}


@pytest.mark.parametrize("kind", MUTANTS)
def test_a_wrong_one_is_found(kind, tmp_path):
    path = write(COLOURS, PLAN, tmp_path, interface=INTERFACES[kind])
    text = path.read_text()
    wrong = re.sub(*MUTANTS[kind], text)
    assert wrong != text
    path.write_text(wrong)
    try:
        report = check(COLOURS, PLAN, images(COLOURS, 3), interface=INTERFACES[kind], verilog=path)
    except (Broken, RuntimeError):
        return
    assert not report.exact


@pytest.mark.parametrize("kind", INTERFACES)
def test_no_tool_complains(kind, tmp_path):
    path = write(COLOURS, PLAN, tmp_path, interface=INTERFACES[kind])
    assert lint(path) == ""
    if shutil.which("iverilog"):
        assert quiet(["iverilog", "-Wall", "-g2005-sv", "-s", "bitfold", "-o", "out", "bitfold.v"], tmp_path) == ""


def test_padded_beats_are_powers_of_two(tmp_path):
    text = write(COLOURS, PLAN, tmp_path, interface=INTERFACES["padded"]).read_text()
    assert "input [31:0] s_axis_tdata;" in text
    assert re.search(r"output \[(7|15|31|63):0\] m_axis_tdata;", text)


def test_vivado_is_told_the_interfaces(tmp_path):
    text = write(COLOURS, PLAN, tmp_path, interface=INTERFACES["aresetn"]).read_text()
    assert text.count("xilinx.com:interface:axis:1.0 s_axis T") == 4
    assert text.count("xilinx.com:interface:axis:1.0 m_axis T") == 5
    assert "aximm" not in text
    assert 'ASSOCIATED_BUSIF s_axis:m_axis, ASSOCIATED_RESET aresetn" *)\n  input clk;' in text
    assert 'POLARITY ACTIVE_LOW" *)\n  input aresetn;' in text


def test_what_comes_out_is_one_of_two():
    with pytest.raises(BadInput, match=r"^out is one of values, class, not logits$"):
        Interface(out="logits")


def test_the_bus_is_one_of_two():
    with pytest.raises(BadInput, match=r"^control is one of none, axi-lite, wishbone, not apb$"):
        Interface(control="apb")
