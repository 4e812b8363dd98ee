"""Families and devices."""

import pytest

from bitfold.hw.device.target import FAMILIES, TARGETS


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_device_has_the_blocks_that_its_family_uses(target):
    assert target.family is FAMILIES[target.family.name]
    assert {block.kind for block in target.family.blocks} <= set(target.blocks)
    assert target.luts > 1000
    assert target.ffs > target.luts / 2


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
