"""What a run tells: the table, TensorBoard's events, the curves; whole after any number of stops."""

from __future__ import annotations

import csv
import time

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("matplotlib")

import train_tiny
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bitfold.model.train import log
from bitfold.model.train.device import open_device
from bitfold.model.train.log import Epoch, Log, curves, spread
from bitfold.model.train.recipe import parse
from bitfold.model.train.run import Run, Step

COLUMNS = ["phase", "number", "rate", "loss", "error", "test_error", "seconds"]


def epochs(count, tune=0, error=0.5):
    """So many epochs, the last `tune` of them of the second phase."""
    phases = [("train", number + 1) for number in range(count - tune)] + [("tune", i + 1) for i in range(tune)]
    return [
        Epoch(phase, number, 0.1, 2 / step, error, error / step, 3.25) for step, (phase, number) in enumerate(phases, 1)
    ]


def table(folder):
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def events(folder, name):
    """(step, value) of everything TensorBoard would show."""
    found = EventAccumulator(str(folder))
    found.Reload()
    return [(event.step, event.value) for event in found.Scalars(name)]


def next_second():
    """TensorBoard orders the files of a folder by the second they were begun in."""
    time.sleep(1.01 - time.time() % 1)


def size(png):
    import io

    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20  # something is drawn
    return pixels.shape[:2]


def test_the_files_of_a_log(tmp_path):
    rows = epochs(3, tune=1)
    logged = Log(tmp_path, "title", [])
    assert table(tmp_path) == []
    assert not (tmp_path / "curves.png").exists()
    logged.draw()
    assert not (tmp_path / "curves.png").exists()  # there is nothing to draw
    for row in rows:
        logged.add(row)
    logged.draw()
    logged.close()
    found = table(tmp_path)
    assert list(found[0]) == COLUMNS
    assert [(row["phase"], row["number"]) for row in found] == [("train", "1"), ("train", "2"), ("tune", "1")]
    assert [float(row["test_error"]) for row in found] == [row.test_error for row in rows]
    for name in ("rate", "loss", "error", "test_error", "seconds"):
        expected = [(step, pytest.approx(getattr(row, name))) for step, row in enumerate(rows, 1)]
        assert events(tmp_path, name) == expected
    size((tmp_path / "curves.png").read_bytes())


def test_what_was_told_after_the_last_checkpoint_is_void(tmp_path):
    rows = epochs(5)
    killed = Log(tmp_path, "title", [])
    for row in rows[:4]:
        killed.add(row)
    killed.close()
    next_second()
    resumed = Log(tmp_path, "title", rows[:2])
    assert len(table(tmp_path)) == 2
    for row in rows[2:]:
        resumed.add(row)
    resumed.close()
    assert [int(row["number"]) for row in table(tmp_path)] == [1, 2, 3, 4, 5]
    assert [step for step, _ in events(tmp_path, "loss")] == [1, 2, 3, 4, 5]


# Events told: 6 steps and an epoch's end, three times; 5 steps and an end, twice.
@pytest.mark.parametrize("last", [10, 14])
def test_a_resumed_run_logs_every_epoch_once(tmp_path, last):
    """Killed within an epoch and as one ends."""
    told = 0

    def tell(news: Step | Epoch) -> None:
        nonlocal told
        told += 1
        if told == last:
            raise KeyboardInterrupt

    with open_device("cpu", 1, False) as device:
        for attempt in range(2):
            run = Run(parse(train_tiny.recipe(), "tiny"), train_tiny.quarters(), tmp_path, 5, device, tell)
            if attempt == 0:
                with pytest.raises(KeyboardInterrupt):
                    run.train()
                assert size((tmp_path / "curves.png").read_bytes())
                next_second()
            else:
                rows = run.train().rows
    assert [(row["phase"], row["number"]) for row in table(tmp_path)] == [
        *(("train", str(number)) for number in (1, 2, 3)),
        *(("tune", str(number)) for number in (1, 2)),
    ]
    assert events(tmp_path, "loss") == [(step, pytest.approx(row.loss)) for step, row in enumerate(rows, 1)]


def test_an_epoch_told_but_not_saved_is_told_again(tmp_path, monkeypatch):
    """Killed between the log and the checkpoint, either way round: no epoch is missing or there twice."""
    save = Run._save

    def killed(self, optimiser):
        if len(self.rows) == 2:
            raise KeyboardInterrupt
        save(self, optimiser)

    with open_device("cpu", 1, False) as device:
        arguments = (parse(train_tiny.recipe(), "tiny"), train_tiny.quarters(), tmp_path, 5, device, lambda news: None)
        monkeypatch.setattr(Log, "draw", lambda self: None)
        monkeypatch.setattr(Run, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            Run(*arguments).train()
        monkeypatch.setattr(Run, "_save", save)
        next_second()
        Run(*arguments).train()
    assert len(table(tmp_path)) == 5
    assert [step for step, _ in events(tmp_path, "loss")] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("count", "tune", "error"), [(1, 0, 0.5), (60, 10, 0.9), (3, 1, 0.0)])
def test_curves_of_any_length_and_without_errors(count, tune, error):
    rows = epochs(count, tune, error)
    assert size(curves(rows, "title")) == (720, 1080)
    assert size(spread([rows, rows], "title")) == (600, 1080)


def test_the_curves_show_the_rows():
    assert curves(epochs(9), "title") != curves(epochs(9, error=0.4), "title")
    assert curves(epochs(9), "title") != curves(epochs(9, tune=3), "title")
    assert spread([epochs(9)] * 2, "t") != spread([epochs(9), epochs(9, error=0.4)], "t")


def test_several_runs_must_be_equally_long():
    with pytest.raises(ValueError, match="shorter"):
        spread([epochs(3), epochs(2)], "title")


def test_no_window_is_needed():
    """Figures are drawn without pyplot, which keeps every one of them."""
    import sys

    assert log.curves(epochs(2), "title")
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
