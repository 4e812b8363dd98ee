"""The exported Net computes exactly what torch emulates: whole networks, and every module by itself."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from bitfold.model.error import BadInput  # noqa: E402
from bitfold.model.export import export  # noqa: E402
from bitfold.model.layers import trace  # noqa: E402
from bitfold.model.networks import weight_scale  # noqa: E402
from bitfold.model.tensor import Tensor  # noqa: E402
from bitfold.model.train import modules  # noqa: E402
from bitfold.model.train.networks import wide_resnet  # noqa: E402

torch.set_num_threads(1)  # two would wait for each other beside other tests

# height, width, input channels, depth, channels, activation bits, stream bits
NETWORKS = [
    (8, 8, 1, 8, 4, 4, 16),
    (7, 5, 3, 8, 3, 4, 16),
    (9, 6, 2, 14, 2, 2, 16),
    (5, 11, 1, 8, 5, 8, 16),
    (3, 1, 1, 8, 2, 3, 16),
    (8, 8, 2, 8, 16, 5, 9),
    (13, 10, 3, 14, 8, 6, 10),
]


def random_network(seed: int, shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    """A quantised network of random weights, a tenth of them 0 or -0, and random binary points."""
    height, width, c_in, depth, channels, bits, stream_bits = shape
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    t = Tensor(height, width, c_in, lo=0, hi=255, frac=6)
    mean = tuple(int(m) for m in rng.integers(90, 160, c_in))
    network = wide_resnet(t, mean, 10, depth, channels, temperature=float(rng.choice([0.5, 3, 40])))
    for module in network.modules():
        if isinstance(module, modules.BinaryConv2d):
            with torch.no_grad():
                zero = torch.rand(module.weight.shape)
                module.weight[zero < 0.05] = 0.0
                module.weight[zero > 0.95] = -0.0
        elif isinstance(module, modules.ShiftedReLU):
            module.bits, module.frac, module.quantised = bits, int(rng.integers(bits)), True
        elif isinstance(module, modules.Stream):
            module.bits, module.frac, module.quantised = stream_bits, int(rng.integers(3, 6)), True
    return network.eval(), t


def random_values(t: Tensor, n: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    values = rng.integers(t.lo, t.hi, (n, *t.shape), endpoint=True).astype(t.dtype)
    values[0], values[1] = t.lo, t.hi
    return values


def integers(module: nn.Module, q: np.ndarray, frac_in: int, frac_out: int) -> np.ndarray:
    """The module's outputs on integers [N, H, W, C], as integers; fails when they are none."""
    real = torch.from_numpy(q.astype(np.float32)).permute(0, 3, 1, 2) * 2.0**-frac_in
    with torch.no_grad():
        out = module(real).double() * 2.0**frac_out
    assert torch.equal(out, out.round())
    return out.permute(0, 2, 3, 1).long().numpy()


def assert_same(module: nn.Module, q: np.ndarray, t: Tensor) -> np.ndarray:
    """Module and export agree on q, part by part and as a whole; the exported integers."""
    net = export(module, t)
    match module:
        case nn.Sequential():
            inner, inner_t = q, t
            for child in module:
                inner = assert_same(child, inner, inner_t)
                inner_t = export(child, inner_t).output
        case modules.Residual():
            assert_same(module.body, q, t)
            assert_same(module.skip, q, t)
    # The network and its first layer take pixels as they are, which no binary point has moved.
    takes_pixels = any(isinstance(m, modules.Input) for m in module.modules())
    got = net(q)
    np.testing.assert_array_equal(got, integers(module, q, 0 if takes_pixels else t.frac, net.output.frac))
    return got


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("shape", NETWORKS, ids=lambda shape: "-".join(map(str, shape)))
def test_every_module_and_the_whole_agree(shape, seed):
    network, t = random_network(seed, shape)
    assert_same(network, random_values(t, 40), t)


def test_saturation_is_reached():
    """The narrow streams above do saturate, so that the clips of both sides are compared."""
    network, t = random_network(0, NETWORKS[-1])
    stream = next(m for m in network.modules() if isinstance(m, modules.Stream))
    values = random_values(t, 40)
    sums = [out for path, _, out in trace(export(network, t).body, values) if path.count(".") == 0]
    assert any((out == stream.hi).any() and (out == stream.lo).any() for out in sums)


def half_to_even(x, frac):
    return (x * 2.0**frac).round() * 2.0**-frac


def half_down(x, frac):
    return (x * 2.0**frac - 0.5).ceil() * 2.0**-frac


def zero_is_minus_one(x):
    return torch.where(x > 0, 1.0, -1.0)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("round_half_up", half_to_even),
        ("round_half_up", half_down),
        ("sign", zero_is_minus_one),
        ("sign", torch.sign),
    ],
)
def test_a_wrong_rounding_or_sign_is_seen(monkeypatch, name, wrong):
    """The comparison above can fail: each classic mistake makes it."""
    network, t = random_network(0, NETWORKS[0])
    monkeypatch.setattr(modules, name, wrong)
    with pytest.raises(AssertionError):
        assert_same(network, random_values(t, 40), t)


def test_the_logits_carry_scale_mean_and_temperature():
    """2^-frac of the logits holds the last weights' scale, 1 / (H * W) and 1 / temperature."""
    t = Tensor(8, 8, 1, 0, 16, frac=3)
    network, _ = random_network(0, NETWORKS[0])
    plain = wide_resnet(t, (5,), 10, 8, 4, temperature=1)[-1].scale
    assert plain == weight_scale(16) + 2
    assert wide_resnet(t, (5,), 10, 8, 4, temperature=40)[-1].scale == plain + 5
    assert network[-1].scale == export(network[-1], Tensor(1, 1, 16, -100, 100)).output.frac


def test_padding_of_a_halving_convolution_is_used_up():
    """No padded row is left over at the end of an even map, where hardware would have to skip it."""
    network = wide_resnet(Tensor(8, 7, 1, 0, 16), (5,), 10, 8, 2, temperature=1)
    assert network[4].body[1].padding == (1, 0, 1, 1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda n: setattr(n[2], "quantised", False), "module 2 .Stream. is still floating point: calibrate"),
        (
            lambda n: setattr(n[3].body[2], "quantised", False),
            r"module 3.body.2 .ShiftedReLU. is still floating point",
        ),
        (
            lambda n: n[4].body[1].weight.data.fill_(float("nan")),
            r"module 4.body.1 .BinaryConv2d. has weights that are not numbers",
        ),
        (lambda n: n.append(nn.ReLU()), r"module 9 .ReLU. has no integer form"),
    ],
)
def test_what_has_no_integers_is_refused_by_name(spoil, message):
    network, t = random_network(0, NETWORKS[0])
    spoil(network)
    with pytest.raises(BadInput, match=message):
        export(network, t)
