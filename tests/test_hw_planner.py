# amaranth: UnusedElaboratable=no
"""The planner against brute force, and what it says where nothing fits."""

import re
from dataclasses import replace
from functools import lru_cache
from itertools import product

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from machines import examples
from some import few
from strategies import nets, random_weights

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.device.target import TARGETS
from bitfold.hw.plan import Plan
from bitfold.hw.planner import DEARER, Limits, Planner, balance, fit, fit_device, meet
from bitfold.hw.search import foldings
from bitfold.model import zoo
from bitfold.model.error import BadInput
from bitfold.model.layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    MaxPool,
    PadChannels,
    Requantise,
    Residual,
    Scale,
    SumPool,
)
from bitfold.model.net import Net
from bitfold.model.networks import wide_resnet
from bitfold.model.tensor import Tensor

LAYERS = [
    BinaryConv(random_weights((12, 3, 3, 4), 1), 2, (1, 0, 1, 0)),
    BinaryConv(random_weights((9, 1, 1, 4), 1)),
    BinaryConv(random_weights((2, 3, 3, 4), 1), 1, (1, 1, 1, 1)),
    SumPool(2, 2),
    SumPool(3, 2, (1, 1, 1, 1)),
    SumPool(1, 3),
    SumPool(3, 1, (1, 0, 1, 1), valid=True),
    MaxPool(3, 2, (1, 1, 1, 1)),
]


@lru_cache
def machines_of(net: Net, output_lanes: int, input_pixels: int) -> list[Accelerator]:
    """Those of all foldings of a network of one layer."""
    (layer,) = net.body.layers
    every = foldings(layer, net.input)
    return [Accelerator(net, Plan({"0": folding}, output_lanes, input_pixels)) for folding in every]


T = Tensor(8, 4, 4, 0, 3)


@pytest.mark.parametrize("net", [Net(T, Chain((layer,))) for layer in LAYERS], ids=lambda net: str(net.output.shape))
def test_balance_is_the_smallest_machine_that_is_fast_enough(net, monkeypatch):
    monkeypatch.setattr("bitfold.hw.search.WIRED", 0)  # of wired layers it only guesses the size
    planner, out = Planner(net), net.output
    for cycles in (16, 32, 60, 144, 500, 1728, 10**6):
        every = machines_of(net, 1, 1)
        if (least := min(machine.pipeline.units["layer_0"].cycles for machine in every)) > cycles:
            with pytest.raises(BadInput, match=rf"takes at least {least} cycles a frame of its 8x4 pixels, folded"):
                balance(net, cycles)
        elif out.pixels > cycles:
            with pytest.raises(BadInput, match="to come and to go"):
                balance(net, cycles)
        else:
            machine = planner.machine(cycles)
            every = machines_of(net, machine.plan.output_lanes, machine.plan.input_pixels)
            assert machine.cells == min(other.cells for other in every if other.cycles <= cycles)
            assert machine.cycles <= cycles


def norm(channels: int) -> tuple[Scale, Requantise]:
    """A normalisation kept, and an activation of two bits."""
    rng = np.random.default_rng(channels)
    return Scale(rng.integers(64, 128, channels), 9), Requantise(9, -1, 2, rng.integers(-900, 900, channels))


PAD = (1, 1, 1, 1)
SMALL = {
    "scales behind": (
        BinaryConv(random_weights((4, 1, 1, 2), 1)),
        *norm(4),
        BinaryConv(random_weights((2, 3, 3, 4), 1), 1, PAD),
        *norm(2),
    ),
    "a residual": (
        BinaryConv(random_weights((4, 1, 1, 2), 1)),
        *norm(4),
        Residual(Chain((BinaryConv(random_weights((4, 3, 3, 4), 1), 1, PAD), *norm(4))), Chain(), -8, 7),
    ),
    "a padded skip": (
        Residual(
            Chain((BinaryConv(random_weights((4, 1, 1, 2), 1), 2, scale=1), Requantise(1, -4, 3))),
            Chain((SumPool(2, 2, scale=2), Requantise(2, -4, 3), PadChannels(2))),
        ),
    ),
}


