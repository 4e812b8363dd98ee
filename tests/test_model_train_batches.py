"""Batches: the same wherever an epoch is started, shared out among processes."""

from __future__ import annotations

import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("msgspec")

from bitfold.model.train.batches import AHEAD, Batches, Pool  # noqa: E402
from bitfold.model.train.data import Images  # noqa: E402
from bitfold.model.train.recipe import Augment  # noqa: E402

CPU = torch.device("cpu")


def pool(pixels, labels):
    return Pool(Images(pixels, labels), CPU)


def batches(count=53, size=10, how=None, **others):
    """Image i is a picture of the number i."""
    numbers = np.arange(count)
    pixels = np.broadcast_to(numbers.astype(np.uint8)[:, None, None, None], (count, 4, 4, 1))
    values = {"seed": 3, "phase": 0} | others
    return Batches(pool(pixels, numbers), size, how or Augment(), **values)


def drawn(found, epoch=0, start=0):
    return [(batch.labels.tolist(), batch.images.numpy().tobytes()) for batch in found.epoch(epoch, start)]


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
    found = batches(how=Augment(shift=1, flip="random", cutout=2))
    assert drawn(found, 2, start) == drawn(found, 2)[start:]


def test_seed_phase_and_epoch_decide():
    how = Augment(cutout=2)
    first = drawn(batches(how=how))
    assert first == drawn(batches(how=how))
    assert first != drawn(batches(how=how, seed=4))
    assert first != drawn(batches(how=how, phase=1))
    assert first != drawn(batches(how=how), epoch=1)
    # Two batches of an epoch are not cut alike.
    black = pool(np.zeros((20, 4, 4, 1), np.uint8), np.zeros(20, np.int64))
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


def test_an_image_is_mirrored_in_every_second_epoch():
    """Which half is first is drawn once, by seed and phase."""

    def mirrored(epoch, **others):
        edge = np.zeros((40, 2, 3, 1), np.uint8)
        edge[:, :, 0] = 1
        found = Batches(pool(edge, np.arange(40)), 7, Augment(flip="alternating"), **{"seed": 3, "phase": 0} | others)
        seen = np.zeros(40, bool)
        for batch in found.epoch(epoch):
            assert (batch.images.sum((1, 2, 3)) == 2).all()
            seen[batch.labels] = batch.images[:, 0, 2, 0] == 1
        return seen

    first = mirrored(0)
    assert 10 < first.sum() < 30
    for epoch in range(1, 4):
        np.testing.assert_array_equal(mirrored(epoch), first ^ bool(epoch % 2))
    assert (mirrored(0, seed=4) != first).any()
    assert (mirrored(0, phase=1) != first).any()


def test_half_of_the_images_are_mirrored_in_an_epoch_at_random():
    edge = np.zeros((1000, 1, 2, 1), np.uint8)
    edge[:, :, 0] = 1
    found = Batches(pool(edge, np.arange(1000)), 1000, Augment(flip="random"), 0, 0)
    one, two = (
        batch.images[:, 0, 1, 0][batch.labels.argsort()].numpy() for epoch in (0, 1) for batch in found.epoch(epoch)
    )
    for seen in (one, two, one ^ two):
        assert 400 < seen.sum() < 600


def test_read_only_images_are_taken_without_a_word():
    pixels = np.zeros((3, 2, 2, 1), np.uint8)
    pixels.flags.writeable = False
    assert pool(pixels, np.arange(3)).batch(np.array([2])).shape == (1, 2, 2, 1)


class Files:
    """What stays on disk: image i is a picture of the number i; `drawn` collects what each batch was drawn by."""

    def __init__(self, count=30):
        self.labels = np.arange(count)
        self.drawn = []
        self.size = (120, 110, 3)

    def __len__(self):
        return len(self.labels)

    def batch(self, indices, random=None):
        if random is not None:
            self.drawn.append(random.integers(1 << 60))
        return np.broadcast_to(indices.astype(np.uint8)[:, None, None, None], (len(indices), *self.size)).copy()


def test_images_in_files_are_read_ahead_and_drawn_by_their_batch():
    files = Files()
    found = Batches(Pool(files, CPU), 4, Augment(shift=1, cutout=3), 3, 0)
    whole = drawn(found)
    assert len(whole) == len(set(files.drawn)) == 8
    for batch in found.epoch(0):
        assert (batch.images[:, 100, 100, 0] == batch.labels).float().mean() > 0.9
    files.drawn.clear()
    epoch = found.epoch(0)
    next(epoch)
    epoch.close()
    assert len(files.drawn) <= 2 + AHEAD
    assert drawn(found, 0, 5) == whole[5:]
    first, second = (next(Batches(Pool(files, CPU), 4, Augment(), 3, 0, part, 2).epoch(0)) for part in range(2))
    assert [whole[0][0][0], whole[0][0][2]] == first.labels.tolist()
    assert (first.images[:, 0, 0, 0] == first.labels).all()
    assert not set(first.labels.tolist()) & set(second.labels.tolist())


def test_an_epoch_that_is_left_early_ends_its_thread():
    before = threading.active_count()
    epoch = Batches(Pool(Files(), CPU), 4, Augment(), 3, 0).epoch(0)
    next(epoch)
    assert threading.active_count() == before + 1
    epoch.close()
    assert threading.active_count() == before


def test_what_goes_wrong_in_the_background_is_raised():
    class Broken(Files):
        def batch(self, indices, random=None):
            raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        next(Batches(Pool(Broken(), CPU), 3, Augment(), 0, 0).epoch(0))
