# amaranth: UnusedElaboratable=no
"""The baseline: what it keeps is the machine's, and what it exchanges is as Yosys was measured to make it."""

import dataclasses

import pytest
from sim_nets import residual_net

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.array.multiplied import BITS, masks, multiplied, planes
from bitfold.hw.baseline import baseline
from bitfold.hw.device.resources import Resources, total
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.plan import Folding
from bitfold.hw.planner import fit
from bitfold.hw.stages.conv import ConvStage
from bitfold.model import zoo


def machine(name, lanes, target, **changes):
    net = residual_net() if name == "residual" else zoo.load(name)
    return Accelerator(net, dataclasses.replace(fit(net, lanes), target=target, **changes))


MACHINES = {
    "digits on xc7": ("digits", 1024, "xc7a100t"),
    "digits on ECP5": ("digits", 64, "ecp5-85"),
    "tiny on iCE40": ("digits-tiny", 64, "ice40-up5k"),
    "residual, anywhere": ("residual", 16, "generic"),
    "codes of one bit": ("fashion-mnist-binary", 64, "xc7a35t"),
}


@pytest.fixture(scope="module", params=MACHINES)
def compared(request):
    made = machine(*MACHINES[request.param])
    return made, baseline(made)


def figures(resources: Resources):
    return resources.luts, resources.ffs, resources.blocks


def test_what_is_kept_and_what_is_exchanged_is_the_machine(compared):
    made, found = compared
    assert figures(found.kept + found.arrays + found.weights) == figures(made.resources)
    assert found.lanes == made.plan.lanes(made.net)
    assert figures(found.in_luts) == figures(found.kept + found.multiplied + found.words)
    assert figures(found.in_dsps) == figures(found.kept + found.words)


def test_words_are_eight_times_as_wide(compared):
    made, found = compared
    convs = [unit for unit in made.units.values() if isinstance(unit, ConvStage)]
    deep = [unit for unit in convs if unit.groups * unit.dot_cycles > 64]
    assert deep or made.net.weights < 1000
    for unit in deep:
        own, wide = (unit.rom_resources(made.plan.family, bits).memories for bits in (None, BITS))
        assert sum(each.stored for each in wide) == BITS * sum(each.stored for each in own)
        assert sum(each.stored for each in own) == unit.layer.weights.size
    wide = total(unit.rom_resources(made.plan.family, BITS) for unit in convs if unit.groups * unit.dot_cycles > 1)
    assert figures(found.words) == figures(wide)
    assert found.multiplied.luts > 3 * found.arrays.luts


def test_few_words_are_random_ones():
    """Of four words a bit is the same in all by a chance of an eighth."""
    made = machine("digits", 3000, "xc7a100t")
    units = {unit.groups * unit.dot_cycles: unit for unit in made.units.values() if isinstance(unit, ConvStage)}
    memories = units[4].rom_resources(made.plan.family, BITS).memories
    assert sum(each.stored for each in memories) == sum(round(7 * width) for width in units[4].stored) * 4


YOSYS = {
    ("xc7", 1): 10.02, ("xc7", 2): 20.20, ("xc7", 4): 29.58, ("xc7", 8): 48.33,
    ("ecp5", 1): 13.03, ("ecp5", 2): 38.66, ("ecp5", 4): 53.41,
}  # fmt: skip
"""LUTs a lane of 16 x 4 with 24-bit accumulators: `python benchmarks/multipliers.py`."""


@pytest.mark.parametrize(("family", "bits"), YOSYS)
def test_prices_are_what_yosys_makes(family, bits):
    found = multiplied(16, 4, 2**bits - 1, 24, FAMILIES[family])
    assert found.luts / 64 == pytest.approx(YOSYS[family, bits], rel=0.07)


def test_the_sums_of_planes_are_joined():
    """Two codes of 2 bits and one output on ECP5, counted by hand: an adder of n bits is that of n + 1 rounded up."""
    # The sum and the difference: of 2 bits, 3 wide.       2 adders of 4                   8 LUTs   6 FFs
    # A plane takes one of +-s and +-d, without an adder:  8 times 3                       24       24
    # Joined: 3 bits, of 7 to 21 (5), 21 to 105 (7), 105 to 1785 (11)
    #   4 x adder(3) = 4, 2 x adder(5) = 6, adder(7) = 8                                   36       20 + 14 + 11
    # The accumulator of 12 bits, and its multiplexer                                      24       12
    found = planes(2, 1, 3, 12, FAMILIES["ecp5"])
    frame = 1  # what a flag is gated with
    assert found.luts - frame == 8 + 24 + 36 + 24
    flags = 3 * 2 + 1 + 1 + 1
    joining = 3 * 3
    assert found.ffs == 6 + 24 + 45 + 12 + flags + joining
    one = masks(2, 1, 12, FAMILIES["xc7"])
    assert one.luts == 1 + 8 + 12


def test_layers_without_a_memory_stay():
    """Wired ones, and those of one word, as all of several pixels are: neither exchanged nor counted as lanes."""
    net = zoo.load("digits")
    plan = fit(net, 1024)
    wired = dataclasses.replace(
        plan, foldings={**plan.foldings, "3.body.1": Folding(16, 144, wired=True), "3.body.3": Folding(16, 144, 2)}
    )
    made = Accelerator(net, dataclasses.replace(wired, target="xc7a100t"))
    found = baseline(made)
    assert found.lanes == wired.lanes(net) - 3 * 16 * 144
    assert figures(found.kept + found.arrays + found.weights) == figures(made.resources)
    assert found.kept.luts > total([made.parts["layer_3_body_1"]]).luts


@pytest.mark.parametrize("changes", [{"weights": "loadable"}, {"protect": "ecc"}, {"protect": "parity"}])
def test_there_is_none_for_other_weights(changes):
    assert baseline(machine("digits", 64, "ecp5-85", **changes)) is None
