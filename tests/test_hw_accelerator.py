# amaranth: UnusedElaboratable=no
"""The whole machine against its network, at the speed it declares, inside another design."""

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import examples, frame_distances, plans, run_accelerator
from strategies import bare_nets, images, nets, random_weights

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.planner import balance
from bitfold.model.error import BadInput
from bitfold.model.layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    PadChannels,
    Requantise,
    Residual,
    Scale,
    shifted_relu,
)
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

pauses = st.sampled_from([0.0, 0.0, 0.3, 0.6])


def check_exact(net, plan, idle, stall, seed, most=1500):
    """Three frames, and a declared cycle count that is measured when nothing pauses."""
    machine = Accelerator(net, plan)
    assume(machine.cycles <= most)
    batch = images(net, 3, seed)
    run = run_accelerator(machine, batch, idle=idle, stall=stall, seed=seed)
    expected = net(batch)
    np.testing.assert_array_equal(run.logits, expected)
    np.testing.assert_array_equal(run.best, expected.argmax(axis=-1))
    assert run.counters == (0, 0)


@given(st.data(), pauses, pauses, st.integers(0, 99))
@examples(15, shrink=False)
def test_machine_is_the_network(data, idle, stall, seed):
    net = data.draw(nets(ops=4000, side=5))
    check_exact(net, data.draw(plans(net)), idle, stall, seed)


@pytest.mark.slow
@given(st.data(), pauses, pauses, st.integers(0, 99))
@examples(200, shrink=False)
def test_machine_is_the_network_at_length(data, idle, stall, seed):
    net = data.draw(nets(ops=20_000))
    check_exact(net, data.draw(plans(net)), idle, stall, seed, most=4000)


