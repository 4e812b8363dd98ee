"""The exported Net computes exactly what torch emulates: whole networks, and every module by itself."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("msgspec")

from torch import nn  # noqa: E402

import bitfold.nn  # noqa: E402
from bitfold.model.error import BadInput  # noqa: E402
from bitfold.model.export import NoIntegerForm, export, fine, rehearsed  # noqa: E402
from bitfold.model.layers import Chain, MaxPool, Scale, SumPool, Table, trace, walk  # noqa: E402
from bitfold.model.tensor import Tensor  # noqa: E402
from bitfold.model.train import modules  # noqa: E402
from bitfold.model.train.calibrate import calibrate  # noqa: E402
from bitfold.model.train.networks import build  # noqa: E402
from bitfold.model.train.recipe import Network  # noqa: E402

torch.set_num_threads(1)  # two would wait for each other beside other tests

DEPTHS = {"wide": 8, "plain": 4, "resnet18": 18}
NORMS = ["none", "batch", "batch-plain", "mean"]


def random_network(
    seed: int = 0, size: tuple[int, int, int] = (8, 8, 1), bits: int = 4, stream_bits: int = 16, **form: object
) -> tuple[nn.Sequential, Tensor]:
    """A quantised network of random weights, a tenth of them 0 or -0, random binary points and statistics."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    height, width, c_in = size
    t = Tensor(height, width, c_in, lo=0, hi=255, frac=6)
    mean = tuple(int(m) for m in rng.integers(90, 160, c_in))
    form = {"form": "wide", "channels": 3, "temperature": float(rng.choice([0.5, 3, 40]))} | form
    network = build(Network(**{"depth": DEPTHS.get(str(form["form"]))} | form), t, mean, 10)
    for module in network.modules():
        if isinstance(module, modules.Conv2d):
            with torch.no_grad():
                zero = torch.rand(module.weight.shape)
                module.weight[zero < 0.05] = 0.0
                module.weight[zero > 0.95] = -0.0
        elif isinstance(module, modules.Stream):
            module.bits, module.frac, module.quantised = stream_bits, int(rng.integers(3, 6)), True
        elif isinstance(module, modules.Codes):
            module.bits, module.frac, module.quantised = bits, int(rng.integers(bits)), True
        elif isinstance(module, modules.Norm):
            randomise(module)
    return network.eval(), t


def randomise(norm: modules.Norm) -> None:
    """Statistics and gamma anywhere: of either sign, and the first channel's gamma 0."""
    channels = len(norm.mean)
    norm.quantised = True
    norm.mean = torch.randn(channels) * 3
    norm.variance = torch.rand(channels) * 10 + 0.01
    if norm.gamma is not None and norm.beta is not None:
        norm.gamma.data, norm.beta.data = torch.randn(channels) * 2, torch.randn(channels)
        norm.gamma.data[0] = 0


def random_values(t: Tensor, n: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    values = rng.integers(t.lo, t.hi, (n, *t.shape), endpoint=True).astype(t.dtype)
    values[0], values[1] = t.lo, t.hi
    return values


def integers(module: nn.Module, q: np.ndarray, frac_in: int, frac_out: int, dtype: torch.dtype) -> np.ndarray:
    """The module's outputs on integers [N, H, W, C], as integers; fails when they are none."""
    real = torch.from_numpy(q.astype(np.float64)).to(dtype).permute(0, 3, 1, 2) * 2.0**-frac_in
    with torch.no_grad():
        out = module.to(dtype)(real).double() * 2.0**frac_out
    module.float()
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
    frac = 0 if takes_pixels else t.frac
    np.testing.assert_array_equal(got, integers(module, q, frac, net.output.frac, torch.float64))
    scales: list[object] = []
    walk(net.body, t, lambda path, layer, t: scales.append(layer) if isinstance(layer, Scale) else None)
    if not scales and not any(isinstance(m, modules.Norm) for m in module.modules()):
        np.testing.assert_array_equal(got, integers(module, q, frac, net.output.frac, torch.float32))
    return got


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "shape",
    [
        # size, depth, channels, activation bits, stream bits
        ((8, 8, 1), 8, 4, 4, 16),
        ((7, 5, 3), 8, 3, 4, 16),
        ((9, 6, 2), 14, 2, 2, 16),
        ((5, 11, 1), 8, 5, 8, 16),
        ((3, 1, 1), 8, 2, 3, 16),
        ((8, 8, 2), 8, 16, 5, 9),
        ((13, 10, 3), 14, 8, 6, 10),
    ],
    ids=str,
)
def test_every_module_and_the_whole_agree(shape, seed):
    size, depth, channels, bits, stream_bits = shape
    network, t = random_network(seed, size, bits, stream_bits, depth=depth, channels=channels)
    assert_same(network, random_values(t, 40), t)


