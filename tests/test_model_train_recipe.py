"""Recipes: what ships, how a wrong one is refused, the learning rate."""

from __future__ import annotations

import itertools
import math
import re

import pytest

msgspec = pytest.importorskip("msgspec")

from train_tiny import recipe as tiny  # noqa: E402

from bitfold.model.error import BadInput  # noqa: E402
from bitfold.model.train import recipe  # noqa: E402
from bitfold.model.train.data import DATA  # noqa: E402
from bitfold.model.train.recipe import Network, Recipe, Schedule, load, parse  # noqa: E402

RIGHT = """
data = "digits"
[network]
form = "wide"
depth = 8
channels = 4
[train]
epochs = 3
rate = 0.1
restarts = [1]
[tune]
epochs = 2
rate = 0.01
"""


def refused(text, name="x.toml"):
    with pytest.raises(BadInput) as caught:
        parse(text, name)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", recipe.names())
def test_the_shipped_recipes(name):
    found = load(name)
    assert found.data in DATA
    assert load(name).digest() == found.digest()


def test_the_names_are_sorted_and_there_is_one_for_each_small_data_set():
    assert recipe.names() == sorted(recipe.names())
    assert {"digits", "mnist", "fashion-mnist"} <= set(recipe.names())


def test_a_recipe_from_a_file(tmp_path):
    file = tmp_path / "r.toml"
    file.write_text("# größer\n" + tiny(), "utf-8")
    found = load(str(file))
    assert (found.data, found.network.channels, found.network.final_norm, found.augment.cutout) == (
        "quarters",
        2,
        "mean",
        2,
    )
    assert list(found.schedules) == ["train", "tune"]
    assert found.schedules["tune"].distil == 0.5
    assert list(parse(tiny(bits=0), "x").schedules) == ["train"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs = 3", "epoch = 3", "x.toml: train: unknown key `epoch`; is it `epochs`?"),
        (
            "depth = 8",
            "depth = 8\nbranch_shift = 1",
            "x.toml: network: unknown key `branch_shift`; is it `branch-shift`?",
        ),
        (
            'data = "digits"',
            'data = "digits"\nzzz = 1',
            "x.toml: unknown key `zzz`; there are augment, data, network, size, train, tune",
        ),
        (
            "[tune]",
            "[augment]\nmirror = true\n[tune]",
            "x.toml: augment: unknown key `mirror`; there are cutout, flip, shift",
        ),
        (
            'data = "digits"',
            'data = "digits"\nsize = [9, 9, 1]',
            "x.toml: size is of the data set folders; images of digits have a size already: remove it",
        ),
        ('"digits"', '"folders"\nsize = [0, 9, 1]', "x.toml: size[0]: expected `int` >= 1"),
        ("depth = 8", 'depth = "8"', "x.toml: network.depth: expected `int`, got `str`"),
        ("depth = 8", "depth = 8.0", "x.toml: network.depth: expected `int`, got `float`"),
        ("depth = 8\n", "", "x.toml: network: the key `depth` is missing"),
        (
            '"wide"',
            '"wyde"',
            "x.toml: network.form: 'wyde' is none of 'wide', 'resnet18', 'plain', 'cnv', 'alexnet'",
        ),
        (
            "depth = 8",
            'depth = 8\nactivation = "sign"\nnorm = "batch"',
            "x.toml: network.bits is 8, and a sign has one: set it to 1, or to 0 to train floats",
        ),
        (
            "depth = 8",
            "depth = 8\nbits = 1",
            "x.toml: network.bits is 1, which only the activation sign has: shifted-relu has 2 to 8",
        ),
        (
            "depth = 8",
            'depth = 8\nbits = 1\nactivation = "sign"',
            "x.toml: network.norm is none, and a sign needs its sums normalised: set it to batch",
        ),
        ("depth = 8", "depth = 8\nbits = 9", "x.toml: network.bits: 9 is none of 0, 1, 2, 3, 4, 5, 6, 7, 8"),
        ("depth = 8", "depth = 8\ntemperature = inf", "x.toml: network.temperature: expected `float` <= 1000000.0"),
        ("depth = 8", "depth = 8\ntemperature = nan", "x.toml: network.temperature: expected `float` >= 1e-06"),
        ("rate = 0.01", "rate = 0", "x.toml: tune.rate: expected `float` > 0.0"),
        ("rate = 0.01", 'rate = 1\noptimiser = "SGD"', "x.toml: tune.optimiser: 'SGD' is none of 'sgd', 'adam'"),
        ("rate = 0.01", "rate = 1\nmomentum = 1.5", "x.toml: tune.momentum: expected `float` < 1.0"),
        ("[1]", "[1, 0]", "x.toml: train.restarts[1]: expected `int` >= 1"),
        ("[1]", "1", "x.toml: train.restarts: expected `array`, got `int`"),
        ("[1]", "[1, 3]", "x.toml: train.restarts: a restart after epoch 3 never comes, since `epochs` is 3"),
        (
            "[1]",
            "[1]\ndistil = 0.5",
            "x.toml: train.distil has no teacher: the network before its codes only teaches in [tune]",
        ),
        ("[1]", "[1]\n[augment]\nshift = 99999", "x.toml: augment.shift: expected `int` <= 16384"),
        (
            "depth = 8",
            "depth = 8\nbits = 0",
            "x.toml: network.bits is 0, which leaves nothing to tune: remove [tune], or give bits 1 to 8",
        ),
        (
            "[tune]\nepochs = 2\nrate = 0.01",
            "",
            "x.toml: network.bits is 8, so [tune] must say how to train with such codes; add it, or set bits to 0",
        ),
        (RIGHT, "data = 3", "x.toml: data: expected `str`, got `int`"),
        (RIGHT, "", "x.toml: the key `data` is missing"),
        (RIGHT, "data = ", "x.toml: invalid value (at end of document)"),
        (RIGHT, "data = 'digits'\nnetwork = 3", "x.toml: network: expected a table, got `int`"),
        (RIGHT, "a = " + "[" * 5000, "x.toml: too many brackets within each other"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(old, new, message):
    assert old in RIGHT
    parse(RIGHT, "x.toml")
    assert refused(RIGHT.replace(old, new)) == message


def test_files_that_are_no_recipes(tmp_path):
    def message(name):
        with pytest.raises(BadInput) as caught:
            load(str(name))
        return str(caught.value)

    shipped = ", ".join(recipe.names())
    assert message("digts") == f"there is no recipe digts; did you mean digits? give a file or one of {shipped}"
    assert message(tmp_path) == f"{tmp_path} is not a regular file; give the path of a recipe"
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"data = \xff")
    assert message(bad) == f"{bad} is not a recipe: no UTF-8 text from byte 7 on; check the path"
    bad.write_text(RIGHT.replace("epochs = 3", "epoch = 3"))
    assert message(bad) == f"{bad}: train: unknown key `epoch`; is it `epochs`?"


def test_the_rate_falls_along_half_a_cosine():
    schedule = Schedule(epochs=10, rate=0.5, end=0.1)
    assert schedule.rate_at(0) == 0.5
    assert schedule.rate_at(5) == pytest.approx(0.3)
    assert schedule.rate_at(2.5) == pytest.approx(0.3 + 0.2 * math.sqrt(0.5))
    assert schedule.rate_at(10) == pytest.approx(0.1)
    rates = [schedule.rate_at(step / 7) for step in range(71)]
    assert all(after < before for before, after in itertools.pairwise(rates))


def test_the_rate_starts_again():
    schedule = Schedule(epochs=15, rate=0.5, end=0.1, restarts=(7, 1, 3))
    for start, end in ((0, 1), (1, 3), (3, 7), (7, 15)):
        assert schedule.rate_at(start) == 0.5
        assert schedule.rate_at((start + end) / 2) == pytest.approx(0.3)
        assert schedule.rate_at(end - 1e-9) == pytest.approx(0.1)
    assert schedule.rate_at(15) == pytest.approx(0.1)


def test_the_rate_rises_before_it_falls():
    schedule = Schedule(epochs=10, rate=0.5, end=0.1, warmup=2)
    assert [schedule.rate_at(epoch) for epoch in (0, 0.5, 1)] == [0, 0.125, 0.25]
    assert schedule.rate_at(2) == 0.5
    assert schedule.rate_at(6) == pytest.approx(0.3)
    assert schedule.rate_at(10) == pytest.approx(0.1)
    again = Schedule(epochs=10, rate=0.5, end=0.1, warmup=2, restarts=(4,))
    assert [again.rate_at(epoch) for epoch in (1, 2, 4)] == [0.25, 0.5, 0.5]
    assert again.rate_at(3) == again.rate_at(7) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("warmup = 3", "train.warmup: the rate rises for 3 epochs and never falls"),
        ("warmup = 1.5\nrestarts = [1]", "train.warmup: the rate rises for 1.5 epochs and never falls"),
        ("nesterov = true\noptimiser = 'adam'", "train.nesterov: only sgd with a momentum can look ahead"),
        ("nesterov = true\nmomentum = 0.0", "train.nesterov: only sgd with a momentum can look ahead"),
    ],
)
def test_what_cannot_go_together_is_refused(keys, said):
    wrong = RIGHT.replace("restarts = [1]\n", "").replace("epochs = 3", f"epochs = 3\n{keys}")
    with pytest.raises(BadInput, match=re.escape(said)):
        parse(wrong, "x")


