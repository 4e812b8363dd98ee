"""The type of the values between two layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .error import BadInput

Ints = NDArray[np.signedinteger]
"""An integer array; maps have the shape [N, height, width, channels]."""


MAX_VALUES = 2**27
"""Values of one map: what a file claims must not cost memory or time without bound."""


def dtype_for(lo: int, hi: int) -> np.dtype[np.signedinteger]:
    """The smallest signed integer dtype that holds [lo, hi]; BadInput when 64 bits do not."""
    for name in ("int8", "int16", "int32", "int64"):
        info = np.iinfo(name)
        if info.min <= lo and hi <= info.max:
            return np.dtype(name)
    raise BadInput(f"the interval [{lo}, {hi}] does not fit 64 bits")


@dataclass(frozen=True)
class Tensor:
    """A map of integers q in [lo, hi], each standing for the real value q * 2^-frac (DESIGN 2.2).

    Arrays of this type have the shape [N, height, width, channels]. Hardware carries q - lo in
    ``bits`` unsigned bits.
    """

    height: int
    width: int
    channels: int
    lo: int
    hi: int
    frac: int = 0

    def __post_init__(self) -> None:
        for name in ("height", "width", "channels"):
            if getattr(self, name) < 1:
                raise BadInput(f"a tensor's {name} must be at least 1, not {getattr(self, name)}")
        if self.height * self.width * self.channels > MAX_VALUES:
            raise BadInput(f"a map of {'x'.join(map(str, self.shape))} has more than {MAX_VALUES:,} values")
        if self.lo > self.hi:
            raise BadInput(f"a tensor's interval [{self.lo}, {self.hi}] is empty")
        dtype_for(self.lo, self.hi)

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
