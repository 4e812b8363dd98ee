# amaranth: UnusedElaboratable=no
"""Which plan a board gets: with its shell inside the device, or one line about what would do."""

import re

import pytest

from bitfold.boards.board import BOARDS
from bitfold.boards.fit import MOST_CELLS, chosen, limits, lut_rams, share_for, shell_of
from bitfold.model import zoo
from bitfold.model.error import BadInput


@pytest.mark.parametrize(
    ("name", "board"), [("digits", "ulx3s-85f"), ("digits", "tang-nano-20k"), ("digits-tiny", "tang-nano-9k")]
)
def test_a_chosen_machine_fits_together_with_its_shell(name, board):
    found = BOARDS[board]
    machine = chosen(zoo.load(name), found)
    assert machine.plan.target == found.target
    shell = shell_of(found, machine, found.wanted).resources
    assert limits(found.device, shell, share_for(found.device).most).lacking(machine) == []
    together = shell + machine.resources
    assert together.cells(found.device.family) <= found.device.luts
    assert all(count <= found.device.blocks[kind] for kind, count in together.blocks.items())
    assert machine.cells <= MOST_CELLS
    assert found.device.lut_rams is None or lut_rams(together) <= found.device.lut_rams


def test_a_network_that_does_not_fit_says_what_would_do():
    with pytest.raises(BadInput) as refused:
        chosen(zoo.load("mnist-4bit"), BOARDS["tang-nano-9k"])
    line = str(refused.value)
    says = "Sipeed Tang Nano 9K does not hold even the smallest plan beside its shell, which takes at least "
    assert line.startswith(says)
    # Of look-up tables nothing is said: there are plans that these hold.
    assert re.fullmatch(r"\d+ BSRAM of \d+, most of them in layer_5_body_3", line.removeprefix(says).split(";")[0])
    assert line.endswith("; tang-nano-20k holds it, of the shipped networks it holds digits")
