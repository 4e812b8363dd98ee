"""Data sets of NumPy's files: what is read, what a network is told of it, and what is said of a broken one."""

from __future__ import annotations

import contextlib
import zipfile

import numpy as np
import pytest
from commands import run

from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Chain, GlobalSum
from bitfold.model.net import Net
from bitfold.model.train.data import open_data
from bitfold.model.train.data.arrays import CLASSES, MOST_CLASSES, NAMES, moments

RNG = np.random.default_rng(0)
PIXELS = RNG.normal([70, 140], [10, 20], (60, 5, 7, 2)).clip(0, 255).astype(np.uint8)
LABELS = np.arange(60) % 3


def four(names=NAMES[0], **changes):
    """The four arrays of a data set, 60 images of 5x7x2 to train on and 20 to test; changes by their first name."""
    arrays = dict(zip(NAMES[0], (PIXELS, LABELS, PIXELS[:20], LABELS[:20]), strict=True)) | changes
    return {dict(zip(NAMES[0], names, strict=True)).get(name, name): array for name, array in arrays.items()}


def packed(folder, **changes):
    np.savez(folder / "own.npz", **{name: array for name, array in four(**changes).items() if array is not None})
    return folder / "own.npz"


def refused(place):
    with pytest.raises(BadInput) as caught:
        open_data("arrays", place).test()
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{place}: ")


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("form", ["npz", "compressed", "folder of the npz", "folder of npy"])
def test_arrays_of_every_form_are_one_data_set(tmp_path, names, form):
    place = tmp_path
    if form == "folder of npy":
        for name, array in four(names).items():
            np.save(tmp_path / f"{name}.npy", array)
        np.save(tmp_path / "notes.npy", np.array(["not", "read"], object))
    else:
        (np.savez_compressed if form == "compressed" else np.savez)(tmp_path / "own.npz", **four(names))
        place = tmp_path if form == "folder of the npz" else tmp_path / "own.npz"
    data = open_data("arrays", place)
    train, test = data.train(), data.test()
    np.testing.assert_array_equal(train.images, PIXELS)
    np.testing.assert_array_equal(train.labels, LABELS)
    np.testing.assert_array_equal(test.images, PIXELS[:20])
    assert (train.images.dtype, train.labels.dtype, len(test)) == (np.uint8, np.int64, 20)
    assert (data.name, data.classes, data.input.shape) == ("arrays", ("0", "1", "2"), (5, 7, 2))


def test_mean_and_binary_point_are_those_of_the_training_images(tmp_path):
    """Exactly, over several blocks and for each channel by itself."""
    pixels = np.concatenate([PIXELS] * 40)
    data = open_data(
        "arrays", packed(tmp_path, x_train=pixels, y_train=np.zeros(len(pixels), int), y_test=LABELS[:20] * 0)
    )
    assert data.mean == tuple(np.rint(pixels.mean((0, 1, 2))).astype(int))
    for found, power in zip(moments(pixels), (1, 2), strict=True):
        np.testing.assert_array_equal(found, (pixels.astype(int) ** power).sum((0, 1, 2)))
    deviation = np.sqrt(pixels.var((0, 1, 2)).mean())  # 15.8
    assert (data.input.lo, data.input.hi, data.input.frac) == (0, 255, round(np.log2(deviation)))
    assert data.input.frac == 4
    plain = open_data("arrays", packed(tmp_path, x_train=np.full((60, 5, 7, 2), 9)))
    assert (plain.mean, plain.input.frac) == ((9, 9), 0)


def test_gray_images_and_labels_in_a_column_are_taken(tmp_path):
    gray = {"x_train": PIXELS[..., 0].astype(np.int64), "x_test": PIXELS[:20, ..., 0]}
    data = open_data("arrays", packed(tmp_path, **gray, y_train=LABELS[:, None].astype(np.uint8)))
    assert data.input.shape == (5, 7, 1)
    np.testing.assert_array_equal(data.train().images[..., 0], PIXELS[..., 0])
    np.testing.assert_array_equal(data.train().labels, LABELS)


