"""`bitfold check` and `bitfold zoo`: their figures, what a reader sees, their one line about bad input."""

from __future__ import annotations

import dataclasses
import io
import json
import re

import numpy as np
import pytest
from commands import run as bitfold
from rich.console import Console

from bitfold.cli import accuracy
from bitfold.cli.accuracy import Accuracy, Checked
from bitfold.model import zoo
from bitfold.model.layers import BinaryConv, Chain
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.model.train.data import open_data

N = 40


def net_of(seed, scale=0, classes=10, side=28, names=()):
    weights = np.random.default_rng(seed).random((classes, side, side, 1)) < 0.5
    return Net(Tensor(side, side, 1, 0, 255, 6), Chain((BinaryConv(weights, scale=scale),)), names)


def idx(array):
    """MNIST's file format: two zero bytes, 8 for unsigned bytes, the dimensions, the values."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    """Three networks, of which `one` has a twin and a card; 40 images in MNIST's files, most of them as `one` says."""
    random = np.random.default_rng(5)
    images = random.integers(0, 256, (N, 28, 28), np.uint8)
    one, twin, two = net_of(1), net_of(1), net_of(2, scale=2)
    weights = one.body.layers[0].weights.copy()
    weights[random.random(weights.shape) < 0.02] ^= True
    twin = Net(one.input, Chain((BinaryConv(weights),)))
    labels = one.classify(images[..., None])
    labels[::4] = (labels[::4] + 1) % 10
    one.save(tmp_path / "one.bitfold")
    twin.save(tmp_path / "one.float.bitfold")
    two.save(tmp_path / "two.bitfold")
    net_of(3, classes=7).save(tmp_path / "seven.bitfold")
    net_of(3, side=8).save(tmp_path / "eight.bitfold")
    net_of(3, names=tuple("abcdefghij")).save(tmp_path / "letters.bitfold")
    dataclasses.replace(zoo.card("digits"), data="mnist", digest=one.digest()).save(tmp_path / "one.json")
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "t10k-images-idx3-ubyte").write_bytes(idx(images))
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte").write_bytes(idx(labels.astype(np.uint8)))
    return tmp_path


def test_figures_of_one_network_and_its_twin(folder):
    status, out, err = bitfold("check", folder / "one.bitfold", "--data", folder, "--json")
    assert (status, err) == (0, "")
    figures = json.loads(out)
    test = open_data("mnist", folder).test()
    classes = Net.load(folder / "one.bitfold").classify(test.images)
    twins = Net.load(folder / "one.float.bitfold").classify(test.images)
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (test.labels, classes), 1)
    assert figures == {
        "net": str(folder / "one.bitfold"),
        "data": "mnist",
        "images": N,
        "right": 30,
        "accuracy": 0.75,
        "test_error": 0.25,
        "classes": list("0123456789"),
        "confusion": confusion.tolist(),
        "float_accuracy": (twins == test.labels).mean(),
        "agreement": (twins == classes).mean(),
    }
    assert figures["agreement"] not in (0, 1, figures["accuracy"], figures["float_accuracy"])


def test_several_networks_and_their_ensemble(folder):
    nets = [folder / "one.bitfold", folder / "two.bitfold"]
    status, out, err = bitfold("check", *nets, "--data", folder, "--set", "mnist", "--json")
    assert (status, err) == (0, "")
    figures = json.loads(out)
    test = open_data("mnist", folder).test()
    logits = [Net.load(path)(test.images)[:, 0, 0] for path in nets]
    together = np.argmax(4 * logits[0] + logits[1], axis=1)
    assert {name: figures[name] for name in ("data", "images")} == {"data": "mnist", "images": N}
    assert figures["ensemble_accuracy"] == (together == test.labels).mean()
    assert [net["net"] for net in figures["nets"]] == [str(path) for path in nets]
    assert [net["accuracy"] for net in figures["nets"]] == [
        (np.argmax(each, axis=1) == test.labels).mean() for each in logits
    ]
    assert figures["nets"][0]["agreement"] is not None
    assert figures["nets"][1]["agreement"] is figures["nets"][1]["float_accuracy"] is None
    status, out, err = bitfold("check", *nets, "--data", folder, "--set", "mnist")
    assert (status, err) == (0, "")
    assert "75.00 %" in out
    assert f"{100 * figures['ensemble_accuracy']:.2f} %" in next(
        line for line in out.splitlines() if "all together" in line
    )