def test_a_recipe_in_more_or_fewer_epochs():
    train, tune = Schedule(24, 0.1, restarts=(2, 8), warmup=1.5), Schedule(6, 0.1)
    whole = Recipe("digits", Network("wide", 8, 4), train, tune)
    assert whole.lasting(30) == whole
    longer = whole.lasting(60)
    assert (longer.train.epochs, longer.tune.epochs) == (48, 12)
    assert (longer.train.restarts, longer.train.warmup) == ((4, 16), 3)
    shortest = whole.lasting(2)
    assert (shortest.train.epochs, shortest.tune.epochs, shortest.train.restarts) == (1, 1, ())
    assert whole.lasting(7).train.epochs == 6
    late = Recipe("digits", Network("wide", 8, 4), Schedule(100, 0.1, restarts=(2,), warmup=1.9), Schedule(99, 0.1))
    fewer = late.lasting(130)
    assert (fewer.train.epochs, fewer.tune.epochs, fewer.train.restarts) == (65, 65, ())
    hardly = msgspec.structs.replace(late, train=Schedule(1, 0.1)).lasting(2)
    assert (hardly.train.epochs, hardly.tune.epochs) == (1, 1)
    with pytest.raises(ValueError, match=r"^1 epochs are too few for train and tune$"):
        whole.lasting(1)
    in_floats = Recipe("digits", Network("wide", 8, 4, bits=0), train)
    assert in_floats.lasting(1).train.epochs == 1


def test_the_digest_is_of_what_a_recipe_says():
    digest = parse(RIGHT, "x").digest()
    same = """
    # the tables in another order, defaults spelled out
    augment = {shift = 0, flip = 'none'}
    tune = {rate = 1e-2, epochs = 2, momentum = 0.9}
    data = 'digits'
    train = {restarts = [1], rate = 0.10, epochs = 3}
    network = {channels = 4, depth = 8, form = "wide", bits = 8}
    """
    assert parse(same, "other").digest() == digest
    for old, new in (("depth = 8", "depth = 14"), ("[1]", "[2]"), ("0.01", "0.02"), ("digits", "mnist")):
        assert parse(RIGHT.replace(old, new), "x").digest() != digest


def test_the_digest_never_changes():
    """Checkpoints of runs that are under way carry it."""
    assert parse(RIGHT, "x").digest()[:16] == "5ba16cdb271f6fd4"
