# amaranth: UnusedElaboratable=no
"""What one bit costs: the figures are the machine's and the card's, and what is not known is not told."""

import dataclasses

import pytest
from sim_nets import residual_net

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.baseline import baseline
from bitfold.hw.device.target import Clock
from bitfold.hw.planner import balance, fit
from bitfold.hw.verilog.latency import latency
from bitfold.model import zoo
from bitfold.report.figures import Simulation, gather
from bitfold.report.one_bit import Cell, Cost, columns, notes, one_bit, rows, summary
from bitfold.report.page import render

OVER = ' class="over"'


def machine(target="ecp5-25", **changes):
    net = zoo.load("digits")
    return Accelerator(net, dataclasses.replace(balance(net, 2304, target), **changes))


@pytest.fixture(scope="module")
def made():
    return machine()


@pytest.fixture(scope="module")
def answer(made):
    return one_bit(made, Clock(50.0, "asked"), zoo.card("digits"))


def test_figures_are_the_machines(made, answer):
    found, resources = baseline(made), made.resources
    assert answer.cost == Cost(resources.luts, resources.ffs, resources.blocks)
    assert (answer.cycles, answer.lanes, answer.weights) == (2304, made.plan.lanes(made.net), 74512)
    assert answer.frames_per_second == 50e6 / 2304
    assert (answer.latency, answer.latency_us) == (latency(made), latency(made) / 50)
    assert (answer.latency_origin, answer.device) == ("declared", "ecp5-25")
    assert (answer.luts, answer.blocks, answer.dsps) == (24288, {"DP16KD": 56}, 28)
    card = zoo.card("digits")
    assert (answer.judged.images, answer.judged.data) == (359, "digits")
    assert (answer.judged.test_error, answer.judged.float_test_error) == (card.test_error, card.float_test_error)
    eight = answer.eight
    assert (eight.bits, eight.lanes) == (8, answer.lanes)
    assert eight.in_luts == Cost.of(found.in_luts)
    assert eight.in_dsps == Cost.of(found.in_dsps)
    assert eight.luts_a_lane == found.multiplied.luts / eight.lanes
    assert eight.own_luts_a_lane == found.arrays.luts / eight.lanes
    assert eight.in_dsps.luts < answer.cost.luts < eight.in_luts.luts


def test_the_table_has_them_all(answer):
    assert columns(answer) == ["one bit", "8 bits, in LUTs", "8 bits, in DSPs"]
    table = dict(rows(answer))
    own, luts, dsps = table["LUTs"]
    assert own == Cell(f"{answer.cost.luts:,} ({100 * answer.cost.luts / 24288:.0f} %)")
    taken = answer.eight.in_luts.luts
    assert luts == Cell(f"{taken:,} ({100 * taken / 24288:.0f} %)", taken > 24288)
    assert dsps.text.startswith(f"{answer.eight.in_dsps.luts:,} (")
    assert table["DSPs"] == [Cell("0"), Cell("0"), Cell(f"{answer.lanes:,} ({100 * answer.lanes / 28:.0f} %)", True)]
    assert [cell.over for cell in table["DP16KD"]] == [False, True, True]
    assert [cell.text for cell in table["bits of weights"]] == ["74,512", "596,096", "596,096"]
    assert [cell.text for cell in table["frames a second"]] == ["21,701"] * 3
    assert [cell.text for cell in table["test error"]] == ["1.11 %", "not known", "not known"]
    assert [cell.text for cell in table["of the float twin"]] == ["0.84 %", "not known", "not known"]
    blocks = sum(answer.eight.in_luts.blocks.values()) / sum(answer.cost.blocks.values())
    times = [cost.luts / answer.cost.luts for cost in (answer.eight.in_luts, answer.eight.in_dsps)]
    assert summary(answer) == (
        f"With weights of 8 bits the same machine would take {times[0]:.1f} times the LUTs, or {times[1]:.2f} times "
        f"the LUTs and {answer.lanes:,} DSPs. The memories would take {blocks:.1f} times the blocks."
    )
    assert notes(answer)[0] == "Resources are estimates, the rate is at 50 MHz (asked), and the latency is declared."
    assert "those of the float twin have one bit, too" in notes(answer)[-1]


def test_without_a_card_nothing_is_said_of_errors(made):
    found = one_bit(made, Clock(50.0, "asked"))
    assert not [name for name, _ in rows(found) if "error" in name or "twin" in name]
    assert not [note for note in notes(found) if "twin" in note]


def test_other_weights_have_no_baseline():
    found = one_bit(machine(weights="loadable"), Clock(50.0, "asked"))
    assert columns(found) == ["one bit"]
    assert {len(cells) for _, cells in rows(found)} == {1}
    assert "DSPs" not in dict(rows(found))
    assert summary(found) == "There is no baseline: it is for weights in read-only memories without check bits."
    assert not [note for note in notes(found) if "8 bits" in note]


def test_a_plan_for_any_device_has_no_shares():
    net = residual_net()
    found = one_bit(Accelerator(net, fit(net, 16)), Clock(100.0, "assumed"))
    assert found.device is found.luts is found.dsps is None
    assert "A plan for any device leaves memories to synthesis: they are in no figure." in notes(found)
    assert not [cell for _, cells in rows(found) for cell in cells if "(" in cell.text or cell.over]


def test_the_page_tells_the_same(made):
    simulation = Simulation(1, True, 9, None, None, [0, 9], [5], [7777], [])
    figures = gather("digits", made, None, None, zoo.card("digits"))
    page = render(figures, made)
    part = page.partition("<h2>What one bit costs</h2>")[2].partition("<h2>")[0]
    for name, cells in rows(figures.one_bit):
        tells = "".join(f"<td{OVER if cell.over else ''}>{cell.text}</td>" for cell in cells)
        tells = tells.replace(" %", "\u00a0%")
        assert f'<td class="l name">{name}</td>{tells}</tr>' in part
    assert summary(figures.one_bit) in part
    assert gather("digits", made, None, simulation).one_bit.latency == 7777
    assert gather("digits", made, None, simulation).one_bit.latency_origin == "simulated"
