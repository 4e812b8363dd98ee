"""A machine between registers behind four pins, so that place and route finds its clock on any package."""

from __future__ import annotations

from string import Template

from ..hw.plan import Plan
from ..hw.verilog.formats import PLAIN, formats
from ..hw.verilog.ports import ports
from ..model.net import Net

TOP = "enclosed"
"""The module's name."""

INSTANCE = "inner"
"""What the machine is called in it."""

PINS = ("clk", "rst", "given", "taken")
"""Its ports, of one bit each."""

_ENCLOSED = Template("""
module $top(input clk, rst, given, output taken);
    $pins
    wire reset;
    reg held;
    reg [$inputs - 1:0] inputs;
    reg [$outputs - 1:0] seen, sums;
    wire [$outputs - 1:0] outputs;
    $reset
    always @(posedge clock) begin
        held <= rst_i;
        inputs <= {inputs, given_i};
        seen <= outputs;
        sums <= {sums, 1'b0} ^ seen;
    end
    assign taken_o = sums[$outputs - 1];
    $machine $instance(.clk(clock), .rst(reset), $joined);
endmodule
""")
"""Inputs are shifted in through one pin; outputs go into a sum that is shifted out through another, so all are used."""

_PINS = "wire clock = clk, rst_i = rst, given_i = given, taken_o; assign taken = taken_o;"
_RESET = "assign reset = held;"
_BLACKBOX = "(* blackbox *) module {}; endmodule\n"


def enclosed(net: Net, plan: Plan, machine: str) -> str:
    """Verilog of module TOP around the module `machine`, which writes of this network under this plan.

    nextpnr puts a reset of thousands of loads on a global line by itself on the iCE40; on the ECP5 it wants to be told.
    On Gowin it wants the pins' buffers to be there.
    """
    widths = {"inputs": 0, "outputs": 0}
    joined = []
    for port in ports(formats(net, plan, PLAIN)):
        if port.name not in ("clk", "rst"):
            side = "outputs" if port.output else "inputs"
            joined.append(f".{port.name}({side}[{widths[side]} +: {port.bits}])")
            widths[side] += port.bits
    pins, reset, cells = _PINS, _RESET, ""
    if plan.family.name == "ecp5":
        reset = "DCCA buffer(.CLKI(held), .CE(1'b1), .CLKO(reset));"
        cells = _BLACKBOX.format("DCCA(input CLKI, CE, output CLKO)")
    if plan.family.name == "gowin":
        given = {"clk": "clock", "rst": "rst_i", "given": "given_i"}
        pins = "wire clock, rst_i, given_i, taken_o; OBUF taken_pin(.I(taken_o), .O(taken)); "
        pins += " ".join(f"IBUF {pin}_pin(.I({pin}), .O({wire}));" for pin, wire in given.items())
        cells = "".join(_BLACKBOX.format(f"{cell}(input I, output O)") for cell in ("IBUF", "OBUF"))
    text = _ENCLOSED.substitute(
        top=TOP,
        machine=machine,
        instance=INSTANCE,
        pins=pins,
        reset=reset,
        joined=", ".join(joined),
        **widths,
    )
    return text + cells