@pytest.mark.parametrize(("target", "weights"), [("generic", "rom"), ("ecp5-25", "rom"), ("ecp5-25", "loadable")])
@pytest.mark.parametrize("name", SMALL)
def test_no_plan_undercuts_a_balanced_one_with_all_that_its_foldings_decide(name, target, weights, monkeypatch):
    monkeypatch.setattr("bitfold.hw.search.WIRED", 0)
    net = Net(Tensor(4, 4, 2, 0, 3), Chain(SMALL[name]))
    planner = Planner(net, target, weights)
    every = every_machine(net, planner)
    price = np.array(planner.area())
    taken = np.array(
        [(0, machine.cells, machine.resources.ffs, sum(machine.resources.blocks.values())) for machine in every]
    )
    for cycles in (16, 32, 64, 200, 10**6):
        best = planner.machine(cycles)
        assert best.plan.weights == weights
        rivals = [other @ price for other, machine in zip(taken, every, strict=True) if machine.cycles <= cycles]
        own = (0, best.cells, best.resources.ffs, sum(best.resources.blocks.values())) @ price
        assert own <= min(rivals, default=np.inf) * 1.03  # but for the depth of queues


def every_machine(net, planner):
    """The machines of all foldings of a small network, with the least beats."""
    paths = [path for path, _ in planner.costs.folded]
    options = [[option.folding for option in planner.costs.options(step)] for _, step in planner.costs.folded]
    plans = (replace(planner.plan, foldings=dict(zip(paths, chosen, strict=True))) for chosen in product(*options))
    return [Accelerator(net, plan) for plan in plans]


@given(nets(), st.sampled_from([20, 50, 300, 3000, 10**6]))
@examples(60)
def test_a_balanced_machine_is_as_fast_as_asked(net, cycles):
    try:
        plan = balance(net, cycles)
    except BadInput:
        event("no plan is as fast")
        return
    plan.check(net)
    assert Accelerator(net, plan).cycles <= cycles


def test_a_stage_that_no_plan_folds_makes_the_one_before_it_wider():
    """Appending 15 channels to one takes 16 words a pixel, unless they come as one word."""
    conv = BinaryConv(random_weights((2, 1, 1, 2), 1))
    net = Net(Tensor(4, 4, 2, 0, 3), Chain((conv, Requantise(0, 0, 3), PadChannels(30))))
    assert Accelerator(net, balance(net, 10**6)).cycles > 16 * 16
    assert Accelerator(net, balance(net, 16 * 16)).cycles <= 16 * 16


BODY = Chain(
    (
        Requantise(2, -8, 7),
        BinaryConv(random_weights((8, 3, 3, 8), 1), 1, (1, 1, 1, 1)),
        Requantise(-2, -512, 511),
    )
)
LARGE = Net(
    Tensor(8, 8, 4, 0, 3),
    Chain((BinaryConv(random_weights((8, 3, 3, 4), 1), 1, (1, 1, 1, 1)), Residual(BODY))),
)


@pytest.mark.parametrize("lanes", [3, 8, 20, 64, 96, 10**6])
def test_fit_is_the_fastest_balanced_plan_within_its_lanes(lanes):
    plan = fit(LARGE, lanes)
    plan.check(LARGE)
    assert plan.lanes(LARGE) <= lanes
    planner = Planner(LARGE)
    faster = [machine for cycles in planner.paces() if (machine := planner.within(cycles, Limits(lanes=10**9)))]
    slowest = Accelerator(LARGE, plan).cycles
    assert all(other.plan.lanes(LARGE) > lanes for other in faster if other.cycles < slowest)


def test_a_network_without_convolutions_has_a_plan():
    net = Net(Tensor(4, 6, 2, 0, 15), Chain((Requantise(1, 0, 7),)))
    plan = fit(net, 16)
    assert (plan.lanes(net), plan.utilisation(net, Accelerator(net, plan).cycles)) == (0, 1.0)


def test_fit_gives_the_smallest_plan_where_none_is_as_small():
    assert fit(LARGE, 1) == Planner(LARGE).smallest.plan


DIGITS = zoo.load("digits")
NETWORK = wide_resnet(8, 1, Tensor(16, 16, 3, 0, 255, 6))


@pytest.mark.parametrize("target", few(sorted(TARGETS), 4))
def test_the_fastest_for_a_device_fits_it(target):
    device = TARGETS[target]
    try:
        plan = fit_device(NETWORK, target, 0.5)
    except BadInput as error:
        told = rf"^{target} does not hold even the smallest plan, which takes .* of .*; \S+ holds it$"
        assert re.match(told, str(error))  # noqa: PT017, not every device raises
        return
    machine = Accelerator(NETWORK, plan)
    assert plan.target == target
    assert not Limits.of(device, 0.5).lacking(machine)
    total = machine.resources
    assert total.luts + device.family.apart * total.ffs <= 0.5 * device.luts
    assert total.ffs <= 0.5 * device.ffs


