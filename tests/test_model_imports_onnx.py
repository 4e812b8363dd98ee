"""onnxruntime as a judge of the reference: it gives the same integers for every network, from an exported model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import test_hw_wide
from hypothesis import given, reject
from hypothesis import strategies as st
from machines import examples
from numpy.testing import assert_array_equal
from strategies import bare_nets, images, layers_and_inputs, nets, seeds
from test_cli_words import refused, run

from bitfold.model import layers, zoo
from bitfold.model.card import twin_path
from bitfold.model.error import BadInput
from bitfold.model.layers import KINDS, BinaryConv, Chain, GlobalSum, MaxPool, Requantise, Residual, SumPool
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from bitfold.model.imports.onnx import to_onnx  # noqa: E402

DOCUMENT = Path(__file__).parents[1] / "docs" / "onnx.md"


def logits(model, batch: np.ndarray) -> np.ndarray:
    """What onnxruntime gives for images [N, height, width, channels]."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    dtype = session.get_inputs()[0].type.removeprefix("tensor(").removesuffix(")")
    [result] = session.run(["logits"], {"images": np.ascontiguousarray(batch.transpose(0, 3, 1, 2), dtype)})
    assert result.dtype in (np.int32, np.int64)
    return result


def check_equal(net: Net, batch: np.ndarray) -> None:
    """The logits of onnxruntime are the reference's, all of them."""
    model = to_onnx(net)
    onnx.checker.check_model(model, full_check=True)
    expected = net(batch).transpose(0, 3, 1, 2)
    expected = expected.reshape(len(batch), -1) if net.output.pixels == 1 else expected
    assert_array_equal(logits(model, batch), expected)


@pytest.mark.parametrize("name", zoo.names())
def test_zoo_networks_give_the_same_logits(name):
    check_equal(zoo.load(name), images(zoo.load(name), 8))
    twin = Net.load(twin_path(zoo.path(name)))  # activations of 32 bits, streams of 36
    check_equal(twin, images(twin, 3))


@pytest.mark.parametrize("name", ["digits", "digits-tiny"])
def test_every_digit_gives_the_same_logits(name):
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    check_equal(zoo.load(name), digits.images[..., None].astype(np.uint8))


@given(nets() | bare_nets(), seeds)
@examples(60, shrink=False)
def test_random_networks_give_the_same_logits(net, seed):
    check_equal(net, images(net, 3, seed))


@pytest.mark.slow
@given(nets() | bare_nets(), seeds)
@examples(1000)
def test_random_networks_give_the_same_logits_at_length(net, seed):
    check_equal(net, images(net, 3, seed))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
@examples(12, shrink=False)
def test_every_kind_of_layer_gives_the_same_integers(kind, data):
    layer, t = data.draw(layers_and_inputs(kind))
    net = Net(t, Chain((layer,)))
    check_equal(net, images(net, 3, data.draw(seeds)))


@pytest.mark.parametrize("pool", [SumPool, MaxPool, partial(SumPool, valid=True)], ids=["sum", "max", "valid"])
@pytest.mark.parametrize(("lo", "hi"), [(-9, -2), (2, 9)])
def test_windows_that_reach_beyond_the_map(pool, lo, hi):
    net = Net(Tensor(6, 5, 2, lo, hi), Chain((pool(3, 2, (1, 2, 0, 2)),)))
    check_equal(net, images(net, 3))


