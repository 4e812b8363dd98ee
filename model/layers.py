"""The kinds of layer. Calling one on an array is the meaning of that layer, bit for bit.

Every layer is immutable, has ``infer(tensor)`` for the type of its output (BadInput names the rule an
input breaks) and ``__call__(array)`` from [N, H, W, C] integers to [N, H', W', C'] integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike, NDArray

from .error import BadInput
from .limits import MAX_KERNEL, MAX_VALUES, MAX_WEIGHTS
from .matmul import LOWER_BITS, floats_for, sums_below, sums_dtype
from .tensor import Ints, Tensor, check_interval, dtype_for, owned, settle, settle_ints, whole

Padding: TypeAlias = tuple[int, int, int, int]
"""(top, bottom, left, right); padded pixels are real 0, but for a pool that looks at the map's own alone."""

MAX_FACTOR = 2**24
"""Of a Scale, in magnitude: a sum of 36 bits times it is still no larger than a value may be."""

MAX_DIVISOR = 2**16
"""Of the mean that a pool makes of the pixels on the map; 3,600 for a padded 5x5 window."""

MAX_ENTRIES = 2**8
"""Of a Table: of codes of 8 bits, the widest that an activation has. A lane takes up to 32 look-up tables of 6 inputs,
and for each bit more twice as many."""

_Number = TypeVar("_Number", bound=np.generic)

BLOCK = 2**24
"""Values of the windows that a convolution lays out at once: 64 MiB of 32-bit floats."""


def padded_size(t: Tensor, pad: Padding) -> tuple[int, int]:
    """(height, width) of the map with its padding."""
    return t.height + pad[0] + pad[1], t.width + pad[2] + pad[3]


def _windows_shape(t: Tensor, kernel: tuple[int, int], stride: int, pad: Padding) -> tuple[int, int]:
    """(height, width) of the map of window positions."""
    height, width = padded_size(t, pad)
    if height * width * t.channels > 2 * MAX_VALUES:
        raise BadInput(f"the padded map of {height}x{width}x{t.channels} has more than {2 * MAX_VALUES:,} values")
    if height < kernel[0] or width < kernel[1]:
        raise BadInput(f"the {kernel[0]}x{kernel[1]} kernel is larger than the padded {height}x{width} map")
    return (height - kernel[0]) // stride + 1, (width - kernel[1]) // stride + 1


def _padding(given: Any) -> Padding:
    """Four integers, in whatever sequence they are given."""
    try:
        top, bottom, left, right = (whole(each, "padding") for each in given)
    except (TypeError, ValueError):  # BadInput is a ValueError
        raise BadInput(f"padding must be four numbers (top, bottom, left, right) >= 0, not {given!r:.80}") from None
    return top, bottom, left, right


def _check_geometry(kernel: tuple[int, int], stride: int, pad: Padding) -> None:
    if min(kernel) < 1:
        raise BadInput(f"the kernel must be at least 1x1, not {kernel[0]}x{kernel[1]}")
    if max(kernel) > MAX_KERNEL:
        raise BadInput(f"the kernel must be at most {MAX_KERNEL}x{MAX_KERNEL}, not {kernel[0]}x{kernel[1]}")
    if stride < 1:
        raise BadInput(f"the stride must be at least 1, not {stride}")
    if stride > MAX_KERNEL:
        raise BadInput(f"the stride must be at most {MAX_KERNEL}, as a kernel's side, not {stride}")
    if min(pad) < 0:
        raise BadInput(f"padding must be four numbers (top, bottom, left, right) >= 0, not {pad}")
    if max(pad[:2]) >= kernel[0] or max(pad[2:]) >= kernel[1]:
        raise BadInput(f"padding {pad} must be smaller than the {kernel[0]}x{kernel[1]} kernel")


