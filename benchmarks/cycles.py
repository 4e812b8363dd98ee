# amaranth: UnusedElaboratable=no
"""Cycles a frame of the generated Verilog, frames back to back, against the slowest stage's folds.

    python benchmarks/cycles.py [--json]

The layer is the one of published comparisons: 3x3, 16 -> 16 channels on an 8x8 map, 16 inputs x 16 outputs in
parallel: 576 cycles at best; FINN's padding, window and matrix unit take 592. Then the same layer with all its products
at once, for one pixel a cycle and for several; and the digits network.
"""

import argparse
import json

import numpy as np

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.planner import fit
from bitfold.model import zoo
from bitfold.model.layers import BinaryConv, Chain, GlobalSum, Requantise
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.sim.simulate import check

FRAMES = 60


def layer() -> tuple[Net, Plan]:
    """The published comparison's layer, 4-bit activations, 256 lanes."""
    weights = np.random.default_rng(0).random((16, 3, 3, 16)) < 0.5
    body = Chain((BinaryConv(weights, padding=(1, 1, 1, 1)), Requantise(3, -4, 11)))
    return Net(Tensor(8, 8, 16, 0, 15), body), Plan({"0": Folding(16, 16)}, output_lanes=16)


def several_pixels(pixels: int, wired: bool) -> tuple[Net, Plan]:
    """The same layer with all its products at once, in a classifier of two classes."""
    net, _ = layer()
    head = (GlobalSum(), BinaryConv(np.random.default_rng(2).random((2, 1, 1, 16)) < 0.5))
    foldings = {"0": Folding(16, 144, pixels, wired), "3": Folding(2, 16)}
    return Net(net.input, Chain((*net.body.layers, *head))), Plan(foldings, input_pixels=pixels)


def cases() -> list[tuple[str, Net, Plan, float]]:
    """Name, network, plan and share of pauses of each."""
    digits = zoo.load("digits")
    found = [("16->16 3x3 on 8x8, 256 lanes", *layer())]
    found += [(f"digits, at most {lanes} lanes", digits, fit(digits, lanes)) for lanes in (256, 1024, 2048)]
    paused = [(*case, pauses) for case in found for pauses in (0.0, 0.2)]
    # Of several pixels every cycle takes a word: a pause of the input is one of the machine.
    return paused + [
        (f"16->16 3x3 on 8x8, pixels = {pixels}{', wired' * wired}", *several_pixels(pixels, wired), 0.0)
        for pixels, wired in ((1, False), (2, False), (8, True))
    ]


def measure(name: str, net: Net, plan: Plan, pauses: float) -> dict[str, object]:
    """Simulate random frames; every logit is compared too."""
    shape = (FRAMES, *net.input.shape)
    images = np.random.default_rng(1).integers(net.input.lo, net.input.hi + 1, shape)
    report = check(net, plan, images, pauses=pauses)
    ideal = Accelerator(net, plan).cycles
    return {
        "name": name,
        "pauses": pauses,
        "frames": FRAMES,
        "mismatching_logits": report.mismatching_logits,
        "cycles_per_frame": report.run.cycles_per_frame,
        "ideal": ideal,
        "ratio": round(report.run.cycles_per_frame / ideal, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures = [measure(*case) for case in cases()]
    if arguments.json:
        print(json.dumps(figures))
    else:
        for f in figures:
            print(
                f"{f['name']:36} pauses {f['pauses']:.1f}  {f['cycles_per_frame']:8.1f} cycles a frame, "
                f"ideal {f['ideal']:5}, ratio {f['ratio']:.4f}, {f['mismatching_logits']} logits differ"
            )
    if any(f["mismatching_logits"] or f["ratio"] > 1.01 for f in figures):
        raise SystemExit("a logit differs, or a frame takes more than 1.01 of the slowest stage's folds")


if __name__ == "__main__":
    main()
