"""Where training runs: the processor or a GPU, its precision, and which of several processes this is."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
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

    @property
    def options(self) -> str:
        """Of the command line that asks for this device."""
        threads = f" --threads {torch.get_num_threads()}" if self.torch.type == "cpu" else ""
        return f"--device {self.torch.type}{threads} {'--bf16' if self.bf16 else '--fp32'}"

    @property
    def captures(self) -> bool:
        """Whether a step is captured once and replayed: a GPU waits for every kernel that is launched by itself."""
        return self.torch.type == "cuda" and self.world == 1

    def autocast(self) -> AbstractContextManager[Any]:
        """Convolutions in bfloat16, where the device is faster with it."""
        # Each weight is used once a step: there is nothing to keep.
        return torch.autocast(self.torch.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False)

    def pixels(self, images: Tensor) -> Tensor:
        """uint8 [N, H, W, C] to float32 [N, C, H, W], channels last in memory, the pixels as they are."""
        return images.permute(0, 3, 1, 2).to(torch.float32)

    def finish(self) -> None:
        """Wait until all is done that was asked of a GPU."""
        if self.torch.type == "cuda":
            torch.cuda.synchronize()

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
def open_device(kind: str, threads: int | None, bf16: bool | None) -> Iterator[Device]:
    """The device `kind` (cpu, cuda, or auto for the better one), set up to repeat itself exactly.

    bf16 is None for what suits the device. Several processes started by torchrun find each other here.
    threads is None for this process's share of the processors.
    BadInput where there is no such device, or where not torchrun set what tells several processes apart.
    """
    world, rank, local, beside = _places()
    if kind not in ("auto", "cpu", "cuda"):
        raise BadInput(f"the device is auto, cpu or cuda, not {kind!r}")
    cuda = torch.cuda.is_available()
    if kind == "cuda" and not cuda:
        raise BadInput("torch finds no CUDA device; leave --device away to train on the processor")
    # cuBLAS repeats itself only with a workspace of fixed size, to be set before it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing reads what nothing wrote
    torch.backends.cudnn.allow_tf32 = False  # float32 means it
    torch.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) // beside))
    if cuda and kind != "cpu":
        if local >= torch.cuda.device_count():
            raise BadInput(f"there are {torch.cuda.device_count()} GPUs here for {beside} processes; start fewer")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        device = torch.device("cpu")
        fast = _processor_gains_by_bf16()
    if world > 1:
        # The others wait while the first judges a network.
        wait = datetime.timedelta(hours=12)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=wait)
    try:
        yield Device(device, fast if bf16 is None else bf16, rank, world)
    finally:
        if world > 1:
            distributed.destroy_process_group()


def _places() -> tuple[int, int, int, int]:
    """How many processes there are and which this is, then which of how many on this machine."""
    names = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    given = [os.environ.get(name) for name in names]
    if given[0] is None:
        return 1, 0, 0, 1
    try:
        world, rank, local, beside = (int(value or "") for value in given)
    except ValueError:
        said = ", ".join(f"{name} is {value!r}" for name, value in zip(names, given, strict=True))
        raise BadInput(f"{said}: start several processes with torchrun, or unset these variables") from None
    return world, rank, local, beside


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _processor() -> str:
    names = [line.partition(":")[2].strip() for line in _cpuinfo().splitlines() if line.startswith("model name")]
    return names[0] if names else "CPU"


def _processor_gains_by_bf16() -> bool:
    """By AMX, and by AMD's AVX512-BF16; Intel's without AMX takes 1.5 to 1.9 times as long as float32."""
    known = _cpuinfo()
    return "amx_bf16" in known or ("avx512_bf16" in known and "AuthenticAMD" in known)
