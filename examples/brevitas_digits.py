"""A residual network of 1-bit weights and 4-bit activations, trained in Brevitas and carried over to a Net.

    pip install '.[brevitas]'
    python examples/brevitas_digits.py [-o NET.bitfold] [--epochs 20] [--qonnx FILE.onnx]

Brevitas trains and exports QONNX; bitfold reads it. Prints the accuracy of both on the held-out digits, and on how many
of these they name the same class.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from brevitas.export import export_qonnx
from brevitas.nn import QuantConv2d, QuantIdentity, QuantLinear, QuantReLU
from brevitas.quant import Int8ActPerTensorFloat, SignedBinaryWeightPerTensorConst, Uint8ActPerTensorFloat
from torch import nn

from bitfold.model.imports.qonnx import load
from bitfold.model.train.data import open_data

BITS = 4


def conv(ins: int, outs: int, stride: int = 1) -> nn.Sequential:
    """3x3 with 1-bit weights, and a batch normalisation."""
    weights = {"weight_quant": SignedBinaryWeightPerTensorConst, "bias": False}
    return nn.Sequential(QuantConv2d(ins, outs, 3, stride, padding=1, **weights), nn.BatchNorm2d(outs))


class Block(nn.Module):
    """relu(x + conv(relu(conv(x)))); both summands go through one quantiser, so that they have one scale."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Sequential(conv(channels, channels), QuantReLU(bit_width=BITS))
        self.second = conv(channels, channels)
        self.sum = QuantIdentity(act_quant=Int8ActPerTensorFloat, bit_width=BITS + 1)
        self.relu = QuantReLU(bit_width=BITS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.sum(x)
        return self.relu(x + self.sum(self.second(self.first(x))))


class Network(nn.Module):
    """Pixels from 0 to 16, [N, 1, 8, 8], to ten logits."""

    def __init__(self, channels: int = 16):
        super().__init__()
        # A scale of 1: the network's input are the pixels themselves, 0 to 255.
        pixels = QuantIdentity(
            act_quant=Uint8ActPerTensorFloat, scaling_impl_type="const", scaling_init=255.0, return_quant_tensor=False
        )
        self.body = nn.Sequential(
            pixels,
            conv(1, channels),
            QuantReLU(bit_width=BITS),
            Block(channels),
            conv(channels, 2 * channels, stride=2),
            QuantReLU(bit_width=BITS),
            Block(2 * channels),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            QuantLinear(2 * channels, 10, bias=True, weight_quant=SignedBinaryWeightPerTensorConst),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def train(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    """Adam, half a cosine, batches of 64; three minutes on one core."""
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            loss = nn.functional.cross_entropy(network(images[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("brevitas.bitfold"))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--qonnx", type=Path, help="keep the exported file here")
    args = parser.parse_args()
    torch.manual_seed(0)
    data = open_data("digits", None)
    parts = [part() for part in (data.train, data.test)]
    pixels = [part.batch(np.arange(len(part))) for part in parts]
    images = [torch.tensor(each.transpose(0, 3, 1, 2), dtype=torch.float32) for each in pixels]
    network = Network()
    train(network, images[0], torch.tensor(parts[0].labels), args.epochs)
    network.eval()
    with tempfile.TemporaryDirectory() as folder:
        file = args.qonnx or Path(folder) / "digits.onnx"
        export_qonnx(network, images[1][:1], export_path=str(file), dynamo=False)
        net = load(file)
    net.save(args.output)
    with torch.no_grad():
        theirs = network(images[1]).argmax(1).numpy()
    ours = net.classify(pixels[1])
    labels = parts[1].labels
    print(f"Brevitas, floats  {100 * (theirs == labels).mean():.2f} % of {len(labels)} held-out digits")
    print(f"bitfold, integers {100 * (ours == labels).mean():.2f} %")
    print(f"the same class    {int((ours == theirs).sum())} of {len(labels)}")
    print(f"{args.output}: {net.weights:,} weights of one bit")


if __name__ == "__main__":
    main()
