"""Files that other people send are data: of damaged ones one line, no traceback, no hang, no memory without end."""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from abuse import mutants

from bitfold.boards import record
from bitfold.boards.protocol import Decoder, Frame, Kind
from bitfold.hw.plan import Plan
from bitfold.hw.planner import balance
from bitfold.model import zoo
from bitfold.model.card import Card, card_path
from bitfold.model.error import BadInput
from bitfold.model.net import Net
from bitfold.model.read import SMALL
from bitfold.model.train import recipe
from bitfold.sim.golden import Golden, Source
from bitfold.sim.parts import Done, cut
from bitfold.sim.resume import journal
from bitfold.sim.taps import Difference

NET = zoo.load("digits-tiny")
SECONDS = 60.0
"""Of one file: milliseconds are usual, and one that takes this long would not end."""
PER_BYTE, FLOOR = 64, 4 * 2**20
"""Bytes of memory that a file's byte may cost at the most, beside what everything costs."""


@dataclass(frozen=True)
class Format:
    """A kind of file: the bytes of a right one, and what reads it from a path."""

    whole: Callable[[Path], bytes]
    read: Callable[[Path], object]


def _plan(folder: Path) -> bytes:
    balance(NET, 20_000).save(folder / "plan.toml")
    return (folder / "plan.toml").read_bytes()


def _read_plan(path: Path) -> None:
    Plan.load(path).check(NET)


def _record(folder: Path) -> bytes:
    known = record.Record(
        "0.1.0", "icebreaker", "ice40_generic", "ice40-up5k", "digits", "0" * 64, "1" * 64, 24_000_000, 12_000_000,
        2_000_000, {name: record.Port(name, False) for name in record.PORTS}, "top.bin", {"yosys": "0.60"}, 1, 2.5e7,
        {"ICESTORM_LC": (4000, 5280)}, 768, 1000.0, 12.5, 0.5, {"top.bin": "2" * 64},
    )  # fmt: skip
    return known.dumps().encode()


def _read_record(path: Path) -> None:
    path.rename(path.parent / record.NAME)
    record.load(path.parent)


def _golden(folder: Path) -> bytes:
    images = Source(None, None, 0, 3, "0" * 64)
    golden = Golden("1" * 64, images, 768.0, 3181, ("a" * 32,) * 3, "2" * 64, "3" * 64, "verilator", "0.1.0")
    golden.save(folder / "golden.json")
    return (folder / "golden.json").read_bytes()


ABOUT = {"network": "1" * 64, "engine": "verilator", "pauses": 0.5, "seed": 0}
PARTS = cut(20, 10**6, 0)


def _run(folder: Path) -> bytes:
    with journal(folder / "run", ABOUT, PARTS) as opened:
        for part in PARTS:
            count = part.stop - part.start
            wrong = Difference("output", "", part.start, 0, 0, 3, -5, None)
            done = Done(part.index, ("a" * 32,) * count, (1,) * count, (wrong,), 1, 0, 9999, 3181, None)
            opened.add(done, 1.5 + part.index)
    return (folder / "run").read_bytes()


def _read_run(path: Path) -> None:
    with journal(path, ABOUT, PARTS):
        pass


KINDS = {
    "network": Format(lambda folder: zoo.path("digits-tiny").read_bytes(), Net.load),
    "plan": Format(_plan, _read_plan),
    "recipe": Format(
        lambda folder: (Path(recipe.__file__).parent / "recipes" / "cifar10-4bit.toml").read_bytes(),
        lambda path: recipe.load(str(path)),
    ),
    "card": Format(lambda folder: card_path(zoo.path("digits-tiny")).read_bytes(), Card.load),
    "record": Format(_record, _read_record),
    "golden": Format(_golden, Golden.load),
    "run": Format(_run, _read_run),
}


def abused(kind: str, folder: Path, count: int, seed: int) -> int:
    """How many of the damaged files are read all the same."""
    known = KINDS[kind]
    whole = known.whole(folder)
    path = folder / "damaged"
    path.write_bytes(whole)
    known.read(path)
    taken = 0
    for index, raw in enumerate(mutants(whole, count, seed)):
        path.write_bytes(raw)
        measured = index % 10 == 0
        if measured:
            tracemalloc.start()
        began = time.process_time()
        try:
            known.read(path)
            taken += 1
        except BadInput as error:
            message = str(error)
            assert "\n" not in message, (index, message[:2000])
            assert 0 < len(message) < 1000, (index, message[:2000])
        took = time.process_time() - began
        if measured:
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert most <= PER_BYTE * min(len(raw), SMALL) + FLOOR, (index, most)
        assert took < SECONDS, (index, took)
    return taken


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_or_refused_in_one_line(kind, tmp_path):
    abused(kind, tmp_path, 120, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_or_refused_at_length(kind, seed, tmp_path):
    abused(kind, tmp_path, 1000, seed)


def test_a_damaged_network_that_is_read_is_the_file(tmp_path):
    """What is read is in the file byte for byte: nothing was guessed or mended."""
    path, again = tmp_path / "damaged.bitfold", tmp_path / "again.bitfold"
    read = 0
    for raw in mutants(zoo.path("digits-tiny").read_bytes(), 150, seed=3):
        path.write_bytes(raw)
        try:
            Net.load(path).save(again)
        except BadInput:
            continue
        read += 1
        assert again.read_bytes() == raw
    assert read  # a turned weight is another network


def damaged_frames(count: int, seed: int) -> None:
    """None of the damaged frames is taken for one, and the next whole one is understood."""
    rng = np.random.default_rng(seed)
    decoder = Decoder()
    whole = Frame(Kind.IDENTITY, 77, b"whole")
    for raw in mutants(Frame(Kind.IMAGE, 5, rng.bytes(40)).encode() + Frame(Kind.COUNT, 6).encode(), count, seed):
        known = {Frame(Kind.COUNT, 6).payload}
        for frame in decoder.feed(raw):
            assert frame.payload in known or len(frame.payload) == 40, frame
        # A damaged piece may end in an escape; two flags in front make an end of it.
        assert decoder.feed(whole.encode())[-1:] == [whole]


def test_damaged_frames_are_none_and_the_next_is_understood():
    damaged_frames(300, seed=4)


@pytest.mark.slow
def test_damaged_frames_at_length():
    damaged_frames(5000, seed=5)
