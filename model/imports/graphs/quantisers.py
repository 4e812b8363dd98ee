"""QONNX's quantisers: which real numbers become which code, and what a code stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ...error import BadInput
from ...tensor import Tensor
from .operators import Node, each_channel
from .staircase import Staircase, Uneven
from .values import Level, Point, Reals, Value, joined, magnitude, reaches, reals

QUANTISERS = ("Quant", "IntQuant", "BipolarQuant", "MultiThreshold")

MOST_BITS = 8
"""Of an activation (DESIGN 2.6)."""

HALF = Fraction(1, 2)

ROUNDING: dict[str, Callable[[int], Level]] = {
    "ROUND": lambda code: (code - HALF, code % 2 == 1),
    "HALF_EVEN": lambda code: (code - HALF, code % 2 == 1),
    "HALF_UP": lambda code: (code - HALF, code <= 0),
    "HALF_DOWN": lambda code: (code - HALF, code > 0),
    "CEIL": lambda code: (Fraction(code - 1), True),
    "FLOOR": lambda code: (Fraction(code), False),
    "UP": lambda code: (Fraction(code - 1), True) if code > 0 else (Fraction(code), False),
    "DOWN": lambda code: (Fraction(code), False) if code > 0 else (Fraction(code - 1), True),
}
"""What a number has to reach to be rounded to a code or above, by QONNX's names."""


@dataclass(frozen=True, eq=False)
class Codes:
    """What a quantiser gives: integers from `base` on, one more for each level that a number reaches.

    Parameters
    ----------
    base : the lowest code
    levels : of each channel
    factor, offset : a code c stands for factor * c + offset, of each channel
    """

    base: int
    levels: list[list[Level]]
    factor: Reals
    offset: Reals

    @property
    def interval(self) -> tuple[int, int]:
        """The lowest and the highest code."""
        return self.base, self.base + len(self.levels[0])

    def of(self, value: Value) -> Value:
        """The codes of a value; BadInput where no layers have these levels."""
        base, levels = self.base, self.levels
        if value.cut:  # levels beyond what is cut off are out of reach, or always reached
            reached = [sum(reaches(value.least, each) for each in channel) for channel in levels]
            missed = [
                sum(value.most is not None and not reaches(value.most, each) for each in channel) for channel in levels
            ]
            if len({*zip(reached, missed, strict=True)}) > 1:
                raise BadInput("its levels lie otherwise for each channel, beyond what is cut off in front of it")
            base += reached[0]
            levels = [channel[reached[0] : len(channel) - missed[0]] for channel in levels]
        point = _stepped(value, value.steps(base, levels), magnitude(self.factor))
        return Value(point, self.factor, self.offset, flat=value.flat)


def _stepped(value: Value, steps: Staircase, frac: int) -> Point:
    """A staircase's codes of a value, with so many fraction bits where a layer's `scale` can give them.

    Where ties go to the even code, every second step comes an integer later, so that no line has them all. Then two
    lines have half of them each, and are added.
    """
    t = value.tensor
    try:
        point = value.point.then(*steps.layers(t.lo, t.hi))
        return point.with_frac(frac) or point
    except Uneven:
        one, other = (value.point.then(*half.layers(t.lo, t.hi)) for half in steps.halves())
        fork = value.point.with_frac(t.frac + frac - one.tensor.frac) or value.point
        return joined(fork, one.since(value.point), other.since(value.point))


def codes(node: Node, t: Tensor, flat: bool) -> Codes:
    """What a quantiser gives for each channel of maps of this size."""
    channels = t.channels
    if node.kind == "MultiThreshold":
        return _multi_threshold(node, channels)
    scale, *rest = (each_channel(node.constant(index), t, flat) for index in range(1, len(node.inputs)))
    if any(each <= 0 for each in scale):
        raise BadInput("its scale must be above 0")
    if node.kind == "BipolarQuant":
        return _bipolar(scale, Fraction(0))
    if len(rest) != 2 or any((each != each[0]).any() for each in rest):
        raise BadInput("its zero point and its bit width must be one number each")
    return _quant(node, scale, rest[0][0], rest[1][0])


