"""SVHN, from small files in its format."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from bitfold.model.error import BadInput
from bitfold.model.train.data import open_data

io = pytest.importorskip("scipy.io")


def pixels(count, seed=0):
    """uint8 [32, 32, 3, N]: how the files hold the pixels."""
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3, count), np.uint8)


def write(path, labels, seed=0, **others):
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.array(labels, np.uint8)[:, None]
    io.savemat(path, {"X": pixels(len(labels), seed), "y": labels, **others}, do_compression=True)


@pytest.mark.parametrize("place", [".", "svhn"])
def test_a_ten_is_a_zero(tmp_path, place):
    write(tmp_path / place / "train_32x32.mat", [1, 10, 9, 10], seed=1)
    write(tmp_path / place / "test_32x32.mat", [10, 5], seed=2)
    data = open_data("svhn", tmp_path)
    train, test = data.train(), data.test()
    data.input.check(train.images)
    np.testing.assert_array_equal(train.labels, [1, 0, 9, 0])
    np.testing.assert_array_equal(train.images, pixels(4, 1).transpose(3, 0, 1, 2))
    np.testing.assert_array_equal(test.labels, [0, 5])
    assert (test.images.dtype, test.labels.dtype) == (np.uint8, np.int64)
    assert data.preprocessing.endswith("trained on train_32x32.mat alone")


def test_the_extra_images_are_trained_on_where_they_are(tmp_path):
    write(tmp_path / "train_32x32.mat", [1, 2], seed=1)
    write(tmp_path / "test_32x32.mat", [3])
    write(tmp_path / "extra_32x32.mat", [4, 10, 6], seed=3)
    data = open_data("svhn", tmp_path)
    train = data.train()
    np.testing.assert_array_equal(train.labels, [1, 2, 4, 0, 6])
    np.testing.assert_array_equal(train.images[2:], pixels(3, 3).transpose(3, 0, 1, 2))
    assert len(data.test()) == 1
    assert data.preprocessing.endswith("trained on train_32x32.mat and extra_32x32.mat")


@pytest.mark.parametrize(
    ("labels", "others", "message"),
    [
        ([1, 11], {}, r"the labels span \[1, 11\]; expected 1 to 10; delete it"),
        ([0, 1], {}, r"the labels span \[0, 1\]; expected 1 to 10; delete it"),
        ([1, 2], {"X": pixels(3)}, r"holds 2 labels for 3 images; delete it"),
        ([1, 2], {"X": pixels(2)[:28]}, r"X is uint8 \[28, 32, 3, 2\], not uint8 \[32, 32, 3, N\]; delete it"),
        ([1, 2], {"X": pixels(2) / 255}, r"X is float64 \[32, 32, 3, 2\], not uint8"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(tmp_path, labels, others, message):
    write(tmp_path / "test_32x32.mat", labels, **others)
    with pytest.raises(BadInput, match=r"test_32x32.mat:? " + message):
        open_data("svhn", tmp_path).test()


@pytest.mark.parametrize("spoil", [lambda data: data[:-50], lambda data: data[:100], lambda data: b"hello" * 99])
def test_a_file_that_is_no_matlab_file_is_named(tmp_path, spoil):
    path = tmp_path / "test_32x32.mat"
    write(path, [1, 2])
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(BadInput, match=r"test_32x32.mat is not a MATLAB file with X and y \(.+\); delete it") as error:
        open_data("svhn", tmp_path).test()
    assert "\n" not in str(error.value)


def test_a_variable_that_is_missing_is_named(tmp_path):
    io.savemat(tmp_path / "test_32x32.mat", {"X": pixels(1)})
    with pytest.raises(BadInput, match=r"is not a MATLAB file with X and y \('y'\); delete it"):
        open_data("svhn", tmp_path).test()


def test_without_scipy_the_extra_is_named(tmp_path, monkeypatch):
    write(tmp_path / "test_32x32.mat", [1])
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(BadInput, match=r"in bitfold's folder: pip install '\.\[train\]'"):
        open_data("svhn", tmp_path).test()
