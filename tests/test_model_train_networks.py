"""Every network that a recipe can ask for: its shape, its gradients, and what is refused."""

from __future__ import annotations

import itertools

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("msgspec")

from bitfold.model.error import BadInput  # noqa: E402
from bitfold.model.tensor import Tensor  # noqa: E402
from bitfold.model.train import modules  # noqa: E402
from bitfold.model.train.calibrate import calibrate  # noqa: E402
from bitfold.model.train.networks import build  # noqa: E402
from bitfold.model.train.recipe import Network  # noqa: E402

torch.set_num_threads(1)  # two would wait for each other beside other tests

DEPTHS = {"wide": 8, "plain": 4, "resnet18": 18, "cnv": 9, "alexnet": 8}
NORMS = ["none", "batch", "batch-plain", "mean"]


def network(height=8, width=8, c_in=1, **form):
    torch.manual_seed(0)
    form = {"form": "wide", "channels": 2} | form
    return build(Network(**{"depth": DEPTHS[form["form"]]} | form), Tensor(height, width, c_in, 0, 255, 6), (9,), 10)


def pixels(n, c_in, height, width):
    return torch.randint(0, 256, (n, c_in, height, width), generator=torch.Generator().manual_seed(1)).float()


def check(net, x):
    """Logits of the right shape in both modes, and a gradient that is somewhere not 0 for every parameter."""
    logits = net(x)
    assert logits.shape == (len(x), 10, 1, 1)
    (logits.flatten(1).log_softmax(1)[:, 3] * torch.linspace(0.1, 1, len(x))).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    with torch.no_grad():
        assert net.eval()(x).isfinite().all()


@pytest.mark.parametrize("form", ["wide", "plain"])
@pytest.mark.parametrize("norm", NORMS)
def test_every_combination_trains(form, norm):
    for final_norm, activation, weights, scale in itertools.product(
        NORMS, ["shifted-relu", "relu", "elu"], [1, 32], ["power-of-two", "exact"]
    ):
        net = network(
            form=form, norm=norm, final_norm=final_norm, activation=activation, weights=weights, scale=scale
        )  # fmt: skip
        check(net, pixels(3, 1, 8, 8))


SHAPES = {
    "cnv": (32, 2, [64, 64, 128, 128, 256, 256, 512, 512, 10], [32, 30, 28, 14, 12, 10, 5, 3, 1, 1, 1]),
    "alexnet": (224, 3, [96, 256, 384, 384, 256, 4096, 4096, 10], [224, 56, 27, 27, 13, 13, 13, 13, 6, 1, 1]),
}
"""Side of the images, published channels over those of the test, channels of the convolutions, sides of the maps."""


@pytest.mark.parametrize("activation", ["shifted-relu", "sign"])
@pytest.mark.parametrize("form", SHAPES)
def test_networks_with_pools_and_dense_layers_have_the_published_shapes(form, activation):
    side, c_in, channels, sides = SHAPES[form]
    signs = {"activation": "sign", "norm": "batch", "bits": 1} if activation == "sign" else {}
    net = network(side, side, c_in, form=form, channels=channels[0] // 32, **signs)
    convs = [module for module in net.modules() if isinstance(module, modules.Conv2d)]
    assert [conv.weight.shape[0] * 32 for conv in convs[:-1]] == channels[:-1]
    seen = [side]
    for module in net.modules():
        if isinstance(module, modules.Conv2d | modules.MaxPool):
            module.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[-1]))
    check(net, pixels(6, c_in, side, side))
    assert seen[: len(sides)] == sides


@pytest.mark.parametrize(
    ("height", "width", "form", "message"),
    [
        (28, 28, {"form": "cnv"}, "the images are too small for cnv: a 2x2 map is left for a 3x3 window"),
        (32, 36, {"form": "cnv"}, "a dense layer here takes square maps, and the images leave 1x2"),
        (32, 32, {"form": "cnv", "depth": 8}, "the depth of cnv is 9, not 8"),
        (224, 224, {"form": "alexnet", "depth": 9}, "the depth of alexnet is 8, not 9"),
        (224, 224, {"form": "alexnet"}, "the channels of alexnet are a multiple of 3 (96, as published), not 2"),
    ],
)
def test_images_that_a_form_has_no_maps_for_are_refused(height, width, form, message):
    with pytest.raises(BadInput) as error:
        network(height, width, 3, **form)
    assert str(error.value) == message