@pytest.mark.parametrize("activation", ["shifted-relu", "relu", "elu"])
@pytest.mark.parametrize("scale", ["power-of-two", "exact"])
@pytest.mark.parametrize("final_norm", NORMS)
@pytest.mark.parametrize("norm", NORMS)
def test_every_kind_of_network_agrees(norm, final_norm, scale, activation):
    """Coded and fine, all three forms; a table of fine codes there is not."""
    for seed, (form, size) in enumerate([("wide", (8, 8, 1)), ("plain", (7, 5, 2)), ("resnet18", (9, 8, 1))]):
        network, t = random_network(
            seed, size, form=form, norm=norm, final_norm=final_norm, scale=scale, activation=activation
        )
        values = random_values(t, 6)
        assert_same(network, values, t)
        twin = fine(network)
        if activation == "elu":
            with pytest.raises(NoIntegerForm, match=r"\(ELU\) has codes of (22|32) bits; there are tables"):
                export(twin, t)
            continue
        np.testing.assert_array_equal(
            export(twin, t)(values), integers(twin, values, 0, export(twin, t).output.frac, torch.float64)
        )


@pytest.mark.parametrize("scale", ["power-of-two", "exact"])
@pytest.mark.parametrize("final_norm", NORMS)
@pytest.mark.parametrize("norm", NORMS[1:])
def test_every_kind_of_binary_network_agrees(norm, final_norm, scale):
    """Signs and the twin of clipped values, all three forms."""
    for seed, (form, size) in enumerate([("wide", (8, 8, 1)), ("plain", (7, 5, 2)), ("resnet18", (9, 8, 1))]):
        network, t = random_network(
            seed, size, 1, form=form, norm=norm, final_norm=final_norm, scale=scale, activation="sign"
        )
        values = random_values(t, 6)
        for each in (network, fine(network)):
            net = export(each, t)
            np.testing.assert_array_equal(net(values), integers(each, values, 0, net.output.frac, torch.float64))
            if each is network and scale == "power-of-two" and final_norm == "none":
                np.testing.assert_array_equal(net(values), integers(each, values, 0, net.output.frac, torch.float32))


