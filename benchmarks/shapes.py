# amaranth: UnusedElaboratable=no
"""Published shapes at full size: planned, written, and every value of every layer against the reference.

    python benchmarks/shapes.py [alexnet resnet18 resnet18-2.5 cnv] [--lanes 2048] [--synth] [--json]

AlexNet and FINN's CNV with binary layers (BitFlow-Net), ResNet18 of widths 1 and 2.5 with the shifted ReLU, for 224x224
images and CNV for 32x32. Their weights are random, and so are the gammas and means of normalisations and one image.
"""

import argparse
import json
from dataclasses import dataclass

import numpy as np
import torch
from estimates import compare
from every_layer import check, measure

from bitfold.hw.planner import fit
from bitfold.model.export import export
from bitfold.model.net import Net
from bitfold.model.places import scratch
from bitfold.model.tensor import Tensor
from bitfold.model.train.calibrate import calibrate
from bitfold.model.train.modules import Norm
from bitfold.model.train.networks import build
from bitfold.model.train.recipe import Network


@dataclass(frozen=True)
class Shape:
    """A network, side of its images, and classes."""

    form: Network
    side: int = 224
    classes: int = 1000

    @property
    def input(self) -> Tensor:
        return Tensor(self.side, self.side, 3, 0, 255, 6)

    def images(self) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (1, *self.input.shape))

    def net(self) -> Net:
        """Of random weights; calibrated on its images."""
        torch.manual_seed(0)
        network = build(self.form, self.input, (124, 116, 104), self.classes)
        for norm in (module for module in network.modules() if isinstance(module, Norm)):
            norm.mean = torch.randn(len(norm.mean)) / 2
            if norm.gamma is not None:
                norm.gamma.data = torch.randn(len(norm.mean))
        calibrate(network, [torch.from_numpy(self.images()).permute(0, 3, 1, 2).float()], self.form.bits)
        return export(network.eval(), self.input)


SHAPES = {
    "alexnet": Shape(Network("alexnet", 8, 96, activation="sign", norm="batch", bits=1)),
    "resnet18": Shape(Network("resnet18", 18, 64, branch_shift=2, bits=4)),
    "resnet18-2.5": Shape(Network("resnet18", 18, 160, branch_shift=2, bits=4)),
    "cnv": Shape(Network("cnv", 9, 64, activation="sign", norm="batch", bits=1), 32, 10),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="*", default=list(SHAPES), help=f"of {', '.join(SHAPES)}; default all")
    parser.add_argument("--lanes", type=int, default=2048, help="most lanes of the plan")
    parser.add_argument("--synth", action="store_true", help="synthesise for xc7 too")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    found = {}
    for name in arguments.shapes:
        net = SHAPES[name].net()
        plan = fit(net, arguments.lanes)
        found[name] = {"weights": net.weights} | measure(net, plan, SHAPES[name].images())
        if arguments.synth:
            with scratch() as work:
                found[name]["synthesis"] = compare(name, net, plan, "xc7", work)
        if not arguments.json:
            print(name)
            for key, value in found[name].items():
                print(f"  {key:22} {value}", flush=True)
    if arguments.json:
        print(json.dumps(found))
    for figures in found.values():
        check(figures)


if __name__ == "__main__":
    main()
