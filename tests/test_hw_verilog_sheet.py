# amaranth: UnusedElaboratable=no
"""The interface sheet: what it says of time, cost and reset is so, and its instance is Verilog."""

import re

import pytest
from amaranth import ClockDomain, Module
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st
from machines import examples, plans, run_accelerator
from sim_nets import residual_net
from strategies import images, nets
from test_hw_verilog import DESIGNS, lint

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.planner import balance, fit, fit_device
from bitfold.hw.verilog.formats import Interface
from bitfold.hw.verilog.latency import latency
from bitfold.hw.verilog.sheet import interface_sheet
from bitfold.hw.verilog.write import AxiStreamTop, write
from bitfold.model import zoo


def measured(machine):
    """Cycles from the first beat in, which is taken in cycle 0, to the last out."""
    return run_accelerator(machine, images(machine.net, 1)).cycles[-1]


@pytest.mark.parametrize("cycles", [100, 400, 2000])
def test_latency_of_a_residual_network(cycles):
    net = residual_net()
    machine = Accelerator(net, balance(net, cycles))
    assert abs(latency(machine) - measured(machine)) <= 2


@pytest.mark.slow
def test_latency_of_a_shipped_network():
    net = zoo.load("digits-tiny")
    machine = Accelerator(net, fit(net, 1024))
    assert latency(machine) == pytest.approx(measured(machine), rel=0.01)


@given(st.data())
@examples(12, shrink=False)
def test_simulation_takes_little_longer_than_the_latency(data):
    """It may take less: where pixels are left out, and where a map comes out."""
    net = data.draw(nets(ops=2000, side=5))
    machine = Accelerator(net, data.draw(plans(net)))
    assert measured(machine) <= 1.5 * latency(machine) + 10


def test_the_sheet_tells_latency_and_cost():
    net = residual_net()
    machine = Accelerator(net, fit_device(net, "ecp5-25"))
    text = interface_sheet(machine, "small", Interface())
    assert f"- About {latency(machine):,} cycles from a frame's first beat in to its last beat out" in text
    cost = machine.resources
    blocks = "".join(f", {count} {kind}" for kind, count in cost.blocks.items())
    assert (
        f"Planned for ecp5-25. Estimated before synthesis: {cost.luts:,} LUTs, {cost.ffs:,} flip-flops{blocks}." in text
    )
    assert "The plan is for no device" in interface_sheet(Accelerator(*DESIGNS["map"]), "small", Interface())


@pytest.mark.parametrize("design", DESIGNS)
def test_the_instance_is_complete(design, tmp_path):
    """In a module of its own: every port is there, as wide as it is."""
    path = write(*DESIGNS[design], tmp_path, "mapper")
    instance = re.search("```verilog\n(.*)```", path.with_suffix(".md").read_text(), re.DOTALL)[1]
    quiet = "/* verilator lint_off UNDRIVEN */"
    (tmp_path / "both.v").write_text(f"{path.read_text()}{quiet}\nmodule around();\n{instance}endmodule\n")
    assert lint(tmp_path / "both.v", "around") == ""


def test_tready_may_be_high_in_reset():
    """As the sheet says: what is offered then is taken, and never comes out."""
    top = AxiStreamTop(Accelerator(*DESIGNS["pixel"]))
    m = Module()
    m.domains.sync = domain = ClockDomain()
    m.submodules.top = top
    simulator = Simulator(m)
    simulator.add_clock(1e-6)

    async def bench(ctx):
        ctx.set(domain.rst, 1)
        ctx.set(top.s_axis_tvalid, 1)
        ctx.set(top.s_axis_tlast, 1)
        ctx.set(top.m_axis_tready, 1)
        for _ in range(5):
            await ctx.tick()
            assert ctx.get(top.s_axis_tready)
        ctx.set(top.s_axis_tvalid, 0)
        ctx.set(domain.rst, 0)
        for _ in range(100):
            await ctx.tick()
            assert not ctx.get(top.m_axis_tvalid)
        assert ctx.get(top.short_frames) == ctx.get(top.long_frames) == 0

    simulator.add_testbench(bench)
    simulator.run()
    assert "In reset (`rst`) `s_axis_tready` may be high" in interface_sheet(top.accelerator, "pixel", Interface())
