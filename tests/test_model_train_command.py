"""`bitfold train` from a recipe to files: the integers, their float twin, their card, the run's folder."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("matplotlib")

import train_tiny  # noqa: E402
from rich.console import Console  # noqa: E402

from bitfold.model import net as net_module  # noqa: E402
from bitfold.model.card import Card  # noqa: E402
from bitfold.model.error import BadInput  # noqa: E402
from bitfold.model.net import Net  # noqa: E402
from bitfold.model.train import command  # noqa: E402
from bitfold.model.train.command import Job  # noqa: E402
from bitfold.model.train.log import Log  # noqa: E402
from bitfold.model.train.recipe import load, parse  # noqa: E402

TEST = train_tiny.quarters().test()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The synthetic data set; curves take longer than the training they show."""
    monkeypatch.setattr(command, "open_data", lambda name, folder, size: train_tiny.quarters())
    monkeypatch.setattr(Log, "draw", lambda self: None)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def train(tmp_path):
    """Train a tiny recipe; the figures and what was printed."""
    tmp_path = tmp_path / "out"
    tmp_path.mkdir()

    def train(output="net.bitfold", seed=5, seeds=1, epochs=None, until=math.inf, **changes):
        file = tmp_path.parent / "tiny.toml"
        file.write_text(train_tiny.recipe(**changes))
        console = Console(file=io.StringIO(), width=200)
        found = command.train(
            Job(str(file), None, tmp_path / output, seed, seeds, "cpu", 1, False, epochs, until), console
        )
        return found, console.file.getvalue()

    train.folder = tmp_path
    return train


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def wrong(net):
    return (net.classify(TEST.batch(np.arange(len(TEST)))) != TEST.labels).mean()


def test_the_files_and_the_figures(train):
    (found,), printed = train()
    folder = train.folder
    assert names(folder) == ["net.bitfold", "net.float.bitfold", "net.json", "net.run"]
    net, twin = Net.load(folder / "net.bitfold"), Net.load(folder / "net.float.bitfold")
    card = Card.load(folder / "net.json")
    assert net.classes == twin.classes == ("nw", "ne", "sw", "se")
    assert card.test_error == found["test_error"] == pytest.approx(wrong(net))
    assert card.float_test_error == found["float_test_error"] == pytest.approx(wrong(twin))
    assert found["network"] == str(folder / "net.bitfold")
    assert card.digest == found["digest"] == net.digest() != twin.digest()
    assert card.bytes == found["bytes"] == (folder / "net.bitfold").stat().st_size
    assert card.weights == found["weights"] == net.weights
    assert (card.name, card.data, card.recipe) == ("net", "quarters", "tiny")
    assert (card.seed, card.epochs, card.bits, card.images) == (5, 5, 4, 60)
    assert card.torch == str(torch.__version__)
    assert card.hardware.endswith(", 1 thread, float32")
    assert card.command.endswith("-o net.bitfold --seed 5 --device cpu --threads 1 --fp32")
    assert parse(train_tiny.recipe(), "x") == load(str(folder.parent / "tiny.toml"))
    assert card.settings["network"]["final-norm"] == "mean"
    json.dumps(found, allow_nan=False)
    # Not a terminal: a line for every epoch.
    lines = [line for line in printed.splitlines() if " 1: loss " in line or " 2: loss " in line]
    assert [line.split(":")[0] for line in lines] == ["train 1", "train 2", "tune 1", "tune 2"]
    assert "\x1b" not in printed


def test_after_its_first_epoch_a_run_says_how_fast_it_was_and_when_it_ends(train):
    _, printed = train()
    [speed] = [line for line in printed.splitlines() if "images/s" in line]
    assert re.fullmatch(r"[\d,]+ images/s: ends in about \d+ s, at \d\d:\d\d:\d\d", speed)
    assert printed.splitlines().index(speed) == 1


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (3599.9, "1 h 0 min"), (9000, "2 h 30 min")]
)
def test_times_are_said_as_people_do(seconds, said):
    assert command._span(seconds) == said


def test_epochs_in_place_of_the_recipes(train):
    (found,), _ = train(epochs=3)
    card = Card.load(train.folder / "net.json")
    assert found["epochs"] == card.epochs == 3
    assert (card.settings["train"]["epochs"], card.settings["tune"]["epochs"]) == (2, 1)
    assert " --seed 5 --epochs 3 --device cpu " in card.command
    with pytest.raises(BadInput, match=r"^--epochs: 1 epochs are too few for train and tune$"):
        train(epochs=1)


