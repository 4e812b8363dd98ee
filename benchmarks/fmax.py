# amaranth: UnusedElaboratable=no
"""The clock that whole networks reach after place and route, and the path that limits it.

    python benchmarks/fmax.py [--json]

The digits network at no more than 256 lanes on an ECP5-85 of speed grade 6; on an iCE40 UP5K digits-tiny as planned for
500 frames a second at 12 MHz, a small classifier and a network that gives a map; the median of three seeds of place and
route, a minute or two each. A multiplier in a netlist is an error.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from string import Template

import numpy as np

from bitfold.boards.place import Placed, place
from bitfold.boards.synth import synthesise
from bitfold.hw.plan import Plan
from bitfold.hw.planner import fit, fit_device, meet
from bitfold.hw.verilog import write as verilog
from bitfold.hw.verilog.formats import Interface, formats
from bitfold.model import zoo
from bitfold.model.layers import BinaryConv, Chain, GlobalSum, Requantise, Residual, shifted_relu
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

SEEDS = (1, 2, 3)

ENCLOSED = Template("""
module enclosed(
    input clk, rst, s_axis_tvalid, s_axis_tlast, m_axis_tready, input [$samples - 1:0] s_axis_tdata,
    output reg s_axis_tready, m_axis_tvalid, m_axis_tlast, output reg [$values - 1:0] m_axis_tdata,
    output reg [$best - 1:0] m_axis_tuser
);
    wire reset;
    $reset
    reg given_valid, given_last, given_ready;
    reg [$samples - 1:0] given;
    wire taken_ready, taken_valid, taken_last;
    wire [$values - 1:0] taken;
    wire [$best - 1:0] best;
    always @(posedge clk) begin
        {given_valid, given_last, given_ready, given} <= {s_axis_tvalid, s_axis_tlast, m_axis_tready, s_axis_tdata};
        {s_axis_tready, m_axis_tvalid, m_axis_tlast} <= {taken_ready, taken_valid, taken_last};
        {m_axis_tdata, m_axis_tuser} <= {taken, best};
    end
    bitfold inner(
        .clk(clk), .rst(reset), .s_axis_tvalid(given_valid), .s_axis_tlast(given_last), .m_axis_tready(given_ready),
        .s_axis_tdata(given), .s_axis_tready(taken_ready), .m_axis_tvalid(taken_valid), .m_axis_tlast(taken_last),
        .m_axis_tdata(taken), .m_axis_tuser(best)
    );
endmodule
(* blackbox *) module DCCA(input CLKI, CE, output CLKO); endmodule
""")
"""The machine between registers, as in a design, so that no path to a pin pulls it apart.