def test_a_network_of_the_zoo_needs_no_folder():
    pytest.importorskip("sklearn")
    status, out, err = bitfold("check", "digits", "--json")
    assert status == 0, err
    figures, card = json.loads(out), zoo.card("digits")
    assert (figures["net"], figures["data"], figures["images"]) == ("digits", "digits", card.images)
    assert figures["test_error"] == card.test_error


def test_zoo_lists_the_cards():
    status, out, err = bitfold("zoo", "--json")
    assert (status, err) == (0, "")
    keys = ["name", "data", "bits", "weights", "bytes", "test_error", "float_test_error"]
    assert json.loads(out) == [{key: getattr(zoo.card(name), key) for key in keys} for name in zoo.names()]
    assert list(json.loads(out)[0]) == keys
    status, out, err = bitfold("zoo")
    assert (status, err) == (0, "")
    assert f"{zoo.card('digits').bytes:,}" in out
    assert f"{100 * zoo.card('digits').test_error:.2f} %" in out


def shown(confusion, classes, width=100, **fields):
    """What a reader sees of this confusion matrix."""
    confusion = np.asarray(confusion)
    images, right = int(confusion.sum()), int(np.trace(confusion))
    net = Accuracy(
        "net", "things", images, right, right / images, 1 - right / images, tuple(classes), confusion.tolist(),
        fields.get("float_accuracy"), fields.get("agreement"),
    )  # fmt: skip
    console = Console(
        file=io.StringIO(), width=width, color_system="standard" if "colours" in fields else None, no_color=False
    )
    accuracy.show(Checked("things", images, net.accuracy, (net,)), console)
    return console.file.getvalue()


CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


@pytest.mark.parametrize("width", [80, 100])
def test_a_matrix_of_ten_classes_fits_the_console_whole(width):
    confusion = np.random.default_rng(0).integers(1, 100, (10, 10))
    np.fill_diagonal(confusion, 1000)
    out = shown(confusion, CLOTHES, width)
    assert max(map(len, out.splitlines())) <= width
    rows = {line.split("  ")[0].strip(): line.split()[-10:] for line in out.split("confusions")[0].splitlines()}
    for name, counts in zip(CLOTHES, confusion, strict=True):
        assert rows[name] == [str(count) for count in counts], out
    assert "T-shir…" in out if width == 100 else "T-shir…" not in out


def test_the_most_frequent_confusions_come_first():
    confusion = np.diag([50, 40, 30, 20])
    confusion[2, 0], confusion[3, 1], confusion[0, 3] = 9, 11, 2
    lines = shown(confusion, ("ape", "bee", "cat", "dog")).split("most frequent confusions\n")[1].splitlines()
    assert [line.split() for line in lines] == [
        ["dog", "taken", "for", "bee", "11", "of", "31"],
        ["cat", "taken", "for", "ape", "9", "of", "39"],
        ["ape", "taken", "for", "dog", "2", "of", "52"],
    ]
    assert "confusions" not in shown(np.diag([50, 40]), "ab")


def test_many_classes_are_told_by_their_worst_confusions_alone():
    confusion = 5 * np.eye(21, dtype=int)
    confusion[20, 3] = 2
    names = [f"class{index:02}" for index in range(21)]
    out = shown(confusion, names, width=400)
    assert "class given" not in out
    assert "class20 taken for class03 2 of 7" in out
    assert "class given" in shown(confusion[:20, :20], names[:20], width=400)


