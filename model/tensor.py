"""The type of the values between two layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .error import BadInput
from .limits import MAX_CHANNELS, MAX_FRAC, MAX_MAGNITUDE, MAX_PIXELS, MAX_VALUES

Ints = NDArray[np.signedinteger]
"""An integer array; maps have the shape [N, height, width, channels]."""

_Scalar = TypeVar("_Scalar", bound=np.generic)


def dtype_for(lo: int, hi: int) -> np.dtype[np.signedinteger]:
    """The smallest signed integer dtype that holds [lo, hi]; BadInput when 64 bits do not."""
    for name in ("int8", "int16", "int32", "int64"):
        info = np.iinfo(name)
        if info.min <= lo and hi <= info.max:
            return np.dtype(name)
    raise BadInput(f"the interval [{lo}, {hi}] does not fit 64 bits")


def signed_bits(lo: int, hi: int) -> int:
    """Width of the narrowest two's complement number that holds [lo, hi]; at least 1."""
    return max(value.bit_length() for value in (lo if lo >= 0 else ~lo, hi if hi >= 0 else ~hi)) + 1


def settle(instance: object, **values: object) -> None:
    """Give a frozen dataclass, in its own constructor, these values of its fields."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def settle_ints(instance: object, *names: str) -> None:
    """Turn the fields into Python's int, whose sums never wrap; BadInput unless they are integers, of any kind."""
    for name in names:
        settle(instance, **{name: whole(getattr(instance, name), name)})


def whole(value: Any, name: str) -> int:
    """An integer of any kind as Python's, whose sums never wrap; BadInput for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise BadInput(f"{name} must be an integer, not {value!r:.80}")
    if int(value).bit_length() > 128:
        raise BadInput(f"{name} is a number of {int(value).bit_length()} bits, larger than any may be")
    return int(value)


def owned(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """The array's values in memory that nobody can write: a copy, or the array itself where it lies in such."""
    root: Any = array
    while isinstance(root, np.ndarray):
        root = root.base
    if type(array) is np.ndarray and array.flags.c_contiguous and isinstance(root, bytes):
        return array
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)


@dataclass(frozen=True)
class Tensor:
    """A map of integers q in [lo, hi], each standing for the real value q * 2^-frac (DESIGN 2.2).

    Arrays of this type have the shape [N, height, width, channels]. Hardware carries q - lo in
    ``bits`` unsigned bits. BadInput beyond the sizes of ``limits``.
    """

    height: int
    width: int
    channels: int
    lo: int
    hi: int
    frac: int = 0

    def __post_init__(self) -> None:
        settle_ints(self, "height", "width", "channels", "lo", "hi", "frac")
        for name in ("height", "width", "channels"):
            if getattr(self, name) < 1:
                raise BadInput(f"a tensor's {name} must be at least 1, not {getattr(self, name)}")
        check_size(*self.shape)
        check_interval(self.lo, self.hi, "a tensor's interval")
        if abs(self.frac) > MAX_FRAC:
            raise BadInput(f"a tensor's fraction bits must lie in [{-MAX_FRAC}, {MAX_FRAC}], not {self.frac}")

    @property
    def pixels(self) -> int:
        """Positions of one map."""
        return self.height * self.width

    @property
    def bits(self) -> int:
        """Width in bits of the code q - lo that hardware carries; at least 1."""
        return max(1, (self.hi - self.lo).bit_length())

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    @property
    def dtype(self) -> np.dtype[np.signedinteger]:
        """The smallest signed integer dtype that holds the interval."""
        return dtype_for(self.lo, self.hi)

    def check(self, values: ArrayLike) -> NDArray[np.integer]:
        """The array that `values` are; BadInput unless it is [N, height, width, channels] of integers in [lo, hi]."""
        try:
            array = np.asarray(values)
        except (ValueError, TypeError, RuntimeError):  # of unequal lengths, or on a device
            raise BadInput(
                "the values are no array: give a NumPy array of integers, or lists of equal length"
            ) from None
        if array.dtype.kind not in "iu":
            raise BadInput(f"the values must be integers, not {array.dtype}; convert them, as with astype")
        if array.ndim != 4 or array.shape[1:] != self.shape:
            want = "[N, " + ", ".join(map(str, self.shape)) + "]"
            raise BadInput(f"the array has the shape {list(array.shape)}; expected {want}")
        if array.size and not (self.lo <= int(array.min()) and int(array.max()) <= self.hi):
            raise BadInput(f"the values span [{array.min()}, {array.max()}]; expected [{self.lo}, {self.hi}]")
        return array


def check_size(height: int, width: int, channels: int) -> None:
    """BadInput for a map that is larger than one may be."""
    for count, most, unit in (
        (height * width, MAX_PIXELS, "pixels"),
        (channels, MAX_CHANNELS, "channels"),
        (height * width * channels, MAX_VALUES, "values"),
    ):
        if count > most:
            raise BadInput(f"a map of {height}x{width}x{channels} has more than {most:,} {unit}")


def check_interval(lo: int, hi: int, name: str) -> None:
    """BadInput unless [lo, hi] has values, all of a magnitude that a tensor may have."""
    if lo > hi:
        raise BadInput(f"{name} [{lo}, {hi}] is empty")
    if lo < -MAX_MAGNITUDE or hi > MAX_MAGNITUDE:
        raise BadInput(f"{name} [{lo}, {hi}] reaches beyond [-2^60, 2^60], which hardware is made for")
