"""From float activations to codes: the clip and binary point of every activation."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ..error import BadInput
from .modules import Codes, Norm, Sign, Stream

STREAM_FRACS = range(4, 9)
"""Fraction bits that a residual stream may have."""

STREAM_BITS = range(16, 25)
"""Bits that a residual stream may have; the first number unless the values need more."""


class _Watch:
    """What one module of codes has to hold, batch after batch."""

    def __init__(self, module: Codes, bits: int) -> None:
        self.module = module
        self.bits = bits
        self.largest = torch.zeros(())
        self.errors = torch.zeros(bits, dtype=torch.float64)

    def see(self, x: torch.Tensor) -> None:
        if isinstance(self.module, Stream):
            self.largest = torch.maximum(self.largest, x.detach().abs().amax().cpu().float())
            return
        target = self.module.forward(x)  # no hook
        for frac in range(self.bits):
            self.module.frac = frac
            self.errors[frac] += (self.module.encode(x) - target).double().square().sum().cpu()

    def settle(self) -> None:
        if isinstance(self.module, Stream):
            reach = 2 * float(self.largest)
            room = [frac for frac in STREAM_FRACS if reach * 2**frac < 2 ** (STREAM_BITS[0] - 1)] or [STREAM_FRACS[0]]
            fits = [bits for bits in STREAM_BITS if reach * 2 ** room[-1] < 2 ** (bits - 1)]
            if not fits:
                raise BadInput(
                    f"the residual stream reaches {reach / 2:.0f}, too much for {STREAM_BITS[-1]} bits with "
                    f"{room[-1]} fraction bits: train with more decay, a lower rate or a branch-shift"
                )
            self.module.bits, self.module.frac = fits[0], room[-1]
        else:
            # Ties go to the wider range.
            self.module.frac = int(self.errors.argmin())
        self.module.quantised = True


def calibrate(network: nn.Module, batches: Iterable[torch.Tensor], bits: int) -> None:
    """Quantise `network` in place, from what its activations are on batches of pixels [N, C, H, W].

    Every activation gets `bits` bits (a Sign one) and the binary point of least squared error, the residual stream
    the most fraction bits (4 to 8) that leave room for twice the largest value seen in 16 bits; more bits (to 24)
    where even 4 do not, and BadInput beyond. Normalisations round from now on.
    """
    for module in network.modules():
        if isinstance(module, Sign):
            module.bits, module.quantised = 1, True
    codes = [module for module in network.modules() if isinstance(module, Codes) and not isinstance(module, Sign)]
    for each in codes:
        if not isinstance(each, Stream):
            each.bits = bits
    _settle(network, codes, batches)
    for module in network.modules():
        if isinstance(module, Norm):
            module.quantised = True


def refit_stream(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Fit the residual stream's format again, by the same rule, once the clips of the activations bound its values.

    Images with a plain ground make coarse steps costly: all of the ground is rounded alike.
    """
    _settle(network, [module for module in network.modules() if isinstance(module, Stream)], batches)


def _settle(network: nn.Module, codes: list[Codes], batches: Iterable[torch.Tensor]) -> None:
    """Choose the format of these modules from what they see, none of them rounding meanwhile."""
    watches = {module: _Watch(module, module.bits) for module in codes}
    hooks = []
    for module in codes:
        module.quantised = False
        hooks.append(module.register_forward_pre_hook(lambda module, inputs: watches[module].see(inputs[0])))
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            for pixels in batches:
                network(pixels)
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was_training)
    for watch in watches.values():
        watch.settle()
