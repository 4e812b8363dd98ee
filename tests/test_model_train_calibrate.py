"""Calibration: binary points from what the activations are."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from bitfold.model.error import BadInput  # noqa: E402
from bitfold.model.train import modules  # noqa: E402
from bitfold.model.train.calibrate import calibrate, refit_stream  # noqa: E402

torch.set_num_threads(1)  # two would wait for each other beside other tests


def line(lo, hi):
    return torch.linspace(lo, hi, 1000).reshape(1, 1, 1, 1000)


@pytest.mark.parametrize("kind", [modules.ShiftedReLU, modules.ReLU, modules.ELU])
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("reach", [0.4, 1.3, 6.0, 40.0])
def test_the_binary_point_has_the_least_squared_error(kind, bits, reach):
    x = line(-2 * reach, reach)
    activation = kind()
    calibrate(activation, [x], bits)
    assert (activation.bits, activation.quantised) == (bits, True)
    target = kind()(x)
    errors = [(kind(bits, frac, True)(x) - target).double().square().sum().item() for frac in range(bits)]
    assert activation.frac == errors.index(min(errors))


def test_calibration_chooses_range_by_bits():
    activation = modules.ShiftedReLU()
    calibrate(activation, [line(-2, 6)], bits=4)
    assert activation.frac == 1
    calibrate(activation, [line(-0.5, 1.5)], bits=8)
    assert activation.frac == 6


def test_every_batch_counts():
    """The large values come last, and then first."""
    for batches in ([line(-1, 1)] * 3 + [line(-1, 30)], [line(-1, 30)] + [line(-1, 1)] * 3):
        activation, stream = modules.ShiftedReLU(), modules.Stream()
        calibrate(nn.Sequential(stream, activation), iter(batches), bits=4)
        assert (activation.frac, stream.frac) == (0, 8)
    calibrate(stream, [line(-1, 1), line(-500, 1), line(-1, 1)], bits=4)
    assert stream.frac == 5


@pytest.mark.parametrize(
    ("largest", "bits", "frac"),
    [
        (1, 16, 8),
        (63.9, 16, 8),
        (64, 16, 7),
        (100, 16, 7),
        (-500, 16, 5),
        (1023, 16, 4),
        (1024, 17, 4),
        (-2000, 17, 4),
        (2048, 18, 4),
        (262143, 24, 4),
    ],
)
def test_the_stream_keeps_room_for_twice_its_largest_value(largest, bits, frac):
    """16 bits with as many fraction bits as fit; more bits only where not even 4 do."""
    stream = modules.Stream()
    calibrate(stream, [torch.tensor([[[[float(largest), 0.5]]]])], bits=4)
    assert (stream.bits, stream.frac, stream.quantised) == (bits, frac, True)


@pytest.mark.parametrize(("value", "said"), [(-300000.0, "300000"), (262144.0, "262144"), (float("nan"), "nan")])
def test_a_stream_beyond_its_bits_is_refused(value, said):
    with pytest.raises(BadInput) as caught:
        calibrate(modules.Stream(), [torch.tensor([[[[value]]]])], bits=4)
    assert str(caught.value) == (
        f"the residual stream reaches {said}, too much for 24 bits with 4 fraction bits: "
        "train with more decay, a lower rate or a branch-shift"
    )


def test_the_sums_of_a_stream_are_seen():
    """Three doublings: no branch is above 80, the sums reach 160."""
    stream = modules.Stream()
    blocks = [modules.Residual(nn.Sequential(), nn.Sequential(), stream) for _ in range(3)]
    calibrate(nn.Sequential(*blocks), [torch.tensor([[[[20.0]]]])], bits=4)
    assert stream.frac == 6


def test_layers_see_floats_and_the_mode_stays():
    """A first calibration does not disturb a second; normalisations keep their statistics and round from now on."""
    norm = modules.Norm(1, "batch")
    network = nn.Sequential(modules.Stream(), norm, modules.ShiftedReLU())
    calibrate(network, [line(-2, 6)], 4)
    first = network[2].frac, network[0].frac
    calibrate(network, [line(-2, 6)], 4)
    assert (network[2].frac, network[0].frac) == first
    assert network.training
    assert norm.quantised
    assert norm.mean.item() == 0
    assert not any(module._forward_pre_hooks for module in network)


def test_hooks_go_even_when_a_batch_is_wrong():
    activation = modules.ShiftedReLU()
    network = nn.Sequential(modules.Conv2d(2, 2), activation)
    with pytest.raises(RuntimeError):
        calibrate(network, [torch.zeros(1, 3, 4, 4)], 4)
    assert not activation._forward_pre_hooks
    assert network.training


def test_the_stream_is_fitted_again_once_clips_bound_it():
    """The stream of 300 leaves 5 bits of fraction; behind a clip at 3 bits' codes there is room for all 8."""
    stream = modules.Stream()
    network = nn.Sequential(modules.ShiftedReLU(), stream)
    pixels = torch.linspace(-2, 300, 1000).reshape(1, 1, 1, 1000)
    calibrate(network, [pixels], bits=3)
    assert (stream.frac, stream.quantised) == (5, True)
    refit_stream(network, [pixels])
    assert (stream.bits, stream.frac, stream.quantised) == (16, 8, True)
    assert (network[0].bits, network[0].quantised) == (3, True)
