"""Two networks in one Verilog design, and a FuseSoC core file (CAPI2) for it.

    python examples/two_networks.py -o DIR
    fusesoc --cores-root DIR run --target lint bitfold::two_networks

Two machines and a top that gives both the same pixels. Names never meet: all modules inside machine NAME are NAME__x.
"""

import argparse
from pathlib import Path

import bitfold
from bitfold import zoo
from bitfold.hw.verilog.formats import Interface

NETWORKS = {"fast": 1024, "fast_small": 256}
"""Names of the machines, and lanes that each may have."""

TOP = """module two_networks(
    input clk, rst, input [7:0] s_axis_tdata, input s_axis_tvalid, s_axis_tlast, output s_axis_tready,
    output [3:0] class_fast, class_fast_small, output valid_fast, valid_fast_small
);
    wire ready_fast, ready_fast_small;
    assign s_axis_tready = ready_fast & ready_fast_small;
    // Each is offered a beat when the other can take it too.
{instances}endmodule
"""
INSTANCE = """    wire [7:0] class_{name}_wide;
    {name} {name}_0 (
        .clk(clk), .rst(rst), .s_axis_tdata(s_axis_tdata), .s_axis_tlast(s_axis_tlast), .s_axis_tready(ready_{name}),
        .s_axis_tvalid(s_axis_tvalid & ready_{other}), .m_axis_tready(1'b1), .m_axis_tvalid(valid_{name}),
        .m_axis_tdata(class_{name}_wide), .m_axis_tlast(), .short_frames(), .long_frames()
    );
    assign class_{name} = class_{name}_wide[3:0];
"""
CORE = """CAPI=2:
name: bitfold::two_networks:0
description: Two networks of 1-bit weights
filesets:
  rtl:
    files: [{files}]
    file_type: verilogSource
targets:
  default: &default
    filesets: [rtl]
    toplevel: two_networks
  lint:
    <<: *default
    flow: lint
    flow_options:
      tool: verilator
      verilator_options: [-Wno-fatal]
"""


def write(folder: Path) -> list[Path]:
    """The Verilog of both machines, of the top, and the core file."""
    net = zoo.load("digits-tiny")
    interface = Interface(out="class")
    paths = [
        bitfold.write_verilog(net, bitfold.fit(net, lanes), folder, name, interface=interface)
        for name, lanes in NETWORKS.items()
    ]
    first, second = NETWORKS
    instances = INSTANCE.format(name=first, other=second) + INSTANCE.format(name=second, other=first)
    top = folder / "two_networks.v"
    top.write_text(TOP.format(instances=instances), encoding="utf-8")
    core = folder / "two_networks.core"
    core.write_text(CORE.format(files=", ".join(path.name for path in [*paths, top])), encoding="utf-8")
    return [*paths, top, core]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("-o", "--output", type=Path, default=Path("two-networks"))
    for path in write(arguments.parse_args().output):
        print(path)


if __name__ == "__main__":
    main()
