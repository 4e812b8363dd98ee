"""Where training runs: the processor or a GPU, its precision, and which of several processes this is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from ..error import BadInput


@dataclass(frozen=True)
class Device:
    """One process's share of the machine.

    bf16 : whether products are computed in bfloat16 where nothing exact is asked for
    rank, world : this process among all that train one network together
    """

    torch: torch.device
    bf16: bool
    rank: int = 0
    world: int = 1

    @property
    def name(self) -> str:
        """What a reader of a log wants to know of it."""
        kind = torch.cuda.get_device_name(self.torch) if self.torch.type == "cuda" else _processor()
        count = torch.get_num_threads()
        threads = f", {count} thread{'s' * (count > 1)}" if self.torch.type == "cpu" else ""
        several = f", {self.world} of them" if self.world > 1 else ""
        return f"{kind}{threads}{several}, {'bfloat16' if self.bf16 else 'float32'}"

    def autocast(self) -> AbstractContextManager[Any]:
        """Convolutions in bfloat16, where the device is faster with it."""
        return torch.autocast(self.torch.type, torch.bfloat16, enabled=self.bf16)

    def pixels(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [N, H, W, C] to float32 [N, C, H, W], channels last in memory, the pixels as they are."""
        moved = torch.from_numpy(images).to(self.torch, non_blocking=True)
        return moved.permute(0, 3, 1, 2).to(torch.float32)

    def labels(self, labels: NDArray[np.int64]) -> Tensor:
        """int64 [N] on the device."""
        return torch.from_numpy(labels).to(self.torch, non_blocking=True)

    def total(self, values: Tensor) -> Tensor:
        """The sum of the values of all processes."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values

    def agree(self, value: Any) -> Any:
        """The first process's value, in all of them."""
        if self.world == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]


@contextmanager
def open_device(kind: str, threads: int, bf16: bool | None) -> Iterator[Device]:
    """The device `kind` (cpu, cuda, or auto for the better one), set up to repeat itself exactly.

    bf16 is None for what suits the device. Several processes started by torchrun find each other here.
    BadInput where there is no such device.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if kind not in ("auto", "cpu", "cuda"):
        raise BadInput(f"the device is auto, cpu or cuda, not {kind!r}")
    cuda = torch.cuda.is_available()
    if kind == "cuda" and not cuda:
        raise BadInput("torch finds no CUDA device; leave --device away to train on the processor")
    # cuBLAS repeats itself only with a workspace of fixed size, to be set before it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(threads)
    if cuda and kind != "cpu":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
        fast = torch.cuda.is_bf16_supported()
    else:
        device = torch.device("cpu")
        fast = _processor_has_bf16()
    if world > 1:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Device(device, fast if bf16 is None else bf16, rank, world)
    finally:
        if world > 1:
            distributed.destroy_process_group()


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def _processor() -> str:
    names = [line.partition(":")[2].strip() for line in _cpuinfo().splitlines() if line.startswith("model name")]
    return names[0] if names else "CPU"


def _processor_has_bf16() -> bool:
    return "avx512_bf16" in _cpuinfo() or "amx_bf16" in _cpuinfo()
