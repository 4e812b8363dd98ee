"""Sends vectors.txt through the machine beside it, in cocotb, and holds each beat that comes out against it.

Run as a script, `check_cocotb.py NAME`, it simulates ../NAME.v in Icarus; its status is 0 where all beats are right.
"""

import os
import random
import sys
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

IDLE = (
    "s_axis_tvalid", "s_axis_tdata", "s_axis_tlast", "m_axis_tready",
    "s_weights_axis_tvalid", "s_weights_axis_tdata", "s_weights_axis_tlast",
    "s_axi_awaddr", "s_axi_awvalid", "s_axi_wdata", "s_axi_wstrb", "s_axi_wvalid", "s_axi_bready",
    "s_axi_araddr", "s_axi_arvalid", "s_axi_rready",
    "wb_cyc_i", "wb_stb_i", "wb_we_i", "wb_adr_i", "wb_dat_i", "wb_sel_i",
)  # fmt: skip
"""Inputs that some machine has; 0 before anything else happens."""
HERE = Path(__file__).resolve().parent


def read(path):
    """(words of a load, beats in, beats out, watchdog) of a file; ValueError where it is cut or damaged."""
    first, *lines = path.read_text().splitlines()
    name, *numbers = first.split()
    ins, outs, loads, watchdog = map(int, numbers)
    if name != "bitfold-vectors-1" or not lines or lines.pop() != "end":
        raise ValueError(f"{path} is cut, or no file of vectors")
    found = {"w": [], "i": [], "o": []}
    for line in lines:
        kind, *numbers, data = line.split()
        found[kind].append((*map(int, numbers), int(data, 16)))
    if [len(found[kind]) for kind in "iow"] != [ins, outs, loads]:
        raise ValueError(f"{path} is cut")
    return found["w"], found["i"], found["o"], watchdog


def port(dut, name):
    """A port that not every machine has, or None."""
    return getattr(dut, name, None)


@cocotb.test()
async def every_beat_is_right(dut):
    load, beats_in, beats_out, watchdog = read(HERE / "vectors.txt")
    draw = random.Random(1)
    for name in IDLE:
        if port(dut, name) is not None:
            port(dut, name).value = 0
    reset = dut.rst if port(dut, "rst") is not None else dut.aresetn
    active = reset._name == "rst"
    reset.value = active
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    for _ in range(4):
        await FallingEdge(dut.clk)
    reset.value = not active
    for index, (word,) in enumerate(load):
        dut.s_weights_axis_tvalid.value = 1
        dut.s_weights_axis_tdata.value = word
        dut.s_weights_axis_tlast.value = index + 1 == len(load)
        await RisingEdge(dut.clk)
        while not int(dut.s_weights_axis_tready.value):
            await RisingEdge(dut.clk)
        await FallingEdge(dut.clk)
    if load:
        dut.s_weights_axis_tvalid.value = 0
    sent = received = quiet = 0
    offering = False
    while quiet <= watchdog:
        if not offering and sent < len(beats_in) and draw.random() > 0.25:
            last, data = beats_in[sent]
            dut.s_axis_tdata.value = data
            if port(dut, "s_axis_tlast") is not None:
                dut.s_axis_tlast.value = last
            offering = True
        dut.s_axis_tvalid.value = offering
        dut.m_axis_tready.value = draw.random() > 0.25
        await RisingEdge(dut.clk)
        quiet += 1
        taken, given = offering and int(dut.s_axis_tready.value), int(dut.m_axis_tvalid.value)
        if given and int(dut.m_axis_tready.value):
            assert received < len(beats_out), "more comes out than may"
            last, user, data = beats_out[received]
            found = int(dut.m_axis_tlast.value), int(dut.m_axis_tdata.value)
            assert found == (last, data), f"beat {received} of what comes out differs"
            if port(dut, "m_axis_tuser") is not None:
                assert int(dut.m_axis_tuser.value) == user, f"tuser of beat {received} differs"
            received, quiet = received + 1, 0
        if taken:
            sent, offering, quiet = sent + 1, False, 0
        await FallingEdge(dut.clk)
    assert (sent, received) == (len(beats_in), len(beats_out)), "the machine stands still"
    assert int(dut.short_frames.value) == int(dut.long_frames.value) == 0, "the machine counts bad frames"


def main(name):
    """Build and run, in the folder of the Verilog, where contents of memories are looked for."""
    from cocotb_tools.runner import get_results, get_runner

    runner, build = get_runner("icarus"), HERE / "build" / "icarus"
    common = {"hdl_toplevel": name, "build_dir": build, "timescale": ("1ns", "1ps")}
    runner.build(sources=[HERE.parent / f"{name}.v"], always=True, **common)
    tests, failed = get_results(
        runner.test(test_module="check_cocotb", test_dir=HERE.parent, results_xml=str(build / "results.xml"), **common)
    )
    sys.exit(bool(failed or not tests))


if __name__ == "__main__":
    os.chdir(HERE)
    main(sys.argv[1])
