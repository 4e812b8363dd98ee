"""Runs: decided by their seed, bit for bit the same however often they are killed, lost ones given up."""

from __future__ import annotations

import copy
import os
import re
import signal
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("matplotlib")

import train_tiny  # noqa: E402

from bitfold.model.error import BadInput  # noqa: E402
from bitfold.model.export import export  # noqa: E402
from bitfold.model.train import modules, run  # noqa: E402
from bitfold.model.train.descent import make_optimiser  # noqa: E402
from bitfold.model.train.device import Device  # noqa: E402
from bitfold.model.train.log import Epoch, Log  # noqa: E402
from bitfold.model.train.recipe import Augment, Recipe, parse  # noqa: E402
from bitfold.model.train.run import Run, Step, Trained  # noqa: E402

torch.set_num_threads(1)  # two would wait for each other beside other tests

CPU = Device(torch.device("cpu"), bf16=False)
DATA = train_tiny.quarters()
STEPS = [6, 6, 6, 5, 5]
"""Of each epoch: 130 images by 25, three times, and by 30, twice."""


class Killed(Exception):  # noqa: N818  what happens to a run is no error of its own
    pass


def ignore(news: Step | Epoch) -> None:
    pass


def dies_after(events: int):
    """A listener that ends the run at the `events`-th thing it is told."""
    left = iter(range(events - 1))

    def tell(news: Step | Epoch) -> None:
        if next(left, None) is None:
            raise Killed

    return tell


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Curves take longer than the training they show."""
    monkeypatch.setattr(Log, "draw", lambda self: None)


def train(
    folder: Path, tell=ignore, seed: int = 5, device: Device = CPU, recipe: Recipe | None = None, **changes
) -> Trained:
    return Run(recipe or parse(train_tiny.recipe(**changes), "tiny"), DATA, folder, seed, device, tell).train()


def summary(trained: Trained):
    """Everything of it that must be the same: states as lists, rows without their seconds, the integers' digest."""
    states = [
        {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in net.state_dict().items()}
        for net in (trained.network, trained.twin)
        if net is not None
    ]
    digest = export(trained.network, DATA.input).digest() if trained.twin is not None else None
    return states, [astuple(row)[:-1] for row in trained.rows], digest


def test_the_phases_and_what_is_told(tmp_path):
    news: list[Step | Epoch] = []
    trained = train(tmp_path, news.append)
    steps = [item for item in news if isinstance(item, Step)]
    assert [(s.phase, s.epoch, s.epochs, s.done, s.total) for s in steps[-6:]] == [
        ("tune", 1, 2, 5, 5),
        *(("tune", 2, 2, done, 5) for done in range(1, 6)),
    ]
    assert len(steps) == sum(STEPS)
    rows = [item for item in news if isinstance(item, Epoch)]
    assert [(row.phase, row.number) for row in rows] == [
        ("train", 1),
        ("train", 2),
        ("train", 3),
        ("tune", 1),
        ("tune", 2),
    ]
    assert tuple(rows) == trained.rows
    assert rows[0].rate > rows[1].rate > rows[2].rate > 0
    assert all(0 <= row.error <= 1 and 0 <= row.test_error <= 1 and row.seconds >= 0 for row in rows)
    assert trained.twin is not None
    assert not any(module.quantised for module in trained.twin.modules() if isinstance(module, modules.Codes))
    codes = [module for module in trained.network.modules() if isinstance(module, modules.Codes)]
    assert all(module.quantised for module in codes)
    assert {module.bits for module in codes} == {4, 16}
    assert not trained.network.training


def test_the_task_is_learnt(tmp_path):
    """Far better than guessing (75 %), in floating point and in the integers."""
    recipe = parse(train_tiny.recipe(epochs=12), "tiny")
    trained = train(tmp_path, recipe=msgspec.structs.replace(recipe, augment=Augment()))  # a flip changes the class
    assert trained.rows[11].test_error < 0.2
    images = DATA.test()
    net = export(trained.network, DATA.input)
    wrong = (net.classify(images.batch(np.arange(60))) != images.labels).mean()
    assert wrong < 0.2
    assert wrong == pytest.approx(trained.rows[-1].test_error, abs=1 / 60 + 1e-9)


def test_a_seed_decides_everything(tmp_path):
    one, same, other = (summary(train(tmp_path / str(i), seed=seed)) for i, seed in enumerate((5, 5, 6)))
    assert one == same
    assert one[0] != other[0]
    assert one[2] != other[2]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Log, "draw", lambda self: None)
        return summary(train(tmp_path_factory.mktemp("uninterrupted")))


