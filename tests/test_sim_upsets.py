# amaranth: UnusedElaboratable=no
"""Flipped bits in the running Verilog: the reference with the same flips, and what protected machines make of them."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from sim_nets import images, residual_net
from some import few

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.planner import balance
from bitfold.model.layers import BinaryConv, Chain, Requantise
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.sim.simulate import check
from bitfold.sim.upsets import Flip, UpsetNet, draw, inject, memories

NET = residual_net()


def bits(*shape):
    return np.random.default_rng(len(shape)).random(shape) < 0.5


LAYERS = BinaryConv(bits(8, 3, 3, 24), 1, (1, 1, 1, 1)), Requantise(0, 0, 1), BinaryConv(bits(4, 1, 1, 8))
BINARY = Net(Tensor(3, 4, 24, 0, 1), Chain(LAYERS))
"""Arrays that count agreements: words of nine to 24 inputs."""
WIDE = Net(Tensor(4, 4, 20, 0, 15), Chain((BinaryConv(bits(6, 3, 3, 20), 1, (1, 1, 1, 1)), Requantise(3, -4, 11))))
"""Chains of several positions on xc7."""

MACHINES = {
    "tree": (NET, balance(NET, 200)),
    "several pixels": (WIDE, Plan({"0": Folding(6, 60)})),
    "chains": (WIDE, Plan({"0": Folding(2, 20)}, target="xc7a35t")),
    "parts": (WIDE, Plan({"0": Folding(2, 20, turns=4)}, target="xc7a35t")),
    "popcount": (BINARY, Plan({"0": Folding(2, 24), "2": Folding(2, 8)})),
    "popcount chains": (BINARY, Plan({"0": Folding(2, 24), "2": Folding(2, 8)}, target="xc7a35t")),
}

SELDOM = ("several pixels", "popcount")
"""Those of the full run."""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Compiled models are shared by the tests of this file."""
    return tmp_path_factory.mktemp("build")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SELDOM else ()) for name in MACHINES]
)
def test_flipped_bits_give_what_the_reference_gives_with_them(name, build):
    net, plan = MACHINES[name]
    machine, batch, rng = Accelerator(net, plan), images(net, 5), np.random.default_rng(1)
    found = memories(machine)
    assert found
    trials = [draw(found, count, rng) for count in (1, 1, 1, 2, 3, 8, 40)]
    runs = inject(net, plan, batch, [*trials, []], cache=build)
    for flips, upset in zip(trials, runs, strict=False):
        np.testing.assert_array_equal(upset.run.logits, UpsetNet(machine, flips)(batch))
        assert (upset.corrected, upset.detected) == (0, 0)
    assert any((upset.run.logits != net(batch)).any() for upset in runs[:-1])
    np.testing.assert_array_equal(runs[-1].run.logits, net(batch))  # flips of one trial are gone in the next


def test_bits_flip_while_the_machine_runs(build):
    net, plan = MACHINES["tree"]
    machine, batch = Accelerator(net, plan), images(net, 9)
    flips = [replace(flip, cycle=5 * machine.cycles) for flip in draw(memories(machine), 12, np.random.default_rng(2))]
    [upset] = inject(net, plan, batch, [flips], cache=build)
    before, behind = net(batch), UpsetNet(machine, flips)(batch)
    assert (before[2] != behind[2]).any()
    np.testing.assert_array_equal(upset.run.logits[:2], before[:2])
    np.testing.assert_array_equal(upset.run.logits[-2:], behind[-2:])


def test_each_bit_is_drawn_once():
    found = memories(Accelerator(*MACHINES["tree"]))
    every = draw(found, sum(memory.size for memory in found), np.random.default_rng(0))
    places = {(flip.memory.path, flip.word, flip.bit) for flip in every}
    assert len(places) == len(every)
    assert places == {
        (memory.path, word, bit)
        for memory in found
        for word in range(len(memory.rom.rows))
        for bit in range(memory.rom.bits)
    }


def test_a_bit_that_is_not_there_is_refused(build):
    net, plan = MACHINES["tree"]
    memory = memories(Accelerator(net, plan))[0]
    for word, bit in ((len(memory.rom.rows), 0), (0, memory.rom.bits)):
        with pytest.raises(RuntimeError, match=f"the Verilog has no bit {bit} of word {word} in {memory.path}"):
            inject(net, plan, images(net, 1), [[Flip(memory, word, bit)]], cache=build)


def each_word(found, count, some=None):
    """Trials that flip so many bits of each word, all sets of them, or `some` at random."""
    trials = []
    for memory in found:
        for word in range(len(memory.rom.rows)):
            sets = list(combinations(range(memory.rom.bits), count))
            if some:
                sets = [
                    sets[k] for k in np.random.default_rng(word).choice(len(sets), min(some, len(sets)), replace=False)
                ]
            trials += [[Flip(memory, word, bit) for bit in each] for each in sets]
    return trials


PROTECTED = {name: MACHINES[name] for name in ("tree", "chains")}


@pytest.mark.parametrize("name", PROTECTED)
def test_parity_detects_any_flip(name, build):
    net, plan = PROTECTED[name]
    plan = replace(plan, protect="parity")
    batch = images(net, 1)
    trials = each_word(memories(Accelerator(net, plan)), 1, some=None if name == "tree" else 6)
    for upset in inject(net, plan, batch, trials, cache=build):
        assert upset.detected > 0
        assert upset.corrected == 0


@pytest.mark.parametrize("name", PROTECTED)
def test_ecc_corrects_any_flip_and_detects_two(name, build):
    net, plan = PROTECTED[name]
    plan = replace(plan, protect="ecc")
    batch, found = images(net, 1), memories(Accelerator(net, plan))
    single = each_word(found, 1, some=None if name == "tree" else 6)
    double = each_word(found, 2, some=4)
    upsets = inject(net, plan, batch, [*single, *double], cache=build)
    for upset in upsets[: len(single)]:
        np.testing.assert_array_equal(upset.run.logits, net(batch))
        assert upset.corrected > 0
        assert upset.detected == 0
    for upset in upsets[len(single) :]:
        assert upset.detected > 0


@pytest.mark.parametrize(
    ("name", "protect", "engine"),
    few([("tree", "ecc", "verilator"), ("chains", "ecc", "amaranth"), ("chains", "parity", "amaranth")], 3),
)
def test_a_protected_machine_keeps_its_sheet_and_its_rate(name, protect, engine, build):
    net, plan = PROTECTED[name]
    plan = replace(plan, protect=protect)
    assert check(net, plan, images(net, 4), engine=engine, pauses=0.2, seed=1, build=build).exact
    steady = check(net, plan, images(net, 8), engine=engine, build=build)
    assert steady.exact
    assert steady.run.cycles_per_frame == steady.ideal_cycles
