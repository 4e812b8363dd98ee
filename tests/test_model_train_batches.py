"""Batches: the same wherever an epoch is started, shared out among processes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("msgspec")

from bitfold.model.train.batches import AHEAD, Batches
from bitfold.model.train.data import Images
from bitfold.model.train.recipe import Augment


def batches(count=53, size=10, how=None, **others):
    """Image i is a picture of the number i."""
    numbers = np.arange(count)
    pixels = np.broadcast_to(numbers.astype(np.uint8)[:, None, None, None], (count, 4, 4, 1))
    values = {"seed": 3, "phase": 0} | others
    return Batches(Images(pixels, numbers), size, how or Augment(), **values)


def drawn(found, epoch=0, start=0):
    return [(batch.labels.tolist(), batch.images.tobytes()) for batch in found.epoch(epoch, start)]


def test_an_epoch_has_every_image_once_in_another_order():
    found = batches()
    one, two = ([batch.labels for batch in found.epoch(number)] for number in range(2))
    assert [len(labels) for labels in one] == [10, 10, 10, 10, 10, 3]
    assert len(found) == 6
    for labels in (one, two):
        assert sorted(np.concatenate(labels)) == list(range(53))
    assert np.concatenate(one).tolist() != np.concatenate(two).tolist()
    assert np.concatenate(one).tolist() != list(range(53))


def test_images_and_labels_belong_together():
    for batch in batches().epoch(0):
        assert batch.images.shape == (len(batch.labels), 4, 4, 1)
        assert (batch.images[:, 0, 0, 0] == batch.labels).all()
        assert batch.size == len(batch.labels)


@pytest.mark.parametrize("start", [1, 3, AHEAD + 1, 5, 6])
def test_an_epoch_can_be_started_anywhere(start):
    found = batches(how=Augment(shift=1, flip=True, cutout=2))
    assert drawn(found, 2, start) == drawn(found, 2)[start:]


def test_seed_phase_and_epoch_decide():
    how = Augment(cutout=2)
    first = drawn(batches(how=how))
    assert first == drawn(batches(how=how))
    assert first != drawn(batches(how=how, seed=4))
    assert first != drawn(batches(how=how, phase=1))
    assert first != drawn(batches(how=how), epoch=1)
    # Two batches of an epoch are not cut alike.
    black = Images(np.zeros((20, 4, 4, 1), np.uint8), np.zeros(20, np.int64))
    one, two = (batch.images for batch in Batches(black, 10, how, 3, 0).epoch(0))
    assert (one != two).any()
    # Nor are the shares of one.
    one, two = (next(Batches(black, 10, how, 3, 0, part, 2).epoch(0)).images for part in range(2))
    assert (one != two).any()


@pytest.mark.parametrize("parts", [2, 3])
def test_the_shares_of_a_batch_are_disjoint_and_complete(parts):
    whole = [batch.labels for batch in batches().epoch(1)]
    shares = [list(batches(part=part, parts=parts).epoch(1)) for part in range(parts)]
    for index, labels in enumerate(whole):
        mine = [share[index] for share in shares]
        assert sorted(np.concatenate([batch.labels for batch in mine])) == sorted(labels)
        assert {batch.size for batch in mine} == {len(labels)}
        assert max(map(len, (b.labels for b in mine))) - min(map(len, (b.labels for b in mine))) <= 1


@pytest.mark.parametrize(("count", "parts", "length"), [(50, 2, 5), (51, 2, 5), (52, 2, 6), (51, 1, 6), (7, 1, 1)])
def test_a_last_batch_too_small_to_share_is_left_away(count, parts, length):
    shares = [batches(count, part=part, parts=parts) for part in range(parts)]
    assert {len(share) for share in shares} == {length}
    for share in shares:
        found = [len(batch.labels) for batch in share.epoch(0)]
        assert len(found) == length
        assert min(found) >= 1


def test_cutout_knows_the_brightest_pixel():
    found = batches(count=16, size=16, how=Augment(cutout=4), highest=16)
    assert max(batch.images.max() for batch in found.epoch(0)) <= 16


def test_an_epoch_that_is_left_early_ends_its_thread():
    import threading

    before = threading.active_count()
    epoch = batches().epoch(0)
    next(epoch)
    assert threading.active_count() == before + 1
    epoch.close()
    assert threading.active_count() == before


def test_what_goes_wrong_in_the_background_is_raised():
    class Broken(Images):
        def batch(self, indices, random=None):
            raise OSError("no such file")

    found = Batches(Broken(np.zeros((9, 2, 2, 1), np.uint8), np.zeros(9, np.int64)), 3, Augment(), 0, 0)
    with pytest.raises(OSError, match="no such file"):
        next(found.epoch(0))
