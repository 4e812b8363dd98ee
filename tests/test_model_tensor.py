"""Intervals, widths and what an array of a type may hold."""

import numpy as np
import pytest

from bitfold.model.error import BadInput
from bitfold.model.tensor import Tensor, dtype_for, signed_bits


@pytest.mark.parametrize(
    ("lo", "hi", "bits", "dtype"),
    [
        (0, 0, 1, "int8"),
        (-4, 11, 4, "int8"),
        (-1, 1, 2, "int8"),
        (0, 255, 8, "int16"),
        (-(2**15), 2**15 - 1, 16, "int16"),
        (-(2**15), 2**15, 17, "int32"),
        (-(2**60), 2**60, 62, "int64"),
    ],
)
def test_widths_come_from_the_interval(lo, hi, bits, dtype):
    t = Tensor(2, 3, 4, lo, hi)
    assert (t.bits, t.dtype, t.pixels, t.shape) == (bits, np.dtype(dtype), 6, (2, 3, 4))
    assert dtype_for(lo, hi) == dtype


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 1, 1, 0, 1), "a tensor's height must be at least 1, not 0"),
        ((1, 1, -1, 0, 1), "a tensor's channels must be at least 1, not -1"),
        ((1, 1, 1, 1, 0), "a tensor's interval [1, 0] is empty"),
        (
            (1, 1, 1, 0, 2**60 + 1),
            f"a tensor's interval [0, {2**60 + 1}] reaches beyond [-2^60, 2^60], which hardware is made for",
        ),
        (
            (1, 1, 1, -(2**60) - 1, 0),
            f"a tensor's interval [{-(2**60) - 1}, 0] reaches beyond [-2^60, 2^60], which hardware is made for",
        ),
        ((2**11, 2**10 + 1, 1, 0, 1), "a map of 2048x1025x1 has more than 2,097,152 pixels"),
        ((1, 1, 2**15 + 1, 0, 1), "a map of 1x1x32769 has more than 32,768 channels"),
        ((2**10, 2**10, 33, 0, 1), "a map of 1024x1024x33 has more than 33,554,432 values"),
        ((1, 1, 1, 0, 1, 513), "a tensor's fraction bits must lie in [-512, 512], not 513"),
        ((1, 1, 1, 0, 1, -513), "a tensor's fraction bits must lie in [-512, 512], not -513"),
        ((1, 1.0, 1, 0, 1), "width must be an integer, not 1.0"),
        ((1, 1, True, 0, 1), "channels must be an integer, not True"),
        ((1, 1, 1, 0, "9"), "hi must be an integer, not '9'"),
        ((1, 1, 1, 0, 10**5000), "hi is a number of 16610 bits, larger than any may be"),
    ],
)
def test_constructor_says_what_is_wrong(values, message):
    with pytest.raises(BadInput) as error:
        Tensor(*values)
    assert str(error.value) == message


def test_narrow_integers_are_taken_as_python_s():
    t = Tensor(np.int8(9), np.uint8(200), np.int16(1), np.int8(-128), np.int8(127), np.int8(3))
    assert (t.bits, t.pixels) == (8, 1800)
    assert all(type(value) is int for value in (*t.shape, t.lo, t.hi, t.frac))


def test_the_largest_maps_are_accepted():
    assert Tensor(1080, 1920, 16, 0, 1).pixels == 2_073_600
    assert Tensor(1, 1, 2**15, 0, 1, -512).channels == 32_768


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 2, 2, 1)), "the values must be integers, not float64; convert them, as with astype"),
        (np.zeros((1, 2, 2, 1), np.bool_), "the values must be integers, not bool; convert them, as with astype"),
        (np.zeros((2, 2, 1), int), "the array has the shape [2, 2, 1]; expected [N, 2, 2, 1]"),
        (np.zeros((1, 2, 3, 1), int), "the array has the shape [1, 2, 3, 1]; expected [N, 2, 2, 1]"),
        (np.full((1, 2, 2, 1), 4), "the values span [4, 4]; expected [-1, 3]"),
        (np.full((1, 2, 2, 1), -2), "the values span [-2, -2]; expected [-1, 3]"),
    ],
)
def test_check_says_what_is_wrong(array, message):
    with pytest.raises(BadInput) as error:
        Tensor(2, 2, 1, -1, 3).check(array)
    assert str(error.value) == message


def test_check_accepts_the_whole_interval_any_integer_dtype_and_no_image():
    t = Tensor(2, 1, 1, 0, 3)
    for dtype in (np.uint8, np.int64):
        t.check(np.array([0, 3], dtype).reshape(1, 2, 1, 1))
    t.check(np.zeros((0, 2, 1, 1), np.int8))


@pytest.mark.parametrize(
    ("lo", "hi"), [(0, 0), (-1, 0), (-1, -1), (1, 1), (-128, 127), (-129, 0), (0, 128), (5, 7), (-9, -8)]
)
def test_signed_bits_hold_the_interval_and_one_fewer_does_not(lo, hi):
    bits = signed_bits(lo, hi)
    assert -(1 << bits - 1) <= lo <= hi < 1 << bits - 1
    assert bits == 1 or not (-(1 << bits - 2) <= lo and hi < 1 << bits - 2)