@pytest.mark.parametrize("kind", test_hw_wide.KINDS)
@given(data=st.data())
@examples(20, shrink=False)
def test_integers_of_60_bits_too(kind, data):
    t = data.draw(test_hw_wide.wide())
    body = Chain(test_hw_wide.KINDS[kind](data.draw, t))
    for _ in range(61):  # until the layer takes it
        try:
            net = Net(t, body)
            break
        except BadInput:
            t = Tensor(*t.shape, t.lo // 2, t.hi // 2)
    else:
        reject()
    check_equal(net, images(net, 3, data.draw(seeds)))


@pytest.mark.parametrize("width", [2**32, 2**40, 2**60])
def test_clips_of_more_than_32_bits(width):
    """Values that differ in their lower halves alone, which onnxruntime's Clip of int64 takes for signed."""
    t = Tensor(1, 64, 2, -width, width)
    for lo, hi in (-width // 4, width // 4 - 1), (width // 4 + 5, width // 4 + 7):
        net = Net(t, Chain((Requantise(0, lo, hi),)))
        near = np.random.default_rng(0).integers(-9, 9, (4, *t.shape))
        check_equal(net, np.array([lo, lo + 2**31, hi, hi - 2**31]).reshape(4, 1, 1, 1) + near)


def test_sums_on_the_way_that_32_bits_do_not_hold():
    t = Tensor(1, 9, 2, -(2**31), 2**31 - 1)
    same = Net(t, Chain((Residual(Chain(), Chain(), -9, 2**31 - 1),)))
    check_equal(same, images(same, 4))
    above = Net(Tensor(1, 9, 2, 2**31, 2**31 + 99), Chain((Requantise(0, 0, 50, np.full(2, -(2**31))),)))
    check_equal(above, images(above, 4))
    far = Net(Tensor(1, 9, 2, 0, 99), Chain((Requantise(0, -50, 50, np.array([2**31, -(2**31)])),)))
    check_equal(far, images(far, 4))


def test_sums_of_more_than_53_bits():
    """onnxruntime's ReduceSum of int64 adds doubles."""
    net = Net(Tensor(5, 7, 3, 2**54, 2**54 + 2**20), Chain((GlobalSum(),)))
    check_equal(net, images(net, 4))


def ends(model) -> list[tuple[str, str, list[str | int]]]:
    """(name, type, shape) of input and output."""
    return [
        (
            end.name,
            onnx.TensorProto.DataType.Name(end.type.tensor_type.elem_type),
            [size.dim_param or size.dim_value for size in end.type.tensor_type.shape.dim],
        )
        for end in (*model.graph.input, *model.graph.output)
    ]


def test_a_model_says_what_it_is():
    body = Chain((BinaryConv(np.ones((2, 3, 3, 1), bool)), GlobalSum()))
    net = Net(Tensor(4, 5, 1, 0, 16, 3), body, ("null", "家"), "ink, 0 to 16")
    model = to_onnx(net)
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "digest": net.digest(),
        "classes": '["null", "家"]',
        "frac": "3",
        "input": "[0, 16]",
        "preprocessing": "ink, 0 to 16",
    }
    assert ends(model) == [("images", "UINT8", ["N", 1, 4, 5]), ("logits", "INT32", ["N", 2])]
    assert {node.name.split("/")[0] for node in model.graph.node} == {"input", "0", "1", "logits"}
    assert not {node.domain for node in model.graph.node} - {""}
    again = to_onnx(Net(net.input, body, net.classes, net.preprocessing))
    assert again.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


def test_a_map_stays_a_map():
    net = Net(Tensor(4, 5, 2, -300, 300), Chain((BinaryConv(np.ones((3, 2, 2, 2), bool)),)))
    assert ends(to_onnx(net)) == [("images", "INT32", ["N", 2, 4, 5]), ("logits", "INT32", ["N", 3, 3, 4])]


@pytest.mark.parametrize(("lo", "hi", "pixel"), [(0, 16, np.uint8), (-4, 3, np.int8), (0, 1000, np.int32)])
def test_pixels_outside_the_interval_become_the_nearest_inside(lo, hi, pixel):
    net = Net(Tensor(3, 3, 2, lo, hi), Chain((BinaryConv(np.ones((2, 3, 3, 2), bool)),)))
    batch = np.random.default_rng(1).integers(np.iinfo(pixel).min, np.iinfo(pixel).max, (4, 3, 3, 2), pixel)
    assert_array_equal(logits(to_onnx(net), batch), net(np.clip(batch, lo, hi)).reshape(4, 2))


def test_a_fan_in_that_32_bits_just_hold():
    net = Net(Tensor(1024, 1024, 8, -1, 255), Chain((BinaryConv(np.ones((1, 1024, 1024, 8), bool)),)))
    check_equal(net, np.full((1, *net.input.shape), 255))


def test_a_fan_in_that_32_bits_do_not_hold_is_refused():
    weights = np.ones((1, 1024, 1024, 9), bool)
    net = Net(Tensor(1024, 1024, 9, 0, 1), Chain((BinaryConv(weights),)))
    with pytest.raises(BadInput, match=r"^layer 0 \(BinaryConv\): the sums of 9,437,184 bytes do not fit the 32 bits"):
        to_onnx(net)


def test_a_kind_without_operators_is_refused_by_name(monkeypatch):
    @dataclass(frozen=True)
    class Swap:
        def infer(self, t):
            return t

    monkeypatch.setattr(layers, "KINDS", (*KINDS, Swap))
    net = Net(Tensor(2, 2, 1, 0, 1), Chain())
    object.__setattr__(net, "body", Chain((Chain((Swap(),)),)))
    monkeypatch.setattr(Net, "digest", lambda self: "")
    with pytest.raises(BadInput, match=r"^layer 0\.0 \(Swap\): ONNX export has no operators for this kind of layer$"):
        to_onnx(net)


def test_the_documents_python_runs(tmp_path, monkeypatch, capsys):
    [block] = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "onnx.md", "exec"), {})
    assert capsys.readouterr().out == "True\n"


def test_the_command_writes_a_file(tmp_path):
    status, out, _ = run("export", "digits-tiny", "-o", tmp_path / "tiny.onnx", "--json")
    told = json.loads(out)
    assert status == 0
    assert (told["onnx"], told["bytes"]) == (str(tmp_path / "tiny.onnx"), (tmp_path / "tiny.onnx").stat().st_size)
    model = onnx.load(tmp_path / "tiny.onnx")
    assert told["operators"] == len(model.graph.node)
    net = zoo.load("digits-tiny")
    assert_array_equal(logits(model, images(net, 2)), net(images(net, 2)).reshape(2, -1))
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]


def test_the_command_refuses_in_a_line(tmp_path, monkeypatch):
    assert "cannot be written: " in refused("export", "digits", "-o", tmp_path / "none" / "x.onnx")
    assert "no shipped network of that name" in refused("export", tmp_path / "none", "-o", tmp_path / "x.onnx")
    monkeypatch.setattr("bitfold.cli.export.find_spec", lambda name: None)
    assert refused("export", "digits", "-o", tmp_path / "x.onnx") == (
        "export needs onnx, which is not installed; in bitfold's folder: pip install '.[onnx]'"
    )
    assert not any(tmp_path.iterdir())
