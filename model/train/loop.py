"""The loop: stochastic gradient descent with momentum, a cosine schedule and shifted images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from ..error import BadInput


@dataclass(frozen=True)
class Schedule:
    """How long to train and how fast; the learning rate falls from `rate` to 0 along half a cosine."""

    epochs: int
    rate: float
    batch: int = 125
    momentum: float = 0.9
    weight_decay: float = 5e-4
    shift: int = 0


@dataclass(frozen=True)
class Epoch:
    """One epoch's end: the mean loss and accuracy over the (augmented) training images."""

    number: int
    loss: float
    accuracy: float


def shifted(images: torch.Tensor, most: int, generator: torch.Generator) -> torch.Tensor:
    """Each of images [N, C, H, W] moved by up to `most` pixels either way, 0 moving in at the edge."""
    if most == 0:
        return images
    n, _, height, width = images.shape
    padded = functional.pad(images, (most,) * 4)
    top, left = torch.randint(2 * most + 1, (2, n, 1), generator=generator)
    rows = (top + torch.arange(height))[:, :, None]
    columns = (left + torch.arange(width))[:, None, :]
    # Advanced indices around a slice put its axis last: [N, H, W, C].
    return padded[torch.arange(n)[:, None, None], :, rows, columns].permute(0, 3, 1, 2).contiguous()


def fit(
    network: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    schedule: Schedule,
    generator: torch.Generator,
    report: Callable[[Epoch], None],
) -> None:
    """Train `network` in place on images float [N, C, H, W] and labels int64 [N].

    The generator alone decides order and augmentation. Weight decay acts on the latent weights:
    only their sign counts, and decay keeps them small enough to change it.
    BadInput when the loss or a weight is no longer a number.
    """
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=schedule.rate,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
    )
    steps = schedule.epochs * math.ceil(len(images) / schedule.batch)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    network.train()
    for epoch in range(1, schedule.epochs + 1):
        loss_sum, right = 0.0, 0
        order = torch.randperm(len(images), generator=generator)
        for start in range(0, len(images), schedule.batch):
            chosen = order[start : start + schedule.batch]
            x, y = shifted(images[chosen], schedule.shift, generator), labels[chosen]
            logits = network(x).flatten(1)
            loss = functional.cross_entropy(logits, y)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            cosine.step()
            loss_sum += float(loss.detach()) * len(y)
            right += int((logits.argmax(1) == y).sum())
        # The loss alone would not tell: sign hides a weight that is no longer a number.
        finite = all(bool(parameter.isfinite().all()) for parameter in network.parameters())
        if not (finite and math.isfinite(loss_sum)):
            raise BadInput(f"the training diverged in epoch {epoch}: give its recipe a lower learning rate")
        report(Epoch(epoch, loss_sum / len(images), right / len(images)))
    network.eval()
