"""A network of another program as it grows node by node: where a value is, and what its integers stand for.

What a foreign graph computes is real numbers; a Net has integers. Each value is the integers of a point in the growing
Net, times a factor, plus an offset, both of each channel and both exact. So affine steps are free until one asks for
integers again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...error import BadInput
from ...layers import BinaryConv, Chain, Layer, Requantise, Residual, Scale, SumPool, addition, finer
from ...tensor import Tensor
from .staircase import Staircase

Reals: TypeAlias = NDArray[np.object_]
"""Fractions, one a channel: [C]."""

Level: TypeAlias = tuple[Fraction, bool]
"""What a number has to reach for a code, and whether it must be exceeded."""

UNIT_BITS = 12
"""Where integers of different units are to be added, of the factor that brings the finest to a common unit."""

OFFSET_BITS = 8
"""Of an offset's fraction, where logits have one that is no whole number of their unit."""


def reals(values: NDArray[np.floating]) -> NDArray[np.object_]:
    """The same numbers as fractions; BadInput where one is none."""
    if not np.isfinite(values).all():
        raise BadInput("a constant is not a finite number")
    exact = np.empty(values.shape, np.object_)
    exact.ravel()[:] = [Fraction(float(value)) for value in values.ravel()]
    return exact


def reaches(value: Fraction | None, level: Level) -> bool:
    """Whether a number reaches a level; None, none, reaches nothing."""
    at, above = level
    return value is not None and (value > at if above else value >= at)


