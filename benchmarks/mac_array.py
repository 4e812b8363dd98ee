# amaranth: UnusedElaboratable=no
"""LUTs a lane of the arrays, 16 inputs x 16 outputs with 16-bit accumulators, by Yosys for each family.

    python benchmarks/mac_array.py [--place] [--json]

Each array is first proven in simulation against numpy. The baseline, in the same run, is a registered tree of
multiplexed +-a; that of the arrays for codes of one bit, also of 64 inputs, is the array for codes of any bits. Then a
whole layer: 3x3, 16 -> 16 channels on an 8x8 map, 4 bits, of 576 cycles a frame at best.
--place adds the clock that nextpnr reaches on an ECP5-85, speed 6, with registers around the array: the median of three
seeds, about three minutes for each width.
"""

import argparse
import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from amaranth import Cat, Module, Mux, Signal
from amaranth.back import verilog
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator
from cycles import layer

from bitfold.boards.place import place
from bitfold.boards.synth import Netlist, synthesise
from bitfold.hw.array.dot import DotArray, numbers, ones
from bitfold.hw.array.form import dot_array
from bitfold.hw.array.mac import MacArray
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.stages.conv import ConvStage
from bitfold.hw.stream.flow import Flow
from bitfold.sim.simulate import check

SIMD = PE = WIDTH = 16
LIMITS = {("xc7", 4): 4.5, ("xc7", 8): 7.0, ("ecp5", 4): 9.0, ("ecp5", 8): 13.0, ("ice40", 4): 10.0, ("ice40", 8): 16.0}
"""LUTs a lane asked for, by family and bits of a code."""
ONE_BIT = ((16, 16), (64, 16), (64, 11))
"""Inputs and bits of an accumulator of the arrays for codes of one bit; 11 are enough for 9 words of 64 inputs."""
ONE_BIT_LIMITS = {("xc7", 64, 16): 1.4, ("ecp5", 64, 16): 2.6}
"""LUTs a lane asked for, by family, inputs and bits of an accumulator."""
TARGETS = {"xc7": "xc7a35t", "ecp5": "ecp5-85", "ice40": "ice40-up5k", "gowin": "generic"}
MEMORY = re.compile("RAM|ROM|DPR16|DP16K|SDPB")
"""Cells that store words, in any family."""
FMAX = 200.0
"""MHz asked for on the ECP5."""
SEEDS = (1, 2, 3)


class PlainTree(Component):
    """The baseline: every PE adds +-a of each input in a registered tree; ports as MacArray's."""

    def __init__(self, array: MacArray):
        self.bits = array.bits
        super().__init__({name: member for name, member in array.signature.members.items() if name != "starting"})

    def elaborate(self, platform):
        m = Module()

        def register(value, name):
            held = Signal(value.shape(), name=name, reset_less=True)
            m.d.sync += held.eq(value)
            return held

        codes = [register(self.codes[self.bits * i :][: self.bits], f"code{i}") for i in range(SIMD)]
        totals = []
        for p in range(PE):
            signs = self.weights[SIMD * p : SIMD * (p + 1)]
            level = [
                register(Mux(sign, a, -a), f"term{p}_{i}") for i, (a, sign) in enumerate(zip(codes, signs, strict=True))
            ]
            while len(level) > 1:
                pairs = zip(level[::2], level[1::2], strict=True)
                level = [register(a + b, f"tree{p}_{len(level)}_{i}") for i, (a, b) in enumerate(pairs)]
            totals += level
        flags = Cat(self.valid, self.valid & self.first, self.valid & self.last)
        for stage in range(2 + SIMD.bit_length() - 1):
            flags = register(flags, f"flags{stage}")
        valid, first, last = flags
        m.d.sync += self.done.eq(last)
        with m.If(valid):
            for result, initial, total in zip(
                numbers(self.results, PE), numbers(self.initial, PE), totals, strict=True
            ):
                m.d.sync += result.eq(Mux(first, initial, result) + total)
        return m


