"""One step of gradient descent: forward, backward, update; on a GPU all of it captured once and then replayed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from .batches import Batch
from .device import Device
from .recipe import Schedule

WARM = 3
"""Steps before a capture, in which the libraries choose their kernels; what they change is put back."""


class Descent:
    """Trains a network batch by batch. Nothing in a step waits for the device.

    Parameters
    ----------
    network : in train mode, or its wrapper that averages the gradients of several processes
    optimiser : of `make_optimiser`
    schedule : how to learn
    teacher : the network before its activations were coded, or None

    Attributes
    ----------
    sums : float64 [2] on the device: the summed loss and the number of wrong classes so far
    """

    def __init__(
        self,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        schedule: Schedule,
        teacher: nn.Module | None,
        device: Device,
    ) -> None:
        self.network, self.optimiser, self.schedule, self.device = network, optimiser, schedule, device
        self.teacher = teacher if schedule.distil else None
        self.sums = torch.zeros(2, dtype=torch.float64, device=device.torch)
        self._images = self._labels = torch.empty(0)
        self._replay: Callable[[], None] = lambda: None

    def step(self, batch: Batch, rate: float) -> None:
        """Learn from a batch at a learning rate."""
        for group in self.optimiser.param_groups:
            group["lr"].fill_(rate)
        if not self.device.captures:
            self.learn(batch.images, batch.labels, batch.size)
            return
        if len(batch.images) > len(self._images):
            # A run may go on with the last batch of an epoch, which is smaller than those to come.
            self._images, self._labels = batch.images.clone(), batch.labels.clone()
            self._replay = self._capture(batch.size)
        if len(batch.images) == len(self._images):
            self._images.copy_(batch.images)
            self._labels.copy_(batch.labels)
            self._replay()
        else:
            with _unwarned():
                self.learn(batch.images, batch.labels, batch.size)

    def learn(self, images: Tensor, labels: Tensor, size: int) -> None:
        """What a step does, kernel by kernel: uint8 [n, H, W, C] and int64 [n], of `size` images in all processes."""
        schedule, x = self.schedule, self.device.pixels(images)
        with self.device.autocast():
            logits = self.network(x).flatten(1).float()
        loss = functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=schedule.smoothing)
        if self.teacher is not None:
            with torch.no_grad(), self.device.autocast():
                target = self.teacher(x).flatten(1).float().log_softmax(1)
            apart = functional.kl_div(logits.log_softmax(1), target, reduction="sum", log_target=True)
            loss = torch.lerp(loss, apart, schedule.distil)
        self.optimiser.zero_grad()
        # Processes average their gradients; the sum over all images, divided by their number, is what is meant.
        (loss * (self.device.world / size)).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.sums += torch.stack([loss.detach().double(), (logits.argmax(1) != labels).sum().double()])

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """What is learnt within leaves no trace: weights, statistics, the optimiser's state, the sums."""

        def all_tensors() -> list[Tensor]:
            states = [each for state in self.optimiser.state.values() for each in state.values()]
            held = [*self.network.parameters(), *self.network.buffers(), *states, self.sums]
            return [each for each in held if isinstance(each, Tensor)]

        before = {each: each.detach().clone() for each in all_tensors()}
        yield
        with torch.no_grad():
            for each in all_tensors():
                # A state that was not there yet is as new when it is all 0.
                each.copy_(before[each] if each in before else torch.zeros_like(each))

    def _capture(self, size: int) -> Callable[[], None]:
        """Record a step on the images and labels kept here; what replays it."""
        with self.untouched():
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside), _unwarned():
                for _ in range(WARM):
                    self.learn(self._images, self._labels, size)
            torch.cuda.current_stream().wait_stream(aside)
            self.optimiser.zero_grad()  # so that the gradients are the graph's own
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.learn(self._images, self._labels, size)
        return graph.replay


@contextmanager
def _unwarned() -> Iterator[None]:
    """Without the warning that a step of an optimiser made to be captured is not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This instance was constructed with capturable=True", UserWarning)
        yield


def make_optimiser(network: nn.Module, schedule: Schedule, device: Device) -> torch.optim.Optimizer:
    """Only weights decay, no normalisation's scale and shift; 1-bit weights need it, to stay ready to turn.

    The learning rate is a tensor on the device, which a captured step reads.
    """
    rate = torch.tensor(schedule.rate, device=device.torch)
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim == 1]
    groups = [{"params": weights, "weight_decay": schedule.decay}, {"params": others, "weight_decay": 0.0}]
    if schedule.optimiser == "adam":
        # Decay apart from the gradient, as sgd's is in effect.
        return torch.optim.AdamW(
            groups, lr=rate, betas=(schedule.momentum, 0.999), fused=True, capturable=device.captures
        )
    return torch.optim.SGD(groups, lr=rate, momentum=schedule.momentum, nesterov=schedule.nesterov, fused=True)
