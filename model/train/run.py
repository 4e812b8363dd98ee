"""A run: a recipe, from random weights to a network whose activations are codes, across any number of stops."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..error import BadInput
from . import checkpoint
from .batches import Batches, Pool
from .calibrate import calibrate, refit_stream
from .data import DataSet
from .descent import Descent, make_optimiser
from .device import Device
from .log import Epoch, Log
from .modules import Norm
from .networks import build
from .recipe import Recipe, Schedule

CALIBRATION_BATCHES = 4
STATISTICS_BATCHES = 100
"""Over which a normalisation's statistics are taken once its network is trained."""

SAVE_SECONDS = 45.0
"""Between two checkpoints within an epoch."""

LOOKING_SECONDS = 1.0
"""Between two looks at the clock, for which a GPU has to be waited for."""

STOPPING_SECONDS = 3.0
"""For the last checkpoint and for leaving."""

STEPS_BETWEEN_WORDS = 16
"""Between two questions of several processes whether to save."""

EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Step:
    """Where a run is: batch `done` of `total` of epoch `epoch` of `epochs`."""

    phase: str
    epoch: int
    epochs: int
    done: int
    total: int


@dataclass(frozen=True)
class Trained:
    """What a run made: the network as its recipe asked for it and, of codes, the network before them."""

    network: nn.Sequential
    twin: nn.Sequential | None
    rows: tuple[Epoch, ...]


class _TimeOver(Exception):  # noqa: N818  what ends a run in time is no error
    pass


@dataclass
class _State:
    """All that changes while a run goes on, besides the network and the optimiser."""

    phase: int = 0
    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    wrong: float = 0.0
    seconds: float = 0.0


