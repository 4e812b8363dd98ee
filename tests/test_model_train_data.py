"""The data sets by name, the digits and their fixed held-out fifth, with torch nowhere near."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from bitfold.model.error import BadInput
from bitfold.model.train.data import DATA, Images, hold_out, open_data


def test_a_fifth_of_every_class_is_held_out():
    labels = np.repeat(np.arange(4), [50, 5, 23, 0])
    marked = hold_out(labels, parts=5, seed=3)
    np.testing.assert_array_equal(np.bincount(labels[marked], minlength=3), [10, 1, 5])
    np.testing.assert_array_equal(marked, hold_out(labels, parts=5, seed=3))
    assert (marked != hold_out(labels, parts=5, seed=4)).any()


def test_the_digits():
    pytest.importorskip("sklearn")
    digits = open_data("digits", None)
    train, test = digits.train(), digits.test()
    assert isinstance(train, Images)
    assert isinstance(test, Images)
    assert (len(train), len(test)) == (1438, 359)
    assert test.images.shape == (359, 8, 8, 1)
    digits.input.check(np.concatenate([train.images, test.images]))
    assert round(float(train.images.mean())) == digits.mean[0]
    # The published accuracy belongs to these images and no others.
    held_out = test.images.tobytes() + test.labels.astype("<i8").tobytes()
    assert hashlib.sha256(held_out).hexdigest()[:16] == "aef57afdfc309c55"


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(BadInput, match=r"in bitfold's folder: pip install '\.\[sim\]'$"):
        open_data("digits", None).train()


def test_images_are_taken_and_batched():
    everything = Images(np.arange(10, dtype=np.uint8).reshape(5, 2, 1, 1), np.arange(5) * 10)
    part = everything.take(np.array([4, 1, 2]))
    assert len(part) == 3
    np.testing.assert_array_equal(part.labels, [40, 10, 20])
    batch = part.batch(np.array([2, 0]), np.random.default_rng(0))
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch.ravel(), [4, 5, 8, 9])


def test_an_unknown_name_lists_the_names(tmp_path):
    with pytest.raises(
        BadInput, match=rf"^no data set is called 'mnits'; did you mean mnist\? there are {', '.join(DATA)}$"
    ):
        open_data("mnits", tmp_path)


@pytest.mark.parametrize("name", DATA[1:])
def test_a_folder_is_needed_and_must_exist(name, tmp_path):
    with pytest.raises(BadInput, match=f"^{name} is read from a folder: name it with --data DIR$"):
        open_data(name, None)
    with pytest.raises(BadInput, match=r"nowhere does not exist: make it, or name another$"):
        open_data(name, tmp_path / "nowhere")


@pytest.mark.parametrize("name", [name for name in DATA if name not in ("arrays", "folders")])
def test_what_a_network_needs_to_know_is_there_before_an_image_is_read(name, tmp_path):
    data = open_data(name, tmp_path)
    assert data.name == name
    assert len(data.mean) == data.input.channels
    assert len(set(data.classes)) == len(data.classes) == (100 if name == "cifar100" else 10)
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_numpy_is_imported():
    code = (
        "import sys\n"
        "for name in ('torch', 'sklearn', 'scipy', 'PIL', 'pooch'): sys.modules[name] = None\n"
        "import bitfold.model.train.data, bitfold.model.zoo"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