@pytest.mark.parametrize("frac", [2, -9])
@pytest.mark.parametrize("c_in", [3, 4])
@pytest.mark.parametrize("nested", [False, True])
def test_a_binary_layer_is_a_convolution_and_one_addition(c_in, nested, frac):
    """Weights, scaling factor, normalisation and sign, of odd and even fan-in; and what stands behind a sign."""
    torch.manual_seed(c_in)
    convs = [
        modules.Conv2d(c_in, 16, 3, padding=(1, 1, 1, 1)),
        modules.Conv2d(16, 5, 3, 2, (1, 0, 1, 0), exact=True, around=-1),
        modules.Conv2d(5, 9, 1, around=-1),
        modules.Conv2d(9, 4, 3, around=-1),
    ]
    signs = [modules.Sign(modules.Norm(c, "batch"), quantised=True) for c in (16, 5, 9)]
    for sign in signs:
        randomise(sign.norm)
        sign.norm.mean *= 0.3 if sign is not signs[0] else 2.0**-frac
        sign.norm.beta.data[1], sign.norm.mean[1] = 0, 0  # which sums reach, of both signs of gamma
        sign.norm.beta.data[2], sign.norm.mean[2] = 0, 0
        sign.norm.gamma.data[1], sign.norm.gamma.data[2] = 1, -1
    layers = [each for conv, sign in zip(convs, signs, strict=False) for each in (conv, sign)] + convs[3:]
    if nested:
        layers = [nn.Sequential(*layers[:1]), nn.Sequential(nn.Sequential(*layers[1:3]), *layers[3:5]), *layers[5:]]
    network = nn.Sequential(*layers).eval()
    t = Tensor(6, 6, c_in, -7, 7, frac)
    net = export(network, t)
    values = random_values(t, 40)
    np.testing.assert_array_equal(net(values), integers(network, values, frac, net.output.frac, torch.float64))
    kinds = [type(layer).__name__ for layer in net.body.layers]
    # Only the last sums of an odd fan-in need a finer step, for the constant by which they stand aside.
    assert kinds == ["BinaryConv", "Requantise"] * 4 + ["Requantise"]
    bits = [out for path, layer, out in trace(net.body, values) if path in ("1", "3", "5")]
    assert all(out.min() == 0 and out.max() == 1 and 0.05 < out.mean() < 0.95 for out in bits)


@pytest.mark.parametrize(
    ("activation", "norm"),
    [*itertools.product(["shifted-relu", "relu", "elu"], NORMS), *(("sign", norm) for norm in NORMS[1:])],
)
def test_networks_with_pools_and_dense_layers_agree(activation, norm):
    """CNV and AlexNet: rounding and comparisons move in front of the maximum pools."""
    for form, depth, side in (("cnv", 9, 32), ("alexnet", 8, 67)):
        bits = 1 if activation == "sign" else 3
        network, t = random_network(5, (side, side, 1), bits, form=form, depth=depth, activation=activation, norm=norm)
        values = random_values(t, 3)
        for each in (network,) if activation == "elu" else (network, fine(network)):
            net = export(each, t)
            np.testing.assert_array_equal(net(values), integers(each, values, 0, net.output.frac, torch.float64))
        layers = export(network, t).body.layers
        pools = [at for at, layer in enumerate(layers) if isinstance(layer, MaxPool | SumPool)]
        assert len(pools) == (2 if form == "cnv" else 3)
        widths = [Chain(layers[:at]).infer(t).bits for at in pools]
        if activation == "sign" or norm in ("none", "mean"):
            assert widths == [bits] * len(pools)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 1, 1)])
@pytest.mark.parametrize("gammas", ["positive", "of either sign", "negative"])
def test_a_maximum_before_a_comparison_is_one_of_bits(gammas, padding, kernel):
    """Where any sum reaches a number; before a negative gamma, where all of the (inverted) sums do."""
    torch.manual_seed(1)
    sign = modules.Sign(modules.Norm(16, "batch"), quantised=True)
    randomise(sign.norm)
    if gammas != "of either sign":
        sign.norm.gamma.data = sign.norm.gamma.abs() * (1 if gammas == "positive" else -1)
    conv = modules.Conv2d(3, 16, 3, padding=(1, 1, 1, 1))
    last = modules.Conv2d(16, 4, 1, around=-1)
    network = nn.Sequential(conv, modules.MaxPool(kernel, 2, padding), sign, last).eval()
    t = Tensor(9, 8, 3, -7, 7, 2)
    values = random_values(t, 30)
    net = export(network, t)
    np.testing.assert_array_equal(net(values), integers(network, values, 2, net.output.frac, torch.float64))
    kinds = [type(layer).__name__ for layer in net.body.layers]
    if any(padding) and gammas != "positive":
        assert kinds == ["BinaryConv", "MaxPool", "Scale", "Requantise", "BinaryConv", "Requantise"]
    elif gammas == "positive":
        assert kinds == ["BinaryConv", "Requantise", "MaxPool", "BinaryConv", "Requantise"]
    else:
        assert kinds == ["BinaryConv", "Requantise", "SumPool", "Requantise", "BinaryConv", "Requantise"]
    bits = Chain(net.body.layers[:-2])(values)
    assert (bits.min(), bits.max()) == (0, 1)