def test_a_console_too_narrow_for_the_matrix_gets_none():
    confusion = np.full((10, 10), 1000)
    assert "class given" in shown(confusion, "0123456789", width=60)
    assert "class given" not in shown(confusion, "0123456789", width=50)


def test_the_diagonal_stands_out_and_names_are_no_markup():
    out = shown([[7, 3], [2, 8]], ("[red]", "[/b]"), colours=True)
    assert re.findall(r"\x1b\[1;32m *(\d+)\x1b\[0m", out) == ["7", "8"]
    assert "[red]" in out
    assert "[/b]" in out


def test_the_float_twin_stands_beside():
    out = shown([[7, 3], [2, 8]], "ab", float_accuracy=0.8, agreement=0.95)
    assert "75.00 %" in out
    assert "80.00 %, the same class for 95.00 %" in out
    assert "float twin" not in shown([[7, 3], [2, 8]], "ab")


def test_bad_input_gets_one_line_and_status_2(folder):
    one, two = folder / "one.bitfold", folder / "two.bitfold"
    (folder / "broken").mkdir()
    for name in ("one.bitfold", "two.bitfold"):
        (folder / "broken" / name).write_bytes((folder / name).read_bytes())
    (folder / "broken" / "one.json").write_text("{}")
    (folder / "broken" / "two.float.bitfold").write_bytes(b"no network")
    net_of(1).save(folder / "fashion.bitfold")
    dataclasses.replace(zoo.card("digits"), data="fashion-mnist").save(folder / "fashion.json")
    net_of(3, side=8).save(folder / "wrong.bitfold")
    digest = net_of(3, side=8).digest()
    dataclasses.replace(zoo.card("digits"), data="mnist", digest=digest).save(folder / "wrong.json")
    mnist = ("--data", folder, "--set", "mnist")
    for words, says in [
        ((two, "--data", folder), "two.json is not there to name the data set"),
        ((one, two, "--data", folder), "two.json is not there"),
        ((one, folder / "fashion.bitfold", "--data", folder), "belong by their cards"),
        ((one,), "--data DIR"),
        ((one, "--data", folder / "none"), "none"),
        ((one, "--data", folder, "--set", "nist"), "'nist'"),
        ((folder / "broken" / "one.bitfold", "--data", folder), "not a network's card"),
        ((folder / "broken" / "two.bitfold", *mnist), "two.float.bitfold is not a network but a text"),
        ((folder / "none.bitfold", *mnist), "none.bitfold"),
        ((folder / "seven.bitfold", *mnist), "tells 7 classes apart, mnist has 10; --set must name the data set that"),
        (
            (folder / "wrong.bitfold", "--data", folder),
            "are 28x28x1; its card names this data set: fetch network and card",
        ),
        ((folder / "eight.bitfold", *mnist), "takes images of 8x8x1, those of mnist are 28x28x1"),
        ((folder / "letters.bitfold", *mnist), "has the class 'a' where mnist has '0'; --set must name"),
        (
            ("digits", *mnist),
            "digits takes images of 8x8x1, those of mnist are 28x28x1; "
            "leave --set away, for by its card digits belongs to digits",
        ),
        ((), "NET"),
    ]:
        status, out, err = bitfold("check", *words, "--json")
        assert status == 2, (words, out, err)
        assert out == ""
        assert says in err, (words, err)
        assert err.startswith("bitfold: ")
        assert err.count("\n") == 1, err


def test_another_networks_card_is_refused(folder):
    (folder / "two.json").write_bytes((folder / "one.json").read_bytes())
    status, out, err = bitfold("check", folder / "two.bitfold", "--data", folder)
    assert (status, out) == (2, "")
    assert f"{folder / 'two.json'} is another network's card: make " in err
    assert err.count("\n") == 1
