# amaranth: UnusedElaboratable=no
"""What a machine would take if each weight had eight bits and a multiplier: what one bit is held against."""

from __future__ import annotations

from dataclasses import dataclass

from .accelerator import Accelerator
from .array.multiplied import BITS, multiplied
from .device.resources import Resources, total
from .stages.conv import ConvStage


@dataclass(frozen=True)
class Baseline:
    """The same folding, cycles, windows, queues, converters and requantises; other arrays and words of weights.

    A layer whose weights are wired, or all of one word, has no memory of them, and stays as it is.

    lanes : products a cycle that are multiplied
    arrays, weights : what the machine has of what is exchanged: the arrays, the memories of weights
    multiplied, words : what stands in their place: arrays in look-up tables, memories with words BITS times as wide
    kept : all else, of both
    """

    lanes: int
    arrays: Resources
    weights: Resources
    multiplied: Resources
    words: Resources
    kept: Resources

    @property
    def in_luts(self) -> Resources:
        """Where look-up tables multiply."""
        return self.kept + self.multiplied + self.words

    @property
    def in_dsps(self) -> Resources:
        """Beside a DSP for each of the lanes, which multiplies and accumulates and has all registers for it."""
        return self.kept + self.words


def baseline(machine: Accelerator) -> Baseline | None:
    """That of a machine with read-only weights without check bits; None for others, and without such memories."""
    plan, family = machine.plan, machine.plan.family
    if plan.loadable or plan.protected:
        return None
    lanes, (arrays, weights, others, words) = 0, (Resources() for _ in range(4))
    parts = dict(machine.parts)
    for name, unit in machine.units.items():
        if not isinstance(unit, ConvStage) or unit.wired or unit.groups * unit.dot_cycles == 1:
            continue
        parts[name] = unit.outer_resources(family) + unit.initial_resources(family)
        arrays += unit.array_resources(family)
        weights += unit.rom_resources(family)
        others += multiplied(unit.simd, unit.pe, unit.taken.hi - unit.taken.lo, unit.scaler.width + BITS, family)
        words += unit.rom_resources(family, BITS)
        lanes += unit.simd * unit.pe  # one array: several have their weights all in one word
    return Baseline(lanes, arrays, weights, others, words, total(parts.values())) if lanes else None