def _bipolar(scale: Reals, zero: Fraction) -> Codes:
    """Two values, scale and -scale, the first for 0 and above; both and 0 moved by a zero point."""
    levels = [[(-zero * each, False)] for each in scale]
    return Codes(0, levels, 2 * scale, (-1 - zero) * scale)


def _quant(node: Node, scale: Reals, zero: Fraction, bits: Fraction) -> Codes:
    rounding = node.text("rounding_mode", "ROUND").upper()
    if rounding not in ROUNDING:
        raise BadInput(f"its rounding mode {rounding:.40} is none of {', '.join(ROUNDING)}")
    if bits.denominator > 1 or not 1 <= bits <= MOST_BITS:
        raise BadInput(f"it has {float(bits):g} bits; activations have 1 to {MOST_BITS}")
    if bits == 1 and node.attributes.get("signed", 1):
        return _bipolar(scale, zero)
    lowest, highest = _ends(node, int(bits))
    steps = [ROUNDING[rounding](code) for code in range(lowest + 1, highest + 1)]
    levels = [[(each * (at - zero), above) for at, above in steps] for each in scale]
    whole = int(zero) if zero.denominator == 1 else 0
    return Codes(lowest - whole, levels, scale, (whole - zero) * scale)


def _ends(node: Node, bits: int) -> tuple[int, int]:
    """The lowest and the highest code of a Quant."""
    narrow = int(node.attributes.get("narrow", 0))
    if node.attributes.get("signed", 1):
        return narrow - 2 ** (bits - 1), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1 - narrow


def _multi_threshold(node: Node, channels: int) -> Codes:
    if node.text("data_layout", "") not in ("", "NCHW", "NC"):
        raise BadInput("its data_layout must be NCHW")
    thresholds = node.constant(1)
    if thresholds.ndim != 2 or len(thresholds) not in (1, channels) or not 1 <= thresholds.shape[1] < 2**MOST_BITS:
        raise BadInput(
            f"its thresholds have the shape {list(thresholds.shape)}; it must be [{channels}, n], with n of 1 to "
            f"{2**MOST_BITS - 1}"
        )
    scale, bias = (
        Fraction(float(node.attributes.get(name, usual))) for name, usual in (("out_scale", 1), ("out_bias", 0))
    )
    if scale <= 0:
        raise BadInput("its out_scale must be above 0")
    base = bias / scale
    whole = int(base) if base.denominator == 1 else 0
    levels = [[(level, False) for level in sorted(each)] for each in reals(thresholds)]
    factor = np.full(channels, scale, np.object_)
    return Codes(whole, levels * (channels // len(levels)), factor, factor * 0 + (bias - whole * scale))


def quantised(node: Node) -> NDArray[np.float64]:
    """What Quant or BipolarQuant makes of constants, such as weights, in 64-bit floats."""
    if node.kind == "MultiThreshold":
        raise BadInput("of constants, this operator is not computed")
    x, scale = node.constant(0), node.constant(1)
    if node.kind == "BipolarQuant":
        return np.where(x >= 0, scale, -scale)
    zero, bits = node.constant(2), node.constant(3)
    functions: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]
    functions = {"ROUND": np.round, "HALF_EVEN": np.round, "CEIL": np.ceil, "FLOOR": np.floor}
    rounding = node.text("rounding_mode", "ROUND").upper()
    if rounding not in functions:
        raise BadInput(f"of constants, its rounding mode {rounding:.40} must be one of {', '.join(functions)}")
    if bits.size != 1 or not 1 <= bits.item() <= 32 or bits.item() % 1 or not (scale > 0).all():
        raise BadInput("its bit width must be one whole number from 1 to 32, its scale above 0")
    steps = x / scale + zero
    if bits.item() == 1 and node.attributes.get("signed", 1):
        steps = np.where(steps >= 0, 1.0, -1.0)
    else:
        steps = functions[rounding](np.clip(steps, *_ends(node, int(bits.item()))))
    made: NDArray[np.float64] = (steps - zero) * scale
    return made