def test_a_run_that_is_out_of_time_says_what_is_left_and_goes_on(train, monkeypatch):
    found, _ = train(until=0.0, seeds=2)
    assert found == [
        {
            "seed": 5,
            "epochs": 0,
            "network": None,
            "checkpoint": str(train.folder / "net-5.run" / "checkpoint.pt"),
            "note": "the time was over in epoch 1 of 5: the same command goes on from there",
        }
    ]
    assert names(train.folder) == ["net-5.run"]
    left = iter(range(8))
    with monkeypatch.context() as patch:
        patch.setattr(command.Run, "_over", lambda self: next(left, None) is None)
        (figures,), _ = train()
    assert re.match(r"the time was over in epoch 2 of 5, about \d+ s are left: the same ", figures["note"])
    (whole,), _ = train()
    assert whole["epochs"] == 5
    assert Net.load(train.folder / "net.bitfold").digest() == whole["digest"]


def test_again_the_same_and_nothing_is_trained(train):
    (first,), _ = train()
    (second,), printed = train()
    assert second == first
    assert "loss" not in printed


def test_the_rounding_of_the_last_epoch_is_the_integers(train):
    """The network in torch and its integers get the same images wrong, but for float32's own rounding."""
    (found,), _ = train(norm="none", final_norm="none")
    with open(train.folder / "net.run" / "log.csv") as file:
        *_, last = csv.DictReader(file)
    assert float(last["test_error"]) == found["test_error"]


def test_several_seeds(train):
    found, _ = train(seeds=2)
    folder = train.folder
    each = [f"net-{seed}.{end}" for seed in (5, 6) for end in ("bitfold", "float.bitfold", "json", "run")]
    assert names(folder) == sorted([*each, "net.seeds.csv", "net.seeds.png"])
    assert [figures["seed"] for figures in found] == [5, 6]
    assert [Card.load(folder / f"net-{seed}.json").seed for seed in (5, 6)] == [5, 6]
    assert found[0]["digest"] != found[1]["digest"]
    logs = []
    for seed in (5, 6):
        with open(folder / f"net-{seed}.run" / "log.csv") as file:
            logs.append([float(row["test_error"]) for row in csv.DictReader(file)])
    with open(folder / "net.seeds.csv") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["epoch", "mean", "minimum", "maximum"]
    expected = [[n, sum(pair) / 2, min(pair), max(pair)] for n, pair in enumerate(zip(*logs, strict=True), 1)]
    assert [[float(cell) for cell in row] for row in rows[1:]] == [pytest.approx(row) for row in expected]
    assert (folder / "net.seeds.png").read_bytes().startswith(b"\x89PNG\r\n")
    # A seed by itself gives what it gave among others.
    (alone,), _ = train("alone.bitfold", seed=6)
    assert alone["digest"] == found[1]["digest"]


def test_without_codes_the_float_network_itself_is_exported(train):
    (found,), _ = train(bits=0)
    assert names(train.folder) == ["net.bitfold", "net.json", "net.run"]
    card = Card.load(train.folder / "net.json")
    assert (card.bits, card.epochs, card.float_test_error) == (22, 3, None)
    assert found["float_test_error"] is None
    net = Net.load(train.folder / "net.bitfold")
    assert card.test_error == pytest.approx(wrong(net))
    with open(train.folder / "net.run" / "log.csv") as file:
        *_, last = csv.DictReader(file)
    assert float(last["test_error"]) == pytest.approx(found["test_error"], abs=1 / 60 + 1e-9)


def test_a_network_of_tables_has_no_float_twin(train):
    (found,), _ = train(activation="elu")
    assert names(train.folder) == ["net.bitfold", "net.json", "net.run"]
    card = Card.load(train.folder / "net.json")
    assert (card.bits, card.float_test_error) == (4, None)
    reason = "module 3.body.1 (ELU) has codes of 22 bits; there are tables for codes of at most 8"
    assert found["note"] == f"the float twin is left out: {reason}"
    assert card.test_error == pytest.approx(wrong(Net.load(train.folder / "net.bitfold")))


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        (
            {"activation": "elu", "bits": 0},
            "module 3.body.1 (ELU) has codes of 22 bits; there are tables for codes of at most 8",
        ),
        ({"weights": 32, "bits": 0}, "module 1 (Conv2d) has 32-bit weights, which have no integer form"),
        ({"weights": 32}, "module 1 (Conv2d) has 32-bit weights, which have no integer form"),
    ],
)
def test_what_has_no_integers_reports_its_float_error(train, changes, note):
    (found,), _ = train(**changes)
    assert names(train.folder) == ["net.run"]
    assert found["network"] is None
    assert found["note"] == note
    with open(train.folder / "net.run" / "log.csv") as file:
        *_, last = csv.DictReader(file)
    assert found["float_test_error"] == float(last["test_error"])
    checkpoint = torch.load(found["checkpoint"], weights_only=True)
    assert "1.weight" in checkpoint["state"]["network"]
    json.dumps(found, allow_nan=False)