# Events: 6 steps and an epoch's end, three times (21), 5 steps and an end, twice (33).
@pytest.mark.parametrize("seconds", [0.0, 1e9])
@pytest.mark.parametrize("events", [1, 4, 6, 7, 8, 20, 21, 22, 25, 27, 28, 33])
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch, uninterrupted, events, seconds):
    """Saved after every step, or at the ends of epochs only."""
    monkeypatch.setattr(run, "SAVE_SECONDS", seconds)
    with pytest.raises(Killed):
        train(tmp_path, dies_after(events))
    told: list[Step | Epoch] = []
    assert summary(train(tmp_path, told.append)) == uninterrupted
    # It did go on: what was saved is not done again.
    steps = sum(isinstance(item, Step) for item in told)
    assert steps < sum(STEPS) or events <= (2 if seconds == 0 else 7)


@pytest.mark.parametrize("changes", [{"optimiser": "adam"}, {"norm": "none", "final_norm": "batch", "scale": "exact"}])
def test_a_run_that_is_killed_again_and_again(tmp_path, monkeypatch, changes):
    monkeypatch.setattr(run, "SAVE_SECONDS", 0.0)
    expected = summary(train(tmp_path / "whole", **changes))
    for _ in range(20):
        try:
            found = train(tmp_path / "killed", dies_after(4), **changes)
            break
        except Killed:
            pass
    assert summary(found) == expected


@pytest.mark.parametrize("looks", [1, 3, 6, 7, 8, 21, 22, 27])
def test_a_run_whose_time_is_over_stops_at_a_checkpoint(tmp_path, monkeypatch, uninterrupted, looks):
    """Asked after every step, and after every epoch that is not a phase's last."""
    left = iter(range(looks - 1))
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_over", lambda self: next(left, None) is None)
        told: list[Step | Epoch] = []
        assert train(tmp_path, told.append) is None
    before = sum(isinstance(item, Step) for item in told)
    told.clear()
    assert summary(train(tmp_path, told.append)) == uninterrupted
    assert sum(isinstance(item, Step) for item in told) == sum(STEPS) - before


