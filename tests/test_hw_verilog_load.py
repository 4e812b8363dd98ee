# amaranth: UnusedElaboratable=no
"""The generated Verilog with weights that are loaded: one text for a shape, each network's values exactly."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from loads import another
from sim_nets import residual_net
from strategies import images
from test_hw_verilog import lint

from bitfold.cli.main import main
from bitfold.hw.accelerator import Accelerator
from bitfold.hw.load import words
from bitfold.hw.planner import balance
from bitfold.hw.verilog.formats import Interface
from bitfold.hw.verilog.write import write
from bitfold.model.layers import Chain, Requantise, Scale, Table
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.sim.simulate import check, simulate

NET = residual_net()
OTHER = another(NET, 1)
PLAN = replace(balance(NET, 300), weights="loadable")
CONSTANTS = Net(
    Tensor(2, 3, 2, 0, 7),
    Chain((Scale(np.array([3, -7])), Requantise(2, -8, 7, np.array([9, -5])), Table(np.arange(16) * 7 % 16, -8))),
)
CONSTANT_PLAN = replace(balance(CONSTANTS, 100), weights="loadable")


@pytest.fixture(scope="module")
def verilog(tmp_path_factory):
    """The Verilog of the shape."""
    return write(NET, PLAN, tmp_path_factory.mktemp("load"))


def test_networks_of_one_shape_have_one_verilog(verilog, tmp_path):
    path = write(OTHER, PLAN, tmp_path)
    for ending in (".v", ".md", ".toml"):
        assert path.with_suffix(ending).read_bytes() == verilog.with_suffix(ending).read_bytes()


def test_nothing_of_a_network_is_in_it(verilog):
    text = verilog.read_text()
    assert "words[0] =" not in text
    assert "$readmemh" not in text


@pytest.mark.parametrize("net", [NET, OTHER])
def test_both_through_the_same_verilog(net, verilog):
    """With all that the sheet says, after each of several resets."""
    assert check(net, PLAN, images(net, 4), pauses=0.2, verilog=verilog).exact


def test_a_network_in_anothers_place_is_seen(verilog):
    batch = images(NET, 3)
    got = simulate(OTHER, PLAN, batch, verilog=verilog).logits
    assert (got != NET(batch)).any()
    np.testing.assert_array_equal(got, OTHER(batch))


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not on PATH")
@pytest.mark.parametrize("interface", [Interface(), Interface("class", padded=True, counted=True, aresetn=True)])
def test_cocotb_agrees(interface):
    batch = images(CONSTANTS, 2)
    run = simulate(CONSTANTS, CONSTANT_PLAN, batch, engine="icarus", pauses=0.3, interface=interface)
    np.testing.assert_array_equal(run.classes, CONSTANTS(batch).argmax(axis=-1))


def test_amaranths_simulator_agrees():
    assert check(CONSTANTS, CONSTANT_PLAN, images(CONSTANTS, 2), engine="amaranth").exact


@pytest.mark.parametrize("target", ["xc7a35t", "ice40-up5k"])
def test_verilator_has_no_warning(target, tmp_path):
    assert lint(write(NET, replace(PLAN, target=target), tmp_path)) == ""


def test_ports_are_a_stream_of_their_own(verilog):
    text, sheet = verilog.read_text(), verilog.with_suffix(".md").read_text()
    top = text[text.index("module bitfold(") :]
    for port in ("tdata", "tvalid", "tready", "tlast"):
        assert f's_weights_axis {port.upper()}" *)' in top
        assert f"| `s_weights_axis_{port}` |" in sheet
    assert "| `weights_loaded` |" in sheet
    assert "| `weights_refused` |" in sheet
    assert "ASSOCIATED_BUSIF s_axis:s_weights_axis:m_axis," in text
    assert f"{len(words(NET, Accelerator(NET, PLAN))):,} words of 32 bits" in re.sub(r"\s+", " ", sheet)


def test_the_command_writes_the_words(tmp_path):
    NET.save(tmp_path / "net.bitfold")
    PLAN.save(tmp_path / "plan.toml")
    with pytest.raises(SystemExit) as status:
        main(["weights", f"{tmp_path}/net.bitfold", "--plan", f"{tmp_path}/plan.toml", "-o", f"{tmp_path}/load"])
    assert not status.value.code
    load = np.fromfile(tmp_path / "load", "<u4")
    np.testing.assert_array_equal(load, words(NET, Accelerator(NET, PLAN)))
    assert load[:1].tobytes() == b"bfld"
