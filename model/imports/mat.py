"""MATLAB's files, read whole and distrusted: variables by name, and arrays of numbers out of them."""

from __future__ import annotations

import os
import warnings
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..error import BadInput, install
from ..read import kind_of, read_bytes

MAX_BYTES = 2**28
"""Of a file: several times what the largest published network takes."""

Array: TypeAlias = NDArray[Any]
"""Of numbers, or of arrays, which MATLAB calls cells."""

Variables: TypeAlias = dict[str, Array]
"""Those of a file by name, in its order."""


def load_mat(path: str | os.PathLike[str]) -> Variables:
    """The variables of a MATLAB file, version 4 to 7; BadInput, in one line, where it is none."""
    raw = read_bytes(path, "a MATLAB file", MAX_BYTES)
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadWarning
    except ImportError:
        raise BadInput(f"MATLAB files are read by scipy, which is not installed; {install('imports')}") from None
    if found := kind_of(raw):
        raise BadInput(f"{os.fspath(path)} is not a MATLAB file but {found}; check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", MatReadWarning)  # of two variables of one name the last would win
            variables = loadmat(BytesIO(raw))
    except MemoryError:
        raise
    except Exception as error:  # a broken file makes scipy raise nearly anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(
            f"{os.fspath(path)} is not a whole MATLAB file ({reason}); fetch it again, or save it with -v7"
        ) from None
    return {name: np.asarray(value) for name, value in variables.items() if not name.startswith("__")}


def described(value: Array) -> str:
    """Type and shape of a variable, such as "uint8 3x3x160x160"."""
    kind = "cell" if value.dtype == object else "struct" if value.dtype.names else str(value.dtype)
    return f"{kind} {'x'.join(map(str, value.shape)) or '1'}"


def floats(value: Array, name: str, *shape: int | None) -> NDArray[np.float64]:
    """Finite numbers as float64; BadInput unless there are so many along each axis, None for any number of them."""
    if value.dtype.kind not in "fiub" or not fits(value, *shape):
        wanted = "x".join("N" if size is None else str(size) for size in shape)
        raise BadInput(f"{name} is {described(value)}, not {wanted} numbers")
    found: NDArray[np.float64] = value.astype(np.float64)
    if not np.isfinite(found).all():
        raise BadInput(f"{name} holds values that are no finite numbers")
    return found


def ints(value: Array, name: str, count: int) -> list[int]:
    """So many integers in a row or column; BadInput where they are none."""
    found = floats(value.ravel(), name, count)
    if (found != np.rint(found)).any():
        raise BadInput(f"{name} holds values that are no integers")
    return [int(each) for each in found]


def bits(value: Array, name: str) -> NDArray[np.bool_]:
    """0 and 1 [height, width, C_in, C_out] as bool [C_out, height, width, C_in]; BadInput for anything else."""
    if value.dtype.kind not in "fiub" or not fits(value, None, None, None, None):
        raise BadInput(f"{name} is {described(value)}, not height x width x inputs x outputs of 0 and 1")
    if not ((value == 0) | (value == 1)).all():
        raise BadInput(f"{name} holds values that are neither 0 nor 1")
    return np.ascontiguousarray((value != 0).transpose(3, 0, 1, 2))


def cells(value: Array, name: str, count: int | None = None) -> list[Array]:
    """The arrays in a row or column of cells; BadInput unless it is one, of so many where `count` says it."""
    if value.dtype != object or value.size != max(value.shape, default=0) or count not in (None, value.size):
        raise BadInput(f"{name} is {described(value)}, not a row of {'' if count is None else f'{count} '}cells")
    return [np.asarray(each) for each in value.ravel()]


def fits(value: Array, *shape: int | None) -> bool:
    """Whether there are so many values along each axis, None for any number but 0."""
    return value.ndim == len(shape) and all(
        (found > 0 if size is None else found == size) for found, size in zip(value.shape, shape, strict=True)
    )
