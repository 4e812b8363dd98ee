"""CIFAR-10 and CIFAR-100, from small files in their format."""

from __future__ import annotations

import numpy as np
import pytest

from bitfold.model.error import BadInput
from bitfold.model.train.data import open_data

COUNT = 4


def planes(seed):
    """uint8 [4, 3, 32, 32]: how the files hold the pixels."""
    return np.random.default_rng(seed).integers(0, 256, (COUNT, 3, 32, 32), np.uint8)


def write(path, seed, *labels):
    """One file: a record is its labels and the planes of red, green and blue."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [np.array(label, np.uint8)[:, None] for label in labels]
    path.write_bytes(np.concatenate([*columns, planes(seed).reshape(COUNT, -1)], axis=1).tobytes())


@pytest.mark.parametrize("place", [".", "cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"])
def test_cifar10(tmp_path, place):
    for n in range(1, 6):
        write(tmp_path / place / f"data_batch_{n}.bin", n, [n, 0, 9, n])
    write(tmp_path / place / "test_batch.bin", 6, [5, 6, 7, 8])
    data = open_data("cifar10", tmp_path)
    train, test = data.train(), data.test()
    data.input.check(train.images)
    assert (len(train), len(test)) == (5 * COUNT, COUNT)
    np.testing.assert_array_equal(train.labels[:8], [1, 0, 9, 1, 2, 0, 9, 2])
    np.testing.assert_array_equal(test.labels, [5, 6, 7, 8])
    # Image 2 of batch 3, at row 7 and column 30, in red, green and blue.
    np.testing.assert_array_equal(train.images[2 * COUNT + 2, 7, 30], planes(3)[2, :, 7, 30])
    np.testing.assert_array_equal(test.images, planes(6).transpose(0, 2, 3, 1))
    assert (test.images.dtype, test.labels.dtype) == (np.uint8, np.int64)
    assert data.classes[5] == "dog"


@pytest.mark.parametrize("place", [".", "cifar100", "cifar-100-binary", "cifar100/cifar-100-binary"])
def test_cifar100_has_the_fine_labels(tmp_path, place):
    write(tmp_path / place / "train.bin", 1, [19, 0, 0, 0], [99, 0, 50, 7])
    write(tmp_path / place / "test.bin", 2, [0, 0, 0, 0], [1, 2, 3, 4])
    data = open_data("cifar100", tmp_path)
    train = data.train()
    np.testing.assert_array_equal(train.labels, [99, 0, 50, 7])
    np.testing.assert_array_equal(train.images, planes(1).transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(data.test().labels, [1, 2, 3, 4])
    assert [data.classes[n] for n in (0, 50, 99)] == ["apple", "mouse", "worm"]
    assert sorted(data.classes) == list(data.classes)


@pytest.mark.parametrize("kept", [0, 3072, 3073 * COUNT - 1])
def test_a_file_cut_short_is_named(tmp_path, kept):
    path = tmp_path / "test_batch.bin"
    write(path, 0, [1, 2, 3, 4])
    path.write_bytes(path.read_bytes()[:kept])
    message = rf"^.*test_batch.bin has {kept:,} bytes, not a whole number of images of 3,073; delete it, and it is"
    with pytest.raises(BadInput, match=message):
        open_data("cifar10", tmp_path).test()


def test_a_label_out_of_range_is_named(tmp_path):
    write(tmp_path / "test_batch.bin", 0, [1, 2, 10, 4])
    with pytest.raises(BadInput, match=r"test_batch.bin holds the label 10, but there are 10 classes; delete it"):
        open_data("cifar10", tmp_path).test()
    write(tmp_path / "test.bin", 0, [0, 0, 0, 0], [1, 2, 100, 4])
    with pytest.raises(BadInput, match=r"test.bin holds the label 100, but there are 100 classes; delete it"):
        open_data("cifar100", tmp_path).test()