def _array(given: Any, rule: str, dtype: type[np.generic], ndim: int) -> NDArray[Any]:
    """The array given, which has so many axes and values; BadInput with the rule if not."""
    if not isinstance(given, np.ndarray):
        raise BadInput(f"{rule}, not {type(given).__name__}")
    if given.ndim != ndim or given.dtype != dtype or not given.size:
        raise BadInput(f"{rule}, not {given.dtype} {list(given.shape)}")
    return np.asarray(given)


def _padded(x: NDArray[_Number], pad: Padding, value: int = 0) -> NDArray[_Number]:
    """The map x with real 0, or another value, around it."""
    top, bottom, left, right = pad
    around = (0, 0), (top, bottom), (left, right), (0, 0)
    return np.pad(x, around, constant_values=value) if any(pad) else x


def _windows(x: NDArray[_Number], kernel: tuple[int, int], stride: int) -> NDArray[_Number]:
    """A view [N, H', W', kernel height, kernel width, C] of the map x."""
    rows, columns = ((size - k) // stride + 1 for size, k in zip(x.shape[1:3], kernel, strict=True))
    image, row, column, channel = x.strides
    strides = (image, row * stride, column * stride, row, column, channel)
    return as_strided(x, (len(x), rows, columns, *kernel, x.shape[3]), strides, writeable=False)


def _pooled(join: np.ufunc, x: Ints, kernel: int, stride: int, dtype: DTypeLike) -> Ints:
    """What `join` makes of the values of each window, in this dtype."""
    # Down the columns, then along the rows: 2 kernel operations a window instead of kernel^2.
    for axis in (1, 2):
        last = (x.shape[axis] - kernel) // stride * stride
        neighbours = [x[(slice(None),) * axis + (slice(first, first + last + 1, stride),)] for first in range(kernel)]
        x = neighbours[0].astype(dtype)
        for each in neighbours[1:]:
            join(x, each, out=x)
    return x


@dataclass(frozen=True, eq=False)
class BinaryConv:
    """Convolution by +-1: acc = sum(w * q), exact, never wrapped or saturated (DESIGN 2.1, 2.3, 2.4).

    Parameters
    ----------
    weights : bool [C_out, kernel height, kernel width, C_in]; True is +1, False is -1
    stride : the same in both directions
    padding : (top, bottom, left, right), each smaller than the kernel; padded pixels are real 0
    scale : the weights stand for +-2^-scale, so the fraction bits grow by `scale`
    """

    weights: NDArray[np.bool_]
    stride: int = 1
    padding: Padding = (0, 0, 0, 0)
    scale: int = 0

    def __post_init__(self) -> None:
        rule = "the weights must be bool [C_out, kernel height, kernel width, C_in]"
        weights = _array(self.weights, rule, np.bool_, 4)
        if weights.size > MAX_WEIGHTS:
            raise BadInput(f"there are {weights.size:,} weights, more than {MAX_WEIGHTS:,}")
        weights = owned(weights)
        if weights.view(np.uint8).max() > 1:
            # Bytes seen as bool need not be 0 and 1, and sums count what they are.
            weights = owned(weights.view(np.uint8) != 0)
        settle(self, weights=weights, padding=_padding(self.padding))
        settle_ints(self, "stride", "scale")
        _check_geometry(self.kernel, self.stride, self.padding)

    @property
    def kernel(self) -> tuple[int, int]:
        """(height, width) of the kernel."""
        return int(self.weights.shape[1]), int(self.weights.shape[2])

    @property
    def fan_in(self) -> int:
        """Products in one dot product."""
        return int(self.weights[0].size)

    def infer(self, t: Tensor) -> Tensor:
        c_out, _, _, c_in = self.weights.shape
        if t.channels != c_in:
            raise BadInput(f"the weights expect {c_in} channels, the input has {t.channels}")
        height, width = _windows_shape(t, self.kernel, self.stride, self.padding)
        bound = self.fan_in * max(abs(t.lo), abs(t.hi))
        return Tensor(height, width, c_out, -bound, bound, t.frac + self.scale)

    @cached_property
    def signs(self) -> NDArray[np.float32]:
        """The weights as +-1, [kernel height * kernel width * C_in, C_out]."""
        signs = np.where(self.weights, np.float32(1), np.float32(-1))
        signs = np.ascontiguousarray(signs.reshape(-1, self.fan_in).T)
        signs.flags.writeable = False
        return signs

    def __call__(self, x: Ints) -> Ints:
        """int32 (int64 where the values need it) [N, H', W', C_out].

        BLAS computes the sums, exactly in whatever order it adds, in floats that hold all of them (DESIGN 2.12).
        """
        exact = floats_for(x, self.fan_in)
        if exact is None:
            upper = x >> LOWER_BITS
            lower = x - (upper << LOWER_BITS)
            return (self(upper).astype(np.int64) << LOWER_BITS) + self(lower)
        floats: NDArray[np.floating[Any]] = _padded(x.astype(exact), self.padding)
        windows = _windows(floats, self.kernel, self.stride)
        images, height, width = windows.shape[:3]
        signs: NDArray[np.floating[Any]] = self.signs.astype(exact, copy=False)
        y = np.empty((images, height, width, len(self.weights)), sums_dtype(x, self.fan_in))
        columns = max(1, min(width, BLOCK // max(1, images * self.fan_in)))
        rows = max(1, BLOCK // max(1, images * self.fan_in * columns))
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                part = np.s_[:, top : top + rows, left : left + columns]
                # All values are whole and fit: flags are of what kernels read beyond them and drop (numpy issue 24067).
                with np.errstate(all="ignore"):
                    sums = windows[part].reshape(-1, self.fan_in) @ signs
                y[part] = sums.reshape(y[part].shape)
        return y


def _clip(y: Ints, lo: int, hi: int) -> Ints:
    """clip(y, lo, hi), perhaps in place, in the smallest signed dtype that holds [lo, hi]."""
    limits = np.iinfo(y.dtype)
    if lo < limits.min or limits.max < hi:
        y = y.astype(np.int64)
    np.clip(y, lo, hi, out=y)
    return y.astype(dtype_for(lo, hi))


@dataclass(frozen=True, eq=False)
class Requantise:
    """clip((q + offset + 2^(shift-1)) >> shift, lo, hi): round half up, then clip (DESIGN 2.5).

    shift = 0 adds no rounding constant; shift < 0 shifts left. `offset` is None or int64 [C], in the
    units of the input. With lo = -2^frac of the output this is the shifted ReLU max(-1, x).
    """

    shift: int
    lo: int
    hi: int
    offset: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        settle_ints(self, "shift", "lo", "hi")
        if not -48 <= self.shift <= 62:
            raise BadInput(f"the shift must lie in [-48, 62], not {self.shift}")
        check_interval(self.lo, self.hi, "the clip interval")
        if self.offset is not None:
            offset = owned(_array(self.offset, "the offset must be int64 [C]", np.int64, 1))
            if max(-int(offset.min()), int(offset.max())) > 2**61:
                raise BadInput("the offset must lie in [-2^61, 2^61]")
            settle(self, offset=offset)

    @property
    def addend(self) -> int | NDArray[np.int64]:
        """Rounding constant plus offset: what is added before the shift."""
        rounding = 1 << (self.shift - 1) if self.shift > 0 else 0
        return rounding if self.offset is None else self.offset + rounding

    def infer(self, t: Tensor) -> Tensor:
        if self.offset is not None and len(self.offset) != t.channels:
            raise BadInput(f"the offset has {len(self.offset)} channels, the input has {t.channels}")
        left = max(0, -self.shift)
        addend = np.asarray(self.addend)
        dtype_for((t.lo + int(addend.min())) << left, (t.hi + int(addend.max())) << left)
        return replace(t, lo=self.lo, hi=self.hi, frac=t.frac - self.shift)

    def __call__(self, x: Ints) -> Ints:
        """The smallest signed dtype that holds [lo, hi]; the shape stays."""
        addend = np.asarray(self.addend)
        most = max(-int(addend.min()), int(addend.max()))
        left = max(0, -self.shift)
        wide = np.int32 if sums_below((2**31 >> left) - most, x) else np.int64
        y: Ints = np.add(x, addend.astype(wide), dtype=wide)
        if self.shift > 0:
            np.right_shift(y, self.shift, out=y)
        elif left:
            np.left_shift(y, left, out=y)
        return _clip(y, self.lo, self.hi)


@dataclass(frozen=True, eq=False)
class Scale:
    """Each channel times an integer of its own, exact: q * factors[c] (DESIGN 2.8).

    The factors stand for factors * 2^-scale, so the fraction bits grow by `scale`. With the Requantise that
    follows, whose offset is the other half, this is a batch normalisation kept or a scale that is no power of two.

    Parameters
    ----------
    factors : int64 [C], each in [-2^24, 2^24]; negative and zero too
    scale : what a batch normalisation's rounded factors leave to the binary point
    """

    factors: NDArray[np.int64]
    scale: int = 0

    def __post_init__(self) -> None:
        settle(self, factors=owned(_array(self.factors, "the factors must be int64 [C]", np.int64, 1)))
        settle_ints(self, "scale")
        least, most = self.extremes
        if least < -MAX_FACTOR or most > MAX_FACTOR:
            raise BadInput(f"the factors must lie in [-2^24, 2^24], not in [{least}, {most}]")

    @property
    def extremes(self) -> tuple[int, int]:
        """The smallest and the largest factor."""
        return int(self.factors.min()), int(self.factors.max())

    def infer(self, t: Tensor) -> Tensor:
        if len(self.factors) != t.channels:
            raise BadInput(f"there are {len(self.factors)} factors, the input has {t.channels} channels")
        ends = [factor * q for factor in self.extremes for q in (t.lo, t.hi)]
        return replace(t, lo=min(ends), hi=max(ends), frac=t.frac + self.scale)

    def __call__(self, x: Ints) -> Ints:
        """int32, or int64 where the products need it; the shape stays."""
        wide = sums_dtype(x, max(map(abs, self.extremes)))
        y: Ints = np.multiply(x, self.factors.astype(wide), dtype=wide)
        return y


def addition(offset: NDArray[np.int64], t: Tensor) -> Requantise:
    """A number added to each channel of values of type t, int64 [C], which clips nothing."""
    return Requantise(0, t.lo + int(offset.min()), t.hi + int(offset.max()), offset)


def finer(bits: int, t: Tensor) -> Requantise:
    """The Requantise that counts t's integers in steps of 2^-bits, which clips nothing; `bits` more fraction bits."""
    return Requantise(-bits, t.lo << bits, t.hi << bits)


@dataclass(frozen=True, eq=False)
class Table:
    """Each value through a table, values[q - lo]: any function of a code, such as an ELU (DESIGN 2.15).

    Parameters
    ----------
    values : int64 [entries], of the inputs lo, lo + 1, ...: at most MAX_ENTRIES, one for each value the input may have
    lo : the input's lowest value
    frac : fraction bits of the values
    """

    values: NDArray[np.int64]
    lo: int
    frac: int = 0

    def __post_init__(self) -> None:
        values = _array(self.values, "the values must be int64 [entries]", np.int64, 1)
        if len(values) > MAX_ENTRIES:
            raise BadInput(f"a table has at most {MAX_ENTRIES} values, not {len(values):,}")
        settle(self, values=owned(values))
        settle_ints(self, "lo", "frac")
        check_interval(self.lo, self.hi, "the table's input")
        check_interval(*self.reach, "the values' interval")

    @property
    def hi(self) -> int:
        """The input's highest value."""
        return self.lo + len(self.values) - 1

    @property
    def reach(self) -> tuple[int, int]:
        """The smallest and the largest value."""
        return int(self.values.min()), int(self.values.max())

    def infer(self, t: Tensor) -> Tensor:
        if (t.lo, t.hi) != (self.lo, self.hi):
            raise BadInput(
                f"the table has values for [{self.lo}, {self.hi}], the input lies in [{t.lo}, {t.hi}]: "
                "put a Requantise that clips to the former in front"
            )
        lo, hi = self.reach
        return replace(t, lo=lo, hi=hi, frac=self.frac)

    def __call__(self, x: Ints) -> Ints:
        """The smallest signed dtype that holds the values; the shape stays."""
        values: Ints = self.values.astype(dtype_for(*self.reach))
        return values[x.astype(np.int64) - self.lo]


def shifted_relu(bits: int, frac_in: int, frac: int) -> Requantise:
    """max(-1, x) to `bits`-bit codes with `frac` fraction bits: all 2^bits codes are used (DESIGN 2.6)."""
    if not 2 <= bits <= 8:
        raise BadInput(f"activations have 2 to 8 bits, not {bits}")
    if frac < 0:
        raise BadInput(f"a shifted ReLU needs -1 to be an integer: frac must be >= 0, not {frac}")
    lo = -(1 << frac)
    return Requantise(frac_in - frac, lo, lo + (1 << bits) - 1)


@dataclass(frozen=True)
class SumPool:
    """Sum over kernel x kernel windows of each channel; padded pixels are real 0 (DESIGN 2.7).

    The sum stands for sum * 2^-scale, so the fraction bits grow by `scale`: a 2x2 mean has scale 2.

    Where only the `valid` pixels count, those on the map, windows differ in how many they have, and each sum is
    multiplied by what makes all means of one divisor: sum * divisor / valid pixels (DESIGN 2.14). Of a 3x3 window with
    padding that is the sum times 4, at an edge times 6 and in a corner times 9, 36 times the mean.
    """

    kernel: int
    stride: int
    padding: Padding = (0, 0, 0, 0)
    scale: int = 0
    valid: bool = False

    def __post_init__(self) -> None:
        settle_ints(self, "kernel", "stride", "scale")
        settle(self, padding=_padding(self.padding))
        _check_geometry((self.kernel, self.kernel), self.stride, self.padding)
        if not isinstance(self.valid, bool | np.bool_):
            raise BadInput(f"valid must be True or False, not {self.valid!r:.80}")
        settle(self, valid=bool(self.valid))

    def lines(self, height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each row and of each column of windows on a map of this size, how many lines of them lie on it."""
        top, bottom, left, right = self.padding
        counts = []
        for size, before, after in ((height, top, bottom), (width, left, right)):
            first = np.arange(0, size + before + after - self.kernel + 1, self.stride) - before
            counts.append(np.minimum(first + self.kernel, size) - np.maximum(first, 0))
        return counts[0], counts[1]

    def divisors(self, height: int, width: int) -> tuple[int, int]:
        """What the sums are of one mean's: along the rows, along the columns; the output is so many times the mean.

        BadInput where the product is larger than MAX_DIVISOR.
        """
        if not self.valid:
            return self.kernel, self.kernel
        counts = [sorted(set(each.tolist())) for each in self.lines(height, width)]
        down, across = (math.lcm(*each) for each in counts)
        if down * across > MAX_DIVISOR:
            raise BadInput(
                f"windows of {_listed(counts[0])} rows and {_listed(counts[1])} columns on the map have means of the "
                f"divisor {down * across:,}, larger than {MAX_DIVISOR:,}; use a smaller kernel or less padding"
            )
        return down, across

    def factors(self, height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What each sum is multiplied by, for its row and for its column of windows: int64 [rows], [columns]."""
        rows, columns = self.lines(height, width)
        if not self.valid:
            return np.ones_like(rows), np.ones_like(columns)
        down, across = self.divisors(height, width)
        return down // rows, across // columns

    def infer(self, t: Tensor) -> Tensor:
        height, width = _windows_shape(t, (self.kernel, self.kernel), self.stride, self.padding)
        zeros = any(self.padding) and not self.valid
        lo, hi = (min(t.lo, 0), max(t.hi, 0)) if zeros else (t.lo, t.hi)
        area = math.prod(self.divisors(t.height, t.width))
        return replace(t, height=height, width=width, lo=area * lo, hi=area * hi, frac=t.frac + self.scale)

    def __call__(self, x: Ints) -> Ints:
        """int32, or int64 where the sums need it."""
        down, across = self.divisors(*x.shape[1:3])
        wide = sums_dtype(x, max(down * across, self.kernel**2))
        y = _pooled(np.add, _padded(x, self.padding), self.kernel, self.stride, wide)
        if self.valid:
            rows, columns = self.factors(*x.shape[1:3])
            y *= rows[:, None, None]
            y *= columns[:, None]
        return y


def _listed(numbers: list[int]) -> str:
    """Such as 2, 3; the middle of many is left out."""
    shown = [str(number) for number in numbers]
    return ", ".join(shown if len(shown) <= 6 else [*shown[:3], "...", shown[-1]])


@dataclass(frozen=True)
class MaxPool:
    """The largest value of each channel in kernel x kernel windows, of those that lie on the map (DESIGN 2.13).

    A padded pixel never takes part, also where all values of the map are negative: every window has pixels of the map,
    since padding is smaller than the kernel. So interval and fraction bits stay.
    """

    kernel: int
    stride: int
    padding: Padding = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        settle_ints(self, "kernel", "stride")
        settle(self, padding=_padding(self.padding))
        _check_geometry((self.kernel, self.kernel), self.stride, self.padding)

    def infer(self, t: Tensor) -> Tensor:
        height, width = _windows_shape(t, (self.kernel, self.kernel), self.stride, self.padding)
        return replace(t, height=height, width=width)

    def __call__(self, x: Ints) -> Ints:
        """The dtype stays."""
        least = int(np.iinfo(x.dtype).min)
        return _pooled(np.maximum, _padded(x, self.padding, least), self.kernel, self.stride, x.dtype)


@dataclass(frozen=True)
class GlobalSum:
    """Sum over all positions: the pooling of a head, before its 1x1 convolution (DESIGN 2.10)."""

    def infer(self, t: Tensor) -> Tensor:
        return replace(t, height=1, width=1, lo=t.pixels * t.lo, hi=t.pixels * t.hi)

    def __call__(self, x: Ints) -> Ints:
        """int32, or int64 where the sums need it."""
        total: Ints = x.sum(axis=(1, 2), keepdims=True, dtype=sums_dtype(x, x.shape[1] * x.shape[2]))
        return total


@dataclass(frozen=True)
class PadChannels:
    """Appends `channels` channels of real 0 after the existing ones (DESIGN 2.7)."""

    channels: int

    def __post_init__(self) -> None:
        settle_ints(self, "channels")
        if self.channels < 1:
            raise BadInput(f"the channels to append must be at least 1, not {self.channels}")

    def infer(self, t: Tensor) -> Tensor:
        return replace(t, channels=t.channels + self.channels, lo=min(t.lo, 0), hi=max(t.hi, 0))

    def __call__(self, x: Ints) -> Ints:
        return np.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.channels)))


@dataclass(frozen=True)
class Chain:
    """Layers one after the other; an empty chain is the identity."""

    layers: tuple[Layer, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.layers, tuple | list):
            raise BadInput(f"the layers of a chain must be a tuple, not {type(self.layers).__name__}")
        settle(self, layers=tuple(self.layers))
        for index, layer in enumerate(self.layers):
            if type(layer) not in KINDS:
                raise BadInput(
                    f"layer {index} of a chain is a {type(layer).__name__}, "
                    f"none of {', '.join(kind.__name__ for kind in KINDS)}"
                )

    def infer(self, t: Tensor) -> Tensor:
        for layer in self.layers:
            t = layer.infer(t)
        return t

    def __call__(self, x: Ints) -> Ints:
        for layer in self.layers:
            x = layer(x)
        return x


@dataclass(frozen=True)
class Residual:
    """clip(body(q) + skip(q), lo, hi): the saturating add of a residual stream (DESIGN 2.7)."""

    body: Chain
    skip: Chain = field(default_factory=Chain)
    lo: int = -(2**15)
    hi: int = 2**15 - 1

    def __post_init__(self) -> None:
        for name in ("body", "skip"):
            if type(getattr(self, name)) is not Chain:
                raise BadInput(f"the {name} of a residual must be a Chain, not {type(getattr(self, name)).__name__}")
        settle_ints(self, "lo", "hi")
        check_interval(self.lo, self.hi, "the clip interval")

    def join(self, body: Tensor, skip: Tensor) -> Tensor:
        """The type of the sum of two branches of these types."""
        if body.shape != skip.shape:
            raise BadInput(
                f"the body gives {'x'.join(map(str, body.shape))}, the skip {'x'.join(map(str, skip.shape))}"
            )
        if body.frac != skip.frac:
            raise BadInput(
                f"the body has {body.frac} fraction bits, the skip {skip.frac}; an addition demands equal ones"
            )
        return replace(body, lo=self.lo, hi=self.hi)

    def infer(self, t: Tensor) -> Tensor:
        return self.join(self.body.infer(t), self.skip.infer(t))

    def __call__(self, x: Ints) -> Ints:
        return self.add(self.body(x), self.skip(x))

    def add(self, body: Ints, skip: Ints) -> Ints:
        """clip(body + skip, lo, hi) in the smallest signed dtype that holds [lo, hi]."""
        wide = np.int32 if sums_below(2**30, body) and sums_below(2**30, skip) else np.int64
        total: Ints = np.add(body, skip, dtype=wide)
        return _clip(total, self.lo, self.hi)


Pool: TypeAlias = SumPool | MaxPool
"""What gives one value of each channel for each window."""

Windowed: TypeAlias = BinaryConv | Pool
"""What moves a kernel over a map."""

Layer: TypeAlias = Windowed | Requantise | Scale | Table | GlobalSum | PadChannels | Chain | Residual

KINDS: tuple[type[Layer], ...] = (
    BinaryConv, Requantise, Scale, Table, SumPool, MaxPool, GlobalSum, PadChannels, Chain, Residual
)  # fmt: skip
"""Every kind of layer, in the order of this file."""


def argmax(logits: Ints) -> NDArray[np.int64]:
    """The class of each of logits [N, 1, 1, classes]: the first of the largest (DESIGN 2.10)."""
    classes: NDArray[np.int64] = np.argmax(logits, axis=-1).reshape(len(logits))
    return classes


def trace(layer: Layer, x: Ints, path: str = "") -> Iterator[tuple[str, Layer, Ints]]:
    """Yield (path, layer, output) of every layer in the order data flows, the last one `layer` itself.

    Paths name chains by index and residuals by branch, as in "3.body.0"; the outermost is "".
    """
    dot = path + "." if path else ""
    match layer:
        case Chain(layers):
            for index, inner in enumerate(layers):
                for step in trace(inner, x, f"{dot}{index}"):
                    yield step
                x = step[2]
        case Residual(body, skip):
            outputs = []
            for name, branch in (("body", body), ("skip", skip)):
                for step in trace(branch, x, dot + name):
                    yield step
                outputs.append(step[2])
            x = layer.add(*outputs)
        case _:
            x = layer(x)
    yield path, layer, x


def walk(layer: Layer, t: Tensor, visit: Callable[[str, Layer, Tensor], None], path: str = "") -> Tensor:
    """Call visit(path, layer, input type) on every layer in order and return the output's type.

    BadInput carries the path, the kind and the rule broken.
    """
    dot = path + "." if path else ""
    try:
        visit(path, layer, t)
        if isinstance(layer, Chain):
            for index, inner in enumerate(layer.layers):
                t = walk(inner, t, visit, f"{dot}{index}")
            return t
        if isinstance(layer, Residual):
            body = walk(layer.body, t, visit, dot + "body")
            skip = walk(layer.skip, t, visit, dot + "skip")
            return layer.join(body, skip)
        return layer.infer(t)
    except BadInput as error:
        if str(error).startswith("layer "):
            raise
        raise BadInput(f"layer {path or 'body'} ({type(layer).__name__}): {error}") from None
