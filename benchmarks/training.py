"""Speed of training beside the same network in plain fp32 torch modules, on one thread of the processor.

    python benchmarks/training.py [--depth 20] [--channels 16] [--rounds 5] [--steps 8] [--json]

The plain network has the same convolutions, but with 32-bit weights as they are, ReLUs, float activations and
nothing else; its batch stands ready in memory. bitfold's steps include binarising, coding the activations where
`codes`, and preparing the batch: moved, mirrored and cut out. A ratio is images a second over those of the plain
network, the median over rounds in which all are measured one after the other, in seconds of the processor's, so
that a busy machine does not count. `fast` computes products in bfloat16, which training chooses by itself on
processors that gain by it. `batches` is the time of bitfold's fast steps on a batch that stands ready over that of the
same steps with batches as they are prepared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bitfold.model.tensor import Tensor
from bitfold.model.train.batches import Batches, Pool
from bitfold.model.train.calibrate import calibrate
from bitfold.model.train.data import Images
from bitfold.model.train.descent import Descent, make_optimiser
from bitfold.model.train.device import Device
from bitfold.model.train.networks import build
from bitfold.model.train.recipe import Augment, Network, Schedule

BATCH = 125
PIXELS = Tensor(32, 32, 3, 0, 255, frac=6)


class PlainBlock(nn.Module):
    """A pre-activation block of ordinary modules."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        stride = channels // before
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(before, channels, 3, stride, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        )
        self.pool = nn.AvgPool2d(2) if stride == 2 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        skip = self.pool(x)
        return y + functional.pad(skip, (0, 0, 0, 0, 0, y.shape[1] - skip.shape[1]))


def plain(depth: int, channels: int) -> nn.Sequential:
    """The wide residual network of ordinary modules."""
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False)]
    before = channels
    for stage in range(3):
        for _ in range((depth - 2) // 6):
            layers.append(PlainBlock(before, channels << stage))
            before = channels << stage
    return nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(before, 10, 1, bias=False), nn.AdaptiveAvgPool2d(1))


def plain_steps(depth: int, channels: int, images: Images) -> Callable[[int], None]:
    network = plain(depth, channels)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-6, momentum=0.9, weight_decay=5e-4)
    x = torch.from_numpy(images.images[:BATCH]).permute(0, 3, 1, 2).float().contiguous() / 64
    y = torch.from_numpy(images.labels[:BATCH])

    def steps(count: int) -> None:
        for _ in range(count):
            loss = functional.cross_entropy(network(x).flatten(1), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return steps


def bitfold_steps(
    depth: int, channels: int, images: Images, bf16: bool, codes: bool, ready: bool = False
) -> Callable[[int], None]:
    """Steps as training does them, each with a batch prepared for it unless one stands `ready`."""
    schedule = Schedule(epochs=1, rate=1e-6, batch=BATCH)
    augment = Augment(shift=4, flip="random", cutout=18)
    device = Device(torch.device("cpu"), bf16)
    pool = Pool(images, device.torch)
    network = build(Network("wide", depth, channels, branch_shift=1), PIXELS, (128, 128, 128), 10)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if codes:
        calibrate(network, [device.pixels(pool.batch(np.arange(BATCH)))], 8)
    descent = Descent(network.train(), make_optimiser(network, schedule, device), schedule, None, device)
    batches = Batches(pool, BATCH, augment, 0, 0)
    prepared = [next(batches.epoch(0))]

    def steps(count: int) -> None:
        left = count
        for batch in prepared * count if ready else batches.epoch(0, len(batches) - count):
            descent.step(batch, 1e-6)
            left -= 1
        assert left == 0

    return steps


def measure(depth: int, channels: int, rounds: int, steps: int) -> dict[str, float]:
    """Images a second of the plain network, and ratios of bitfold's to them."""
    random = np.random.default_rng(0)
    shape = (BATCH * (steps + 1), 32, 32, 3)
    images = Images(random.integers(256, size=shape, dtype=np.uint8), random.integers(10, size=shape[0]))
    torch.set_num_threads(1)
    kinds = {
        "fp32": (False, False),
        "fp32_codes": (False, True),
        "fast": (True, False),
        "fast_codes": (True, True),
        "fast_ready": (True, False, True),
    }
    runs = {"plain": plain_steps(depth, channels, images)}
    runs |= {name: bitfold_steps(depth, channels, images, *kind) for name, kind in kinds.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(2)  # the libraries choose their kernels
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            run(steps)
            seconds[name].append(time.process_time() - start)

    def ratio(name: str, base: str) -> float:
        """How often the steps of `name` are done while those of `base` are."""
        return statistics.median(ours / theirs for ours, theirs in zip(seconds[base], seconds[name], strict=True))

    figures = {"plain_images_per_second": steps * BATCH / statistics.median(seconds["plain"])}
    figures |= {name: ratio(name, "plain") for name in list(kinds)[:-1]}
    figures["batches"] = ratio("fast", "fast_ready")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    figures = measure(asked.depth, asked.channels, asked.rounds, asked.steps)
    if asked.json:
        print(json.dumps(figures))
        return
    print(f"wide residual network {asked.depth}, {asked.channels} channels, batch {BATCH}, 32x32x3, one thread")
    print(f"plain fp32 torch       {figures.pop('plain_images_per_second'):8.1f} images/s")
    share = figures.pop("batches")
    for name, ratio in figures.items():
        print(f"bitfold {name:14} {ratio:8.2f} times as many")
    print(f"time on a batch that stands ready over time with augmentation {share:.3f}")


if __name__ == "__main__":
    main()
