"""Plan: how far each layer is unrolled. A file that a person can read and edit."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from math import isqrt
from types import MappingProxyType

from ..model.error import BadInput, short
from ..model.layers import BinaryConv, Layer, Pool, Windowed, walk
from ..model.net import Net
from ..model.read import read_text
from ..model.tensor import Tensor
from ..model.write import write_beside
from .device.protect import PROTECT
from .device.target import FAMILIES, TARGETS, Family, Target
from .stream.beat import WIDEST, sample_shape, value_shape
from .stream.flow import Flow
from .window.slide import Sweep
from .window.window import Geometry

VERSION = 1
WEIGHTS = ("rom", "loadable")
"""Where weights and constants are: in read-only memories, or in such as are written at run time."""


def _is_count(value: object) -> bool:
    """Whether a file's value is a number that something can be divided into; 2^31 is beyond every layer."""
    return type(value) is int and abs(value) < 2**31


@dataclass(frozen=True)
class Folding:
    """How many outputs, inputs and pixels of a layer are computed in parallel.

    pe : outputs; a pool's channels
    simd : inputs: a divisor of C_in, or C_in times a divisor of the kernel's area; a pool's taps: 1 or its area
    pixels : adjacent pixels of input taken a cycle; more than one only with all outputs and inputs in parallel
    wired : weights as constants, with shared sums, instead of a memory; only with all outputs and inputs in parallel
    out : lanes on which results go on, a divisor of those they come on; 0 for all of them
    turns : adjacent windows that take turns at each word of a convolution's weights, which comes in as many parts, so
        that memories are narrower and deeper; more than one only where no window slides
    """

    pe: int
    simd: int = 1
    pixels: int = 1
    wired: bool = False
    out: int = 0
    turns: int = 1

    def lanes(self, stride: int = 1) -> int:
        """Products (or additions) a cycle of a layer with that stride."""
        return self.pe * self.simd * max(1, self.pixels // stride)

    def __str__(self) -> str:
        """An inline table of TOML; what is not said is as by default."""
        pixels = f", pixels = {self.pixels}" if self.pixels != 1 else ""
        wired = ", wired = true" if self.wired else ""
        turns = f", turns = {self.turns}" if self.turns != 1 else ""
        out = f", out = {self.out}" if self.out else ""
        return f"{{ pe = {self.pe}, simd = {self.simd}{pixels}{wired}{out}{turns} }}"

    def slides(self, channels: int) -> bool:
        """Whether the layer's window slides over the map, all its taps at once; `channels` as a tap has, a pool's 1."""
        return self.pixels > 1 or self.simd > channels

    @classmethod
    def read(cls, entry: object, where: str) -> Folding:
        """From a parsed inline table; BadInput begins with `where`."""
        kinds = dict.fromkeys(("pe", "simd", "pixels", "out", "turns"), _is_count)
        kinds["wired"] = lambda value: type(value) is bool
        if (
            not isinstance(entry, dict)
            or not {"pe", "simd"} <= set(entry) <= set(kinds)
            or not all(kinds[name](value) for name, value in entry.items())
        ):
            raise BadInput(
                f"{where} must be {{ pe = number, simd = number }}, and may have pixels = number, wired = true, "
                "out = number, turns = number"
            )
        return cls(**entry)


@dataclass(frozen=True)
class Plan:
    """The folding of every convolution and pool by path, the beats of output and input, the device.

    output_lanes : values a beat, a divisor of a pixel's channels
    input_pixels : pixels a beat, a divisor of the width
    input_lanes : samples a beat where it is a part of one pixel, a divisor of its channels; None for whole pixels
    target : a key of ``target.TARGETS``, or "generic" for Verilog that suits any device and best none
    weights : one of WEIGHTS; with "loadable" the machine serves every network of one shape
    block_luts : look-up tables that a memory block is worth: a memory that takes fewer lies in them; None for as many
        as suit a device with blocks to spare
    protect : one of PROTECT: what tells of flipped bits in read-only weight memories, or corrects them
    """

    foldings: Mapping[str, Folding]
    output_lanes: int = 1
    input_pixels: int = 1
    target: str = "generic"
    input_lanes: int | None = None
    weights: str = WEIGHTS[0]
    block_luts: int | None = None
    protect: str = PROTECT[0]

    def __post_init__(self) -> None:
        object.__setattr__(self, "foldings", MappingProxyType(dict(self.foldings)))

    def __reduce__(self) -> tuple[object, ...]:
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return partial(Plan, **(parts | {"foldings": dict(self.foldings)})), ()

    @property
    def loadable(self) -> bool:
        """Whether weights and constants are loaded at run time."""
        return self.weights == "loadable"

    @property
    def protected(self) -> bool:
        """Whether weight memories have check bits."""
        return self.protect != PROTECT[0]

    @property
    def device(self) -> Target | None:
        """The plan's device; None for Verilog that suits any."""
        return None if self.target == "generic" else TARGETS[self.target]

    @property
    def family(self) -> Family:
        """The family of the plan's device, whose blocks are worth what the plan says."""
        family = self.device.family if self.device else FAMILIES["generic"]
        return family if self.block_luts is None else replace(family, worth=self.block_luts)

    def source(self, t: Tensor) -> Flow:
        """How the input, of this type, comes: a word a beat."""
        return Flow(t, self.input_lanes or self.input_pixels * t.channels)

    def check(self, net: Net) -> None:
        """Raise BadInput unless the plan folds exactly the layers of `net`, each evenly."""
        if self.weights not in WEIGHTS:
            raise BadInput(f"the plan's weights must be one of {', '.join(WEIGHTS)}, not {short(self.weights)}")
        if self.block_luts is not None and (self.block_luts < 1 or self.device is None):
            raise BadInput(
                f"the plan's block_luts = {self.block_luts} must be at least 1, and left out where target is generic"
            )
        if self.protect not in PROTECT:
            raise BadInput(f"the plan's protect must be one of {', '.join(PROTECT)}, not {short(self.protect)}")
        if self.protected and self.loadable:
            raise BadInput(
                f'the plan has protect = "{self.protect}" and weights = "loadable", but weights that are loaded cannot '
                "be protected: leave one of them out"
            )
        expected = {}
        for path, layer, t in _folded(net):
            expected[path] = layer
            folding = self.foldings.get(path)
            if folding is None:
                raise BadInput(f'the plan has no line for layer "{path}" ({type(layer).__name__})')
            if wrong := problem(folding, layer, t):
                raise BadInput(f'the plan\'s layer "{path}": {wrong}')
            if folding.turns > 1 and self.protected:
                raise BadInput(
                    f'the plan\'s layer "{path}": weights that come in parts cannot be protected; leave out '
                    f'turns = {folding.turns} or protect = "{self.protect}"'
                )
            if folding.wired and self.loadable:
                raise BadInput(
                    f'the plan\'s layer "{path}": weights that are wired cannot be loaded; leave out wired = true or '
                    'weights = "loadable"'
                )
        for path in self.foldings:
            if path not in expected:
                there = ", ".join(expected) or "none"
                raise BadInput(
                    f'the plan names layer "{path[:80]}", which this network does not fold; it folds {there}'
                )
        if self.output_lanes < 1 or net.output.channels % self.output_lanes:
            raise BadInput(
                f"the plan's output_lanes = {self.output_lanes} must divide the output's {net.output.channels} channels"
            )
        if self.input_pixels < 1 or net.input.width % self.input_pixels:
            raise BadInput(
                f"the plan's input_pixels = {self.input_pixels} must divide the input's width {net.input.width}"
            )
        if self.input_lanes is not None:
            if self.input_lanes < 1 or net.input.channels % self.input_lanes:
                raise BadInput(
                    f"the plan's input_lanes = {self.input_lanes} must divide the input's {net.input.channels} channels"
                )
            if self.input_pixels > 1:
                raise BadInput(
                    f"the plan has input_lanes = {self.input_lanes} and input_pixels = {self.input_pixels}; "
                    "a beat is a part of a pixel or whole pixels: leave one of them out"
                )
        source, out = self.source(net.input), net.output
        for key, lanes, bits, channels in (
            ("input_lanes", source.lanes, sample_shape(net.input).width, net.input.channels),
            ("output_lanes", self.output_lanes, value_shape(out).width, out.channels),
        ):
            if lanes * bits > WIDEST:
                most = most_lanes(channels, bits)
                instead = "fewer input_pixels" if most < lanes and most == channels else f"{key} = {most}"
                raise BadInput(
                    f"the plan's beat of {lanes:,} {key.partition('_')[0]} values has {lanes * bits:,} bits; "
                    f"AXI4-Stream tools take at most {WIDEST:,}: ask for {instead}"
                )

    def lanes(self, net: Net) -> int:
        """One-bit products a cycle, over all convolutions."""
        convs = ((path, layer) for path, layer, _ in _folded(net) if isinstance(layer, BinaryConv))
        return sum(self.foldings[path].lanes(layer.stride) for path, layer in convs)

    def utilisation(self, net: Net, cycles: int) -> float:
        """The part of all lanes' cycles that does a product, with `cycles` a frame; padded taps count as products.

        1 where there are no lanes.
        """
        lanes = self.lanes(net)
        convs = ((layer, layer.infer(t)) for _, layer, t in _folded(net) if isinstance(layer, BinaryConv))
        return sum(out.pixels * layer.weights.size for layer, out in convs) / (lanes * cycles) if lanes else 1.0

    def digest(self) -> str:
        """sha256, in hex, of the plan's file without notes; equal plans have equal digests."""
        return hashlib.sha256(self.dumps().encode()).hexdigest()

    def dumps(self, notes: Mapping[str, str] = MappingProxyType({})) -> str:
        """The plan as TOML, a line a layer; `notes` by path become comments at the ends of the lines."""
        lines = [f"bitfold_plan = {VERSION}", f'target = "{self.target}"']
        lines += [f"output_lanes = {self.output_lanes}", f"input_pixels = {self.input_pixels}"]
        if self.input_lanes is not None:
            lines.append(f"input_lanes = {self.input_lanes}")
        if self.weights != WEIGHTS[0]:
            lines.append(f'weights = "{self.weights}"')
        if self.block_luts is not None:
            lines.append(f"block_luts = {self.block_luts}")
        if self.protected:
            lines.append(f'protect = "{self.protect}"')
        lines += ["", "[layers]"]
        entries = {path: f"{json.dumps(path)} = {folding}" for path, folding in self.foldings.items()}
        width = max(map(len, entries.values()), default=0)
        for path, entry in entries.items():
            lines.append(f"{entry:{width}}  # {notes[path]}" if path in notes else entry)
        return "\n".join(lines) + "\n"

    def save(self, path: str | os.PathLike[str], notes: Mapping[str, str] = MappingProxyType({})) -> None:
        """Write the plan beside and rename it; `notes` as in dumps."""
        write_beside(path, self.dumps(notes).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read a plan; BadInput says what is wrong with the file."""
        text = read_text(path, "a plan")
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise BadInput(f"{path}: not a readable plan: {error}") from None
        except RecursionError:
            raise BadInput(f"{path}: not a readable plan: too many brackets within each other") from None
        except ValueError:
            raise BadInput(f"{path}: not a readable plan: a number in it has thousands of digits") from None
        if "bitfold_plan" not in content:
            raise BadInput(f"{path} is not a plan, which has a line bitfold_plan = {VERSION}; check the path")
        version = content.pop("bitfold_plan")
        if type(version) is not int or version != VERSION:
            raise BadInput(f"{path}: bitfold_plan = {short(version)}; this bitfold reads version {VERSION}")
        layers, target = content.pop("layers", None), content.pop("target", "generic")
        texts = {"weights": WEIGHTS, "protect": PROTECT}
        chosen = {name: content.pop(name, known[0]) for name, known in texts.items()}
        names = ("output_lanes", "input_pixels", "input_lanes", "block_luts")
        numbers = {name: content.pop(name) for name in names if name in content}
        if content:
            raise BadInput(
                f"{path}: {short(next(iter(content)))} is unknown; "
                f"a plan has bitfold_plan, target, {', '.join([*names, *texts])} and [layers]"
            )
        for name, value in numbers.items():
            if not _is_count(value):
                raise BadInput(f"{path}: {name} must be a number, not {short(value)}")
        if not isinstance(layers, dict):
            raise BadInput(f"{path}: [layers] is missing, below which each layer has its line")
        if target not in ("generic", *TARGETS):
            raise BadInput(f"{path}: target = {short(target)} is not known; there are generic, {', '.join(TARGETS)}")
        for name, known in texts.items():
            if chosen[name] not in known:
                raise BadInput(f"{path}: {name} = {short(chosen[name])} is not known; there are {', '.join(known)}")
        return cls({name: Folding.read(entry, f'{path}: layer "{name[:80]}"') for name, entry in layers.items()},
                   target=target, **chosen, **numbers)  # fmt: skip


def _folded(net: Net) -> Iterator[tuple[str, Windowed, Tensor]]:
    """(path, layer, input type) of every layer that a plan folds, in order."""
    found: list[tuple[str, Windowed, Tensor]] = []

    def visit(path: str, layer: Layer, t: Tensor) -> None:
        if isinstance(layer, Windowed):
            found.append((path, layer, t))

    walk(net.body, net.input, visit)
    yield from found


def problem(folding: Folding, layer: Windowed, t: Tensor) -> str | None:
    """Why a layer cannot be folded so on this input, or None."""
    outs = layer.infer(t).channels
    if isinstance(layer, BinaryConv):
        kernel, channels = layer.kernel, t.channels
    else:
        kernel, channels = (layer.kernel, layer.kernel), 1
    area = kernel[0] * kernel[1]
    pe, simd, pixels = folding.pe, folding.simd, folding.pixels
    if pe < 1 or outs % pe:
        return f"pe = {pe} must divide its {outs} output channels"
    if isinstance(layer, Pool) and simd not in (1, area):
        return f"simd = {simd} of a pool must be 1 or its area {area}"
    if simd < 1 or (simd <= channels and channels % simd):
        return f"simd = {simd} must divide its {channels} input channels"
    if simd > channels and (simd % channels or area % (simd // channels)):
        return (
            f"simd = {simd} must divide its {channels} input channels, "
            f"or be {channels} times a divisor of the kernel's area {area}"
        )
    if folding.out < 0 or (folding.out and folding.pe % folding.out):
        return f"out = {folding.out} must divide its pe = {pe}, or be left out"
    if pixels < 1:
        return f"pixels = {pixels} must be at least 1"
    if folding.turns != 1 and (wrong := _turns_problem(folding, layer, t)):
        return f"turns = {folding.turns} {wrong}"
    if isinstance(layer, Pool):
        if folding.wired:
            return "a pool has no weights to be wired"
        if folding.slides(1) and (pe, simd) != (outs, area):
            return f"with simd > 1 or pixels > 1 a pool needs pe = {outs} and simd = {area}"
    elif (pixels > 1 or folding.wired) and (pe, simd) != (outs, channels * area):
        reason = f"pixels = {pixels}" if pixels > 1 else "wired = true"
        return f"{reason} needs pe = {outs} and simd = {channels * area}"
    if folding.slides(channels):
        wrong = Sweep(Geometry(t.height, t.width, kernel, layer.stride, layer.padding), pixels).problem()
        return f"{wrong}; simd <= {channels} and pixels = 1 suit every map" if wrong else None
    return None


def _turns_problem(folding: Folding, layer: Windowed, t: Tensor) -> str | None:
    """Why windows cannot take turns so, or None."""
    if not isinstance(layer, BinaryConv):
        return "is for convolutions: a pool has no weights"
    out = layer.infer(t)
    if folding.turns < 1 or out.width % folding.turns:
        return f"must divide the output's width {out.width}"
    if folding.slides(t.channels) or folding.wired:
        return f"needs simd <= {t.channels}, pixels = 1 and no wired = true"
    if folding.simd * folding.pe == layer.weights.size:
        return "needs more than one word of weights"
    return None


def most_lanes(channels: int, bits: int) -> int:
    """The most values of one pixel, of `bits` each, that a beat may hold: a divisor of its channels."""
    return max(n for n in divisors(channels) if n * bits <= WIDEST)


def divisors(n: int) -> list[int]:
    """The divisors of n, ascending."""
    small = [d for d in range(1, isqrt(n) + 1) if n % d == 0]
    return sorted({*small, *(n // d for d in small)})
