"""`bitfold import`: what it writes and says, and its one line about bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("scipy")
from published_files import images, published
from test_cli_words import refused, run

from bitfold.model.imports.integers import integers
from bitfold.model.imports.published import open_published
from bitfold.model.net import Net
from bitfold.model.train.data.cifar import CIFAR10_CLASSES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A published network, one of seven classes, and CIFAR-10's training files with 100 images."""
    folder = tmp_path_factory.mktemp("import")
    network = published("keras")
    network.save(folder / "network.mat")
    seven = published("matlab", classes=7)
    seven.save(folder / "seven.mat")
    (folder / "broken.mat").write_bytes((folder / "seven.mat").read_bytes()[:2000])
    batches = folder / "data" / "cifar10"
    batches.mkdir(parents=True)
    for index, part in enumerate(np.split(images(100, 5), 5), 1):
        planes = part.transpose(0, 3, 1, 2).reshape(len(part), -1)
        labels = np.zeros((len(part), 1), np.uint8)
        (batches / f"data_batch_{index}.bin").write_bytes(np.hstack([labels, planes]).tobytes())
    return folder


def test_it_writes_the_network_and_says_what_it_is(folder):
    read = open_published(folder / "network.mat")
    for words, calibrated, bits, seen in [
        ((), "moments in the file", 8, None),
        (("--bits", 4, "--data", folder / "data"), "64 training images", 4, images(100, 5)[:64]),
    ]:
        status, out, err = run("import", folder / "network.mat", "-o", folder / "net.bitfold", *words, "--json")
        assert (status, err) == (0, "")
        net = Net.load(folder / "net.bitfold")
        assert json.loads(out) == {
            "net": str(folder / "net.bitfold"),
            "layout": "McDonnell's Keras networks",
            "weights": net.weights,
            "bits": bits,
            "calibrated_on": calibrated,
        }
        text = "32x32 pixels, 0 to 255 in red, green, blue, as CIFAR-10's files give them"
        assert net.digest() == integers(read, bits, seen, CIFAR10_CLASSES, text).digest()


def test_classes_of_no_data_set_have_no_names(folder):
    status, out, _ = run("import", folder / "seven.mat", "-o", folder / "seven.bitfold")
    assert status == 0
    assert "McDonnell's MATLAB networks" in out
    net = Net.load(folder / "seven.bitfold")
    assert (net.output.channels, net.classes, net.preprocessing) == (7, (), "")


def test_bad_input_gets_one_line_and_status_2(folder):
    file, output = folder / "network.mat", ("-o", folder / "out.bitfold")
    for words, says in [
        ((folder / "none.mat", *output), "none.mat cannot be read: No such file or directory; check the path"),
        ((folder, *output), "is not a regular file; give the path of a MATLAB file"),
        ((folder / "broken.mat", *output), "broken.mat is not a whole MATLAB file ("),
        ((file,), "Missing option '-o'"),
        ((file, "-o", folder), "cannot be written: Is a directory; choose another place"),
        ((file, "-o", folder / "nowhere" / "out.bitfold"), "cannot be written: No such file or directory; choose"),
        ((file, *output, "--bits", 9), "Invalid value for '--bits'"),
        ((file, *output, "--bits", "x"), "Invalid value for '--bits'"),
        ((file, *output, "--data", folder / "nowhere"), "nowhere does not exist: make it, or name another"),
        ((folder / "seven.mat", *output, "--data", folder / "data"), "seven.mat tells 7 classes apart, as no data set"),
    ]:
        assert says in refused("import", *words)
        assert not (folder / "out.bitfold").exists()


def test_an_old_network_stays_where_a_new_one_cannot_be_made(folder):
    old = folder / "old.bitfold"
    old.write_bytes(b"old")
    refused("import", folder / "broken.mat", "-o", old)
    assert old.read_bytes() == b"old"


def test_a_network_of_brevitas(tmp_path):
    pytest.importorskip("onnx")
    from qonnx_graphs import Graph

    from bitfold.model.imports.qonnx import from_qonnx

    graph = Graph(3, 6, 6)
    x = graph.quant("input", 0.25, 4)
    x = graph.relu(graph.conv(x, np.random.default_rng(0).normal(size=(4, 3, 3, 3))), 0.3, 4)
    model = graph.model(x)
    (tmp_path / "net.ONNX").write_bytes(model.SerializeToString())
    status, out, err = run("import", tmp_path / "net.ONNX", "-o", tmp_path / "net.bitfold", "--json")
    assert (status, err) == (0, "")
    net = Net.load(tmp_path / "net.bitfold")
    assert net.digest() == from_qonnx(model).digest()
    assert json.loads(out) == {
        "net": str(tmp_path / "net.bitfold"),
        "layout": "QONNX",
        "input": "whole numbers c from -8 to 7, the codes that node /Quant_0 (Quant) gives for 0.25 c",
        "weights": 108,
    }
    for words in (("--bits", 4), ("--data", tmp_path)):
        line = refused("import", tmp_path / "net.ONNX", "-o", tmp_path / "x.bitfold", *words)
        assert line.startswith("--bits and --data are for published networks; ")


def test_a_network_of_brevitas_needs_onnx(tmp_path, monkeypatch):
    monkeypatch.setattr("bitfold.cli.import_net.find_spec", lambda name: None)
    assert refused("import", "net.onnx", "-o", tmp_path / "net.bitfold") == (
        "net.onnx needs onnx to be read, which is not installed; in bitfold's folder: pip install '.[onnx]'"
    )
