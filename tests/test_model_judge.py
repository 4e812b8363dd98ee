"""Judging: every class, confusion and summed logit against plain loops over the reference; what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from bitfold.model import judge as judging
from bitfold.model.error import BadInput
from bitfold.model.judge import agreement, judge
from bitfold.model.layers import BinaryConv, Chain, Requantise
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

CLASSES = 4
N = 23


def small_net(seed, scale=0, classes=CLASSES, side=3):
    """One convolution from 3x3 pixels to logits, with `scale` fraction bits."""
    weights = np.random.default_rng(seed).random((classes, 3, 3, 1)) < 0.5
    return Net(Tensor(side, side, 1, 0, 15), Chain((BinaryConv(weights, scale=scale),)))


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 16, (N, 3, 3, 1), np.uint8)


@pytest.fixture
def labels():
    return np.random.default_rng(2).integers(0, CLASSES, N)


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch):
    monkeypatch.setattr(judging, "BLOCK", 5)


def test_every_image_is_counted_once(images, labels):
    nets = [small_net(3), small_net(4)]
    verdict = judge(nets, images, labels)
    for net, classes, confusion, right in zip(nets, verdict.classes, verdict.confusion, verdict.right, strict=True):
        expected = np.zeros((CLASSES, CLASSES), np.int64)
        for image, label in zip(images, labels, strict=True):
            expected[label, int(np.argmax(net(image[None])))] += 1
        np.testing.assert_array_equal(confusion, expected)
        np.testing.assert_array_equal(classes, net.classify(images))
        assert right == np.trace(expected)
        assert 0 < right < N  # else these networks and labels tell nothing
    assert (verdict.confusion[0] != verdict.confusion[1]).any()


def test_the_ensemble_sums_logits_at_one_binary_point(images, labels):
    # Two coarse networks against two whose units are 1/8 as large: only in one unit do all count alike.
    scales = (0, 0, 3, 3)
    nets = [small_net(seed, scale) for seed, scale in enumerate(scales)]
    verdict = judge(nets, images, labels)
    values = sum(net(images).astype(float) / 2**scale for net, scale in zip(nets, scales, strict=True))
    np.testing.assert_array_equal(verdict.ensemble, np.argmax(values[:, 0, 0], axis=1))
    assert verdict.ensemble_right == (verdict.ensemble == labels).sum()
    unshifted = np.argmax(sum(net(images) for net in nets)[:, 0, 0], axis=1)
    assert (verdict.ensemble != unshifted).any()
    assert all((verdict.ensemble != classes).any() for classes in verdict.classes)


def test_the_ensemble_does_not_overflow_the_logits_own_dtype(images, labels):
    # Logits of 8 bits: those of the first, 8 times the second's unit, reach 800 in it.
    weights = np.ones((CLASSES, 3, 3, 1), np.bool_)
    weights[1:] = False
    nets = [
        Net(Tensor(3, 3, 1, 0, 15), Chain((BinaryConv(each, scale=scale), Requantise(0, -100, 100))))
        for each, scale in [(weights, 0), (~weights, 3)]
    ]
    images[:] = 15
    assert nets[0](images).dtype == np.int8
    np.testing.assert_array_equal(judge(nets, images, labels).ensemble, 0)


def test_ties_go_to_the_lowest_class(images, labels):
    weights = np.ones((CLASSES, 3, 3, 1), np.bool_)
    tied = Net(Tensor(3, 3, 1, 0, 15), Chain((BinaryConv(weights),)))
    verdict = judge([tied, tied], images, labels)
    assert not verdict.classes.any()
    assert not verdict.ensemble.any()


def test_one_network_is_its_own_ensemble(images, labels):
    verdict = judge([small_net(3)], images, labels)
    np.testing.assert_array_equal(verdict.ensemble, verdict.classes[0])


def test_agreement():
    assert agreement(np.array([0, 1, 2, 3]), np.array([0, 1, 2, 0])) == 0.75


def test_images_may_come_from_a_function_a_block_at_a_time(images, labels):
    asked = []

    def read(indices):
        asked.extend(indices.tolist())
        assert len(indices) <= 5
        return images[indices]

    told = []
    verdict = judge([small_net(3)], read, labels, lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(verdict.classes, judge([small_net(3)], images, labels).classes)
    assert sorted(asked) == list(range(N))  # by several threads at once
    assert told == [(5, N), (10, N), (15, N), (20, N), (N, N)]


def test_what_does_not_fit_is_refused(images, labels):
    net = small_net(0)
    for nets, pixels, truth, says in [
        ([], images, labels, "no network"),
        ([net], images, labels[:-1], "22 labels for 23 images"),
        ([net], images, labels + 1, r"span \[1, 4\]; the networks have 4 classes"),
        ([net], images, labels - 1, r"span \[-1, 2\]"),
        ([net], images[:0], labels[:0], "the labels are none"),
        ([net], images[:, :2], labels, r"expected \[N, 3, 3, 1\]"),
        ([net], images + np.uint8(1), labels, r"expected \[0, 15\]"),
        ([net, small_net(0, classes=5)], images, labels, "4, 5 classes"),
        ([net, small_net(0, side=4)], images, labels, "a map of 2x2"),
        ([net, small_net(0, scale=60)], images, labels, "64 bits"),
    ]:
        with pytest.raises(BadInput, match=says):
            judge(nets, pixels, truth)
