"""MNIST and Fashion-MNIST, from small files in their format."""

from __future__ import annotations

import gzip
import hashlib

import numpy as np
import pytest

from bitfold.model.error import BadInput
from bitfold.model.train.data import idx, open_data

N = 7


def images(count=N, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), np.uint8)


def labels(count=N):
    return (np.arange(count) % 10).astype(np.uint8)


def encode(array):
    """An IDX file: two zero bytes, 8 for unsigned bytes, the number of dimensions, the dimensions, the bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write(folder, part="t10k", spelling="-idx", gz=False, pixels=None, classes=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (
        ("images-idx3-ubyte", images() if pixels is None else pixels),
        ("labels-idx1-ubyte", labels() if classes is None else classes),
    ):
        path = folder / (f"{part}-{name}".replace("-idx", spelling) + (".gz" if gz else ""))
        path.write_bytes(gzip.compress(encode(array)) if gz else encode(array))


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("spelling", ["-idx", ".idx"])
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("mnist", "."),
        ("mnist", "mnist"),
        ("mnist", "MNIST/raw"),
        ("fashion-mnist", "fashion-mnist"),
        ("fashion-mnist", "fashion_mnist"),
        ("fashion-mnist", "FashionMNIST/raw"),
    ],
)
def test_the_files_are_found_under_every_name(tmp_path, name, place, spelling, gz):
    write(tmp_path / place, "train", spelling, gz, images(9, seed=1), labels(9))
    write(tmp_path / place, "t10k", spelling, gz)
    data = open_data(name, tmp_path)
    test = data.test()
    data.input.check(test.images)
    np.testing.assert_array_equal(test.images[..., 0], images())
    np.testing.assert_array_equal(test.labels, labels())
    assert (test.images.dtype, test.labels.dtype) == (np.uint8, np.int64)
    np.testing.assert_array_equal(data.train().images[..., 0], images(9, seed=1))


def test_each_set_prefers_its_own_folder(tmp_path):
    write(tmp_path, pixels=images(seed=1))
    write(tmp_path / "mnist", pixels=images(seed=2))
    write(tmp_path / "fashion_mnist", pixels=images(seed=3))
    np.testing.assert_array_equal(open_data("mnist", tmp_path).test().images[..., 0], images(seed=2))
    np.testing.assert_array_equal(open_data("fashion-mnist", tmp_path).test().images[..., 0], images(seed=3))


def test_the_other_sets_files_are_refused(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setitem(idx.LABELS_MD5, hashlib.md5(encode(labels())).hexdigest(), "MNIST")
    assert len(open_data("mnist", tmp_path).test()) == N
    with pytest.raises(BadInput, match="t10k-labels-idx1-ubyte holds the labels of MNIST, not of Fashion-MNIST: put"):
        open_data("fashion-mnist", tmp_path).test()


BROKEN = {
    "images cut short": ("images-idx3", lambda data: data[:-1], r"has 5,503 bytes where its header says 5,504"),
    "images too long": ("images-idx3", lambda data: data + b"\0", r"has 5,505 bytes where its header says 5,504"),
    "wrong magic": ("images-idx3", lambda data: b"\x89PNG" + data[4:], r"starts with 89504e47, not with 00000803"),
    "labels as images": ("images-idx3", lambda data: encode(labels()), r"starts with 00000801, not with 00000803"),
    "wrong size": ("images-idx3", lambda data: encode(np.zeros((3, 32, 28), np.uint8)), r"3x32x28 values, not Nx28x28"),
    "empty file": ("labels-idx1", lambda data: b"", r"starts with nothing, not with 00000801"),
    "no labels": ("labels-idx1", lambda data: encode(labels(0)), r"holds 0 values, not N;"),
    "labels cut short": ("labels-idx1", lambda data: data[:-2], r"has 13 bytes where its header says 15"),
    "fewer labels": ("labels-idx1", lambda data: encode(labels(N - 1)), r"holds 6 labels for the 7 images of t10k-ima"),
    "label 10": ("labels-idx1", lambda data: data[:-1] + b"\x0a", r"holds the label 10, but there are 10 classes"),
}


@pytest.mark.parametrize(("file", "spoil", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named(tmp_path, file, spoil, message):
    write(tmp_path)
    path = tmp_path / f"t10k-{file}-ubyte"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(BadInput, match=message) as error:
        open_data("mnist", tmp_path).test()
    assert str(error.value).startswith(str(path))
    assert str(error.value).endswith("delete it, and it is downloaded again")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-9], lambda data: b"not gzip", lambda data: data[:40] + b"!" * 99]
)
def test_a_broken_gzip_file_is_named(tmp_path, spoil):
    write(tmp_path, gz=True)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(BadInput, match=r"t10k-images-idx3-ubyte.gz is not a whole gzip file \(.*\); delete it"):
        open_data("mnist", tmp_path).test()
