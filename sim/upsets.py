"""Single-event upsets: bits of weight memories flipped in the running Verilog, and what the network says then.

A memory does not hold weights but what steers the array, ``DotArray.steering``: where a bit is flipped one weight of
its word has the other sign, or two or more have. The accumulators' initial values were made for the weights as they
were.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..hw.accelerator import Accelerator
from ..hw.build import steps, unit_name
from ..hw.plan import Plan
from ..hw.stages.conv import ConvStage, WeightRom
from ..hw.stages.requantise import Scaler
from ..model.layers import Chain, Layer, Residual, argmax
from ..model.net import Net
from ..model.places import scratch
from ..model.tensor import Ints
from .simulate import Machine, Run, as_frames
from .taps import TOP


@dataclass(frozen=True)
class Memory:
    """A weight memory of a machine: that of the unit `unit`."""

    unit: str
    rom: WeightRom

    @property
    def path(self) -> str:
        """In the Verilog."""
        return f"{TOP}.accelerator.{self.unit}.{self.rom.name}"

    @property
    def size(self) -> int:
        """Its bits."""
        return len(self.rom.rows) * self.rom.bits


@dataclass(frozen=True)
class Flip:
    """A bit of a memory's word that is flipped in front of a cycle, counted from the end of reset."""

    memory: Memory
    word: int
    bit: int
    cycle: int = 0


@dataclass(frozen=True)
class Upset:
    """What a machine gave after flips; `corrected` and `detected` are its counters at the end, 0 where it has none."""

    run: Run
    corrected: int
    detected: int


def memories(machine: Accelerator) -> list[Memory]:
    """All read-only weight memories of a machine."""
    stages = ((name, stage) for name, stage in machine.pipeline.stages if isinstance(stage, ConvStage))
    return [Memory(name, rom) for name, stage in stages for rom in stage.roms]


def draw(found: Sequence[Memory], count: int, rng: np.random.Generator) -> list[Flip]:
    """`count` different bits of all memories, each as likely as any other, flipped before the first frame."""
    ends = np.cumsum([memory.size for memory in found])
    flips = []
    for place in rng.choice(int(ends[-1]), count, replace=False).tolist():
        index = int(np.searchsorted(ends, place, side="right"))
        memory = found[index]
        flips.append(Flip(memory, *divmod(place - int(ends[index]) + memory.size, memory.rom.bits)))
    return flips


def inject(
    net: Net,
    plan: Plan,
    images: NDArray[np.integer],
    trials: Iterable[Sequence[Flip]],
    *,
    cache: Path | None = None,
) -> list[Upset]:
    """Simulate images [N, height, width, channels] in Verilator for each of the trials: the flips of one run.

    Raises what ``simulate`` raises.
    """
    net.input.check(images)
    frames = as_frames(images)
    with scratch() as work:
        machine = Machine(net, plan, "verilator", None, None, work, cache)
        plain = machine.stimulus(frames, 0.0, 0)
        flips = ([(flip.cycle, flip.memory.path, flip.word, flip.bit) for flip in trial] for trial in trials)
        captures = machine.run_all([replace(plain, flips=each) for each in flips])
        runs = [machine.settle(capture, frames, 0.0, 0) for capture in captures]
    return [Upset(run, each.corrected, each.detected) for run, each in zip(runs, captures, strict=True)]


class UpsetNet:
    """The reference with the same bits flipped from the first frame on, of machines without protected weights."""

    def __init__(self, machine: Accelerator, flips: Iterable[Flip]) -> None:
        self.net = machine.net
        stages = dict(machine.pipeline.stages)
        flipped: dict[str, list[Flip]] = defaultdict(list)
        for flip in flips:
            flipped[flip.memory.unit].append(flip)
        self.changed = {name: _changed(stages[name], some) for name, some in flipped.items()}

    def __call__(self, images: NDArray[np.integer]) -> Ints:
        """Logits [N, H', W', C] of images [N, height, width, channels]."""
        return self.net.in_blocks(lambda block: _through(self.net.body, block, "", self.changed), images)

    def classify(self, images: NDArray[np.integer]) -> NDArray[np.int64]:
        """The class of each image, int64 [N]."""
        return argmax(self(images))