@pytest.mark.parametrize("form", DEPTHS)
@pytest.mark.parametrize("norm", ["none", "batch", "mean"])
def test_networks_of_28x28(form, norm):
    network, t = random_network(3, (28, 28, 1), 8, form=form, norm=norm, final_norm=norm, channels=4, branch_shift=2)
    assert_same(network, random_values(t, 4), t)


def test_a_gamma_of_0_everywhere():
    network, t = random_network(norm="batch", final_norm="batch")
    for module in network.modules():
        if isinstance(module, modules.Norm):
            module.gamma.data.zero_()
    assert_same(network, random_values(t, 4), t)


def test_saturation_is_reached():
    """The narrow streams above do saturate, so that the clips of both sides are compared."""
    network, t = random_network(0, (13, 10, 3), 6, 10, depth=14, channels=8)
    stream = next(m for m in network.modules() if isinstance(m, modules.Stream))
    values = random_values(t, 40)
    sums = [out for path, _, out in trace(export(network, t).body, values) if path.count(".") == 0]
    assert any((out == stream.hi).any() and (out == stream.lo).any() for out in sums)


OF_TORCH = [
    (nn.Conv2d(3, 3, 3), "Conv2d"), (nn.Linear(4, 2), "Conv2d"), (nn.Flatten(), "Conv2d"), (nn.BatchNorm2d(3), "Norm"),
    (nn.MaxPool2d(2), "MaxPool"), (nn.ReLU(), "ReLU"), (nn.ELU(), "ELU"), (nn.AvgPool2d(2), "Head"),
    (nn.AdaptiveAvgPool2d(1), "Head"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name"), OF_TORCH, ids=lambda given: str(given))
def test_for_modules_of_torchs_own_the_one_to_take_is_named(module, name):
    """Each name is a module of bitfold.nn, however deep what it replaces stands."""
    network = nn.Sequential(modules.Input((8,), 3), nn.Sequential(modules.MaxPool(2, 2), module))
    with pytest.raises(NoIntegerForm) as caught:
        export(network, Tensor(8, 8, 1, 0, 16, 3))
    message = str(caught.value)
    assert message.startswith(f"module 1.1 (torch's {type(module).__name__}) has no integer form: ")
    assert "\n" not in message
    assert f"bitfold.nn.{name}" in message
    named = re.findall(r"bitfold\.nn\.(\w+)", message)
    assert [each for each in named if each not in bitfold.nn.__all__] == []


def half_to_even(x, frac, lo, hi):
    return (x * 2.0**frac).round().clamp(lo, hi) * 2.0**-frac


def half_down(x, frac, lo, hi):
    return (x * 2.0**frac - 0.5).ceil().clamp(lo, hi) * 2.0**-frac


def zero_is_minus_one(x, scale):
    return torch.where(x > 0, scale, -scale)


def zero_is_zero(x, scale):
    return torch.sign(x) * scale


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("encode", half_to_even), ("encode", half_down), ("binarise", zero_is_minus_one), ("binarise", zero_is_zero)],
)
def test_a_wrong_rounding_or_sign_is_seen(monkeypatch, name, wrong):
    """The comparison above can fail: each classic mistake makes it."""
    network, t = random_network(channels=4)
    monkeypatch.setattr(modules, name, wrong)
    with pytest.raises(AssertionError):
        assert_same(network, random_values(t, 40), t)


