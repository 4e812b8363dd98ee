"""`bitfold classify`: images to a virtual board, each answer held against the network."""

import json
import re
import shutil
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from loads import another
from noise import Noisy
from sim_nets import INPUT, KINDS, images
from sklearn.datasets import load_digits

from bitfold.boards import record as records
from bitfold.boards.host import open_port
from bitfold.cli import classify
from bitfold.cli.main import main
from bitfold.model import zoo
from bitfold.model.net import Net
from bitfold.model.shape import shape
from bitfold.model.train.data import open_data
from bitfold.sim import virtual
from bitfold.sim.virtual import virtual_board

Image = pytest.importorskip("PIL.Image")
DIGITS = load_digits().images.astype(int)[1437:1457, ..., None]


def run(capsys, *words):
    """Exit status, what was printed, what was complained of."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    captured = capsys.readouterr()
    return left.value.code, captured.out, captured.err


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A project for a board, which takes no tools but those that write Verilog."""
    folder = tmp_path_factory.mktemp("arty") / "built"
    with pytest.raises(SystemExit) as left:
        main(["build", "digits-tiny", "--board", "arty-a7-35", "-o", str(folder)])
    assert left.value.code is None
    return folder


def test_twenty_digits_and_pictures_pin_to_pin(built, tmp_path, capsys):
    array, picture = tmp_path / "x.npy", tmp_path / "two.png"
    np.save(array, DIGITS)
    ink = 255 - DIGITS[0, ..., 0] * 255 // 16
    Image.fromarray(ink.astype(np.uint8)).resize((160, 160), Image.Resampling.NEAREST).save(picture)
    status, out, err = run(capsys, "classify", "--port", f"virtual:{built}", "--json", array, picture)
    assert (status, err) == (None, "")
    figures = json.loads(out)
    net = zoo.load("digits-tiny")
    given = [entry["class"] for entry in figures["classes"]]
    assert given == [net.classes[c] for c in net(DIGITS).argmax(axis=-1).ravel()] + ["2"]
    assert figures["images"] == 21
    assert figures["differing_from_the_network"] == 0
    assert figures["identity"]["network"] == net.digest()
    assert figures["counts"]["results"] == 21
    assert figures["latency_largest_ms"] >= figures["latency_median_ms"] > 0


def test_noise_and_the_button_lose_time_and_no_answer(built, tmp_path, capsys, monkeypatch):
    """Bytes lost, turned and added, so frames are cut, and the button in the middle."""
    np.save(x := tmp_path / "x.npy", np.tile(DIGITS, (10, 1, 1, 1)))
    boards, heard = [], []

    class Worse(Noisy):
        def read(self, size=1):
            heard.append(got := super().read(size))
            if sum(map(len, heard)) > 2000 and boards:
                boards.pop().press_reset()
            return got

    @contextmanager
    def running(*args, **kwargs):
        with virtual_board(*args, **kwargs) as board:
            boards.append(board)
            yield board

    @contextmanager
    def opened(name, baud):
        with open_port(name, baud) as port:
            yield Worse(port, 1, 0.0003)

    monkeypatch.setattr(virtual, "virtual_board", running)
    monkeypatch.setattr(classify, "open_port", opened)
    monkeypatch.setattr(classify, "VIRTUAL_PATIENCE", 2.0)
    status, out, _ = run(capsys, "classify", "--port", f"virtual:{built}", "--json", x)
    figures = json.loads(out)
    assert (status, figures["images"], figures["differing_from_the_network"]) == (None, 200, 0)
    assert figures["sent_again"] > 5
    assert figures["counts"]["results"] < 200  # counted from the button on
    assert not boards


def test_a_test_set_and_the_table(built, capsys):
    status, out, _ = run(capsys, "classify", "--port", f"virtual:{built}", "--set", "digits", "--count", 30)
    assert status is None
    figures = {name.strip(): value for name, value in (line.rsplit("  ", 1) for line in out.splitlines())}
    assert figures["images"] == "30"
    assert figures["differing from the network"] == "0"
    test = open_data("digits", None).test()
    given = zoo.load("digits-tiny")(test.batch(np.arange(30))).argmax(axis=-1).ravel()
    wrong = (given != test.labels[:30]).mean()
    assert figures["test error"] == f"{wrong:.2%}".replace("%", " %")


def test_a_machine_that_is_wrong_gives_status_1(built, tmp_path, capsys, monkeypatch):
    """The board answers as built; the network it is held against has one class's logits changed."""
    real = type(zoo.load("digits-tiny")).__call__
    monkeypatch.setattr(type(zoo.load("digits-tiny")), "__call__", lambda net, x: real(net, x) + (np.arange(10) == 3))
    np.save(tmp_path / "x.npy", DIGITS[:3])
    status, out, _ = run(capsys, "classify", "--port", f"virtual:{built}", tmp_path / "x.npy", "--json")
    assert status == 1
    assert json.loads(out)["differing_from_the_network"] == 3


def changed(built, tmp_path, name, text):
    folder = tmp_path / "changed"
    shutil.copytree(built, folder)
    (folder / name).write_text(text)
    return folder