def magnitude(values: Reals) -> int:
    """k for which 2^-k is nearest to the median of the values, signs apart; 0 where all are 0."""
    sizes = sorted(abs(value) for value in values if value)
    return round(-math.log2(sizes[len(sizes) // 2])) if sizes else 0


@dataclass(eq=False)
class Point:
    """A place in a growing Net: its layers so far are those from the input to here.

    Parameters
    ----------
    tensor : type of the integers here
    before, layer : None at the input
    shared : more than one node goes on from here, so nothing up to here may be made differently
    """

    tensor: Tensor
    before: Point | None = None
    layer: Layer | None = None
    shared: bool = False

    def then(self, *layers: Layer) -> Point:
        """The place behind these layers."""
        point = self
        for layer in layers:
            point = Point(layer.infer(point.tensor), point, layer)
        return point

    def since(self, fork: Point) -> Chain:
        """The layers from a place before to here."""
        layers: list[Layer] = []
        point = self
        while point is not fork and point.before is not None and point.layer is not None:
            layers.append(point.layer)
            point = point.before
        return Chain(tuple(reversed(layers)))

    def fork(self, other: Point) -> Point:
        """The last place that both are behind."""
        passed = {id(self)}
        point = self
        while point.before is not None:
            point = point.before
            passed.add(id(point))
        while id(other) not in passed and other.before is not None:
            other = other.before
        return other

    def with_frac(self, frac: int) -> Point | None:
        """The same integers with so many fraction bits, by the `scale` of a layer; None where none may be changed."""
        behind: list[Layer] = []
        point, more = self, frac - self.tensor.frac
        while more:
            layer = point.layer
            if point.shared or point.before is None or layer is None or isinstance(layer, Residual):
                return None
            if isinstance(layer, BinaryConv | Scale | SumPool):
                changed = replace(layer, scale=layer.scale + more)
                return point.before.then(changed, *reversed(behind))
            behind.append(layer)
            point = point.before
        return self


@dataclass(frozen=True, eq=False)
class Value:
    """Real numbers: clip(factor * q + offset, least, most), with q the integers at a point.

    Parameters
    ----------
    point : of the Net
    factor, offset : of each channel
    least, most : what a ReLU has still to cut off; None where nothing
    flat : [N, C * height * width] instead of [N, C, height, width]
    """

    point: Point
    factor: Reals
    offset: Reals
    least: Fraction | None = None
    most: Fraction | None = None
    flat: bool = False

    @property
    def tensor(self) -> Tensor:
        return self.point.tensor

    @property
    def cut(self) -> bool:
        """Whether something has still to be cut off."""
        return self.least is not None or self.most is not None

    @property
    def unit(self) -> Fraction | None:
        """The one factor of all channels; None where they have several."""
        return self.factor[0] if (self.factor == self.factor[0]).all() else None

    def times(self, factor: Reals | Fraction, offset: Reals | Fraction = Fraction(0)) -> Value:
        """factor * value + offset."""
        plain = self.plain()
        return replace(plain, factor=plain.factor * factor, offset=plain.offset * factor + offset)

    def clipped(self, least: Fraction | None, most: Fraction | None) -> Value:
        """Not below the one, not above the other."""

        def within(end: Fraction | None, otherwise: Fraction | None) -> Fraction | None:
            if end is None:
                return otherwise
            end = end if least is None else max(end, least)
            return end if most is None else min(end, most)

        return replace(self, least=within(self.least, least), most=within(self.most, most))

    def plain(self) -> Value:
        """The same with nothing left to cut off; BadInput where integers cannot be cut there."""
        if not self.cut:
            return self
        unit = self.unit
        ends = [None if end is None or not unit else (end / unit) for end in (self.least, self.most)]
        shift = [offset / unit for offset in self.offset] if unit else []
        if unit is None or unit <= 0 or any(end is not None and end.denominator > 1 for end in (*ends, *shift)):
            raise BadInput(
                "a Relu or Clip in front of it cuts between the steps of what it takes; put a quantiser there"
            )
        offset = np.array([int(each) for each in shift], np.int64)
        t = self.tensor
        lo, hi = t.lo + int(offset.min()), t.hi + int(offset.max())
        if ends[0] is not None:
            lo, hi = int(ends[0]), max(int(ends[0]), hi)
        if ends[1] is not None:
            lo, hi = min(int(ends[1]), lo), int(ends[1])
        cut = Requantise(0, lo, hi, offset if offset.any() else None)
        return replace(self, point=self.point.then(cut), offset=self.offset * 0, least=None, most=None)

    def rising(self, always: bool = False) -> Value:
        """The same with no factor below 0 where a convolution's weights can be turned for it, or else by a Scale."""
        point, falls = self.point, np.array([factor < 0 for factor in self.factor])
        if not falls.any():
            return self
        if isinstance(point.layer, BinaryConv) and point.before is not None and not point.shared:
            turned = replace(point.layer, weights=point.layer.weights ^ falls[:, None, None, None])
            return replace(self, point=point.before.then(turned), factor=np.abs(self.factor))
        if always:
            return replace(self, point=point.then(Scale(np.where(falls, -1, 1))), factor=np.abs(self.factor))
        return self

    def centred(self) -> Value:
        """The same with real 0 as code 0, which pads and is added; BadInput where 0 is none of its codes."""
        plain = self.plain()
        if not plain.offset.any():
            return plain
        unit = plain.unit
        zero = plain.offset[0] / unit if unit else None
        if not unit or zero is None or zero.denominator > 2 or (plain.offset != plain.offset[0]).any():
            raise BadInput("it pads with 0, for which its input has no code")
        return replace(
            plain,
            point=_moved(plain.point, zero),
            factor=plain.factor / zero.denominator,
            offset=plain.offset * 0,
        )

    def steps(self, base: int, levels: Sequence[Sequence[Level]]) -> Staircase:
        """Codes from `base` on, one more for each of a channel's levels that its value reaches, nothing cut off."""
        t = self.tensor
        thresholds = [
            [_threshold(factor, offset, level, t) for level in each]
            for factor, offset, each in zip(self.factor, self.offset, levels, strict=True)
        ]
        falls = np.array([factor < 0 for factor in self.factor])
        return Staircase(base, np.array(thresholds, np.int64), falls)


def _threshold(factor: Fraction, offset: Fraction, level: Level, t: Tensor) -> int:
    """The least integer q, or -q where the factor is below 0, with which factor * q + offset reaches a level.

    Where all integers do, or none does, one that is beyond them.
    """
    beyond = max(-t.lo, t.hi) + 1
    if not factor:
        return -beyond if reaches(offset, level) else beyond
    at = (level[0] - offset) / abs(factor)
    threshold = math.floor(at) + 1 if level[1] else math.ceil(at)
    return min(max(threshold, -beyond), beyond)


def _moved(point: Point, by: Fraction) -> Point:
    """The integers plus a number of halves, all times its denominator."""
    wide, move = by.denominator == 2, int(by * by.denominator)
    lo, hi = (by.denominator * end + move for end in (point.tensor.lo, point.tensor.hi))
    offset = np.full(point.tensor.channels, move, np.int64)
    match point.layer:
        case Requantise(0, 0, 1, given) if wide and not point.shared and point.before is not None:
            # Of one comparison the code itself can be left out.
            offset += 0 if given is None else 2 * given
            point = point.before
    if wide:
        point = point.then(finer(1, point.tensor))
    return point.then(Requantise(0, lo, hi, offset))


def add(one: Value, other: Value) -> Value:
    """The sum of two values of one shape; their units are brought to a common one."""
    one, other = one.plain(), other.plain()
    shapes = one.tensor.shape, other.tensor.shape
    if one.flat != other.flat or shapes[0] != shapes[1]:
        raise BadInput(f"it adds maps of {' and '.join('x'.join(map(str, shape)) for shape in shapes)}")
    if (one.factor == other.factor).all():
        factor, points = one.factor, [one.point, other.point]
    else:
        unit, [first, second] = common_unit(one.factor, other.factor)
        factor = np.full(len(one.factor), unit)
        points = [scaled(value.point, by) for value, by in ((one, first), (other, second))]
    fork = one.point.fork(other.point)
    point = joined(fork, *(point.since(fork) for point in points))
    return replace(one, point=point, factor=factor, offset=one.offset + other.offset)


def joined(fork: Point, *branches: Chain) -> Point:
    """The sum of two branches from one place, without a clip; their fraction bits are made equal, which name a unit."""
    fork.shared = True
    longest_first = sorted(branches, key=lambda branch: -len(branch.layers))
    body, skip = (fork.then(*branch.layers) for branch in longest_first)
    frac = body.tensor.frac
    if (changed := body.with_frac(skip.tensor.frac)) is not None:
        body = changed
    elif (changed := skip.with_frac(frac)) is not None:
        skip = changed
    else:
        body = body.then(Scale(np.ones(body.tensor.channels, np.int64), skip.tensor.frac - frac))
    lo, hi = body.tensor.lo + skip.tensor.lo, body.tensor.hi + skip.tensor.hi
    return fork.then(Residual(body.since(fork), skip.since(fork), lo, hi))


def to_logits(value: Value) -> Point:
    """Integers that lie as the value's channels do, its factors and offsets rounded where they are no integers.

    A factor keeps `UNIT_BITS` bits; an offset is rounded to 2^-OFFSET_BITS of the one unit, or to that of the factors.
    One that all channels have is left out.
    """
    value = value.plain()
    if value.flat and value.tensor.pixels > 1:
        raise BadInput("its output is a flattened map; a network gives a map or one value a class")
    point, unit, offset = value.point, value.unit, value.offset
    if (offset == offset[0]).all():
        offset = offset * 0
    if unit and unit > 0:
        fractions = math.lcm(*((each / unit).denominator for each in offset))
        shift = min(OFFSET_BITS, (fractions - 1).bit_length())
        if shift:
            point = point.then(finer(shift, point.tensor))
            unit /= 2**shift
    else:
        unit, [factors] = common_unit(value.factor)
        point = point.then(Scale(factors))
    added = np.array([round(each / unit) for each in offset], np.int64)
    if added.any():
        point = point.then(addition(added, point.tensor))
    return point.with_frac(magnitude(np.array([unit], np.object_))) or point


def common_unit(*factors: Reals) -> tuple[Fraction, list[NDArray[np.int64]]]:
    """A unit of all the factors, and how many of it each is: exactly, where few bits allow it, else rounded."""
    every = [abs(factor) for each in factors for factor in each if factor] or [Fraction(1)]
    exact = Fraction(
        math.gcd(*(factor.numerator for factor in every)), math.lcm(*(factor.denominator for factor in every))
    )
    if max(every) / exact < 2**UNIT_BITS:
        unit = exact
    else:
        unit = max(min(every) / 2 ** (UNIT_BITS - 1), max(every) / 2**23)
    return unit, [np.array([round(factor / unit) for factor in each], np.int64) for each in factors]


def scaled(point: Point, factors: NDArray[np.int64]) -> Point:
    """The integers times these factors, by a shift where all are one power of two."""
    first = int(factors[0])
    if (factors == first).all() and first > 0 and first & (first - 1) == 0:
        shift = first.bit_length() - 1
        return point.then(finer(shift, point.tensor)) if shift else point
    return point.then(Scale(factors))
