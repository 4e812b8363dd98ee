"""From float activations to codes: the clip and binary point of every activation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ..error import BadInput
from .modules import Codes, Residual, ShiftedReLU, Stream


@contextmanager
def _observe(network: nn.Module) -> Iterator[dict[Codes, list[torch.Tensor]]]:
    """What every Codes module has to hold while the context is open: its inputs, and a stream's sums."""
    seen: dict[Codes, list[torch.Tensor]] = {}

    def keep(module: Codes, x: torch.Tensor) -> None:
        seen.setdefault(module, []).append(x.detach().flatten())

    hooks = []
    for module in network.modules():
        if isinstance(module, Codes):
            hooks.append(module.register_forward_pre_hook(lambda codes, inputs: keep(codes, inputs[0])))
        elif isinstance(module, Residual):
            hooks.append(module.register_forward_hook(lambda sum, _, output: keep(sum.stream, output)))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _best_frac(x: torch.Tensor, bits: int) -> int:
    """The binary point with the least squared error over x; ties go to the wider range."""
    target = x.clamp(min=-1)

    def error(frac: int) -> float:
        coded = ShiftedReLU(bits, frac, quantised=True)(x)
        return float((coded - target).square().mean())

    return min(range(bits), key=error)


def calibrate(network: nn.Module, images: torch.Tensor, bits: int) -> None:
    """Quantise `network` in place, from what its activations are on images [N, C, H, W].

    Every shifted ReLU gets `bits` bits and the binary point of least squared error, the residual stream
    the most fraction bits (4 to 8) that leave room for twice the largest value seen.
    BadInput when even 4 do not.
    """
    with torch.no_grad(), _observe(network) as seen:
        network(images)
    for module, values in seen.items():
        x = torch.cat(values)
        if isinstance(module, ShiftedReLU):
            module.frac = _best_frac(x, bits)
            module.bits = bits
        elif isinstance(module, Stream):
            largest = float(x.abs().max())
            room = [frac for frac in range(4, 9) if 2 * largest * 2**frac < 2 ** (module.bits - 1)]
            if not room:
                raise BadInput(
                    f"the residual stream reaches {largest:.0f}, too much for {module.bits} bits with 4 "
                    "fraction bits: train with more weight decay or a lower learning rate"
                )
            module.frac = room[-1]
        module.quantised = True
