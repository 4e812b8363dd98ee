"""Picture files as images of a network."""

import numpy as np
import pytest

from bitfold.model.error import BadInput
from bitfold.model.layers import Chain, GlobalSum
from bitfold.model.net import Net
from bitfold.model.picture import picture
from bitfold.model.tensor import Tensor

Image = pytest.importorskip("PIL.Image")


def net(height, width, channels, hi, preprocessing="", lo=0):
    return Net(Tensor(height, width, channels, lo, hi, 2), Chain((GlobalSum(),)), (), preprocessing)


def saved(tmp_path, pixels, name="x.png"):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(tmp_path / name)
    return tmp_path / name


def test_a_picture_of_the_right_size_is_itself(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3))
    np.testing.assert_array_equal(picture(saved(tmp_path, pixels), net(5, 7, 3, 255)), pixels)
    grey = pixels[..., 0]
    np.testing.assert_array_equal(picture(saved(tmp_path, grey), net(5, 7, 1, 255)), grey[..., None])
    np.testing.assert_array_equal(
        picture(saved(tmp_path, np.repeat(grey[..., None], 3, -1)), net(5, 7, 1, 255)), grey[..., None]
    )


def test_the_range_is_the_inputs(tmp_path):
    found = picture(saved(tmp_path, [[0, 7, 8, 255]]), net(1, 4, 1, 16))
    np.testing.assert_array_equal(found.ravel(), [0, 0, 1, 16])


def test_dark_on_light_is_inverted_where_zero_is_paper(tmp_path):
    pixels = np.full((4, 4), 250)
    pixels[1, 1] = 10
    file = saved(tmp_path, pixels)
    assert picture(file, net(4, 4, 1, 255, "0 (paper) to 255 (ink)"))[1, 1, 0] == 245
    assert picture(file, net(4, 4, 1, 255, "0 (background) to 255"))[0, 0, 0] == 5
    assert picture(file, net(4, 4, 1, 255))[1, 1, 0] == 10
    light = saved(tmp_path, 255 - pixels)
    assert picture(light, net(4, 4, 1, 255, "0 (paper) to 255 (ink)"))[1, 1, 0] == 245


def test_the_middle_is_cut_out_after_the_shorter_side_is_resized(tmp_path):
    pixels = np.zeros((8, 24))
    pixels[:, 8:16] = 200
    file = saved(tmp_path, pixels)
    assert (picture(file, net(8, 8, 1, 255)) == 200).all()
    assert (picture(file, net(4, 4, 1, 255, "shorter side resized to 8 pixels"))[:, :, 0] == 200).all()
    assert picture(file, net(16, 16, 1, 255))[0, 8, 0] == 200


@pytest.mark.parametrize(
    ("content", "network", "words"),
    [
        (b"no picture", net(4, 4, 1, 255), "{file}: no picture that Pillow reads"),
        (
            None,
            net(4, 4, 2, 255),
            "{file} is a picture, and the network takes 2 channels from 0 to 255; "
            "give a .npy file of integers [N, height, width, channels]",
        ),
        (
            None,
            net(4, 4, 1, 7, lo=-8),
            "{file} is a picture, and the network takes 1 channels from -8 to 7; "
            "give a .npy file of integers [N, height, width, channels]",
        ),
    ],
)
def test_bad_input(tmp_path, content, network, words):
    file = saved(tmp_path, np.zeros((4, 4)))
    if content:
        file.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        picture(file, network)
    assert str(caught.value) == words.format(file=file)


def test_no_file(tmp_path):
    with pytest.raises(BadInput, match=r"^\S+/none.png: No such file or directory$"):
        picture(tmp_path / "none.png", net(4, 4, 1, 255))