class Enclosed(Component):
    """An array between shift registers, so that its paths are all that nextpnr sees, and a few pins serve."""

    def __init__(self, array: DotArray):
        self.array = array
        super().__init__({"i": In(1), "load": In(1), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = array = self.array
        flow = {flow: [] for flow in (In, Out)}
        for _, member, port in array.signature.flatten(array):
            flow[member.flow].append(port)
        inputs, outputs = Cat(flow[In]), Cat(flow[Out])
        given, taken, out = Signal(len(inputs)), Signal(len(outputs)), Signal(len(outputs))
        m.d.comb += [inputs.eq(given), self.o.eq(out[0])]
        m.d.sync += [given.eq(Cat(self.i, given)), taken.eq(outputs), out.eq(Mux(self.load, taken, out[1:]))]
        return m


def dot_products(array, pe: int, width: int, starts, codes, weights, initial) -> list[list[int]]:
    """What an array gives for words without a pause: for each of the `starts` its `pe` results of `width` bits.

    weights : for each input of the array, bits [words, ...], one row a word
    initial : integers [starts, pe]
    """
    words, found = len(codes), []

    def number(values, bits: int) -> int:
        return sum((int(value) & (1 << bits) - 1) << bits * k for k, value in enumerate(values))

    async def bench(ctx):
        started = 0
        for cycle in range(words + array.latency + 1):
            if ctx.get(array.done):
                found.append([ctx.get(value) for value in numbers(array.results, len(array.results) // width)[:pe]])
            if ctx.get(array.starting):
                ctx.set(array.initial, number(initial[started], width))
                started += 1
            ctx.set(array.valid, cycle < words)
            ctx.set(array.first, cycle in starts)
            ctx.set(array.last, cycle + 1 in starts or cycle + 1 == words)
            ctx.set(array.codes, number(codes[min(cycle, words - 1)], array.bits))
            late = [rows[min(max(cycle - 1 - k, 0), words - 1)] for k, rows in enumerate(weights)]
            ctx.set(array.weights, number(np.concatenate(late), 1))
            await ctx.tick()

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def prove(array: DotArray) -> None:
    """Random dot products of 1 to 9 words without a pause; AssertionError unless all are exact."""
    rng = np.random.default_rng(0)
    simd, pe, width = array.simd, array.pe, array.width
    lengths = rng.integers(1, 10, 40)
    words, starts = int(lengths.sum()), np.cumsum([0, *lengths[:-1]])
    codes = rng.integers(0, 2**array.bits, (words, simd))
    weights = rng.random((words, pe, simd)) < 0.5
    initial = np.add.reduceat(array.correction(ones(weights[..., None, :]), 1), starts)
    expected = np.add.reduceat((np.where(weights, 1, -1) * codes[:, None]).sum(axis=-1), starts)
    found = dot_products(array, pe, width, starts, codes, array.steering(weights), initial)
    np.testing.assert_array_equal(found, expected)


def synthesised(component: Component, family: str, name: str, folder: Path, netlist: bool = False) -> Netlist:
    path = folder / f"{name}.v"
    path.write_text(verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True))
    return synthesise(path, name, family, netlist=netlist)


def array_figures(family: str, bits: int, folder: Path, placed: bool) -> dict[str, object]:
    """LUTs and flip-flops a lane of the array and of the baseline; perhaps the clock."""

    def array() -> MacArray:
        return MacArray(SIMD, PE, 2**bits - 1, WIDTH, FAMILIES[family].chain)

    prove(array())
    own = synthesised(array(), family, f"array{bits}", folder)
    plain = synthesised(PlainTree(array()), family, f"plain{bits}", folder)
    figures = {
        "family": family,
        "bits": bits,
        "chain": FAMILIES[family].chain,
        "luts_per_lane": round(own.luts / (SIMD * PE), 4),
        "asked": LIMITS.get((family, bits)),
        "ffs_per_lane": round(own.ffs / (SIMD * PE), 4),
        "multipliers": own.multipliers,
        "plain_tree_luts_per_lane": round(plain.luts / (SIMD * PE), 4),
    }
    if placed and family == "ecp5":
        figures |= placed_figures(array(), f"enclosed{bits}", folder)
    return figures


def one_bit_figures(family: str, simd: int, width: int, folder: Path, placed: bool) -> dict[str, object]:
    """LUTs and flip-flops a lane of the array for codes of one bit and of the one for any; perhaps the clock."""

    def array() -> DotArray:
        return dot_array(simd, PE, 1, width, FAMILIES[family])

    prove(array())
    name = f"one{simd}_{width}"
    own = synthesised(array(), family, name, folder)
    mac = synthesised(MacArray(simd, PE, 1, width, FAMILIES[family].chain), family, f"mac_{name}", folder)
    lanes = simd * PE
    figures = {
        "family": family,
        "inputs": simd,
        "accumulator": width,
        "form": type(array()).__name__,
        "luts_per_lane": round(own.luts / lanes, 4),
        "asked": ONE_BIT_LIMITS.get((family, simd, width)),
        "ffs_per_lane": round(own.ffs / lanes, 4),
        "multipliers": own.multipliers,
        "mac_luts_per_lane": round(mac.luts / lanes, 4),
        "mac_ffs_per_lane": round(mac.ffs / lanes, 4),
    }
    if placed and family == "ecp5" and (simd, width) == (64, 16):
        figures |= placed_figures(array(), f"enclosed_{name}", folder)
    return figures


def placed_figures(array: DotArray, name: str, folder: Path) -> dict[str, object]:
    """The clock of an array between registers on an ECP5."""
    synthesised(Enclosed(array), "ecp5", name, folder, netlist=True)
    netlist = folder / f"{name}.ecp5.json"
    found = sorted(
        (place(netlist, "ecp5-85", frequency=FMAX * 1.25, seed=seed) for seed in SEEDS), key=lambda one: one.fmax
    )
    median = found[len(found) // 2]
    return {
        "fmax": round(median.fmax, 1),
        "fmax_asked": FMAX,
        "fmax_of_seeds": [round(one.fmax, 1) for one in found],
        "path": list(map(str, median.path)),
    }


def layer_figures(family: str, folder: Path) -> dict[str, object]:
    """The whole layer: resources of its stage, and cycles a frame of its Verilog."""
    net, plan = layer()
    plan = replace(plan, target=TARGETS[family])
    conv, requantise = net.body.layers
    stage = ConvStage(Flow(net.input, SIMD), conv, requantise, plan.foldings["0"], FAMILIES[family])
    found = synthesised(stage, family, "layer", folder)
    images = np.random.default_rng(1).integers(net.input.lo, net.input.hi + 1, (40, *net.input.shape))
    report = check(net, plan, images, pauses=0.0)
    return {
        "family": family,
        "luts": found.luts,
        "ffs": found.ffs,
        "multipliers": found.multipliers,
        "rams": {name: count for name, count in found.cells.items() if MEMORY.search(name)},
        "cycles_per_frame": report.run.cycles_per_frame,
        "ideal": stage.cycles,
        "mismatches": report.mismatching_logits,
    }


def say_clock(say: Callable[[str], None], figures: dict) -> None:
    if "fmax" in figures:
        say(f"    {figures['fmax']} MHz (asked {FMAX:.0f}; seeds {figures['fmax_of_seeds']}), slowest path:")
        say("\n".join(f"    {step}" for step in figures["path"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--place", action="store_true", help="place and route on the ECP5 too")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    say = (lambda _: None) if arguments.json else print
    arrays, layers = [], []
    with tempfile.TemporaryDirectory() as folder:
        for family in TARGETS:
            for bits in (4, 8):
                arrays.append(f := array_figures(family, bits, Path(folder), arguments.place))
                say(
                    f"{family:6} {bits} bits, chains of {f['chain']}: {f['luts_per_lane']:5.2f} LUT a lane "
                    f"(asked {f['asked'] or '-'}), {f['ffs_per_lane']:.2f} FF; "
                    f"plain tree {f['plain_tree_luts_per_lane']:.2f} LUT"
                )
                say_clock(say, f)
            for simd, width in ONE_BIT:
                arrays.append(f := one_bit_figures(family, simd, width, Path(folder), arguments.place))
                say(
                    f"{family:6} 1 bit, {simd} inputs, accumulators of {width}: {f['luts_per_lane']:5.2f} LUT a lane "
                    f"(asked {f['asked'] or '-'}), {f['ffs_per_lane']:.2f} FF; MacArray {f['mac_luts_per_lane']:.2f} "
                    f"LUT, {f['mac_ffs_per_lane']:.2f} FF"
                )
                say_clock(say, f)
        for family in TARGETS:
            layers.append(f := layer_figures(family, Path(folder)))
            say(
                f"{family:6} whole layer: {f['luts']} LUT, {f['ffs']} FF, {f['rams']}, "
                f"{f['cycles_per_frame']:.1f} cycles a frame (ideal {f['ideal']})"
            )
    if arguments.json:
        print(json.dumps({"arrays": arrays, "layers": layers}))
    if any(f["multipliers"] for f in arrays + layers) or any(f["mismatches"] for f in layers):
        raise SystemExit("a multiplier, or a wrong result")
    if any((f["asked"] and f["luts_per_lane"] > f["asked"]) or f.get("fmax", FMAX) < FMAX for f in arrays):
        raise SystemExit("an array is larger or slower than asked")
    if any(f["cycles_per_frame"] > 1.005 * f["ideal"] for f in layers):
        raise SystemExit("the layer wastes cycles")


if __name__ == "__main__":
    main()
