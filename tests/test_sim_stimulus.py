"""The bytes of beats."""

import numpy as np
import pytest

from bitfold.sim.stimulus import PADDING, frame_beats, pack, unpack


@pytest.mark.parametrize("width", range(1, 9))
def test_unpack_undoes_pack(width):
    lo, hi = -(1 << 8 * width - 1), (1 << 8 * width - 1) - 1
    values = np.random.default_rng(width).integers(lo, hi, (5, 3), dtype=np.int64, endpoint=True)
    values[0, 0], values[0, 1] = lo, hi
    data = pack(values, width)
    assert data.shape == (5, 3 * width)
    assert int.from_bytes(data[0, :width].tobytes(), "little", signed=True) == lo
    np.testing.assert_array_equal(unpack(data, width), values)


def test_frames_of_any_length_end_with_last():
    beats = frame_beats([np.zeros((3, 2), int), np.ones((1, 2), int), np.full((2, 2), 258)], 2, 5)
    np.testing.assert_array_equal(beats["last"], [0, 0, 1, 1, 0, 1])
    np.testing.assert_array_equal(beats["data"][-1], [2, 1, 2, 1, PADDING])
