"""Training: gradients, augmentation, calibration, and a short run of a whole recipe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from torch import nn  # noqa: E402
from typer import Typer  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from bitfold.model.error import BadInput  # noqa: E402
from bitfold.model.export import export  # noqa: E402
from bitfold.model.net import Net  # noqa: E402
from bitfold.model.tensor import Tensor  # noqa: E402
from bitfold.model.train import __main__ as main  # noqa: E402
from bitfold.model.train import data, loop, modules, recipes  # noqa: E402
from bitfold.model.train.calibrate import calibrate  # noqa: E402
from bitfold.model.train.networks import wide_resnet  # noqa: E402

torch.set_num_threads(1)  # two would wait for each other beside other tests

SHORT = replace(
    recipes.RECIPES["digits"],
    channels=4,
    float_schedule=loop.Schedule(epochs=2, rate=0.1, shift=1),
    code_schedule=loop.Schedule(epochs=1, rate=0.03, shift=1),
)


@pytest.fixture(scope="module")
def digits():
    return data.digits()


def ignore(*_):
    pass


def test_sign_and_its_gradient():
    x = torch.tensor([-2.0, -0.0, 0.0, 1e-30], requires_grad=True)
    y = modules.sign(x)
    (y * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert y.tolist() == [-1, 1, 1, 1]
    assert x.grad.tolist() == [1, 2, 3, 4]


def test_rounding_is_half_up_and_its_gradient_the_identity():
    x = torch.tensor([-0.75, -0.25, 0.25, 0.75, 0.76], requires_grad=True)
    y = modules.round_half_up(x, 1)
    y.sum().backward()
    assert y.tolist() == [-0.5, 0.0, 0.5, 1.0, 1.0]
    assert x.grad.tolist() == [1] * 5


def test_the_shifted_relu_keeps_all_codes_and_clips_the_gradient():
    x = torch.tensor([-3.0, -1.0, 0.3, 6.5, 9.0], requires_grad=True)
    y = modules.ShiftedReLU(bits=4, frac=1, quantised=True)(x)
    y.sum().backward()
    assert y.tolist() == [-1.0, -1.0, 0.5, 6.5, 6.5]
    assert x.grad.tolist() == [0, 1, 1, 1, 0]
    assert modules.ShiftedReLU()(x).tolist() == [-1.0, -1.0, x[2].item(), 6.5, 9.0]


@pytest.mark.parametrize(("fan_in", "scale"), [(2, 0), (9, 1), (16, 2), (64, 2), (65, 3), (144, 3), (576, 4)])
def test_the_scale_is_the_nearest_power_of_two(fan_in, scale):
    assert modules.BinaryConv2d(fan_in, 1, kernel=1).scale == scale
    # Nearest by ratio, so within sqrt(2) either way; the square is exact.
    assert 0.5 <= 4.0**-scale * fan_in / 2 <= 2


def test_images_move_and_ink_stays():
    images = torch.zeros(200, 2, 6, 5)
    images[:, 0, 2, 2] = 7
    images[:, 1, 3, 1] = 9
    moved = loop.shifted(images, 1, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    places = {tuple(place) for place in moved[:, 0].nonzero()[:, 1:].tolist()}
    assert places == {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}
    assert (moved[:, 0].amax((1, 2)) == 7).all()
    # Both channels move together.
    torch.testing.assert_close(moved[:, 0, 1:4, 1:4] / 7, moved[:, 1, 2:5, 0:3] / 9)


def test_calibration_chooses_range_by_bits():
    activation = modules.ShiftedReLU()
    x = torch.linspace(-2, 6, 1000).reshape(1, 1, 1, 1000)
    calibrate(activation, x, bits=4)
    assert (activation.bits, activation.frac, activation.quantised) == (4, 1, True)
    calibrate(activation, x / 4, bits=8)
    assert activation.frac == 6


def test_calibration_leaves_the_stream_room():
    stream = modules.Stream()
    calibrate(stream, torch.tensor([[[[100.0]]]]), bits=4)
    assert stream.frac == 7
    with pytest.raises(BadInput, match="the residual stream reaches 2000, too much for 16 bits"):
        calibrate(modules.Stream(), torch.tensor([[[[-2000.0]]]]), bits=4)


def test_calibration_sees_the_sums_of_a_stream():
    """Three doublings: no branch is above 80, the sums reach 160."""
    stream = modules.Stream()
    blocks = [modules.Residual(nn.Sequential(), nn.Sequential(), stream) for _ in range(3)]
    calibrate(nn.Sequential(*blocks), torch.tensor([[[[20.0]]]]), bits=4)
    assert stream.frac == 6


def test_the_depth_must_fit_the_blocks():
    with pytest.raises(BadInput, match=r"the depth of a wide residual network is 6k \+ 2"):
        wide_resnet(Tensor(8, 8, 1, 0, 16), (5,), 10, depth=9, channels=4, temperature=1)


def test_divergence_is_said(digits):
    recipe = replace(SHORT, float_schedule=loop.Schedule(epochs=1, rate=1e30))
    with pytest.raises(BadInput, match="the training diverged in epoch 1"):
        recipes.train(recipe, digits, 0, ignore)


def test_a_seed_decides_everything_and_the_integers_are_the_network(digits):
    reports = []
    nets = []
    for seed in (5, 5, 6):
        network = recipes.train(SHORT, digits, seed, lambda name, epoch: reports.append((name, epoch.number)))
        nets.append(export(network, digits.input, digits.classes, digits.preprocessing))
        with torch.no_grad():
            logits = network(recipes.to_torch(digits.held_out.images)).permute(0, 2, 3, 1)
        expected = (logits.double() * 2.0 ** nets[-1].output.frac).numpy()
        np.testing.assert_array_equal(nets[-1](digits.held_out.images), expected)
    assert reports[:3] == [("float", 1), ("float", 2), ("codes", 1)]
    assert nets[0].digest() == nets[1].digest() != nets[2].digest()


def command(*arguments):
    app = Typer()
    app.command()(main.command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_trains_and_saves(monkeypatch, tmp_path):
    monkeypatch.setitem(recipes.RECIPES, "digits", SHORT)
    file = tmp_path / "net.bitfold"
    result = command("digits", "-o", file)
    assert result.exit_code == 0, result.output
    assert f"{file}: 4804 weights, {file.stat().st_size} bytes, " in result.stdout
    assert Net.load(file).classes == tuple("0123456789")


@pytest.mark.parametrize(
    ("recipe", "folder", "message"),
    [
        ("didgits", ".", "bitfold: there is no recipe 'didgits'; there is digits\n"),
        ("digits", "nowhere", "/nowhere does not exist; create it or choose another place\n"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, recipe, folder, message):
    result = command(recipe, "-o", tmp_path / folder / "net.bitfold")
    assert result.exit_code == 2
    assert result.stderr.endswith(message)
    assert result.stderr.count("\n") == 1