Its counters of bad frames are left out: the iCE40's package has no pins for them.
"""

RESET = {
    "ecp5": "reg held; always @(posedge clk) held <= rst; DCCA buffer(.CLKI(held), .CE(1'b1), .CLKO(reset));",
    "ice40": "assign reset = rst;",
}
"""nextpnr puts a net of thousands of loads on a global line by itself on the iCE40; on the ECP5 it wants to be told."""


def enclosed(net: Net, plan: Plan, reset: str) -> str:
    """The module around a machine."""
    f = formats(net, plan, Interface())
    samples, values = 8 * f.in_bytes * f.in_lanes, 8 * f.out_bytes * f.out_lanes
    return ENCLOSED.substitute(samples=samples, values=values, best=f.best_bits, reset=reset)


def small() -> Net:
    """Three convolutions with random weights and a head on 8x8 pixels."""
    rng = np.random.default_rng(0)
    layers = []
    t = Tensor(8, 8, 1, 0, 16, 3)
    for channels, stride in ((8, 1), (16, 2), (16, 1)):
        layers.append(BinaryConv(rng.random((channels, 3, 3, t.channels)) < 0.5, stride, (1, 1, 1, 1), 1))
        layers.append(shifted_relu(4, layers[-1].infer(t).frac, 1))
        t = layers[-1].infer(layers[-2].infer(t))
    layers += [GlobalSum(), BinaryConv(rng.random((10, 1, 1, 16)) < 0.5)]
    return Net(Tensor(8, 8, 1, 0, 16, 3), Chain(tuple(layers)))


def mapper() -> Net:
    """A residual block between convolutions with random weights on 64x64 pixels, and a map of 4 channels.

    Its frames wait in a queue that takes more than the iCE40 UP5K's EBR: it lies in SPRAM.
    """
    rng = np.random.default_rng(0)

    def conv(outs: int, ins: int, scale: int) -> BinaryConv:
        return BinaryConv(rng.random((outs, 3, 3, ins)) < 0.5, 1, (1, 1, 1, 1), scale)

    body = (Requantise(0, -4, 11), conv(8, 8, 4), Requantise(4, -4, 11), conv(8, 8, 2), Requantise(2, -128, 127))
    block = Residual(Chain(body), Chain(()), -128, 127)
    layers = (conv(8, 1, 1), Requantise(3, -128, 127), block, Requantise(3, -4, 11), conv(4, 8, 1))
    return Net(Tensor(64, 64, 1, 0, 255), Chain((*layers, Requantise(1, -32, 31))))


def cases() -> list[tuple[str, Net, Plan, str, float]]:
    """Name, network, plan, device and the clock in MHz that is asked for, of each."""
    digits, digits_tiny, classifier, maps = zoo.load("digits"), zoo.load("digits-tiny"), small(), mapper()
    return [
        ("digits", digits, fit(digits, 256), "ecp5-85", 150.0),
        ("digits-tiny", digits_tiny, meet(digits_tiny, 500, 12, "ice40-up5k"), "ice40-up5k", 40.0),
        ("small", classifier, fit(classifier, 64), "ice40-up5k", 40.0),
        ("map", maps, fit_device(maps, "ice40-up5k"), "ice40-up5k", 40.0),
    ]


def measure(
    name: str, net: Net, plan: Plan, device: str, frequency: float, folder: Path, seeds: Sequence[int] = SEEDS
) -> dict[str, object]:
    """Synthesise, and place with each of the seeds for a clock of `frequency` MHz."""
    plan = replace(plan, target=device)
    path = verilog.write(net, plan, folder)
    family, _, _ = device.partition("-")
    top = "enclosed"
    with path.open("a") as file:
        file.write(enclosed(net, plan, RESET[family]))
    netlist = synthesise(path, top, family, netlist=True)
    if netlist.multipliers:
        raise SystemExit(f"{name} on {device}: {netlist.multipliers} multipliers")
    found = (place(folder / f"{top}.{family}.json", device, frequency=frequency, seed=seed) for seed in seeds)
    placed: list[Placed] = sorted(found, key=lambda one: one.fmax)
    median = placed[len(placed) // 2]
    return {
        "network": name,
        "device": device,
        "lanes": plan.lanes(net),
        "luts": netlist.luts,
        "ffs": netlist.ffs,
        "multipliers": netlist.multipliers,
        "blocks": netlist.blocks,
        "fmax_mhz": round(median.fmax, 1),
        "fmax_of_seeds": [round(one.fmax, 1) for one in placed],
        "path": list(map(str, median.path)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures = []
    for case in cases():
        with tempfile.TemporaryDirectory() as folder:
            figures.append(measure(*case, Path(folder)))
    if arguments.json:
        print(json.dumps(figures))
        return
    for f in figures:
        used = ", ".join(f"{count} {name}" for name, count in f["blocks"].items())
        print(
            f"{f['network']} on {f['device']}, {f['lanes']} lanes: {f['fmax_mhz']} MHz (seeds {f['fmax_of_seeds']}), "
            f"{f['luts']} LUTs, {f['ffs']} flip-flops, {f['multipliers']} multipliers, {used}; the longest path:"
        )
        print("\n".join(f"  {step}" for step in f["path"]))


if __name__ == "__main__":
    main()