def test_the_time_is_over_when_two_more_of_the_longest_steps_may_not_fit(tmp_path, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(run.time, "monotonic", lambda: now)
    found = Run(parse(train_tiny.recipe(), "tiny"), DATA, tmp_path, 5, CPU, ignore, until=1040)
    over = []
    for step in (5, 10, 1, 1, 1, 1):  # until 1040 - 2 * 10 - 3
        now += step
        over.append(found._over())
    assert over == [False, False, False, False, True, True]


def test_a_finished_run_is_not_run_again(tmp_path, uninterrupted):
    train(tmp_path)
    told: list[Step | Epoch] = []
    assert summary(train(tmp_path, told.append)) == uninterrupted
    assert told == []


def alone(folder: Path, file: Path, last: int, *launcher: str) -> subprocess.Popen[str]:
    """train_tiny's main in a process of its own, or in several with a launcher."""
    command = [sys.executable, *launcher, train_tiny.__file__, str(folder), str(file), str(last)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)


def test_a_killed_process_has_left_a_checkpoint_to_go_on_from(tmp_path, uninterrupted):
    file = tmp_path / "tiny.toml"
    file.write_text(train_tiny.recipe())
    with alone(tmp_path / "run", file, 0) as process:
        for line in process.stdout:
            if line == "16\n":
                process.kill()
                break
    told: list[Step | Epoch] = []
    assert summary(train(tmp_path / "run", told.append)) == uninterrupted
    assert 0 < sum(isinstance(item, Step) for item in told) <= sum(STEPS) - 14


TOGETHER_SECONDS = 400
"""Of two processes; alone on two cores they take five."""

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def together(folder: Path, recipe: str, last: int = 0):
    """Two processes; (exit status, state, rows)."""
    file = folder.with_suffix(".toml")
    file.write_text(recipe)
    with alone(folder, file, last, *TORCHRUN) as process:
        try:
            _, errors = process.communicate(timeout=TOGETHER_SECONDS)
        except subprocess.TimeoutExpired:
            for worker in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.kill(int(worker), signal.SIGABRT)  # they say where they are, and the launcher ends
            _, errors = process.communicate(timeout=60)
            pytest.fail(f"two processes took more than {TOGETHER_SECONDS} s:\n{errors}")
    if process.returncode:
        return process.returncode, None, errors
    return 0, *torch.load(folder / "result.pt", weights_only=True)


def test_two_processes_train_one_network(tmp_path):
    """The same batches and no statistics of halves of them: as one process does, but for rounding."""
    changes = {"norm": "none", "final_norm": "none", "rate": 0.02}
    text = train_tiny.recipe(**changes).replace('shift = 1\nflip = "random"\ncutout = 2\n', "")
    recipe = parse(text, "tiny")
    assert recipe.augment == Augment()
    status, state, rows = together(tmp_path / "two", text)
    assert status == 0, rows
    single = train(tmp_path / "one", recipe=recipe)
    assert [row[:2] for row in rows] == [(row.phase, row.number) for row in single.rows]
    for mine, its in zip(single.rows[:3], rows, strict=False):
        assert (mine.rate, mine.loss) == pytest.approx(its[2:4], rel=1e-3)
    weights = {name: value for name, value in single.network.state_dict().items() if "weight" in name}
    apart = [((state[name] - value).norm() / value.norm()).item() for name, value in weights.items()]
    assert max(apart) < 0.05
    # One of the two wrote.
    names = sorted(path.name for path in (tmp_path / "two").iterdir())
    assert names[:1] + names[2:] == ["checkpoint.pt", "log.csv", "result.pt"]
    assert names[1].startswith("events.out.tfevents")


@pytest.mark.slow
def test_two_processes_go_on_too(tmp_path):
    text = train_tiny.recipe()
    _, state, rows = together(tmp_path / "whole", text)
    for last in (9, 9):
        status, _, errors = together(tmp_path / "killed", text, last)
        assert status != 0, errors
    status, found, its = together(tmp_path / "killed", text)
    assert status == 0, its
    assert [row[:3] + row[4:] for row in its] == [row[:3] + row[4:] for row in rows]
    # The sums of several processes are added in another order.
    assert [row[3] for row in its] == pytest.approx([row[3] for row in rows], rel=1e-12)
    for name, value in state.items():
        assert torch.equal(found[name], value) if isinstance(value, torch.Tensor) else found[name] == value, name


def refused(*arguments, **keywords) -> str:
    with pytest.raises(BadInput) as caught:
        train(*arguments, **keywords)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    with pytest.raises(Killed):
        train(tmp_path, dies_after(8))
    file = tmp_path / "checkpoint.pt"
    before = file.read_bytes()
    mend = f"; remove {tmp_path} to start again, or choose another output"
    assert refused(tmp_path, seed=6) == f"{file} is of another run, its seed is 5, not 6{mend}"
    digests = [parse(train_tiny.recipe(rate=rate), "x").digest() for rate in (0.1, 0.2)]
    assert (
        refused(tmp_path, rate=0.2) == f"{file} is of another run, its recipe is {digests[0]}, not {digests[1]}{mend}"
    )
    bf16 = Device(torch.device("cpu"), bf16=True)
    assert refused(tmp_path, device=bf16) == (
        f"{file} is of another run, its device is cpu float32 x 1, not cpu bfloat16 x 1{mend}"
    )
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: b"",
        lambda whole: b"not a checkpoint",
        lambda whole: b"\x80\x02}q\x00.",
        lambda whole: b"\0" * 2000,
    ],
)
def test_a_checkpoint_that_is_none_is_refused(tmp_path, spoil):
    with pytest.raises(Killed):
        train(tmp_path, dies_after(8))
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(spoil(file.read_bytes()))
    assert refused(tmp_path) == (
        f"{file} is no checkpoint of bitfold's; remove {tmp_path} to start again, or choose another output"
    )


@pytest.mark.parametrize(
    "other", [torch.zeros(3), {"state": {}}, [1, 2], {"format": 1, "identity": 3, "state": {}}, None]
)
def test_another_file_of_torchs_is_refused(tmp_path, other):
    file = tmp_path / "checkpoint.pt"
    torch.save(other, file)
    assert refused(tmp_path).startswith(f"{file} is no checkpoint of bitfold's; ")


def test_another_versions_checkpoint_is_refused(tmp_path):
    file = tmp_path / "checkpoint.pt"
    torch.save({"format": 0, "identity": {}, "state": {}}, file)
    assert refused(tmp_path).startswith(f"{file} was written by another version of bitfold; ")


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file") == (
        f"the run's folder {tmp_path / 'file'} cannot be made: File exists; choose another output"
    )


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_divergence_is_said(tmp_path, optimiser):
    message = refused(tmp_path, rate=1e30, optimiser=optimiser)
    assert message == (
        "the training diverged in epoch 1: a weight or the loss is no longer a number; "
        f"give the recipe a lower rate, remove {tmp_path} and start again"
    )
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_a_weight_that_is_no_number_is_noticed_before_it_is_saved(tmp_path, monkeypatch, seconds):
    """Its sign would hide it: the loss stays finite."""
    monkeypatch.setattr(run, "SAVE_SECONDS", seconds)
    steps = 0

    def tell(news: Step | Epoch) -> None:
        nonlocal steps
        steps += 1
        if steps == 9:
            next(m for m in it.network.modules() if isinstance(m, modules.Conv2d)).weight.data[0, 0, 0, 0] = float(
                "nan"
            )

    it = Run(parse(train_tiny.recipe(), "tiny"), DATA, tmp_path, 5, CPU, tell)
    with pytest.raises(BadInput, match=r"^the training diverged in epoch 2: a weight or the loss is no longer"):
        it.train()
    assert steps == (9 if seconds == 0 else 13)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]["network"]
    assert all(value.isfinite().all() for value in saved.values() if isinstance(value, torch.Tensor))


