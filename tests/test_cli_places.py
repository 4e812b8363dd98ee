"""The command with any home, locale and file name."""

import os
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from sim_nets import INPUT, KINDS, images
from some import few

from bitfold.hw.planner import fit
from bitfold.model.layers import BinaryConv, Chain, GlobalSum
from bitfold.model.net import Net

NET = Net(INPUT, KINDS["requantise"])


def bitfold(*words, cwd, **settings):
    """Run the command; (exit status, stdout, stderr), as bytes."""
    environment = {key: value for key, value in os.environ.items() if key != "XDG_CACHE_HOME"}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path)} | settings
    command = [sys.executable, "-m", "bitfold", *words]
    done = subprocess.run(command, capture_output=True, timeout=600, cwd=cwd, env=environment)
    return done.returncode, done.stdout, done.stderr


def test_without_a_home_one_line_says_what_is_not_kept(tmp_path):
    NET.save(tmp_path / "net.bitfold")
    status, _, err = bitfold("verilog", "net.bitfold", "-o", "out", cwd=tmp_path, HOME="/proc/none")
    assert status == 0
    assert err.startswith(b"bitfold: /proc/none/")
    assert err.endswith(b"compiled models are not kept; name a folder for them with --cache DIR or XDG_CACHE_HOME\n")
    assert err.count(b"\n") == 1
    assert (tmp_path / "out" / "bitfold.v").exists()


def test_a_chosen_cache_keeps_all(tmp_path):
    NET.save(tmp_path / "net.bitfold")
    words = ["verilog", "net.bitfold", "-o", "out"]
    status, _, err = bitfold(*words, "--cache", "my cache", cwd=tmp_path, HOME="/proc/none")
    assert (status, err) == (0, b"")
    assert (tmp_path / "my cache" / "wasmtime").is_dir()
    status, _, err = bitfold(*words, "--cache", "/proc/none", cwd=tmp_path)
    message = b"bitfold: /proc/none cannot keep compiled models: No such file or directory; choose another place\n"
    assert (status, err) == (2, message)


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NAMES = ["häuser 家 ψηφία", os.fsdecode(b"not utf-8 \xff")]


@pytest.mark.parametrize(("name", "locale"), few(product(NAMES, ({}, ASCII)), 3))
def test_any_name_in_any_locale(name, locale, tmp_path):
    body = Chain((BinaryConv(np.ones((2, 3, 3, 2), bool)), GlobalSum()))
    net = Net(INPUT, body, classes=("größe", "家"))
    folder = tmp_path / name
    folder.mkdir()
    net.save(folder / f"{name}.bitfold")
    np.save(folder / f"{name}.npy", images(net, 1))
    plan = fit(net, 1)
    (folder / f"{name}.toml").write_text(plan.dumps() + f"# {NAMES[0]}\n", encoding="utf-8")
    common = [f"{name}.bitfold", "--plan", f"{name}.toml"]
    for words in (
        ["verilog", *common, "-o", f"{name} out"],
        ["simulate", *common, "--engine", "amaranth", "--images", f"{name}.npy", "-o", f"{name}.logits.npy"],
        ["report", *common, "-o", f"{name}.html", "--frames", "0"],
        ["plan", f"{name}.bitfold", "--pareto", f"{name}.svg"],
    ):
        status, _, err = bitfold(*words, cwd=folder, **locale)
        assert (status, err) == (0, b"")
    np.testing.assert_array_equal(np.load(folder / f"{name}.logits.npy"), net(images(net, 1)))
    assert f"{name}.svg" in os.listdir(folder)


def test_the_longest_names(tmp_path):
    NET.save(tmp_path / "net.bitfold")
    longest = "n" * 255
    assert bitfold("report", "net.bitfold", "-o", longest, "--frames", "0", cwd=tmp_path)[0] == 0
    assert (tmp_path / longest).exists()
