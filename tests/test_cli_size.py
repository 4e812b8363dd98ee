# amaranth: UnusedElaboratable=no
"""`bitfold train --luts`: the widest network whose planned machine fits."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("msgspec")

import train_tiny
from some import few

from bitfold.cli.size import sized
from bitfold.hw.planner import Planner, balance
from bitfold.model.error import BadInput
from bitfold.model.train.command import rehearsal
from bitfold.model.train.recipe import parse

RECIPE = parse(train_tiny.recipe(form="plain", depth=4, norm="none", final_norm="none"), "tiny").of_channels(18)
CYCLES = 4000


def untrained(recipe):
    return rehearsal(recipe, train_tiny.quarters())


def cells(channels, target):
    return Planner(untrained(RECIPE.of_channels(channels)), target).machine(CYCLES).cells


@pytest.mark.parametrize("target", few(["generic", "ice40-up5k"], 2))
def test_the_most_channels_that_fit(target):
    """Which is not the last before one that does not: 18 channels are cheaper than 17."""
    every = {channels: cells(channels, target) for channels in (1, 2, 4, 8, 12, 17, 18)}
    assert every[18] < every[17]
    for channels in (2, 8, 18):
        chosen, machine = sized(RECIPE, untrained, every[channels], target, CYCLES)
        assert chosen.network.channels >= channels
        assert chosen == RECIPE.of_channels(chosen.network.channels)
        assert machine.cells <= every[channels]
        assert machine.cycles <= CYCLES
        assert machine.plan.target == target
    chosen, _ = sized(RECIPE, untrained, every[2] // 2 + every[8] // 2, target, CYCLES)
    assert 1 < chosen.network.channels < 18


def test_no_more_than_the_recipes_own():
    chosen, machine = sized(RECIPE, untrained, 10**6, "generic", CYCLES)
    assert chosen == RECIPE
    assert machine.cells == Planner(untrained(RECIPE), "generic").machine(CYCLES).cells
    assert balance(untrained(RECIPE), CYCLES).foldings == machine.plan.foldings


def test_memory_blocks_are_limits_too():
    """Of the UP5K's 30 blocks a wide network takes more, however many LUTs may be used."""
    chosen, machine = sized(RECIPE.of_channels(64), untrained, 5280, "ice40-up5k", 10**9)
    assert chosen.network.channels < 64
    assert machine.cells < 4000
    assert machine.resources.blocks["EBR"] <= 30


def test_what_cannot_be():
    with pytest.raises(BadInput, match=r"^--luts 60: not even 1 channel fits at that rate; give more, a lower --fps, "):
        sized(RECIPE, untrained, 60, "generic", CYCLES)
    with pytest.raises(BadInput, match=r"^the frame takes at least \d+ cycles to come "):
        sized(RECIPE, untrained, 10**6, "generic", 1)
    with pytest.raises(BadInput, match=r"^--luts 5281: ice40-up5k has 5,280$"):
        sized(RECIPE, untrained, 5281, "ice40-up5k", CYCLES)
