"""Training images: moved with their edge repeated, mirrored, cut out; each by its own draw."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("msgspec")

from bitfold.model.train.augment import augment, draw  # noqa: E402
from bitfold.model.train.recipe import Augment  # noqa: E402


def augmented(images, seed=0, highest=255, mirrored=None, chosen=None, **how):
    """The images, or the chosen ones, each changed by its own draw."""
    how = Augment(**how)
    chosen = torch.arange(len(images)) if chosen is None else torch.as_tensor(chosen)
    draws = draw(how, *images.shape[1:3], mirrored, np.random.default_rng(seed), len(chosen))
    noise = torch.Generator().manual_seed(seed)
    return augment(torch.from_numpy(np.array(images)), chosen, how, draws, noise, highest).numpy()


def noise(n=300, height=6, width=5, channels=2):
    return np.random.default_rng(9).integers(0, 256, (n, height, width, channels), np.uint8)


def one(n=400, height=6, width=5):
    """The same image n times, every pixel another."""
    return np.broadcast_to(
        np.arange(height * width * 2, dtype=np.uint8).reshape(1, height, width, 2), (n, height, width, 2)
    )


def variants(images):
    return {image.tobytes() for image in images}


def test_without_augmentation_the_images_stay():
    images = noise()
    np.testing.assert_array_equal(augmented(images), images)


def test_a_shift_repeats_the_edge():
    image = one(1)[0]
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), "edge")
    expected = {padded[top : top + 6, left : left + 5].tobytes() for top in range(5) for left in range(5)}
    assert len(expected) == 25
    assert variants(augmented(one(), shift=2)) == expected


def test_those_that_are_drawn_are_mirrored():
    images = noise(50)
    mirrored = np.random.default_rng(2).random(50) < 0.5
    expected = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    np.testing.assert_array_equal(augmented(images, mirrored=mirrored), expected)


@pytest.mark.parametrize("how", [{}, {"shift": 1}, {"cutout": 2}])
def test_each_draw_is_of_the_image_that_was_chosen_for_it(how):
    images = noise(20)
    chosen = np.array([7, 3, 7, 19, 0])
    np.testing.assert_array_equal(augmented(images, chosen=chosen, **how), augmented(images[chosen], **how))


def test_what_is_seen_lies_further_down_and_to_the_right_in_the_mirrored_image():
    images, how = noise(60), Augment(shift=2)
    mirrored = np.arange(60) % 2 == 0
    draws = draw(how, 6, 5, mirrored, np.random.default_rng(4), 60)
    found = augment(torch.from_numpy(images), torch.arange(60), how, draws, torch.Generator()).numpy()
    assert set(draws.moved.flatten().tolist()) == set(range(-2, 3))
    for image, changed, flip, (down, right) in zip(images, found, mirrored, draws.moved.T.tolist(), strict=True):
        source = image[:, ::-1] if flip else image
        for y in range(6):
            for x in range(5):
                expected = source[min(max(y + down, 0), 5), min(max(x + right, 0), 4)]
                np.testing.assert_array_equal(changed[y, x], expected)


@pytest.mark.parametrize("side", [1, 3, 4])
def test_a_square_of_noise_is_cut_out(side):
    """Its centre is anywhere, so that it may hang over an edge; both channels get noise of their own."""
    images = np.zeros((2000, 9, 8, 2), np.uint8)
    cut = augmented(images, cutout=side)
    changed = (cut != 0).any(-1)
    rows, columns = changed.any(2), changed.any(1)
    heights = rows.shape[1] - rows[:, ::-1].argmax(1) - rows.argmax(1)
    widths = columns.shape[1] - columns[:, ::-1].argmax(1) - columns.argmax(1)
    hit = changed.any((1, 2))
    assert heights[hit].max() == widths[hit].max() == side
    assert changed.any(0).all()  # every pixel, the corners too
    inside = cut[:, 4:5, 4:5][changed[:, 4:5, 4:5]].ravel()
    assert len(np.unique(inside)) > 60 if side > 1 else inside.max() > 128
    assert (cut[..., 0] != cut[..., 1]).any()
    sizes = changed.sum((1, 2))
    assert sizes.max() == side**2
    if side > 2:  # over every edge
        for lines, extent in ((rows, heights), (columns, widths)):
            for edge in (0, -1):
                assert extent[hit & lines[:, edge]].min() < side


def test_noise_is_no_brighter_than_a_pixel_may_be():
    cut = augmented(np.zeros((500, 8, 8, 1), np.uint8), cutout=4, highest=16)
    assert cut.max() == 16


def test_the_rest_of_a_cut_image_stays():
    images = noise(200, 9, 8)
    cut = augmented(images, cutout=3)
    kept = (cut == images).all(-1)
    assert (kept.sum((1, 2)) >= 9 * 8 - 9).all()
    assert not kept.all((1, 2)).all()


def test_every_image_has_its_own_draw_and_the_seed_decides():
    how = {"shift": 2, "cutout": 3}
    first = augmented(one(), **how)
    assert len(variants(first)) > 390
    np.testing.assert_array_equal(first, augmented(one(), **how))
    assert (first != augmented(one(), seed=1, **how)).any()
    assert first.dtype == np.uint8
    assert first.shape == one().shape
