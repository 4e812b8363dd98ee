"""Recipes: what to train, on what, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .calibrate import calibrate
from .data import Data
from .loop import Epoch, Schedule, fit
from .networks import wide_resnet


@dataclass(frozen=True)
class Recipe:
    """A network, its data set and two schedules.

    Activations start as float, because a narrow clip from the start stalls the training; then their codes
    are calibrated and the weights tuned to them.

    Parameters
    ----------
    data : a name in data.DATA
    depth, channels, temperature : of wide_resnet
    bits : of an activation
    float_schedule, code_schedule : before and after calibration
    """

    data: str
    depth: int
    channels: int
    temperature: float
    bits: int
    float_schedule: Schedule
    code_schedule: Schedule

    @property
    def schedules(self) -> dict[str, Schedule]:
        """Both schedules, by the names that `train` reports."""
        return {"float": self.float_schedule, "codes": self.code_schedule}


RECIPES = {
    "digits": Recipe(
        data="digits",
        depth=8,
        channels=16,
        temperature=0.5,
        bits=4,
        float_schedule=Schedule(epochs=60, rate=0.1, shift=1),
        code_schedule=Schedule(epochs=40, rate=0.03, shift=1),
    ),
}
"""Every recipe by name."""

CALIBRATION_IMAGES = 512


def to_torch(images: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 [N, H, W, C] to float32 [N, C, H, W], the pixels as they are."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32).contiguous()


def train(recipe: Recipe, data: Data, seed: int, report: Callable[[str, Epoch], None]) -> nn.Sequential:
    """Run a recipe: a network whose eval mode emulates the integers exactly.

    The same seed gives the same network on the same machine with the same number of threads.
    `report` receives the name of the schedule, `float` or `codes`, and each epoch's end.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = wide_resnet(data.input, data.mean, len(data.classes), recipe.depth, recipe.channels, recipe.temperature)
    images, labels = to_torch(data.train.images), torch.from_numpy(data.train.labels)
    for name, schedule in recipe.schedules.items():
        if name == "codes":
            sample = torch.randperm(len(images), generator=generator)[:CALIBRATION_IMAGES]
            calibrate(network, images[sample], recipe.bits)
        fit(network, images, labels, schedule, generator, partial(report, name))
    return network
