"""The digits and their fixed held-out fifth, with torch nowhere near."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from bitfold.model.error import BadInput
from bitfold.model.train import data


def test_a_fifth_of_every_class_is_held_out():
    labels = np.repeat(np.arange(4), [50, 5, 23, 0])
    marked = data.hold_out(labels, parts=5, seed=3)
    np.testing.assert_array_equal(np.bincount(labels[marked], minlength=3), [10, 1, 5])
    np.testing.assert_array_equal(marked, data.hold_out(labels, parts=5, seed=3))
    assert (marked != data.hold_out(labels, parts=5, seed=4)).any()


def test_the_digits():
    pytest.importorskip("sklearn")
    digits = data.digits()
    assert (len(digits.train), len(digits.held_out)) == (1438, 359)
    assert digits.held_out.images.shape == (359, 8, 8, 1)
    both = np.concatenate([digits.train.images, digits.held_out.images])
    digits.input.check(both)
    assert round(float(digits.train.images.mean())) == digits.mean[0]
    # The published accuracy belongs to these images and no others.
    held_out = digits.held_out.images.tobytes() + digits.held_out.labels.astype("<i8").tobytes()
    assert hashlib.sha256(held_out).hexdigest()[:16] == "aef57afdfc309c55"


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(BadInput, match=r"pip install 'bitfold\[train\]'"):
        data.digits()


def test_torch_is_not_imported():
    code = (
        "import sys; sys.modules['torch'] = sys.modules['sklearn'] = None\n"
        "import bitfold.model.train.data, bitfold.model.zoo"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