def test_flip_flops_count_where_they_take_cells_and_where_they_run_out():
    machine = Planner(NETWORK, "ice40-hx8k").machine(50_000)
    total = machine.resources
    assert machine.cells == round(total.luts + total.ffs / 2)
    assert not Limits(cells=machine.cells).lacking(machine)
    (lack,) = Limits(cells=machine.cells - 1).lacking(machine)
    assert re.match(rf"{machine.cells:,} logic cells of {machine.cells - 1:,}, most of them in layer_", lack)
    machine = Planner(NETWORK, "gw2a-18").machine(50_000)
    total = machine.resources
    assert machine.cells == total.luts
    assert not Limits(ffs=total.ffs).lacking(machine)
    (lack,) = Limits(ffs=total.ffs - 1).lacking(machine)
    assert re.match(rf"{total.ffs:,} flip-flops of {total.ffs - 1:,}, most of them in layer_", lack)


def test_memories_move_into_look_up_tables_where_blocks_run_out(monkeypatch):
    few = replace(TARGETS["ecp5-25"], blocks={"DP16KD": 8})
    monkeypatch.setitem(TARGETS, "ecp5-25", few)
    limits = Limits.of(few, 0.8)
    machine = Planner(NETWORK, "ecp5-25").fastest(limits)
    assert machine.plan.block_luts in [times * 128 for times in DEARER.values()]
    assert not limits.lacking(machine)
    monkeypatch.setattr("bitfold.hw.planner.DEARER", {})
    slower = Planner(NETWORK, "ecp5-25").fastest(limits)
    assert slower is None or slower.cycles > machine.cycles


def bound_of(net, target, share=0.8, **less):
    """What binds the fastest plan on a device with less of something, the machine, its limits."""
    device = replace(TARGETS[target], **less)
    limits = Limits.of(device, share)
    planner = Planner(net, target, device=device)
    machine = planner.fastest(limits)
    return planner.bound(machine, limits), machine, limits


@pytest.mark.parametrize(
    ("target", "less", "by"),
    few(
        [
            ("ice40-hx8k", {"blocks": {"EBR": 100}}, ("logic cells",)),
            ("ecp5-25", {}, ("LUTs",)),
            ("ecp5-85", {"ffs": 8000}, ("flip-flops",)),
            ("ecp5-85", {"blocks": {"DP16KD": 12}}, ("LUTs", "DP16KD")),
            ("gw2a-18", {"lut_rams": 1000}, ("flip-flops", "LUTs as memories")),
        ],
        4,
    ),
)
def test_what_binds_is_what_the_next_faster_plan_lacks(target, less, by):
    bound, machine, limits = bound_of(NETWORK, target, **less)
    assert bound.by == by
    assert bound.cycles < machine.cycles
    told = f"bound by {', '.join(by)}: the next faster plan, of {bound.cycles:,} cycles a frame, takes "
    assert str(bound).startswith(told)
    counts = dict.fromkeys(re.findall(r"(LUTs as memories|LUTs|logic cells|flip-flops|DP16KD) of [\d,]+", str(bound)))
    assert sorted(counts) == sorted(by)
    assert Planner(NETWORK, target, device=replace(TARGETS[target], **less)).within(bound.cycles, limits) is None


def test_what_no_device_mends_binds_too():
    """The beats that a frame takes; a layer that is folded no further."""
    bound, machine, _ = bound_of(Net(Tensor(8, 8, 2, 0, 3), Chain((GlobalSum(),))), "xczu7ev")
    assert (bound.by, bound.cycles) == (("input beat",), None)
    assert str(bound) == f"bound by input beat: the frame takes at least {machine.cycles} cycles to come and to go"
    bound, machine, _ = bound_of(Net(Tensor(8, 8, 1, 0, 1), Chain((PadChannels(4095),))), "xczu7ev")
    assert bound.by == ("output beat",)
    odd = Net(Tensor(7, 7, 4, 0, 3), Chain((MaxPool(3, 2, (1, 1, 1, 1)),)))
    bound, machine, _ = bound_of(odd, "xczu7ev")
    assert bound.by == ("layer",)
    assert f'layer "0" (MaxPool) takes at least {machine.cycles} cycles' in bound.why