_Values = Callable[[Ints], Ints]


def _through(layer: Layer, x: Ints, path: str, changed: Mapping[str, _Values]) -> Ints:
    """What a layer gives where the stages of these names are changed."""
    dot = path + "." if path else ""
    match layer:
        case Chain():
            for index, one, fused in steps(layer):
                stage = changed.get(unit_name(f"{dot}{index}"))
                x = stage(x) if stage else _through(one, x, f"{dot}{index}", changed)
                x = fused(x) if fused and not stage else x
            return x
        case Residual():
            return layer.add(*(_through(getattr(layer, name), x, dot + name, changed) for name in ("body", "skip")))
        case _:
            return layer(x)


def _changed(stage: ConvStage, flips: Iterable[Flip]) -> _Values:
    """What a stage gives for values, with flips: as its accumulators and its clip do it, bit for bit."""
    steering = np.zeros((stage.groups * stage.dot_cycles, stage.pe, stage.simd), np.uint8)
    for flip in flips:
        rom = flip.memory.rom
        inputs = stage.arrays[0].positions[rom.position]
        row, part = divmod(rom.rows[flip.word], stage.turns)
        p, k = divmod(part * rom.bits + flip.bit, len(inputs))
        if p < stage.pe:  # else what fills up the last part of a word
            steering[row, p, inputs[k]] ^= 1
    others = (steering @ _weights_of_bits(stage) % 2).astype(np.bool_)  # weights of the other sign
    others = others.reshape(stage.groups, stage.dot_cycles, stage.pe, stage.simd).transpose(0, 2, 1, 3)
    layer = replace(stage.layer, weights=stage.layer.weights ^ others.reshape(stage.layer.weights.shape))
    initial = stage.initial_rows() - stage.initial_rows(layer)
    constants = (stage.scaler.addend + initial.reshape(-1)).astype(np.int64)
    return lambda x: _clipped(stage.scaler, layer(x) + constants)


def _clipped(scaler: Scaler, sums: Ints) -> Ints:
    """What ``Scaler.code`` makes of sums that need not lie in the interval it was made for: they wrap."""
    shift, (lo, hi), top = scaler.layer.shift, scaler.interval, scaler.layer.hi - scaler.layer.lo
    half = 1 << scaler.width - 1
    wrapped = (sums + half & 2 * half - 1) - half
    values, lo, hi = (each >> shift if shift >= 0 else each << -shift for each in (wrapped, lo, hi))
    if not scaler.floor_first:
        values, lo, hi = (each - scaler.layer.lo for each in (values, lo, hi))
    codes = values & (1 << max(1, top.bit_length())) - 1
    if hi > top:
        codes = np.where(values > top, top, codes)
    if lo < 0:
        codes = np.where(values < 0, 0, codes)
    return codes + scaler.layer.lo


def _weights_of_bits(stage: ConvStage) -> NDArray[np.uint8]:
    """[simd, simd]: row j tells which weights of an output's word change their sign with bit j of its steering."""
    array, simd = stage.arrays[0], stage.simd
    none, each = np.zeros((1, 1, simd), np.bool_), np.eye(simd, dtype=np.bool_)[:, None]
    bits = np.concatenate(array.steering(each), axis=1) ^ np.concatenate(array.steering(none), axis=1)
    # Row i is what bits weight i changes, beside which weight that is; Gauss and Jordan turn it round.
    both = np.concatenate([bits, np.eye(simd, dtype=np.bool_)], axis=1)
    for column in range(simd):
        pivot = column + int(np.argmax(both[column:, column]))
        both[[column, pivot]] = both[[pivot, column]]
        both[both[:, column] & (np.arange(simd) != column)] ^= both[column]
    return both[:, simd:].astype(np.uint8)
