"""`bitfold regress`: what a machine gave once is what it gives, or a person reads what is not."""

import contextlib
import json
import shutil

import numpy as np
import pytest
from commands import run
from sim_nets import bits, images

from bitfold.hw.planner import fit
from bitfold.model.layers import BinaryConv, Chain, GlobalSum, Requantise
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor


def small_net(flip=False):
    weights = bits(4, 1, 1, 2, seed=1)
    weights[2, 0, 0, 1] ^= flip
    head = Requantise(0, -8, 7), GlobalSum(), BinaryConv(bits(3, 1, 1, 4, seed=3))
    return Net(Tensor(2, 2, 2, -8, 7), Chain((BinaryConv(weights), *head)))


NET = small_net()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Where a network, another, two plans and images are, and what was recorded of random ones."""
    folder = tmp_path_factory.mktemp("recorded")
    with contextlib.chdir(folder):
        NET.save("net.bitfold")
        small_net(flip=True).save("other.bitfold")
        fit(NET, 4).save("plan.toml")
        fit(NET, 8).save("faster.toml")
        np.save("images.npy", images(NET, 5))
        assert regress("--record", "--count", 6)[0] == 0
    return folder


@pytest.fixture(autouse=True)
def folder(recorded, tmp_path, monkeypatch):
    """The same, to be spoilt."""
    monkeypatch.chdir(shutil.copytree(recorded, tmp_path / "folder"))
    return tmp_path / "folder"


def regress(*words, net="net.bitfold", plan="plan.toml"):
    how = "--golden", "golden.json", "--plan", plan, "--engine", "amaranth", "--cache", "cache", "--jobs", 1
    return run("regress", net, *how, *words)


def test_the_same_is_the_same():
    status, out, err = regress()
    assert (status, err) == (0, "")
    assert [line.split() for line in out.splitlines()[:2]] == [["same", "True"], ["images", "6"]]
    told = json.loads(regress("--json")[1])
    assert (told["same"], told["differences"], told["changes"]) == (True, [], [])


def test_the_file_can_be_read(folder):
    found = json.loads((folder / "golden.json").read_text())
    assert found["network"] == NET.digest()
    assert found["images"]["random"] == 0
    assert len(found["logits"]) == found["images"]["count"] == 6
    assert len((folder / "golden.json").read_text().splitlines()) > 20


def test_another_network_differs_in_its_logits():
    status, out, err = regress(net="other.bitfold")
    assert (status, err) == (1, "")
    lines = out.splitlines()
    now, was = small_net(flip=True).digest(), NET.digest()
    assert lines[0] == f"differs  network: {was[:12]} before, {now[:12]} now"
    assert any(line.startswith("differs  logits of image ") for line in lines)


def test_another_plan_differs_in_its_cycles_alone():
    status, out, err = regress("--json", plan="faster.toml")
    assert (status, err) == (1, "")
    told = json.loads(out)
    assert {each["what"] for each in told["differences"]} == {"cycles per frame", "latency cycles"}
    assert [each["what"] for each in told["changes"]] == ["plan"]
    assert told["cycles_per_frame"] < next(iter(told["differences"]))["was"]


def test_a_new_version_is_told_and_does_not_differ(monkeypatch):
    monkeypatch.setattr("bitfold.cli.regress.version", lambda name: "0.2.0")
    status, out, _ = regress()
    assert (status, out.splitlines()[0]) == (0, "changed  version: 0.1.0 before, 0.2.0 now")


def test_a_digest_that_changed_is_named(folder):
    found = json.loads((folder / "golden.json").read_text())
    found["logits"][4] = "0" * 32
    (folder / "golden.json").write_text(json.dumps(found))
    status, out, _ = regress()
    assert status == 1
    assert out.startswith("differs  logits of image 4: 000000000000 before, ")
    found["logits"] = ["0" * 32] * 6 + found["logits"]
    found["images"]["count"] = 12
    (folder / "golden.json").write_text(json.dumps(found))
    assert "these are other images than golden.json was recorded with" in regress()[2]


def test_a_machine_that_is_not_the_network_fails(monkeypatch, tmp_path):
    from bitfold.hw.accelerator import Accelerator

    monkeypatch.setattr("bitfold.sim.simulate.Accelerator", lambda net, plan: Accelerator(small_net(flip=True), plan))
    status, out, err = regress()
    assert (status, out) == (1, "")
    assert err.startswith("bitfold: the machine is not the network: layer 0 (BinaryConv with Requantise) is the first")


def test_images_of_a_file_are_named_again(folder):
    assert regress("--record", "--images", "images.npy")[0] == 0
    assert regress("--images", "images.npy")[0] == 0
    says = "bitfold: golden.json was recorded with the images of images.npy: name that file by --images\n"
    assert regress() == (2, "", says)
    np.save("images.npy", images(NET, 5, seed=1))
    assert "these are other images than golden.json was recorded with" in regress("--images", "images.npy")[2]


def test_images_of_a_set_are_read_again():
    pytest.importorskip("sklearn")
    Net(Tensor(8, 8, 1, 0, 16), Chain((GlobalSum(), BinaryConv(bits(10, 1, 1, 1))))).save("digits.bitfold")
    words = "digits.bitfold", "--golden", "digits.json", "--engine", "amaranth", "--cache", "cache", "--jobs", 1
    assert run("regress", *words, "--record", "--set", "digits", "--count", 3)[0] == 0
    assert run("regress", *words)[0] == 0


def test_what_cannot_be_is_one_line(folder):
    right = (folder / "golden.json").read_text()
    for words, says in [
        (("--set", "digits"), "golden.json says which images: leave out --set, --count and --seed, or record it anew"),
        (("--count", 3), "golden.json says which images: leave out --set, --count and --seed, or record it anew"),
        (("--images", "images.npy"), "golden.json was recorded with other images than a file's: leave out --images"),
        (("--record", "--count", 0), "--count must be a number from 1 to 1,000,000, not 0"),
        (("--engine", "ghdl"), "there is no engine ghdl; there are verilator, icarus"),
    ]:
        status, out, err = regress(*words)
        assert (status, out) == (2, ""), words
        assert err.startswith(f"bitfold: {says}")
    value = json.loads(right)
    not_one = "golden.json is not a golden file, as bitfold regress --record writes it"
    for spoilt, says in [
        ("", f"{not_one}: it is no object of JSON"),
        ("[1]", f"{not_one}: it is no object of JSON"),
        (json.dumps(value | {"bitfold_golden": 2}), f"{not_one}: its bitfold_golden is 2, and this bitfold reads 1"),
        (json.dumps(value | {"more": 2}), f"{not_one}: it must have the parts network, images, "),
        (json.dumps(value | {"latency_cycles": "x"}), f"{not_one}: latency_cycles must be int, not 'x'"),
        (json.dumps(value | {"logits": [1]}), f"{not_one}: logits must be str, not 1"),
        (json.dumps(value | {"logits": value["logits"][1:]}), "golden.json has 5 digests for 6 images; record it"),
        (json.dumps(value | {"images": value["images"] | {"file": "x"}}), "golden.json: its images must be of one of"),
        (json.dumps(value).replace(str(value["latency_cycles"]), "NaN"), "golden.json is not a golden file"),
    ]:
        (folder / "golden.json").write_text(spoilt)
        status, out, err = regress()
        assert (status, out, err.count("\n")) == (2, "", 1), spoilt
        assert err.startswith(f"bitfold: {says}")
    (folder / "golden.json").unlink()
    assert regress()[2].startswith("bitfold: golden.json cannot be read: No such file or directory; check the path")
