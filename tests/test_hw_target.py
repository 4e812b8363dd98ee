"""Families and devices."""

import pytest

from bitfold.boards.place import DEVICES
from bitfold.hw.device.target import ASSUMED, FAMILIES, TARGETS, Clock, clock_of


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_device_has_the_blocks_that_its_family_uses(target):
    assert target.family is FAMILIES[target.family.name]
    assert {block.kind for block in target.family.blocks} <= set(target.blocks)
    assert target.luts > 1000
    assert target.ffs > target.luts / 2


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_clock_is_measured_only_where_there_is_place_and_route(target):
    """And is below what place and route aims at there."""
    assert target.clock.origin in ("measured", "assumed")
    assert 10 < target.clock.mhz <= 100
    if target.name in DEVICES:
        assert target.clock.mhz < DEVICES[target.name].frequency
    else:
        assert target.clock.origin == "assumed"


def test_a_clock_is_what_is_asked_for_or_the_devices():
    assert clock_of("ice40-up5k", 12.5) == Clock(12.5, "asked")
    assert clock_of("ice40-up5k") == TARGETS["ice40-up5k"].clock
    assert clock_of("generic") == clock_of("no device") == ASSUMED
    assert str(clock_of("ecp5-25")) == "85 MHz (measured)"


def test_a_fabric_is_that_of_a_family():
    assert {family.fabric for family in FAMILIES.values()} == {"generic", "xc7", "ecp5", "ice40", "gowin"}
    assert FAMILIES["xcup"].fabric == "xc7"
    assert FAMILIES["nexus"].fabric == "ecp5"


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_every_shape_of_a_block_uses_all_of_it_but_parity(family):
    for block in family.blocks:
        for width, depth in block.shapes.items():
            assert width * depth in (block.bits, block.bits // 9 * 8)


def test_tables_cannot_be_changed():
    with pytest.raises(TypeError):
        TARGETS["ecp5-85"].blocks["DP16KD"] = 1
    with pytest.raises(TypeError):
        FAMILIES["xc7"].blocks[0].shapes[1] = 1