class Run:
    """One seed of a recipe on a device, its files in `folder`; it stops before time.monotonic is `until`.

    The same recipe, data and seed give the same network on the same device with as many threads and processes,
    however often the run is stopped, at any moment, and started again. (Of three processes and more the order of a
    sum may change with a stop.)
    """

    def __init__(
        self,
        recipe: Recipe,
        data: DataSet,
        folder: Path,
        seed: int,
        device: Device,
        tell: Callable[[Step | Epoch], None],
        until: float = math.inf,
    ) -> None:
        self.recipe = recipe
        self.data = data
        self.folder = folder
        self.device = device
        self.seed = seed
        self.tell = tell
        self.train_images, self.test_images = Pool(data.train(), device.torch), Pool(data.test(), device.torch)
        for name, schedule in recipe.schedules.items():
            if min(schedule.batch, len(self.train_images)) < device.world:
                raise BadInput(
                    f"{name}.batch is {schedule.batch}, of {len(self.train_images)} images: "
                    f"too few to share among {device.world} processes; start fewer"
                )
        torch.manual_seed(seed)
        self.network = build(recipe.network, data.input, data.mean, len(data.classes))
        self.network.to(device.torch, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.teacher: nn.Sequential | None = None
        self.state = _State()
        self.rows: list[Epoch] = []
        self.until = until
        self.saved = self.looked = time.monotonic()
        self.longest = 0.0

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with this run."""
        device = self.device
        # The labels tell one set of images from another, and are cheap to read.
        labels = hashlib.sha256(self.train_images.source.labels.tobytes()).hexdigest()
        return {
            "recipe": self.recipe.digest(),
            "data": f"{self.data.name} of labels {labels[:16]}",
            "seed": self.seed,
            "device": f"{device.torch.type} {'bfloat16' if device.bf16 else 'float32'} x {device.world}",
            "threads": torch.get_num_threads() if device.torch.type == "cpu" else 0,
            "torch": str(torch.__version__),
        }

    def train(self) -> Trained | None:
        """Go on from where the folder's checkpoint is, to the end; None where the time was over before.

        BadInput when the training diverges or the folder belongs to another run.
        """
        first = self.device.rank == 0
        if first:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise BadInput(
                    f"the run's folder {self.folder} cannot be made: {error.strerror}; choose another output"
                ) from None
            for unfinished in self.folder.glob(".bitfold-????????"):
                unfinished.unlink()  # what a kill left of a file half written
        found = self.device.agree(checkpoint.load(self.folder / "checkpoint.pt", self.identity) if first else None)
        optimiser_state = self._restore(found) if found else None
        log = Log(self.folder, f"{self.data.name}, seed {self.seed}", self.rows) if first else None
        try:
            for index, (name, schedule) in enumerate(self.recipe.schedules.items()):
                if index < self.state.phase:
                    continue
                if index > self.state.phase:
                    self._enter(index)
                self._phase(name, schedule, optimiser_state, log)
                optimiser_state = None
            return Trained(self.network.eval(), self.teacher, tuple(self.rows))
        except _TimeOver:
            return None
        finally:
            if log:
                log.draw()
                log.close()

    def _enter(self, index: int) -> None:
        """From floating point to codes."""
        self.teacher = copy.deepcopy(self.network).eval().requires_grad_(False)
        calibrate(self.network, self._samples(CALIBRATION_BATCHES), self.recipe.network.bits)
        self.state = _State(phase=index)

    def _samples(self, count: int) -> Iterator[torch.Tensor]:
        """`count` batches of training images as they are, drawn by the seed, the same in every process."""
        random = np.random.default_rng([self.seed, self.state.phase])
        chosen = random.permutation(len(self.train_images))[: count * self.recipe.train.batch]
        for part in np.array_split(chosen, math.ceil(len(chosen) / self.recipe.train.batch)):
            yield self.device.pixels(self.train_images.batch(part))

    def _phase(self, name: str, schedule: Schedule, optimiser_state: dict[str, Any] | None, log: Log | None) -> None:
        network, device, state = self.network, self.device, self.state
        batches = Batches(
            self.train_images,
            schedule.batch,
            self.recipe.augment,
            self.seed,
            state.phase,
            device.rank,
            device.world,
            self.data.input.hi,
        )
        optimiser = make_optimiser(network, schedule, device)
        if optimiser_state is not None:
            optimiser.load_state_dict(optimiser_state)
            for group in optimiser.param_groups:
                group["lr"] = group["lr"].to(device.torch)
        model = DistributedDataParallel(network) if device.world > 1 else network
        descent = Descent(model, optimiser, schedule, self.teacher, device)
        self.looked = time.monotonic()
        while state.epoch < schedule.epochs:
            began = time.monotonic() - state.seconds
            # A checkpoint holds the sums of all processes; one of them goes on from there.
            before = [0.0, 0.0] if device.rank else [state.loss, state.wrong]
            descent.sums.copy_(torch.tensor(before, dtype=torch.float64))
            network.train()
            for batch in batches.epoch(state.epoch, state.step):
                descent.step(batch, schedule.rate_at(state.epoch + state.step / len(batches)))
                state.step += 1
                self.tell(Step(name, state.epoch + 1, schedule.epochs, state.step, len(batches)))
                due, over = self._due()
                if over or (due and state.step < len(batches)):
                    self._check_numbers(float(descent.sums[0]))
                    state.loss, state.wrong = device.total(descent.sums.clone()).tolist()
                    state.seconds = time.monotonic() - began
                    self._save(optimiser)
                    if over:
                        raise _TimeOver
            rate = schedule.rate_at(state.epoch + 1 - 1 / len(batches))
            loss, wrong = (device.total(descent.sums.clone()) / len(self.train_images)).tolist()
            self._check_numbers(loss)
            self._check_progress(loss)
            if state.epoch + 1 == schedule.epochs:
                self._retake_statistics()
                if self.teacher:
                    refit_stream(network, self._samples(CALIBRATION_BATCHES))
            test_error = error(network, self.test_images, device) if log else 0.0
            row = Epoch(name, state.epoch + 1, rate, loss, wrong, test_error, round(time.monotonic() - began, 3))
            self.rows.append(row)
            state.epoch, state.step, state.loss, state.wrong, state.seconds = state.epoch + 1, 0, 0.0, 0.0, 0.0
            # Told before it is saved: what is told twice is void, what is never told would be missing.
            if log:
                log.add(row)
                if state.epoch % max(1, schedule.epochs // 10) == 0:
                    log.draw()
            self._save(optimiser)
            self.tell(row)
            if state.epoch < schedule.epochs and device.agree(self._over()):
                raise _TimeOver

    def _due(self) -> tuple[bool, bool]:
        """Whether to save within the epoch, and to stop; of several processes the first decides, once in a while."""
        if self.device.world > 1 and self.state.step % STEPS_BETWEEN_WORDS:
            return False, False
        found: tuple[bool, bool] = self.device.agree((time.monotonic() - self.saved > SAVE_SECONDS, self._over()))
        return found

    def _over(self) -> bool:
        """Whether the time may be over before this is asked again and what was learnt by then is saved."""
        if math.isinf(self.until) or time.monotonic() < min(self.until, self.looked + LOOKING_SECONDS):
            return False
        self.device.finish()
        now = time.monotonic()
        self.longest, self.looked = max(self.longest, now - self.looked), now
        return now + 2 * self.longest + STOPPING_SECONDS > self.until

    def _check_numbers(self, loss: float) -> None:
        """BadInput when the network is lost: sign would hide a weight that is no longer a number."""
        if not (math.isfinite(loss) and all(bool(each.isfinite().all()) for each in self.network.parameters())):
            raise self._diverged("a weight or the loss is no longer a number")

    def _check_progress(self, loss: float) -> None:
        """BadInput when, an epoch after the first, the mean loss is far worse than guessing."""
        guess = math.log(len(self.data.classes))
        if self.state.epoch > 0 and loss > 3 * guess:
            raise self._diverged(f"the loss is {loss:.3g} where guessing gives {guess:.3g}")

    def _diverged(self, what: str) -> BadInput:
        return BadInput(
            f"the training diverged in epoch {self.state.epoch + 1}: {what}; "
            f"give the recipe a lower rate, remove {self.folder} and start again"
        )

    def _retake_statistics(self) -> None:
        """The normalisations' statistics over training images as they are, each batch counting as much."""
        norms = [module for module in self.network.modules() if isinstance(module, Norm)]
        if not norms:
            return
        momentum = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset()
        with torch.no_grad(), self.device.autocast():
            for pixels in self._samples(STATISTICS_BATCHES):
                self.network(pixels)
        for norm, before in zip(norms, momentum, strict=True):
            norm.momentum = before

    def _save(self, optimiser: torch.optim.Optimizer) -> None:
        self.saved = time.monotonic()
        if self.device.rank:
            return
        state = {
            "state": asdict(self.state),
            "rows": [asdict(row) for row in self.rows],
            "network": self.network.state_dict(),
            "teacher": self.teacher.state_dict() if self.teacher else None,
            "optimiser": optimiser.state_dict(),
        }
        checkpoint.save(self.folder / "checkpoint.pt", self.identity, state)

    def _restore(self, found: dict[str, Any]) -> dict[str, Any]:
        """Take over a checkpoint; what is left is the optimiser's state."""
        self.state = _State(**found["state"])
        self.rows = [Epoch(**row) for row in found["rows"]]
        if found["teacher"]:
            self.teacher = copy.deepcopy(self.network).eval().requires_grad_(False)
            self.teacher.load_state_dict(found["teacher"])
        self.network.load_state_dict(found["network"])
        state: dict[str, Any] = found["optimiser"]
        return state


def error(network: nn.Module, images: Pool, device: Device) -> float:
    """The share of images that `network`, in eval mode and in the precision of training, takes for another class."""
    was_training = network.training
    network.eval()
    wrong = torch.zeros((), dtype=torch.int64, device=device.torch)
    with torch.no_grad(), device.autocast():
        for start in range(0, len(images), EVALUATION_BATCH):
            chosen = np.arange(start, min(start + EVALUATION_BATCH, len(images)))
            logits = network(device.pixels(images.batch(chosen))).flatten(1)
            wrong += (logits.argmax(1) != images.labels[start : start + EVALUATION_BATCH]).sum()
    network.train(was_training)
    return int(wrong) / len(images)
