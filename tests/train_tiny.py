"""A recipe and a data set so small that whole runs of training are tests."""

from __future__ import annotations

import numpy as np

from bitfold.model.tensor import Tensor
from bitfold.model.train.data import DataSet, Images

CLASSES = 4


def images(count: int, seed: int) -> Images:
    """6x6 noise with a brighter quarter, which is the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=count)
    pixels = rng.integers(0, 160, (count, 6, 6, 1))
    for label in range(CLASSES):
        top, left = 3 * (label // 2), 3 * (label % 2)
        pixels[labels == label, top : top + 3, left : left + 3] += 90
    return Images(pixels.astype(np.uint8), labels)


def quarters() -> DataSet:
    """130 images to train on, so that batches of 25 leave 5, and 60 to test."""
    return DataSet(
        name="quarters",
        input=Tensor(6, 6, 1, lo=0, hi=255, frac=6),
        mean=(100,),
        classes=("nw", "ne", "sw", "se"),
        preprocessing="none",
        train=lambda: images(130, 0),
        test=lambda: images(60, 1),
    )


RECIPE = """
data = "quarters"

[network]
form = "{form}"
depth = {depth}
channels = 2
activation = "{activation}"
norm = "{norm}"
final-norm = "{final_norm}"
weights = {weights}
scale = "{scale}"
bits = {bits}

[augment]
shift = 1
flip = "random"
cutout = 2

[train]
epochs = {epochs}
rate = {rate}
optimiser = "{optimiser}"
batch = 25
"""

TUNE = """
[tune]
epochs = 2
rate = 0.02
batch = 30
distil = 0.5
"""


def recipe(**changes: object) -> str:
    """The recipe's text: 3 epochs of 6 steps in floating point, 2 of 5 with 4-bit codes."""
    values: dict[str, object] = {
        "form": "wide",
        "depth": 8,
        "activation": "shifted-relu",
        "norm": "batch",
        "final_norm": "mean",
        "weights": 1,
        "scale": "power-of-two",
        "bits": 4,
        "epochs": 3,
        "rate": 0.1,
        "optimiser": "sgd",
    } | changes
    return RECIPE.format_map(values) + (TUNE if values["bits"] else "")


def main() -> None:
    """Train in a process of its own: FOLDER, a recipe's file, and after how many steps to die of it (0: never)."""
    import sys
    from pathlib import Path

    import torch

    from bitfold.model.train import run
    from bitfold.model.train.device import open_device
    from bitfold.model.train.recipe import load

    folder, file, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    run.SAVE_SECONDS, run.STEPS_BETWEEN_WORDS = 0.0, 2
    run.Log.draw = lambda self: None  # type: ignore[method-assign]
    steps = 0

    def tell(news: object) -> None:
        nonlocal steps
        steps += isinstance(news, run.Step)
        print(steps, flush=True)
        if steps == last:
            raise SystemExit(3)

    with open_device("cpu", 1, False) as device:
        found = run.Run(load(file), quarters(), folder, 5, device, tell).train()
        if device.rank == 0:
            rows = [(row.phase, row.number, row.rate, row.loss, row.error, row.test_error) for row in found.rows]
            torch.save((found.network.state_dict(), rows), folder / "result.pt")


if __name__ == "__main__":
    main()