@pytest.mark.parametrize("scale", ["power-of-two", "exact"])
@pytest.mark.parametrize("norm", ["none", "batch", "batch-plain", "mean"])
@pytest.mark.parametrize("activation", ["shifted-relu", "relu"])
def test_the_twin_of_fine_codes_stands_for_the_float(activation, norm, scale):
    network, t = random_network(
        5, (8, 8, 1), norm=norm, final_norm=norm, activation=activation, scale=scale, channels=8, temperature=2.0,
        branch_shift=0 if norm == "batch" else 2,
    )  # fmt: skip
    with torch.no_grad():  # a trained network's statistics are those of its images
        values = random_values(t, 64)
        pixels = torch.from_numpy(values).permute(0, 3, 1, 2).float()
        for module in network.modules():
            if isinstance(module, modules.Codes | modules.Norm):
                module.quantised = False
            if isinstance(module, modules.Norm):
                module.reset()
                if module.gamma is not None:
                    module.gamma.data.fill_(-0.7)
        network.train()(pixels)
        logits = network.eval()(pixels).flatten(1).numpy()
    net = export(fine(network), t)
    got = net(values).reshape(64, 10) * 2.0**-net.output.frac
    spread = logits.std()
    np.testing.assert_allclose(got, logits, atol=(0.01 if scale == "power-of-two" else 0.03) * spread)
    assert (got.argmax(1) == logits.argmax(1)).mean() > 0.98
    # `network` itself stays a float network.
    assert not any(m.quantised for m in network.modules() if isinstance(m, modules.Codes | modules.Norm))


def test_the_twin_of_a_wide_network_is_a_network():
    """Sums of 22-bit codes times the weights' factor times the normalisation's."""
    t = Tensor(32, 32, 3, 0, 255, 6)
    for scale in ("power-of-two", "exact"):
        form = Network(
            form="wide", depth=8, channels=160, norm="batch", final_norm="batch", scale=scale, temperature=16
        )  # fmt: skip
        export(fine(build(form, t, (1, 2, 3), 100)), t)


@pytest.mark.parametrize("bits", range(2, 9))
def test_an_elu_is_the_table_of_its_codes(bits):
    """Each code by itself and what lies around it, for every binary point, in both precisions."""
    for frac in range(bits):
        elu, reach = modules.ELU(bits, frac, True).eval(), 2 ** (bits + 3)
        t = Tensor(1, 2 * reach, 1, -reach, reach, frac + 2)
        q = np.arange(t.lo, t.hi).reshape(1, 1, -1, 1)
        rounding, table = export(elu, t).body.layers
        assert (rounding.shift, rounding.lo, rounding.hi) == (2, elu.lo, elu.lo + 2**bits - 1)
        assert (table.lo, table.hi, table.frac) == (rounding.lo, rounding.hi, frac)
        for code, value in enumerate(table.values.tolist(), elu.lo):
            assert value == (code if code > 0 else math.floor(math.expm1(code * 2.0**-frac) * 2**frac + 0.5))
        for dtype in (torch.float32, torch.float64):
            np.testing.assert_array_equal(table(rounding(q)), integers(elu, q, t.frac, frac, dtype))


def test_an_elu_is_rehearsed_as_a_table_that_is_no_wire():
    """Of a binary point in the middle: with none of its fraction bits an ELU's table would be nearly its input."""
    network, t = random_network(activation="elu")
    tables = [layer for _, layer, _ in trace(export(rehearsed(network, 8), t).body, random_values(t, 2))]
    tables = [layer for layer in tables if isinstance(layer, Table)]
    assert tables
    assert all((table.frac, table.lo, table.reach[0]) == (4, -56, -16) for table in tables)


@pytest.mark.parametrize("activation", ["shifted-relu", "elu"])
def test_a_calibrated_network_agrees(activation):
    network, t = random_network(norm="batch", final_norm="batch-plain", scale="exact", activation=activation)
    values = random_values(t, 30)
    calibrate(network, [torch.from_numpy(values).permute(0, 3, 1, 2).float()], 3)
    assert_same(network, values, t)