def test_another_device_of_a_family_has_limits_of_its_own():
    device = replace(TARGETS["ecp5-85"], name="half of it", luts=8000, blocks={"DP16KD": 30})
    plan = fit_device(NETWORK, "ecp5-85", device=device)
    machine = Accelerator(NETWORK, plan)
    assert plan.target == "ecp5-85"
    assert not Limits.of(device, 0.8).lacking(machine)
    assert machine.cycles > Accelerator(NETWORK, fit_device(NETWORK, "ecp5-85")).cycles
    with pytest.raises(BadInput, match=r"^half of it does not hold even the smallest plan, which takes at least "):
        fit_device(NETWORK, "ecp5-85", device=replace(device, luts=50))
    with pytest.raises(BadInput, match=r" LUTs of 6,400, most of them in .*; the fastest that fits gives "):
        meet(NETWORK, 1_000_000, 150, "ecp5-85", device=device)


def test_a_rate_is_met_by_the_smallest_plan():
    plan = meet(NETWORK, 1000, 50)
    cycles = Accelerator(NETWORK, plan).cycles
    assert cycles <= 50_000
    faster = meet(NETWORK, 10_000, 50)
    assert Accelerator(NETWORK, faster).resources.luts > Accelerator(NETWORK, plan).resources.luts


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"fps": np.nan}, "fps is a number above 0, not nan"),
        ({"fps": 0}, "fps is a number above 0, not 0"),
        ({"clock": -1.5}, "clock is a number above 0, not -1.5"),
        ({"clock": np.inf}, "clock is a number above 0, not inf"),
        ({"lut_share": np.nan}, "lut_share is the part of a device to use, above 0 and at most 1, not nan"),
        ({"lut_share": 80}, "lut_share is the part of a device to use, above 0 and at most 1, not 80"),
    ],
)
def test_a_rate_that_is_no_number_is_refused(wrong, said):
    with pytest.raises(BadInput, match=f"^{re.escape(said)}$"):
        meet(NETWORK, **{"fps": 10, "clock": 50, "target": "ecp5-85"} | wrong)


def test_the_slowest_rate_is_met():
    assert meet(NETWORK, 1e-300, 50).foldings


def test_an_impossible_rate_names_the_layer_and_the_rate_to_be_had():
    with pytest.raises(BadInput, match=r"^the frame takes at least|^layer ") as error:
        meet(NETWORK, 40_000_000, 50)
    most = int(
        re.search(r"at 50 MHz ask for at most ([\d,]+) frames a second, or raise the clock$", str(error.value))[
            1
        ].replace(",", "")
    )
    meet(NETWORK, most, 50)


def test_a_rate_beyond_the_device_names_what_is_lacking_and_what_fits():
    with pytest.raises(BadInput, match=r"LUTs of 66,912, most of them in \S+; the fastest that fits gives ") as error:
        meet(NETWORK, 1_000_000, 150, "ecp5-85")
    rate = float(re.search(r"gives ([\d,]+)", str(error.value))[1].replace(",", ""))
    meet(NETWORK, rate, 150, "ecp5-85")


def test_the_frontier_falls_and_rises():
    machines = Planner(NETWORK, "ecp5-85").frontier(points=12)
    luts = [machine.resources.luts for machine in machines]
    cycles = [machine.cycles for machine in machines]
    assert 4 < len(machines) <= 12
    assert luts == sorted(set(luts))
    assert cycles == sorted(set(cycles), reverse=True)


@pytest.mark.parametrize("target", few(["gw1nr-9", "ecp5-25"], 2))
def test_the_frontier_holds_what_the_planner_finds(target):
    """No plan for a rate or a device undercuts a point, but one that does not fit a point that does."""
    planner = Planner(DIGITS, target)
    limits = Limits.of(planner.device, 0.8) if planner.device else Limits()

    def figures(machine):
        return machine.cells, machine.cycles, not limits.lacking(machine)

    curve = list(map(figures, planner.frontier(limits)))
    machines = [planner.within(cycles, bounds) for cycles in planner.paces()[::4] for bounds in (limits, Limits())]
    for cells, cycles, fits in {figures(machine) for machine in machines if machine}:
        undercut = [point for point in curve if point[0] >= cells and point[1] >= cycles and point[2] <= fits]
        assert set(undercut) <= {(cells, cycles, fits)}
    if planner.device:
        cells, cycles, _ = figures(planner.fastest(limits))
        assert min(point[1] for point in curve if point[2]) == cycles
        assert any(point[0] <= cells for point in curve if point[1] == cycles and point[2])