def test_places_that_are_none(train):
    folder = train.folder
    for output, message in (
        ("net.bin", f"the network's file must end in .bitfold, which {folder / 'net.bin'} does not"),
        (
            "none/net.bitfold",
            f"the folder {folder / 'none'} does not exist; create it or choose another place",
        ),
    ):
        with pytest.raises(BadInput) as caught:
            train(output)
        assert str(caught.value) == message
    assert names(folder) == []
    for name in ("net.bitfold", "net.json", "net.float.bitfold", "net.run/log.csv"):
        (folder / name).mkdir(parents=True)
        with pytest.raises(BadInput) as caught:
            train()
        assert str(caught.value) == f"{folder / name} cannot be written: Is a directory; choose another place"
        (folder / name).rmdir()
    (folder / "net.run").rmdir()
    (folder / "net.run").touch()
    with pytest.raises(BadInput, match=r"net\.run cannot be written: Not a directory; choose another place$"):
        train()
    assert names(folder) == ["net.run"]


@pytest.mark.parametrize(
    ("seeds", "name"),
    [(1, "net.bitfold"), (1, "net.float.bitfold"), (1, "net.json"), (2, "net-6.json"), (2, "net.seeds.png")],
)
def test_a_place_that_is_taken_is_refused_before_the_first_step(train, seeds, name):
    (train.folder / name).mkdir()
    with pytest.raises(BadInput) as caught:
        train(seeds=seeds)
    assert str(caught.value) == f"{train.folder / name} cannot be written: Is a directory; choose another place"
    assert names(train.folder) == [name]


def test_a_name_too_long_for_the_files_beside_is_refused_before_the_first_step(train):
    output = "x" * 244 + ".bitfold"
    with pytest.raises(BadInput, match=r"cannot be written: File name too long; choose another place$"):
        train(output)
    assert names(train.folder) == []


@pytest.mark.parametrize("changes", [{}, {"bits": 0}, {"norm": "none", "final_norm": "none"}, {"scale": "exact"}])
def test_what_no_net_may_be_is_refused_before_the_first_step(train, monkeypatch, changes):
    monkeypatch.setattr(net_module, "MAX_WEIGHTS", 100)
    with pytest.raises(BadInput, match=r"with it the network has \d+ weights, more than 100$"):
        train(**changes)
    assert names(train.folder) == []


def test_a_network_beyond_all_memory_is_refused_before_it_is_made(train, monkeypatch):
    text = train_tiny.recipe(depth=998).replace("channels = 2", "channels = 16384")
    monkeypatch.setattr(train_tiny, "recipe", lambda: text)
    with pytest.raises(BadInput, match=r"^the recipe's network has [\d,]+ weights, more than 268,435,456; lower its"):
        train()
    assert names(train.folder) == []


def test_class_names_of_any_script_come_out(train, monkeypatch):
    classes = ("猫\N{IDEOGRAPHIC SPACE}犬", "می\N{ZERO WIDTH NON-JOINER}خواهم", "e\N{COMBINING ACUTE ACCENT}", "x")
    data = replace(train_tiny.quarters(), classes=classes)
    monkeypatch.setattr(command, "open_data", lambda name, folder, size: data)
    train(bits=0, epochs=1)
    assert Net.load(train.folder / "net.bitfold").classes == classes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("a", "b", "c", "d\udcff")}, r'the class name "d\udcff" holds \udcff; remove that character'),
        ({"preprocessing": "a\nb"}, r'the preprocessing "a\nb" holds \n; remove that character'),
    ],
)
def test_a_data_set_has_no_texts_that_a_network_cannot_hold(changes, message):
    with pytest.raises(BadInput) as caught:
        replace(train_tiny.quarters(), **changes)
    assert str(caught.value) == message


def test_another_recipe_at_the_same_place_is_refused(train):
    train(bits=0, epochs=1)
    before = {path: path.read_bytes() for path in train.folder.iterdir() if path.is_file()}
    with pytest.raises(BadInput, match=r"net\.run/checkpoint\.pt is of another run, its recipe is "):
        train(bits=0, epochs=2)
    assert {path: path.read_bytes() for path in train.folder.iterdir() if path.is_file()} == before


def test_only_the_first_of_several_processes_speaks():
    console = Console(file=io.StringIO(), width=200)
    row = command.Epoch("train", 1, 0.1, 2.0, 0.5, 0.4, 1.0)
    for shown, said in ((False, ""), (True, "train 1: loss 2.0000, error 50.00% training, 40.00% test, 1 s")):
        with command._progress(console, shown) as progress:
            tell = command._teller(progress, parse(train_tiny.recipe(), "x"), 130)
            tell(command.Step("train", 1, 3, 2, 6))
            tell(row)
        assert said in console.file.getvalue()
        assert bool(console.file.getvalue()) == shown