def test_classes_have_names(tmp_path):
    names = np.array(["cat", "dog", "größe", "none"])
    assert open_data("arrays", packed(tmp_path, **{CLASSES: names})).classes == tuple(names)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": PIXELS / 255}, "images are float64, and have to be integers from 0 to 255: give them as uint8"),
        ({"x_test": PIXELS[:20].astype(int) - 300}, "pixels go from -"),
        ({"x_train": PIXELS.astype(int) + 200}, "pixels go from "),
        ({"x_train": PIXELS[0, 0]}, "images are 7x2, not [N, height, width] or [N, height, width, channels]"),
        ({"x_train": PIXELS[:0]}, "images are 0x5x7x2, not [N, height, width] or [N, height, width, channels]"),
        (
            {"x_train": np.zeros((60, 3, 8, 8), np.uint8)},
            "images are 60x3x8x8, channels first: put them last with numpy.moveaxis(images, 1, 3)",
        ),
        (
            {"y_train": np.eye(3, dtype=int)[LABELS]},
            "labels are int64 [60, 3], and have to be integers [N]; of one row an image take argmax(1)",
        ),
        ({"y_train": LABELS * 1.0}, "labels are float64 [60], and have to be integers [N]; of one row"),
        ({"y_train": LABELS[:59]}, "59 labels for 60 images; there is one for each"),
        ({"y_train": LABELS - 1}, "labels go from -1 to 1; they count classes from 0, 10,000 at most"),
        ({"y_train": LABELS + MOST_CLASSES}, "labels go from 10000 to 10002; they count classes from 0, 10,000 at"),
        ({"y_test": LABELS[:20] + 1}, "a test label is 3, and there are 3 classes to train on"),
        ({"x_test": PIXELS[:20, 1:]}, "the test images are 4x7x2, those to train on 5x7x2; make them alike"),
        ({CLASSES: np.array(["a", "b"])}, "classes are <U1 [2], and have to be the names of 3 classes or more, text"),
        ({CLASSES: np.arange(3)}, "classes are int64 [3], and have to be the names of 3 classes or more, text [N]"),
    ],
)  # fmt: skip
def test_what_is_no_data_set_is_refused(tmp_path, changes, message):
    assert refused(packed(tmp_path, **changes)).startswith(message)


def test_what_is_missing_is_named(tmp_path):
    both = " or ".join(", ".join(names) for names in NAMES)
    assert refused(packed(tmp_path, y_test=None, x_test=None)) == (
        f"{tmp_path / 'own.npz'} has no array x_test, y_test: it needs {both}"
    )
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "empty") == (
        f"{tmp_path / 'empty'} holds no .npy file and no .npz: put {', '.join(NAMES[0])} there"
    )
    np.savez(tmp_path / "second.npz", x_train=PIXELS)
    assert refused(tmp_path) == (
        f"{tmp_path} holds no .npy file and 2 .npz: put {', '.join(NAMES[0])} there, or name the .npz with --data"
    )
    np.save(tmp_path / "one.npy", PIXELS)
    assert refused(tmp_path / "one.npy").endswith(
        "one array, not several: give an .npz file, or the folder of the .npy files"
    )


def damaged(path, place):
    raw = bytearray(path.read_bytes())
    raw[place] ^= 0x55
    path.write_bytes(raw)


def test_a_damaged_file_is_one_line(tmp_path):
    good = packed(tmp_path).read_bytes()
    spoilt = tmp_path / "spoilt.npz"
    for raw in (good[: len(good) // 2], b"", b"PK\x03\x04" + bytes(80), b"<html>not found</html>"):
        spoilt.write_bytes(raw)
        assert "spoilt.npz is not a readable .npz file: " in refused(spoilt)
    for place in range(0, len(good), 211):
        spoilt.write_bytes(good)
        damaged(spoilt, place)
        with contextlib.suppress(BadInput):
            open_data("arrays", spoilt).test()
    with zipfile.ZipFile(spoilt, "w") as archive:
        header = (
            b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999, 8, 8)}"
        )
        archive.writestr("x_train.npy", header.ljust(127) + b"\n")
    assert "is not a readable .npz file: " in refused(spoilt)
    np.savez(spoilt, x_train=np.array([None]))
    assert "is not a readable .npz file: Object arrays cannot be loaded when allow_pickle=False" in refused(spoilt)
    (tmp_path / "x_train.npy").write_bytes(b"\x93NUMPY")
    assert "x_train.npy is not a readable .npy file: " in refused(tmp_path)


def test_commands_take_them(tmp_path):
    """Accuracy on a whole test set, and a machine that is simulated on part of it."""
    place = packed(tmp_path)
    data = open_data("arrays", place)
    body = Chain((BinaryConv(RNG.random((3, 3, 3, 2)) < 0.5), GlobalSum()))
    Net(data.input, body, data.classes).save(tmp_path / "own.bitfold")
    status, out, err = run("check", tmp_path / "own.bitfold", "--set", "arrays", "--data", place)
    assert (status, err) == (0, "")
    right = int((Net.load(tmp_path / "own.bitfold").classify(PIXELS[:20]) == LABELS[:20]).sum())
    assert f"{right / 20:.2%}".replace("%", " %") in out
    words = ("--set", "arrays", "--data", place, "--count", 2, "--engine", "amaranth")
    assert run("simulate", tmp_path / "own.bitfold", *words)[0] == 0
    status, out, err = run(
        "check", tmp_path / "own.bitfold", "--set", "arrays", "--data", packed(tmp_path, y_test=None)
    )
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
