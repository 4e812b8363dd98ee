"""Kept files are whole, and not kept for ever."""

import os
import time

import pytest

from bitfold.model import kept

NAME = kept.key(b"design")


@pytest.fixture
def made(tmp_path):
    path = tmp_path / "made"
    path.write_bytes(b"model" * 1000)
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


def test_keys_tell_parts_apart():
    assert len({kept.key(b"ab", b"c"), kept.key(b"a", b"bc"), kept.key(b"abc"), kept.key(b"abc", b"")}) == 4


def test_what_is_kept_is_found(folder, made):
    assert kept.find(folder, NAME) is None
    path = kept.keep(folder, NAME, made)
    assert kept.find(folder, NAME) == path
    assert path.read_bytes() == b"model" * 1000
    assert not made.exists()


@pytest.mark.parametrize("spoilt", [b"", b"model" * 999, b"model" * 1001, b"nodel" + b"model" * 999])
def test_what_is_spoilt_is_not_found_and_goes(folder, made, spoilt):
    path = kept.keep(folder, NAME, made)
    path.write_bytes(spoilt)
    assert kept.find(folder, NAME) is None
    assert list(folder.iterdir()) == []


def aged(folder, name, days, size, tmp_path):
    path = tmp_path / "aged"
    path.write_bytes(name.encode() * size)
    path = kept.keep(folder, kept.key(name.encode()), path)
    then = time.time() - days * 86_400
    os.utime(path, (then, then))
    return path


def test_what_was_not_used_for_long_goes(folder, tmp_path):
    old, young = aged(folder, "o", 31, 1, tmp_path), aged(folder, "y", 29, 1, tmp_path)
    mine = folder / "notes.txt"
    mine.write_text("", encoding="utf-8")
    os.utime(mine, (0, 0))
    kept.tidy(folder)
    assert set(folder.iterdir()) == {young, mine}
    assert not old.exists()


def test_what_was_used_longest_ago_goes_when_all_is_too_large(folder, tmp_path, monkeypatch):
    paths = [aged(folder, f"{days}", days, 1000, tmp_path) for days in (3, 2, 1)]
    kept.find(folder, kept.key(b"3"))  # used now
    monkeypatch.setattr(kept, "LIMIT", 2500)
    kept.tidy(folder)
    assert [path.exists() for path in paths] == [True, False, True]
    monkeypatch.setattr(kept, "LIMIT", 0)
    kept.tidy(folder)
    assert [path.exists() for path in paths] == [True, False, False]  # what is about to be read stays