def check_steady(machine):
    """Frames back to back: each the declared cycles after the one before, once the machine is full."""
    net = machine.net
    batch = images(net, 14 + 40 // machine.cycles)
    run = run_accelerator(machine, batch)
    np.testing.assert_array_equal(run.logits, net(batch))
    distances = frame_distances(run.cycles, len(run.cycles) // len(batch))
    assert set(distances[-4:]) == {machine.cycles}


@pytest.mark.slow
@given(st.data())
@examples(60, shrink=False)
def test_steady_state_takes_the_declared_cycles(data):
    net = data.draw(nets(ops=4000, side=6))
    machine = Accelerator(net, data.draw(plans(net)))
    assume(machine.cycles <= 400)
    check_steady(machine)


BARE = {
    "nothing, a pixel a frame": (Tensor(1, 1, 2, 0, 15), (), Plan({}, 2)),
    "nothing, a pixel in two words": (Tensor(1, 1, 2, 0, 15), (), Plan({}, 1)),
    "nothing, a pixel in words from the way in": (Tensor(1, 1, 12, 0, 15), (), Plan({}, 3, input_lanes=2)),
    "nothing, a map": (Tensor(8, 8, 3, 0, 15), (), Plan({}, 3)),
    "zeros, a pixel a frame": (Tensor(1, 1, 1, 0, 15), (PadChannels(1),), Plan({}, 2)),
    "zeros, a map": (Tensor(8, 8, 3, 0, 15), (PadChannels(3),), Plan({}, 6)),
    "zeros, a pixel in words": (Tensor(1, 1, 4, 0, 15), (PadChannels(2),), Plan({}, 2, input_lanes=2)),
    "zeros, words joined": (Tensor(1, 2, 4, 0, 15), (PadChannels(2),), Plan({}, 6, input_lanes=2)),
    "requantise": (Tensor(1, 1, 8, 0, 15), (Requantise(1, -4, 3),), Plan({}, 2, input_lanes=1)),
    "scale": (Tensor(1, 1, 8, 0, 15), (Scale(np.arange(8)),), Plan({}, 2, input_lanes=1)),
    "sum": (Tensor(1, 1, 1, 0, 15), (GlobalSum(),), Plan({}, 1)),
    "sum, a pixel in words": (Tensor(2, 2, 8, 0, 15), (GlobalSum(),), Plan({}, 1, input_lanes=2)),
    "two empty branches": (Tensor(4, 5, 3, 0, 15), (Residual(Chain(), Chain()),), Plan({}, 3)),
    "two empty branches, a pixel": (Tensor(1, 1, 9, 0, 15), (Residual(Chain(), Chain()),), Plan({}, 9, input_lanes=3)),
    "a pixel long before its frame's end": (
        Tensor(12, 12, 2, 0, 15),
        (BinaryConv(random_weights((16, 1, 1, 2), 1), 12),),
        Plan({"0": Folding(1, 1)}, 1),
    ),
}
"""Networks through which a frame's first word comes before its last has come, or no later than the verdict on it."""


@pytest.mark.parametrize("case", BARE)
def test_a_machine_that_stores_little_takes_the_declared_cycles(case):
    t, layers, plan = BARE[case]
    check_steady(Accelerator(Net(t, Chain(layers)), plan))


@given(st.data())
@examples(30, shrink=False)
def test_any_machine_without_a_window_takes_the_declared_cycles(data):
    net = data.draw(bare_nets())
    machine = Accelerator(net, data.draw(plans(net)))
    assume(machine.cycles <= 400)
    check_steady(machine)


def test_sums_over_a_map_that_are_narrowed_and_padded_do_not_stand_still():
    net = Net(Tensor(1, 3, 12, -5, 5), Chain((GlobalSum(), PadChannels(1))))
    machine = Accelerator(net, Plan({}, 1, 1, "generic", 2))
    assert {"layer_1_burst", "layer_1_pixel"} <= machine.units.keys()
    check_steady(machine)


@pytest.mark.slow
@given(st.data())
@examples(400, shrink=False)
def test_any_machine_without_a_window_takes_the_declared_cycles_at_length(data):
    net = data.draw(bare_nets(side=6))
    machine = Accelerator(net, data.draw(plans(net)))
    assume(machine.cycles <= 400)
    check_steady(machine)


@given(st.data(), pauses, pauses, st.integers(0, 99))
@examples(15, shrink=False)
def test_any_machine_without_a_window_is_its_network(data, idle, stall, seed):
    net = data.draw(bare_nets())
    check_exact(net, data.draw(plans(net)), idle, stall, seed)


CLASSIFIER = Net(
    Tensor(6, 6, 1, 0, 15),
    Chain(
        (
            BinaryConv(random_weights((4, 3, 3, 1), 1), 1, (1, 1, 1, 1), 1),
            shifted_relu(4, 1, 0),
            BinaryConv(random_weights((4, 3, 3, 4), 2), 2, (0, 1, 0, 1), 2),
            shifted_relu(4, 2, 1),
            GlobalSum(),
            BinaryConv(random_weights((10, 1, 1, 4), 3)),
        )
    ),
)


@pytest.mark.parametrize("cycles", [36 * 9, 36 * 9 * 4, 10**6])
def test_classifier_runs_at_its_slowest_stages_rate(cycles):
    machine = Accelerator(CLASSIFIER, balance(CLASSIFIER, cycles))
    batch = images(CLASSIFIER, 8 if cycles > 400 else 24)
    run = run_accelerator(machine, batch)
    expected = CLASSIFIER(batch)
    np.testing.assert_array_equal(run.logits, expected)
    np.testing.assert_array_equal(run.best.ravel(), CLASSIFIER.classify(batch))
    assert set(frame_distances(run.cycles, len(run.cycles) // len(batch))[2:]) == {machine.cycles}


def test_the_input_can_be_what_limits():
    net = Net(Tensor(6, 6, 2, 0, 15), Chain((GlobalSum(),)))
    machine = Accelerator(net, balance(net, 36))
    run = run_accelerator(machine, images(net, 24))
    assert machine.cycles == 36
    assert set(frame_distances(run.cycles, len(run.cycles) // 24)) == {36}


def test_a_plan_that_does_not_fit_is_refused():
    with pytest.raises(BadInput, match=r'^the plan has no line for layer "0" \(BinaryConv\)$'):
        Accelerator(CLASSIFIER, Plan({}))


class Twice(wiring.Component):
    """Two machines one after the other in a user's own design."""

    def __init__(self, net, plan):
        self.first, self.second = Accelerator(net, plan), Accelerator(net, plan)
        self.net, self.plan, self.pipeline = net, plan, self.first.pipeline
        members = {name: self.first.signature.members[name] for name in ("i", "o", "short_frames", "long_frames")}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.first, m.submodules.second = self.first, self.second
        wiring.connect(m, wiring.flipped(self.i), self.first.i)
        wiring.connect(m, self.second.o, wiring.flipped(self.o))
        m.d.comb += [
            self.second.i.payload.pixel.eq(self.first.o.payload.values),
            self.second.i.payload.last.eq(self.first.o.payload.last),
            self.second.i.valid.eq(self.first.o.valid),
            self.first.o.ready.eq(self.second.i.ready),
            self.short_frames.eq(self.second.short_frames),
            self.long_frames.eq(self.second.long_frames),
        ]
        return m


def test_two_machines_in_one_design():
    t = Tensor(3, 3, 2, -8, 7)
    body = Chain((BinaryConv(random_weights((2, 3, 3, 2), 1), 1, (1, 1, 1, 1)), Requantise(1, -8, 7)))
    net = Net(t, body)
    twice = Twice(net, Plan({"0": Folding(2, 2)}, 2))
    assert twice.signature.members["o"].flow == Out
    batch = images(net, 4)
    run = run_accelerator(twice, batch)
    np.testing.assert_array_equal(run.logits, net(net(batch)))
    assert run.counters == (0, 0)