def test_bad_input(built, tmp_path, capsys):
    np.save(x := tmp_path / "x.npy", DIGITS[:1])
    virtual = f"virtual:{built}"
    port = "name the board's port: --port /dev/ttyUSB0, or --port virtual:DIR for what bitfold build made"
    for words, said in (
        (["x.npy"], port),
        (["--port", virtual], "give picture files, or a data set by --set NAME"),
        (["--port", virtual, x, "--set", "digits"], "give picture files, or a data set by --set NAME"),
        (["--port", virtual, x, "--count", "3"], "--count is of a data set: name one by --set"),
        (["--port", "/dev/none", x, "--netlist"], "--netlist runs a model: give --port virtual:DIR"),
        (["--port", f"virtual:{tmp_path}", x],
         f"{tmp_path} has no build.json; give a folder that bitfold build has made"),
        (["--port", virtual, tmp_path / "y.png"], f"{tmp_path}/y.png cannot be read: No such file or directory"),
        (["--port", virtual, "--net", "digits", x],
         f"the board at {virtual} has network {zoo.load('digits-tiny').digest()[:12]}, not "
         f"{zoo.load('digits').digest()[:12]}; name its network by --net, or build and program it again"),
    ):  # fmt: skip
        status, out, err = run(capsys, "classify", *words)
        assert (status, out, err) == (2, "", f"bitfold: {said}\n")


def test_no_port(tmp_path, capsys):
    np.save(x := tmp_path / "x.npy", DIGITS[:1])
    status, _, err = run(capsys, "classify", "--port", "/dev/none", x)
    assert status == 2
    assert err.startswith("bitfold: /dev/none: No such file or directory; there are these serial ports: ")
    assert err.count("\n") == 1


def test_a_port_that_answers_rubbish(tmp_path, capsys, monkeypatch):
    import os
    import threading
    import tty

    master, slave = os.openpty()
    tty.setraw(slave)
    monkeypatch.setattr(classify, "PATIENCE", 0.1)

    def babble():
        for _ in range(40):
            os.read(master, 100)
            os.write(master, b"~AT+OK\r\n~")

    threading.Thread(target=babble, daemon=True).start()
    np.save(x := tmp_path / "x.npy", DIGITS[:1])
    status, _, err = run(capsys, "classify", "--port", os.ttyname(slave), x)
    assert status == 2
    assert err.startswith("bitfold: the board answers rubbish (")
    assert err.count("\n") == 1


def test_a_file_that_was_not_built(built, tmp_path, capsys):
    np.save(x := tmp_path / "x.npy", DIGITS[:1])
    folder = changed(built, tmp_path, "top.v", "module top; endmodule")
    status, _, err = run(capsys, "classify", "--port", f"virtual:{folder}", x)
    assert status == 2
    assert err == (
        f"bitfold: {folder}/top.v is not the file that was built: its SHA-256 differs from build.json's; build again\n"
    )
    assert records.load(folder).board == "arty-a7-35"


def test_without_pyserial(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "serial", None)
    np.save(x := tmp_path / "x.npy", DIGITS[:1])
    status, _, err = run(capsys, "classify", "--port", "/dev/none", x)
    assert status == 2
    assert err.startswith("bitfold: pyserial is not installed; ")


def test_weights_that_are_loaded(tmp_path, capsys):
    """One board, two networks of its shape by its own file and by another, and what does not suit it."""
    np.save(x := tmp_path / "x.npy", DIGITS[:5])
    folder, port = tmp_path / "built", f"virtual:{tmp_path}/built"
    plain = Net(INPUT, KINDS["conv"])
    (net := Net(INPUT, KINDS["residual"])).save(tmp_path / "net.bitfold")
    (other := another(net, 1)).save(tmp_path / "other.bitfold")
    plain.save(tmp_path / "plain.bitfold")
    np.save(x, images(net, 5))
    words = ["build", f"{tmp_path}/net.bitfold", "--board", "arty-a7-35", "--loadable", "-o", folder]
    assert run(capsys, *words)[0] is None
    for own, chosen in ((net, []), (other, ["--net", f"{tmp_path}/other.bitfold"])):
        status, out, err = run(capsys, "classify", "--port", port, "--json", x, *chosen)
        assert (status, err) == (None, "")
        figures = json.loads(out)
        assert figures["differing_from_the_network"] == 0
        assert figures["identity"]["network"] == shape(own).digest() != own.digest()
        assert figures["identity"]["load_words"] > 0
    status, _, err = run(capsys, "classify", "--port", port, x, "--net", f"{tmp_path}/plain.bitfold")
    assert status == 2
    assert re.fullmatch(
        rf"bitfold: the board at {port} is for networks of shape \w{{12}}, and this one has \w{{12}}; name one whose "
        r"layers and intervals are the same by --net\n",
        err,
    )
    (tmp_path / "plan.toml").write_text((folder / "net.toml").read_text().replace('"loadable"', '"rom"'))
    status, _, err = run(capsys, "classify", "--port", port, x, "--plan", tmp_path / "plan.toml")
    assert status == 2
    assert re.fullmatch(
        rf"bitfold: the board at {port} has plan \w{{12}}, not \w{{12}}; name the plan beside its build.json by "
        r"--plan\n",
        err,
    )


def test_a_plan_for_fixed_weights(built, tmp_path, capsys):
    np.save(x := tmp_path / "x.npy", DIGITS[:1])
    status, _, err = run(capsys, "classify", "--port", f"virtual:{built}", x, "--plan", built / "digits-tiny.toml")
    assert (status, err) == (2, f"bitfold: the board at virtual:{built} has fixed weights: leave out --plan\n")