@pytest.mark.parametrize("form", ["wide", "plain"])
@pytest.mark.parametrize("norm", NORMS[1:])
def test_binary_networks_train_as_floats_and_as_signs(form, norm):
    for final_norm in NORMS:
        net = network(form=form, norm=norm, final_norm=final_norm, activation="sign", bits=1, channels=8)
        around = [module.around for module in net.modules() if isinstance(module, modules.Conv2d)]
        assert around == [0] + [-1] * (len(around) - 1)  # the first takes pixels
        x = pixels(16, 1, 8, 8)
        check(net, x)
        calibrate(net, [x], 1)
        assert {module.bits for module in net.modules() if isinstance(module, modules.Sign)} == {1}
        net.zero_grad()
        check(net.train(), x)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ["shifted-relu", "relu", "elu"])
def test_resnet18_trains(norm, activation):
    check(network(32, 32, form="resnet18", norm=norm, activation=activation), pixels(3, 1, 32, 32))


@pytest.mark.parametrize("form", ["wide", "plain", "resnet18"])
@pytest.mark.parametrize(("height", "width", "c_in"), [(7, 5, 3), (9, 1, 1), (1, 2, 2), (33, 18, 3)])
def test_odd_sizes(form, height, width, c_in):
    check(network(height, width, c_in, form=form), pixels(4, c_in, height, width))


def shapes(net, x):
    """The shape of the map behind every child."""
    found = []
    for child in net:
        x = child(x)
        found.append(tuple(x.shape[1:]))
    return found


def test_the_shapes_of_the_stages():
    wide = shapes(network(28, 28, depth=14, channels=3), pixels(1, 1, 28, 28))
    assert wide[1:-1] == [*[(3, 28, 28)] * 4, *[(6, 14, 14)] * 2, *[(12, 7, 7)] * 3]
    resnet = shapes(network(64, 48, form="resnet18"), pixels(1, 1, 64, 48))
    assert resnet[1:-2] == [
        *[(2, 32, 24)] * 2,  # 7x7, stride 2
        *[(2, 16, 12)] * 3,  # pooled, first stage
        *[(4, 8, 6)] * 2,
        *[(8, 4, 3)] * 2,
        *[(16, 2, 2)] * 2,
    ]
    plain = shapes(network(28, 28, form="plain", depth=7), pixels(1, 1, 28, 28))[1:-1:2]
    assert plain == [*[(2, 28, 28)] * 2, *[(4, 14, 14)] * 2, *[(8, 7, 7)] * 2]


@pytest.mark.parametrize(("form", "depth", "convs"), [("wide", 14, 14), ("resnet18", 18, 18), ("plain", 10, 10)])
def test_the_depth_counts_the_convolutions(form, depth, convs):
    net = network(form=form, depth=depth)
    assert sum(isinstance(module, modules.Conv2d) for module in net.modules()) == convs


def test_the_form_reaches_every_layer():
    net = network(norm="batch-plain", final_norm="mean", activation="relu", weights=32, scale="exact", branch_shift=3)
    convs = [module for module in net.modules() if isinstance(module, modules.Conv2d)]
    assert {conv.bits for conv in convs} == {32}
    assert all(conv.factor != 1 for conv in convs)
    assert [conv.divide for conv in convs] == [0, 0, 3, 0, 3, 0, 3, 0]
    assert [module.kind for module in net.modules() if isinstance(module, modules.Norm)] == [
        *["batch-plain"] * 7,
        "mean",
    ]
    assert sum(isinstance(module, modules.ReLU) for module in net.modules()) == 7
    assert len({id(module) for module in net.modules() if isinstance(module, modules.Stream)}) == 1


@pytest.mark.parametrize(("temperature", "divide"), [(1, 2), (2, 3), (40, 7), (0.25, 0)])
def test_mean_and_temperature_move_the_binary_point(temperature, divide):
    head = network(temperature=temperature)[-1]
    assert (head.positions, head.divide) == (4, divide)


def test_padding_of_a_halving_convolution_is_used_up():
    """No padded row is left over at the end of an even map, where hardware would have to skip it."""
    assert network(8, 7)[4].body[1].padding == (1, 0, 1, 1)
    assert network(8, 8, form="resnet18")[1].padding == (3, 2, 3, 2)


@pytest.mark.parametrize(
    ("form", "depth", "message"),
    [
        ("wide", 9, r"the depth of a wide residual network is 6k + 2 (8, 14, 20, ...), not 9"),
        ("wide", 2, r"the depth of a wide residual network is 6k + 2 (8, 14, 20, ...), not 2"),
        ("resnet18", 20, "the depth of resnet18 is 18, not 20"),
        ("plain", 8, "the depth of a plain network is 3k + 1 (4, 7, 10, ...), not 8"),
        ("plain", 1, "the depth of a plain network is 3k + 1 (4, 7, 10, ...), not 1"),
    ],
)
def test_the_depth_must_fit_the_blocks(form, depth, message):
    with pytest.raises(BadInput) as caught:
        network(form=form, depth=depth)
    assert str(caught.value) == message
