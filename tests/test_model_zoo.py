"""The networks that ship: they are what their cards say, and the READMEs' tables say what the cards do."""

from __future__ import annotations

import dataclasses
import datetime
import json
import shutil

import pytest

from bitfold.model import zoo
from bitfold.model.card import Card, card_path, twin_path
from bitfold.model.error import BadInput
from bitfold.model.judge import judge
from bitfold.model.net import Net
from bitfold.model.train.data import DATA, open_data
from bitfold.model.zoo import tables


def test_an_unknown_name_lists_the_known():
    assert "digits" in zoo.names()
    with pytest.raises(BadInput, match=r"the zoo has no network 'digit'; did you mean digits\? it has .*digits"):
        zoo.path("digit")


def test_a_float_twin_is_no_network_of_its_own(tmp_path, monkeypatch):
    for name in ("one.bitfold", "one.float.bitfold", "one.json", "two.bitfold", "README.md"):
        (tmp_path / name).touch()
    monkeypatch.setattr(zoo, "_HERE", tmp_path)
    assert zoo.names() == ["one", "two"]
    assert twin_path(zoo.path("one")) == tmp_path / "one.float.bitfold"
    assert card_path(zoo.path("one")) == tmp_path / "one.json"


@pytest.mark.parametrize("name", zoo.names())
def test_a_network_is_described_as_it_is(name):
    net, card = zoo.load(name), zoo.card(name)
    assert card.name == name
    assert card.data in DATA
    assert card.weights == net.weights
    assert card.bytes == zoo.path(name).stat().st_size
    assert card.digest == net.digest()
    assert 0 <= card.test_error < 0.5
    datetime.date.fromisoformat(card.date)
    if twin_path(zoo.path(name)).exists():
        twin = Net.load(twin_path(zoo.path(name)))
        assert (twin.input, twin.classes, twin.weights) == (net.input, net.classes, net.weights)


def test_the_digits_network_recognises_the_held_out_fifth():
    pytest.importorskip("sklearn")
    held_out = open_data("digits", None).test()
    verdict = judge([zoo.load("digits")], held_out.batch, held_out.labels)
    card = zoo.card("digits")
    assert card.images == len(held_out)
    assert card.test_error == (len(held_out) - verdict.right[0]) / len(held_out)
    assert card.test_error <= 0.02


@pytest.mark.parametrize("path", tables.TABLES, ids=lambda path: path.parent.name)
def test_the_table_is_up_to_date(path):
    text = path.read_text()
    cards = [zoo.card(name) for name in zoo.names()]
    assert tables.renewed(text, tables.TABLES[path], cards) == text, "run python -m bitfold.model.zoo"


def test_a_table_is_written_anew_and_nothing_else(tmp_path, monkeypatch):
    copies = {tmp_path / str(index): columns for index, columns in enumerate(tables.TABLES.values())}
    for path, copy in zip(tables.TABLES, copies, strict=True):
        shutil.copy(path, copy)
    monkeypatch.setattr(tables, "TABLES", copies)
    worse = dataclasses.replace(zoo.card("digits"), test_error=0.4321, float_test_error=None)
    monkeypatch.setattr(tables, "card", lambda name: worse)
    before = [copy.read_text() for copy in copies]
    tables.rewrite()
    for text, copy in zip(before, copies, strict=True):
        after = copy.read_text()
        assert "43.21 %" in after
        assert [part.split("<!-- /zoo -->")[-1] for part in after.split("<!-- zoo -->")] == [
            part.split("<!-- /zoo -->")[-1] for part in text.split("<!-- zoo -->")
        ]
    once = [copy.read_text() for copy in copies]
    tables.rewrite()
    assert [copy.read_text() for copy in copies] == once


@pytest.mark.parametrize("text", ["", "<!-- /zoo -->\n<!-- zoo -->\n", 2 * "<!-- zoo -->\n<!-- /zoo -->\n"])
def test_a_text_without_one_place_for_the_table_is_refused(text):
    with pytest.raises(BadInput, match="add these lines"):
        tables.renewed(text, tables.FIGURES, [])


def test_a_card_is_saved_and_loaded(tmp_path):
    card = zoo.card("digits")
    for changed in (card, dataclasses.replace(card, float_test_error=None, settings={"rate": 0.1, "of": {"a": [1]}})):
        changed.save(tmp_path / "card.json")
        assert Card.load(tmp_path / "card.json") == changed


def changed(**fields):
    return json.dumps(dataclasses.asdict(zoo.card("digits")) | fields)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        ("[]", "not an object"),
        ("{}", "lacks 'bits', 'bytes'"),
        (changed(colour="red"), "has the unknown 'colour'"),
        (changed(seed="0"), "'seed' must be int, not '0'"),
        (changed(seed=True), "'seed' must be int, not True"),
        (changed(seed=0.0), "'seed' must be int, not 0.0"),
        (changed(name=None), "'name' must be str, not None"),
        (changed(settings=[]), r"'settings' must be dict\[str\], not \[\]"),
        (changed(test_error=None), "'test_error' must be float, not None"),
        (changed(test_error=False), "'test_error' must be float, not False"),
        (changed(test_error=float("nan")), "not JSON"),
        (changed(date="\n" * 500, seed="\n" * 500), "'seed' must be int"),
    ],
)
def test_a_broken_card_is_refused_in_one_line(tmp_path, text, says):
    path = tmp_path / "card.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput, match=says) as refused:
        Card.load(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_missing_card_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"none\.json cannot be read"):
        Card.load(tmp_path / "none.json")


def test_whole_numbers_are_numbers(tmp_path):
    (tmp_path / "card.json").write_text(changed(seconds=20, test_error=0))
    card = Card.load(tmp_path / "card.json")
    assert (type(card.seconds), card.seconds, type(card.test_error)) == (float, 20.0, float)
