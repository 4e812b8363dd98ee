# amaranth: UnusedElaboratable=no
"""Resources estimated before synthesis against those that Yosys finds.

    python benchmarks/estimates.py [--json]

Layers, blocks and small networks under several foldings, each as a whole accelerator, in three families. Cycles are
compared by benchmarks/cycles.py, which simulates.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np

from bitfold.boards.synth import synthesise
from bitfold.hw.accelerator import Accelerator
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.planner import balance
from bitfold.hw.verilog.write import convert
from bitfold.model import zoo
from bitfold.model.layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    Layer,
    MaxPool,
    PadChannels,
    Requantise,
    Residual,
    Scale,
    SumPool,
    Table,
)
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

TARGETS = {"xc7": "xc7a35t", "ecp5": "ecp5-85", "ice40": "ice40-hx8k"}


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).random(shape) < 0.5


def conv(size: int, ins: int, outs: int, kernel: int, bits: int, stride: int = 1) -> Net:
    """A convolution of `bits`-bit codes, with the activation that follows."""
    p = kernel // 2
    layers = (BinaryConv(weights(outs, kernel, kernel, ins), stride, (p, p, p, p)), Requantise(3, -4, 2**bits - 5))
    return Net(Tensor(size, size, ins, 0, 2**bits - 1), Chain(layers))


def body(layers: tuple[Layer, ...], size: int = 8, channels: int = 8, bits: int = 8) -> Net:
    return Net(Tensor(size, size, channels, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1), Chain(layers))


def normed(channels: int) -> Net:
    """A convolution with a normalisation kept: factors of 10 bits and an offset for each channel."""
    rng = np.random.default_rng(channels)
    scale = Scale(rng.integers(256, 1024, channels))
    offset = rng.integers(-(2**16), 2**16, channels)
    layers = (BinaryConv(weights(channels, 3, 3, channels), 1, (1, 1, 1, 1)), scale, Requantise(14, -4, 11, offset))
    return Net(Tensor(8, 8, channels, 0, 15), Chain(layers))


def binary(ins: int, outs: int, kernel: int) -> Net:
    """A convolution of bits, which the first layer makes, to bits."""
    p = kernel // 2
    offset = np.random.default_rng(outs).integers(-ins, ins, outs)
    layers = (
        Requantise(0, 0, 1),
        BinaryConv(weights(outs, kernel, kernel, ins), 1, (p, p, p, p)),
        Requantise(0, 0, 1, offset),
    )
    return body(layers, channels=ins, bits=4)


def residual(channels: int, down: bool) -> Layer:
    """A block of two convolutions, as in the trained networks."""
    outs = channels * (1 + down)
    relu = Requantise(0, -4, 11)
    deep = (
        relu,
        BinaryConv(weights(outs, 3, 3, channels), 1 + down, (1, 1, 1, 1), 4),
        Requantise(4, -4, 11),
        BinaryConv(weights(outs, 3, 3, outs), 1, (1, 1, 1, 1), 0 if down else 2),
        Requantise(2, -(2**11), 2**11 - 1),
    )
    skip = (SumPool(2, 2), Requantise(2, -(2**11), 2**11 - 1), PadChannels(channels)) if down else ()
    return Residual(Chain(deep), Chain(skip), -(2**11), 2**11 - 1)


def cases() -> list[tuple[str, Net, Plan]]:
    """Name, network and plan of every comparison."""
    found = []
    for size, ins, outs, kernel, bits, stride, pe, simd in (
        (8, 16, 16, 3, 4, 1, 16, 16),
        (8, 16, 16, 3, 4, 1, 4, 4),
        (16, 8, 8, 3, 8, 1, 2, 8),
        (16, 3, 16, 3, 8, 2, 4, 3),
        (8, 32, 32, 1, 4, 1, 4, 8),
        (12, 8, 8, 5, 2, 1, 2, 4),
    ):
        name = f"{kernel}x{kernel} {ins}->{outs} on {size}x{size}, {bits} bits, stride {stride}, {simd}x{pe} lanes"
        found.append(
            (name, conv(size, ins, outs, kernel, bits, stride), Plan({"0": Folding(pe, simd)}, output_lanes=pe))
        )
    for size, ins, outs, kernel, bits, folding in (
        (8, 16, 16, 3, 4, Folding(4, 48)),
        (8, 4, 8, 3, 4, Folding(8, 36, 2)),
        (8, 4, 8, 3, 4, Folding(8, 36, wired=True)),
        (8, 8, 8, 3, 4, Folding(8, 72, 2, wired=True)),
        (8, 16, 16, 3, 4, Folding(4, 8, turns=2)),
        (8, 32, 32, 3, 8, Folding(8, 16, turns=4)),
        (16, 16, 32, 1, 8, Folding(4, 8, turns=8)),
    ):
        net = conv(size, ins, outs, kernel, bits)
        found.append(
            (
                f"{kernel}x{kernel} {ins}->{outs} on {size}x{size}, {bits} bits, {folding}",
                net,
                Plan({"0": folding}, folding.pe, folding.pixels),
            )
        )
    for ins, outs, kernel, folding in (
        (64, 16, 3, Folding(4, 64)),
        (16, 32, 3, Folding(8, 8)),
        (32, 32, 1, Folding(4, 16)),
        (16, 16, 3, Folding(4, 48)),
        (4, 8, 3, Folding(8, 36)),
    ):
        name = f"{kernel}x{kernel} {ins}->{outs} on 8x8, bits to bits, {folding}"
        found.append((name, binary(ins, outs, kernel), Plan({"1": folding}, output_lanes=folding.pe)))
    pools = body((SumPool(2, 2), Requantise(2, -128, 127)))
    found.append(("2x2 pool, requantise", pools, Plan({"0": Folding(4)}, output_lanes=4)))
    for name, pool, folding in (
        ("2x2 sum pool as pixels come", SumPool(2, 2), Folding(2)),
        ("2x2 maximum pool as pixels come", MaxPool(2, 2), Folding(2)),
        ("3x3 mean of valid pixels, stride 2", SumPool(3, 2, (1, 1, 1, 1), valid=True), Folding(4)),
        ("3x3 mean of valid pixels, all taps", SumPool(3, 1, (1, 1, 1, 1), valid=True), Folding(8, 9)),
        ("3x3 maximum pool of stride 2", MaxPool(3, 2, (1, 1, 1, 1)), Folding(4)),
        ("3x3 maximum pool, all taps", MaxPool(3, 1, (1, 1, 1, 1)), Folding(8, 9)),
    ):
        found.append((f"{name}, 4 bits", body((pool,), bits=4), Plan({"0": folding}, output_lanes=folding.pe)))
    for bits, frac, lo in ((4, 1, -3), (8, 4, -56)):
        codes = np.arange(lo, lo + 2**bits)
        elu = np.where(codes > 0, codes, np.floor(np.expm1(np.minimum(codes, 0) / 2**frac) * 2**frac + 0.5))
        rounded = Requantise(0, lo, lo + 2**bits - 1), Table(elu.astype(np.int64), lo, frac)
        net = body((*rounded, BinaryConv(weights(4, 1, 1, 8))), bits=12)
        found.append((f"ELU as a table of {bits} bits, 1x1 8->4", net, Plan({"2": Folding(4, 8)}, output_lanes=4)))
    for down in (False, True):
        net = body((residual(8, down),), channels=8, bits=12)
        found.append((f"residual block{', downsampling' * down}", net, balance(net, 1200)))
    head = body((Requantise(0, -4, 11), GlobalSum(), BinaryConv(weights(10, 1, 1, 32))), channels=32, bits=8)
    found.append(("head: sum, 10 classes", head, balance(head, 600)))
    for channels, folding in ((16, Folding(1, 16)), (16, Folding(4, 8)), (64, Folding(1, 64))):
        net = normed(channels)
        name = f"3x3 {channels}->{channels}, scale of 10 bits, requantise with offsets, {folding}"
        found.append((name, net, Plan({"0": folding}, output_lanes=folding.pe)))
    digits = zoo.load("digits")
    found += [(f"digits, {cycles} cycles", digits, balance(digits, cycles)) for cycles in (1200, 5000)]
    return found


def compare(name: str, net: Net, plan: Plan, family: str, folder: Path) -> dict[str, object]:
    """Estimate and synthesis of one accelerator in one family."""
    targeted = Plan(plan.foldings, plan.output_lanes, plan.input_pixels, TARGETS[family])
    accelerator = Accelerator(net, targeted)
    estimate = accelerator.resources
    path = folder / "case.v"
    path.write_text(convert(accelerator, "case_top"))
    found = synthesise(path, "case_top", family)
    return {
        "name": name,
        "family": family,
        "luts": found.luts,
        "luts_estimated": estimate.luts,
        "luts_error": round(estimate.luts / found.luts - 1, 4),
        "ffs": found.ffs,
        "ffs_estimated": estimate.ffs,
        "ffs_error": round(estimate.ffs / found.ffs - 1, 4),
        "blocks": sum(found.blocks.values()),
        "blocks_estimated": sum(estimate.blocks.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases():
            for family in TARGETS:
                figures.append(f := compare(*case, family, Path(folder)))
                if not arguments.json:
                    print(
                        f"{f['name']:66} {family:6} LUTs {f['luts_estimated']:6} of {f['luts']:6} "
                        f"{f['luts_error']:+7.1%}  FFs {f['ffs_estimated']:6} of {f['ffs']:6} {f['ffs_error']:+7.1%}  "
                        f"blocks {f['blocks_estimated']:3} of {f['blocks']:3}",
                        flush=True,
                    )
    summary = {
        "comparisons": len(figures),
        "median_luts_error": statistics.median(abs(f["luts_error"]) for f in figures),
        "largest_luts_error": max(abs(f["luts_error"]) for f in figures),
        "median_ffs_error": statistics.median(abs(f["ffs_error"]) for f in figures),
        "blocks_exact": sum(f["blocks"] == f["blocks_estimated"] for f in figures),
    }
    if arguments.json:
        print(json.dumps({"figures": figures, "summary": summary}))
    else:
        print(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in summary.items()))
    if summary["blocks_exact"] < len(figures) or summary["median_luts_error"] > 0.1:
        raise SystemExit("memory blocks differ, or the median error of LUTs is above 10 %")


if __name__ == "__main__":
    main()
