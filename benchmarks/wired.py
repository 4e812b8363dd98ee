# amaranth: UnusedElaboratable=no
"""Look-up tables of dot products with wired weights, a window a cycle, beside da4ml's own Verilog for the same weights.

    python benchmarks/wired.py [--family xc7 ...] [--json]

Both go through the same Yosys in the same run, with a register behind every adder; the array's results are compared
with numpy's before. The array adds a constant to each output and carries `valid`, da4ml does neither. Its rows are left
out where it is missing (`pip install da4ml`).
"""

import argparse
import json
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from amaranth.back import verilog
from amaranth.sim import Simulator

from bitfold.boards.synth import SCRIPTS, synthesise
from bitfold.hw.array.dot import numbers
from bitfold.hw.array.wired import WiredArray
from bitfold.hw.device.target import FAMILIES

CASES = {"3x3, 16 to 16, 4 bits": (144, 16, 15), "dense, 64 to 64, 8 bits": (64, 64, 255)}
"""Inputs, outputs, largest code."""


def prove(array: WiredArray, weights: np.ndarray, initial: np.ndarray) -> None:
    """Raise AssertionError unless the array gives what numpy gives, random windows and the extremes."""
    rng = np.random.default_rng(2)
    inputs, bits = weights.shape[1], array.top.bit_length()
    windows = rng.integers(0, array.top, (40, inputs), endpoint=True)
    windows[0], windows[1] = 0, array.top
    windows[2:4] = np.where(weights[0], array.top, 0), np.where(weights[0], 0, array.top)
    results = []

    async def bench(ctx):
        for cycle in range(len(windows) + array.latency + 1):
            if ctx.get(array.done):
                results.append([ctx.get(value) for value in numbers(array.results, len(initial))])
            ctx.set(array.valid, cycle < len(windows))
            if cycle < len(windows):
                ctx.set(array.codes, sum(int(code) << k * bits for k, code in enumerate(windows[cycle])))
            await ctx.tick()

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    np.testing.assert_array_equal(results, windows @ np.where(weights, 1, -1).T + initial)


def rival(weights: np.ndarray, top: int, folder: Path) -> Path:
    """da4ml's Verilog for the weights, module `rival`."""
    from da4ml.cmvm import solve
    from da4ml.codegen import VerilogModel
    from da4ml.trace import FixedVariableArray, comb_trace

    matrix = np.where(weights, 1, -1).T.astype(np.float32)
    inputs = [(0.0, float(top), 1.0)] * len(matrix)
    codes = FixedVariableArray.from_lhs(*np.array(inputs).T)
    logic = comb_trace(codes, solve(matrix, qintervals=inputs)(codes))
    VerilogModel(logic, "rival", folder / "da4ml", latency_cutoff=1, print_latency=False).write()
    made = folder / "da4ml" / "src"
    sources = [path for path in sorted(made.glob("*.v")) if path.stem != "rival_wrapper"]
    sources += [made / "static" / name for name in ("shift_adder.v", "negative.v")]
    joined = folder / "rival.v"
    joined.write_text("".join(path.read_text() for path in sources))
    return joined


def measure(name: str, design: str, family: str, source: Path, macs: int) -> dict[str, object]:
    netlist = synthesise(source, source.stem, family)
    assert netlist.multipliers == 0
    luts = netlist.luts
    per_mac = round(luts / macs, 3)
    return {"case": name, "design": design, "family": family, "luts": luts, "per_mac": per_mac, "ffs": netlist.ffs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", nargs="+", choices=SCRIPTS, default=["xc7", "ecp5", "ice40"])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures = []
    for name, (inputs, outputs, top) in CASES.items():
        rng = np.random.default_rng(0)
        weights = (rng.random((inputs, outputs)) < 0.5).T
        initial = rng.integers(-100, 100, outputs)
        width = (inputs * top + 100).bit_length() + 1
        for family in arguments.family:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                array = WiredArray(weights, top, initial, width, FAMILIES[family])
                prove(array, weights, initial)
                (folder / "wired.v").write_text(verilog.convert(array, name="wired"))
                figures.append(measure(name, "bitfold", family, folder / "wired.v", inputs * outputs))
                figures[-1]["latency"] = array.latency
                if find_spec("da4ml"):
                    source = rival(weights, top, folder)
                    figures.append(measure(name, "da4ml", family, source, inputs * outputs))
            if not arguments.json:
                for f in figures[-2:]:
                    print(f"{name}, {family}, {f['design']}: {f['luts']} LUT, {f['per_mac']} a MAC, {f['ffs']} FF")
    if arguments.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
