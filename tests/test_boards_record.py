"""build.json: what was written is read, and what is none is refused in one line."""

import json
from dataclasses import replace

import pytest

from bitfold.boards import record as records
from bitfold.boards.record import Port, Record
from bitfold.model.error import BadInput

RECORD = Record(
    bitfold="0.1.0", board="icebreaker", loader="ice40_generic", target="ice40-up5k", network="x", network_digest="00",
    plan_digest="11", clock=39_000_000, crystal=12_000_000, baud=3_000_000,
    ports={
        "clock": Port("clk12_0__io", False), "rx": Port("uart_0__rx__io", False), "tx": Port("uart_0__tx__io", False),
        "reset": Port("button_0__io", True),
    }, bitstream="top.bin",
    tools={"amaranth": "0.5"}, seed=1, fmax=39.5e6, used={"LC": (1, 2)}, cycles=100, frames_per_second=390_000.0,
    seconds=1.5, gibibytes=0.5, files={},
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "top.bin").write_bytes(b"bits")
    files = {"top.bin": records.digest(tmp_path / "top.bin")}
    (tmp_path / records.NAME).write_text(replace(RECORD, files=files).dumps())
    return tmp_path


def test_what_was_written_is_read(folder):
    found = records.load(folder)
    assert found == replace(RECORD, files=found.files)
    records.check(folder, found, "top.bin")


def test_a_file_that_was_changed(folder):
    (folder / "top.bin").write_bytes(b"bitz")
    with pytest.raises(
        BadInput, match=r"top\.bin is not the file that was built: its SHA-256 differs from build\.json"
    ):
        records.check(folder, records.load(folder), "top.bin")


def test_a_folder_without_a_record(tmp_path):
    with pytest.raises(BadInput, match=r"has no build\.json; give a folder that bitfold build has made"):
        records.load(tmp_path)
    with pytest.raises(BadInput, match="cannot be read: No such file or directory"):
        records.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("key", "value"),
    [("ports", 1), ("ports", {"rx": {"name": "x"}}), ("used", {"LC": 3}), ("files", {"a": 1}), ("bitstream", "other"),
     ("loader", ["-x"]), ("bitfold_build", 2), ("clock", None), ("more", 1),
     ("ports", {name: {"name": 1, "active_low": False} for name in RECORD.ports}), ("ports", {}), ("clock", "fast"),
     ("clock", 0), ("seconds", float("nan")), ("fmax", -1.0), ("seed", "1"),
     ("tools", {"yosys": 1}), ("used", {"LC": (1, "2")})],
)  # fmt: skip
def test_what_is_no_record(folder, key, value):
    content = json.loads((folder / records.NAME).read_text())
    content[key] = value
    if value is None:
        del content[key]
    (folder / records.NAME).write_text(json.dumps(content))
    with pytest.raises(BadInput, match=r"build\.json .*; build again$"):
        records.load(folder)


@pytest.mark.parametrize("text", ["", "[]", "3", "9" * 5000, "{", "[" * 100_000, "\x00"])
def test_what_is_no_json(folder, text):
    (folder / records.NAME).write_text(text)
    with pytest.raises(BadInput, match="is not a build's record"):
        records.load(folder)
