"""Images in folders: what is read, how it is cut, and what is said of a broken one."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from bitfold.model.error import BadInput
from bitfold.model.train.data import ImageFiles, open_data

Image = pytest.importorskip("PIL.Image")


def ramp(width, height):
    """An image whose red is its column and whose green is its row, both scaled to 0..255."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, np.full_like(x, 7)], axis=-1).round().astype(np.uint8)


def write(path, width=320, height=300, mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ramp(width, height)).convert(mode).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Three classes to train on, two of them held out; other files lie around."""
    for name in ("b/1.JPEG", "b/2.jpg", "a/z.png", "c/x.jpeg"):
        write(tmp_path / "train" / name)
    for name in ("c/1.png", "b/1.png"):
        write(tmp_path / "val" / name)
    (tmp_path / "train/b/notes.txt").write_text("hello")
    (tmp_path / "train/.cache").mkdir()
    return tmp_path


def test_classes_are_the_sorted_folders_of_train(folder):
    data = open_data("folders", folder)
    assert data.classes == ("a", "b", "c")
    train, test = data.train(), data.test()
    assert [path.rsplit("train/")[-1] for path in train.paths] == ["a/z.png", "b/1.JPEG", "b/2.jpg", "c/x.jpeg"]
    np.testing.assert_array_equal(train.labels, [0, 1, 1, 2])
    np.testing.assert_array_equal(test.labels, [1, 2])
    assert test.labels.dtype == np.int64
    data.input.check(test.batch(np.arange(2)))


def test_the_held_out_images_may_be_called_test(folder):
    (folder / "val").rename(folder / "test")
    np.testing.assert_array_equal(open_data("folders", folder).test().labels, [1, 2])


def test_images_are_read_when_a_batch_needs_them(folder):
    train = open_data("folders", folder).train()
    for path in train.paths[:3]:
        (folder / path).unlink()
    last = train.take(np.array([3]))
    assert (len(last), last.labels.tolist()) == (1, [2])
    assert last.batch(np.array([0])).shape == (1, 224, 224, 3)


@pytest.mark.parametrize(("width", "height"), [(512, 256), (256, 512), (300, 300), (100, 60)])
def test_the_centre_is_cut_out_of_the_resized_image(tmp_path, width, height):
    write(tmp_path / "x.png", width, height)
    (pixels,) = ImageFiles((str(tmp_path / "x.png"),), np.zeros(1, np.int64)).batch(np.array([0]))
    # The ramps go on as straight lines; 224 of what was 256 is left of the shorter side's 255 steps.
    for line, side in ((pixels[112, :, 0], width), (pixels[:, 112, 1], height)):
        cut = 224 / 256 * min(width, height) / side
        expected = 255 * np.linspace(0.5 - cut / 2, 0.5 + cut / 2, 224)
        np.testing.assert_allclose(line, expected, atol=3)
    assert (pixels[..., 2] == 7).all()


@pytest.mark.parametrize(("width", "height"), [(300, 100), (80, 200), (640, 480)])
def test_pictures_are_cut_to_any_size(tmp_path, width, height):
    """Of 56 rows and 28 columns: one scale for both sides, the middle of both, 7/8 of the one that is nearer."""
    write(tmp_path / "train/a/x.png", width, height)
    write(tmp_path / "val/a/x.png", width, height)
    data = open_data("folders", tmp_path, (56, 28, 3))
    (pixels,) = data.test().batch(np.array([0]))
    assert pixels.shape == data.input.shape == (56, 28, 3)
    scale = max(32 / width, 64 / height)
    for line, cut in ((pixels[28, :, 0], 28 / (scale * width)), (pixels[:, 14, 1], 56 / (scale * height))):
        np.testing.assert_allclose(line, 255 * np.linspace(0.5 - cut / 2, 0.5 + cut / 2, len(line)), atol=7)
    crops = data.train().batch(np.zeros(30, np.int64), np.random.default_rng(0)).astype(float)
    wide = (crops[:, 28, -1, 0] - crops[:, 28, 0, 0]) * width
    high = (crops[:, -1, 14, 1] - crops[:, 0, 14, 1]) * height
    assert 3 / 4 * 0.7 < 2 * np.median(wide / high) < 4 / 3 * 1.3


def test_a_picture_of_the_size_is_taken_as_it_is(tmp_path):
    for part in ("train", "val"):
        write(tmp_path / part / "a/x.png", 20, 30)
    data = open_data("folders", tmp_path, (30, 20, 3))
    for images, random in ((data.train(), np.random.default_rng(0)), (data.test(), None)):
        np.testing.assert_array_equal(images.batch(np.array([0]), random)[0], ramp(20, 30))
    gray = open_data("folders", tmp_path, (30, 20, 1))
    (pixels,) = gray.test().batch(np.array([0]))
    assert (gray.input.shape, gray.mean) == ((30, 20, 1), (117,))
    np.testing.assert_allclose(pixels[..., 0], ramp(20, 30) @ [0.299, 0.587, 0.114], atol=1)
    with pytest.raises(BadInput, match=r"^pictures in folders have 1 channel or 3, not 4; give others as arrays$"):
        open_data("folders", tmp_path, (30, 20, 4))


@pytest.mark.parametrize(("width", "height"), [(320, 240), (200, 500), (900, 30)])
def test_random_crops_keep_to_their_area_and_aspect(tmp_path, width, height):
    write(tmp_path / "x.png", width, height)
    files = ImageFiles((str(tmp_path / "x.png"),) * 40, np.zeros(40, np.int64))
    pixels = files.batch(np.arange(40), np.random.default_rng(1)).astype(float)
    # The ramps say which columns and rows each crop covers.
    wide = (pixels[:, 112, -1, 0] - pixels[:, 112, 0, 0]) / 255 * width
    high = (pixels[:, -1, 112, 1] - pixels[:, 0, 112, 1]) / 255 * height
    slack = 0.1 + 4 / min(width, height)
    assert (wide / high > 3 / 4 * (1 - slack)).all()
    assert (wide / high < 4 / 3 * (1 + slack)).all()
    area = wide * high / (width * height)
    if width != 900:  # nothing of 8 % fits into so thin an image: the largest centred crop is taken
        assert (area > 0.08 * (1 - 2 * slack)).all()
        assert area.std() > 0.1
        assert pixels[:, 112, 0, 0].std() > 10
    else:
        np.testing.assert_allclose(wide, 40, atol=4)
        np.testing.assert_allclose(pixels[:, 112, 112, 0], 127.5, atol=2)


def test_random_crops_are_the_generators(folder):
    train = open_data("folders", folder).train()
    order = np.array([3, 0, 1, 2, 2, 1])
    first = train.batch(order, np.random.default_rng(5))
    np.testing.assert_array_equal(first, train.batch(order, np.random.default_rng(5)))
    assert (first != train.batch(order, np.random.default_rng(6))).any()
    assert (first[3] != first[4]).any()  # the same image, twice in a batch


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "1"])
def test_other_modes_become_red_green_blue(tmp_path, mode):
    name = "x.jpg" if mode == "CMYK" else "x.png"
    write(tmp_path / name, mode=mode)
    files = ImageFiles((str(tmp_path / name),), np.zeros(1, np.int64))
    assert files.batch(np.array([0])).shape == (1, 224, 224, 3)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("c/x.jpeg", lambda data: data[: len(data) // 2]),
        ("c/x.jpeg", lambda data: b""),
        ("c/x.jpeg", lambda data: b"<html>not found</html>"),
        ("a/z.png", lambda data: data[: len(data) // 2]),
        ("a/z.png", lambda data: data[:60] + bytes(100) + data[160:]),
    ],
)
def test_an_image_that_cannot_be_decoded_is_named(folder, name, spoil):
    path = folder / "train" / name
    path.write_bytes(spoil(path.read_bytes()))
    train = open_data("folders", folder).train()
    with pytest.raises(BadInput, match=rf"{name}: this image cannot be decoded \(.+\); replace or remove it") as error:
        train.batch(np.arange(4), np.random.default_rng(0))
    assert "\n" not in str(error.value)


def test_a_class_only_of_the_held_out_images_is_refused(folder):
    write(folder / "val/d/1.png")
    with pytest.raises(BadInput, match=r"val/d: train has no class d; remove it, or add images of it to train"):
        open_data("folders", folder).test()


def test_folders_that_are_missing_or_empty_are_named(tmp_path):
    with pytest.raises(BadInput, match=r"train does not exist: put the images there, a folder a class"):
        open_data("folders", tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(BadInput, match=r"train holds no folders: put the images there, a folder a class"):
        open_data("folders", tmp_path)
    (tmp_path / "train/a").mkdir()
    with pytest.raises(BadInput, match=r"train/a holds no image: .jpg, .jpeg, .png are read; remove it, or add some"):
        open_data("folders", tmp_path).train()
    with pytest.raises(BadInput, match=r"has neither val nor test beside train: put the held-out images there"):
        open_data("folders", tmp_path).test()


@pytest.mark.parametrize(
    ("name", "shown"),
    [(b"b\xff", r"b\udcff"), (b"b\x1b[31m", r"b\x1b[31m"), ("b\u202e".encode(), r"b\u202e")],
)
def test_a_folder_whose_name_no_network_can_hold_is_named_at_once(folder, name, shown):
    os.mkdir(os.fsencode(folder / "train") + b"/" + name)
    with pytest.raises(BadInput) as error:
        open_data("folders", folder)
    held = shown[1:].removesuffix("[31m")
    assert str(error.value) == f'the folder in {folder / "train"} named "{shown}" holds {held}; remove that character'


def test_folders_of_any_script_are_classes(folder):
    write(folder / "train/猫\N{IDEOGRAPHIC SPACE}犬/1.png")
    assert "猫\N{IDEOGRAPHIC SPACE}犬" in open_data("folders", folder).classes


def test_without_pillow_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(BadInput, match=r"in bitfold's folder: pip install '\.\[train\]'"):
        open_data("folders", folder)