def test_a_loss_far_beyond_guessing_is_noticed_after_the_first_epoch(tmp_path):
    recipe = parse(train_tiny.recipe(norm="none", final_norm="none", rate=1e-6), "tiny")
    recipe = msgspec.structs.replace(recipe, network=msgspec.structs.replace(recipe.network, temperature=1e-3))
    told: list[Step | Epoch] = []
    message = refused(tmp_path, told.append, recipe=recipe)
    assert message.startswith("the training diverged in epoch 2: the loss is ")
    assert message.endswith(
        f" where guessing gives 1.39; give the recipe a lower rate, remove {tmp_path} and start again"
    )
    assert sum(isinstance(item, Epoch) for item in told) == 1


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_bfloat16(tmp_path, norm):
    device = Device(torch.device("cpu"), bf16=True)
    one, same = (train(tmp_path / name, device=device, norm=norm, final_norm=norm) for name in "ab")
    assert summary(one) == summary(same)
    single = train(tmp_path / "c", norm=norm, final_norm=norm)
    assert single.rows[0].loss == pytest.approx(one.rows[0].loss, rel=0.1)
    assert single.rows[0].loss != one.rows[0].loss
    assert all(parameter.dtype == torch.float32 for parameter in one.network.parameters())


def test_the_statistics_are_taken_again_after_training(tmp_path, monkeypatch):
    trained = train(tmp_path / "retaken", bits=0, final_norm="batch")
    monkeypatch.setattr(Run, "_retake_statistics", lambda self: None)
    left = train(tmp_path / "left", bits=0, final_norm="batch")
    retaken = copy.deepcopy(trained.network).train()
    norms = [module for module in retaken.modules() if isinstance(module, modules.Norm)]
    before = [norm.mean.clone() for norm in norms]
    for norm in norms:
        norm.reset()
    # All 130 images are fewer than 100 batches: each part of them counts as much.
    order = np.random.default_rng([5, 0]).permutation(130)
    with torch.no_grad():
        for part in np.array_split(order, 6):
            retaken(CPU.pixels(torch.from_numpy(DATA.train().batch(part))))
    for norm, mean in zip(norms, before, strict=True):
        torch.testing.assert_close(norm.mean, mean)
    for name, value in left.network.state_dict().items():
        same = torch.equal(value, trained.network.state_dict()[name]) if isinstance(value, torch.Tensor) else True
        assert same == (name == "0.mean" or not name.endswith((".mean", ".variance"))), name


def test_distillation_is_a_share_of_the_loss(tmp_path):
    """At the start of tuning a teacher is its pupil but for the codes: near 0, where the labels' loss is not."""
    recipe = parse(train_tiny.recipe(), "tiny")
    losses = []
    for share in (0.0, 0.5, 1.0):
        tune = msgspec.structs.replace(recipe.tune, distil=share, rate=1e-30, end=0.0)
        changed = msgspec.structs.replace(recipe, tune=tune, augment=Augment())
        losses.append(train(tmp_path / str(share), recipe=changed).rows[-1].loss)
    assert losses[1] == pytest.approx((losses[0] + losses[2]) / 2, rel=1e-5)
    assert losses[2] < 0.5 * losses[0]


def test_only_weights_decay(tmp_path):
    network = Run(parse(train_tiny.recipe(), "tiny"), DATA, tmp_path, 5, CPU, ignore).network
    schedule = parse(train_tiny.recipe(), "tiny").train
    groups = make_optimiser(network, schedule, CPU).param_groups
    assert [group["weight_decay"] for group in groups] == [5e-4, 0.0]
    assert {parameter.ndim for parameter in groups[0]["params"]} == {4}
    assert {parameter.ndim for parameter in groups[1]["params"]} == {1}
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


def test_other_images_of_the_same_name_are_refused(tmp_path, monkeypatch):
    with pytest.raises(Killed):
        train(tmp_path, dies_after(8))
    images = train_tiny.images
    monkeypatch.setattr(train_tiny, "images", lambda count, seed: images(count, seed + 7))
    assert re.search(r" is of another run, its data is quarters of labels \w{16}, not quarters of ", refused(tmp_path))
