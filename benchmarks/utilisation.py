# amaranth: UnusedElaboratable=no
"""What plans made by themselves use of their lanes, and cycles a frame of the Verilog against the slowest stage.

    python benchmarks/utilisation.py [--frames 4] [--json]

The shipped networks, wide residual networks 20-1 and 20-4 and a network of the shape of FINN's CNV, these of random
weights. FINN's own folding of CNV for 3,052 frames/s at 100 MHz uses 79.8 % of its lanes' cycles: at most as many
lanes are asked for here.
"""

import argparse
import json

import numpy as np

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.planner import fit
from bitfold.model import zoo
from bitfold.model.net import Net
from bitfold.model.networks import cnv, wide_resnet
from bitfold.sim.simulate import check

FINN_LANES = 2273
"""Lanes of FINN's shipped folding."""


def machines() -> list[tuple[str, Net, Accelerator]]:
    """Name, network and machine of each case."""
    nets = [(name, zoo.load(name), 1024) for name in zoo.names()]
    nets += [("wide_resnet(20, 1)", wide_resnet(20, 1), 1024), ("wide_resnet(20, 4)", wide_resnet(20, 4), 4096)]
    nets.append(("CNV-shaped", cnv(), FINN_LANES))
    return [(f"{name}, at most {lanes} lanes", net, Accelerator(net, fit(net, lanes))) for name, net, lanes in nets]


def measure(name: str, net: Net, machine: Accelerator, frames: int) -> dict[str, object]:
    """Simulate random frames; every logit is compared too."""
    images = np.random.default_rng(1).integers(net.input.lo, net.input.hi + 1, (frames, *net.input.shape))
    report = check(net, machine.plan, images)
    return {
        "name": name,
        "lanes": machine.plan.lanes(net),
        "utilisation": round(machine.plan.utilisation(net, machine.cycles), 4),
        "cycles": machine.cycles,
        "ratio": round(report.run.cycles_per_frame / machine.cycles, 4),
        "mismatching_logits": report.mismatching_logits,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=4, help="frames to simulate, at least 3")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures = []
    for case in machines():
        figures.append(found := measure(*case, arguments.frames))
        if not arguments.json:
            print(
                f"{found['name']:40} {found['lanes']:6,} lanes, {found['utilisation']:.1%} used; "
                f"{found['cycles']:9,} cycles a frame, measured {found['ratio']:.4f} of it; "
                f"{found['mismatching_logits']} logits differ",
                flush=True,
            )
    if arguments.json:
        print(json.dumps(figures))
    if any(f["mismatching_logits"] or f["ratio"] > 1.005 or f["utilisation"] < 0.9 for f in figures):
        raise SystemExit("a logit differs, a frame takes more than 1.005 of the slowest stage, or lanes are idle")


if __name__ == "__main__":
    main()
