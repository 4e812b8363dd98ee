"""Compiling models: in any folder, once, whole, by many at once; and what is left of one that was stopped."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sim_nets import INPUT, KINDS, images
from test_model_processes import alive, gone

from bitfold.hw.planner import fit
from bitfold.hw.verilog.write import write
from bitfold.model.net import Net
from bitfold.model.places import scratch
from bitfold.sim import verilator
from bitfold.sim.simulate import check
from bitfold.sim.tools import module

NET = Net(INPUT, KINDS["requantise"])
PLAN = fit(NET, 1)
ODD = "it's \"my\" $HOME #1 & 50%; (ü) 'a\\b' -x `y` " + "long " * 30
"""A folder as users have them, and a little worse."""


def exact(**options):
    return check(NET, PLAN, images(NET, 3), **options).exact


def environment(**settings):
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | settings


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Home, cache, output, temporary files and what is installed, all in an odd folder, where a model was made."""
    odd = tmp_path_factory.mktemp("user") / ODD
    with pytest.MonkeyPatch.context() as patch:
        for name, place in {"HOME": "home", "TMPDIR": "tmp"}.items():
            (odd / place).mkdir(parents=True)
            patch.setenv(name, str(odd / place))
        patch.delenv("XDG_CACHE_HOME", raising=False)
        patch.setattr("tempfile.tempdir", None)
        installed = Path(shutil.copytree(module("verilator"), odd / "verilator"))
        patch.setattr(verilator, "module", lambda name: installed)
        assert exact(verilog=write(NET, PLAN, odd / "out"))
    return odd


@pytest.fixture(scope="module")
def verilog(odd):
    return odd / "out" / "bitfold.v"


@pytest.fixture
def cache(odd, tmp_path):
    """A cache that lacks nothing, to be spoilt."""
    return Path(shutil.copytree(odd / "home" / ".cache" / "bitfold", tmp_path / "cache"))


def kept(cache):
    """The executable and the objects that every model shares, which are all that there is."""
    paths = sorted((cache / "verilator").iterdir(), key=lambda path: not os.access(path, os.X_OK))
    assert [os.access(path, os.X_OK) for path in paths] == [True, False]
    return paths


def test_any_folder_will_do(odd):
    kept(odd / "home" / ".cache" / "bitfold")
    assert list((odd / "tmp").iterdir()) == []


@pytest.mark.parametrize("engine", ["icarus", "verilator-cocotb"])
def test_cocotb_takes_any_folder_too(engine, tmp_path, monkeypatch):
    if engine == "icarus" and not shutil.which("iverilog"):
        pytest.skip("iverilog is not on PATH")
    place = tmp_path / f"{ODD}:,"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)
    (place / "site").symlink_to(module("cocotb").parent)
    monkeypatch.setattr("bitfold.sim.cosim.module", lambda name: place / "site" / name.replace(".", "/"))
    monkeypatch.setattr(sys, "path", [str(place / "site"), *sys.path])
    assert exact(engine=engine, build=place / "out", waveform=place / "w.vcd")
    assert (place / "w.vcd").exists()


def test_a_model_is_compiled_once(cache, verilog, monkeypatch):
    monkeypatch.setattr(verilator, "_call", None)
    assert verilator.build(verilog, folder=cache) == kept(cache)[0]


def test_what_was_cut_short_is_made_anew(cache, verilog):
    before = [path.stat().st_size for path in kept(cache)]
    for path, size in zip(kept(cache), (0, 5000), strict=True):
        os.truncate(path, size)
    assert exact(cache=cache, verilog=verilog)
    assert [path.stat().st_size for path in kept(cache)] == before


def test_another_compiler_makes_another_model(cache, verilog, monkeypatch, tmp_path):
    (tmp_path / "g++").write_text("#!/bin/sh\necho g++ 99\n", encoding="utf-8")
    (tmp_path / "g++").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def compiles(*command, **env):
        raise InterruptedError

    monkeypatch.setattr(verilator, "_call", compiles)
    with pytest.raises(InterruptedError):
        verilator.build(verilog, folder=cache)


def test_many_processes_at_once_compile_once_and_lose_nothing(cache, verilog):
    kept(cache)[0].unlink()
    script = """
import sys
from pathlib import Path
from bitfold.sim.verilator import build
print(build(Path(sys.argv[1]), folder=Path(sys.argv[2])))
"""
    command = [sys.executable, "-c", script, verilog, cache]
    processes = [subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) for _ in range(6)]
    given = {process.communicate()[0].strip() for process in processes}
    assert {process.returncode for process in processes} == {0}
    assert given == {str(kept(cache)[0])}


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_nothing(by, cache, verilog, tmp_path, monkeypatch):
    tools, temporary = tmp_path / "tools", tmp_path / "tmp"
    tools.mkdir()
    temporary.mkdir()
    (tools / "g++").write_text('#!/bin/sh\n[ "$1" = --version ] || sleep 61.5\n', encoding="utf-8")
    (tools / "g++").chmod(0o755)
    NET.save(tmp_path / "net.bitfold")
    np.save(tmp_path / "images.npy", images(NET, 1))
    words = ["simulate", tmp_path / "net.bitfold", "--images", tmp_path / "images.npy", "--cache", cache]
    env = environment(PATH=f"{tools}:{os.environ['PATH']}", TMPDIR=str(temporary))
    # In the background of a shell, or below nohup, some of these are ignored, and children inherit that.
    command = ["env", "--default-signal=HUP,INT,TERM", sys.executable, "-m", "bitfold", *words]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 300
        while not (works := list(cache.glob("verilator/build-*/slow0.cpp"))) or not alive(works[0].parent):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(by)
        said = process.communicate()[1]
    assert b"Traceback" not in said
    if by in (signal.SIGTERM, signal.SIGHUP):
        assert (process.returncode, said) == (128 + by, b"")
    assert gone(works[0].parent)
    if by == signal.SIGKILL:  # the next run does what this one could not
        assert works[0].exists()
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        with scratch():
            verilator.build(verilog, folder=cache)
    kept(cache)
    assert list(temporary.iterdir()) == []