def test_the_logits_carry_scale_mean_and_temperature():
    """2^-frac of the logits holds the last weights' scale, 1 / (H * W) and 1 / temperature."""
    fracs = [random_network(channels=4, temperature=temperature)[0][-1] for temperature in (1.0, 40.0)]
    plain, hot = (export(head, Tensor(2, 2, 16, -100, 100)).output.frac for head in fracs)
    assert plain == fracs[0].conv.shift + 2
    assert hot == plain + 5


def unquantised(network, *places):
    for place in places:
        network.get_submodule(place).quantised = False


@pytest.mark.parametrize(
    ("form", "spoil", "message"),
    [
        (
            {},
            lambda n: unquantised(n, "2"),
            "module 2 (Stream) is still floating point: calibrate the network first",
        ),
        (
            {},
            lambda n: unquantised(n, "3.body.2"),
            "module 3.body.2 (ShiftedReLU) is still floating point: calibrate the network first",
        ),
        (
            {},
            lambda n: n[4].body[1].weight.data.fill_(float("nan")),
            "module 4.body.1 (Conv2d) has weights that are not numbers",
        ),
        (
            {"final_norm": "mean"},
            lambda n: n[-1].norm.mean.fill_(float("nan")),
            "module 7.norm (Norm) has factors or offsets that are not numbers",
        ),
        (
            {"norm": "batch"},
            lambda n: n[3].body[0].gamma.data.fill_(float("inf")),
            "module 3.body.0 (Norm) has factors or offsets that are not numbers",
        ),
        (
            {"norm": "batch"},
            lambda n: n[3].body[0].mean.fill_(1e30),
            "module 3.body.0 (Norm) moves its input further than 64 bits hold",
        ),
        (
            {},
            lambda n: n.append(nn.ReLU()),
            "module 8 (torch's ReLU) has no integer form: take bitfold.nn.ShiftedReLU, or bitfold.nn.ReLU",
        ),
        ({}, lambda n: n.append(nn.GELU()), "module 8 (GELU) has no integer form: take modules of bitfold.nn"),
        (
            {"activation": "elu"},
            lambda n: unquantised(n, "3.body.0"),
            "module 3.body.0 (ELU) is still floating point: calibrate the network first",
        ),
        (
            {"activation": "elu", "bits": 9},
            lambda n: None,
            "module 3.body.0 (ELU) has codes of 9 bits; there are tables for codes of at most 8",
        ),
        (
            {"activation": "sign", "norm": "batch", "bits": 1},
            lambda n: unquantised(n, "3.body.2"),
            "module 3.body.2 (Sign) is still floating point: calibrate the network first",
        ),
        (
            {"activation": "sign", "norm": "batch", "bits": 1},
            lambda n: n[3].body[2].norm.mean.fill_(float("nan")),
            "module 3.body.2 (Sign): channel 0's normalisation has numbers that are none, or no deviation > 0",
        ),
        (
            {"activation": "sign", "norm": "batch", "bits": 1},
            lambda n: n[3].body.append(modules.Sign(modules.Norm(3, "batch"), quantised=True)),
            "module 3.stream (Stream) takes values of a Sign, of which code c is 2c - 1; "
            "only convolutions and maximum pools do",
        ),
        (
            {"activation": "sign", "norm": "batch", "bits": 1},
            lambda n: setattr(n[3].body[1], "around", 0),
            "module 3.body.1 (Conv2d) pads with 0, and code 0 of its input stands for -1: give it around=-1",
        ),
        (
            {},
            lambda n: setattr(n[3].body[1], "around", -1),
            "module 3.body.1 (Conv2d) pads with -1, and code 0 of its input stands for 0: give it around=0",
        ),
        (
            {"weights": 32},
            lambda n: None,
            "module 1 (Conv2d) has 32-bit weights, which have no integer form",
        ),
    ],
)
def test_what_has_no_integers_is_refused_by_name(form, spoil, message):
    network, t = random_network(**form)
    spoil(network)
    with pytest.raises(BadInput) as caught:
        export(network, t)
    assert str(caught.value) == message