def test_of_a_device_that_holds_no_plan_the_least_of_everything_is_told():
    """Blocks are what lacks: a plan with few look-up tables is there, and nothing is said of those."""
    net = Net(
        Tensor(4, 4, 64, 0, 15), Chain((BinaryConv(random_weights((512, 3, 3, 64), 1)), Scale(np.arange(1, 513))))
    )
    planner = Planner(net, "ice40-up5k")
    fewest = planner.machine(2**62, planner.area(2.0**-12))
    assert fewest.cells < 0.8 * planner.device.luts
    with pytest.raises(
        BadInput, match=r"^ice40-up5k does not hold even the smallest plan, which takes at least [\d,]+ EBR of 30,"
    ):
        fit_device(net, "ice40-up5k")


def test_layers_that_cost_the_same_are_priced_once():
    """Where the binary point lies costs nothing, nor do the weights themselves."""
    convs = [BinaryConv(random_weights((4, 3, 3, 4), seed), 1, (1, 1, 1, 1), seed) for seed in range(3)]
    clips = [Requantise(2 + seed, -8, 7) for seed in (0, 0, 1)]
    layers = [layer for both in zip(convs, clips, strict=True) for layer in both]
    (_, first), (_, second), (_, third) = Planner(Net(Tensor(8, 8, 4, -8, 7), Chain(tuple(layers)))).costs.folded
    assert first is second
    assert first is not third


def test_a_device_nobody_knows():
    with pytest.raises(BadInput, match=r'^no device is called "abacus"; there are '):
        balance(LARGE, 1000, "abacus")


def test_flip_flops_have_a_price_where_they_are_scarcer_than_look_up_tables():
    assert Planner(NETWORK, "gw1nr-9").area().ffs == 1 / TARGETS["gw1nr-9"].ffs
    assert Planner(NETWORK, "gw2a-18").area().ffs == 1 / TARGETS["gw2a-18"].ffs
    assert Planner(NETWORK, "ecp5-25").area().ffs == Planner(NETWORK, "ice40-hx8k").area().ffs == 0


def test_the_smallest_plan_is_tried_where_no_folded_layer_is_as_slow():
    waiting = Net(Tensor(64, 64, 12, -8, 7), Chain(()))
    assert Planner(waiting, "ice40-up5k").fastest(Limits()) is not None
    plan = fit_device(waiting, "ecp5-25")
    assert not Limits.of(TARGETS["ecp5-25"], 0.8).lacking(Accelerator(waiting, plan))
    huge = Net(Tensor(256, 128, 12, -8, 7), Chain(()))
    with pytest.raises(BadInput, match=r"takes at least 384 EBR of 30, most of them in output_frame; \S+ holds it$"):
        fit_device(huge, "ice40-up5k")


def test_wide_pixels_come_in_parts_as_the_first_layer_takes_them():
    """Whole pixels wherever tools take them."""
    net = Net(Tensor(1, 1, 4500, 0, 255), Chain((BinaryConv(random_weights((300, 1, 1, 4500), 1)),)))
    for cycles in (10, 45, 100, 4500, 10**6):
        machine = Planner(net).machine(cycles)
        plan, simd = machine.plan, machine.plan.foldings["0"].simd
        assert machine.cycles <= cycles
        assert 8 * plan.input_lanes <= 4096
        assert max(simd, plan.input_lanes) % min(simd, plan.input_lanes) == 0
    with pytest.raises(BadInput, match=r"^the frame takes at least 9 cycles to come and to go; 8 were asked$"):
        balance(net, 8)
    just = Net(Tensor(2, 2, 512, 0, 255), Chain((BinaryConv(random_weights((3, 1, 1, 512), 1)),)))
    assert balance(just, 10**6).input_lanes is None
    assert balance(just, 4).input_pixels == 1
    with pytest.raises(BadInput, match=r"^the frame takes at least 4 cycles to come and to go; 3 were asked$"):
        balance(just, 3)


def test_weights_that_are_loaded_are_wired_nowhere():
    net = zoo.load("digits-tiny")
    assert any(folding.wired for folding in fit_device(net, "xc7a100t").foldings.values())
    plan = fit_device(net, "xc7a100t", weights="loadable")
    assert plan.loadable
    assert not any(folding.wired for folding in plan.foldings.values())
    assert not Limits.of(TARGETS["xc7a100t"], 0.8).lacking(Accelerator(net, plan))
