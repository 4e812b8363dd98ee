# amaranth: UnusedElaboratable=no
"""What the units of a machine do over time, read back from a waveform and counted."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import examples, plans
from numpy.testing import assert_array_equal
from sim_nets import INPUT, bits, images, residual_net
from strategies import nets

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.planner import fit
from bitfold.model.layers import BinaryConv, Chain
from bitfold.model.net import Net
from bitfold.sim.occupancy import (
    COMPUTE,
    STALL,
    STARVE,
    STATES,
    TRANSFER,
    Signals,
    Watch,
    bin_edges,
    count,
    frame_ends,
    observe,
    steady_span,
    summarise,
    watch,
)
from bitfold.sim.simulate import Machine, as_frames

HEADER = """$timescale 1ns $end
$scope module top $end
$var wire 1 ! clk $end
$var wire 1 " a_valid $end
$var wire 1 # a_ready $end
$var wire 1 $ b_valid $end
$var wire 1 # b_ready $end
$upscope $end
$enddefinitions $end
"""
"""Two streams whose ready is the same signal."""

A, B = Watch("a_", 1), Watch("b_", 1)
AROUND = (1, 1, 1, 1)


def waveform(path, cycles):
    """A VCD of (a_valid, b_valid, ready) in each cycle; they change after the rising edge and before the next."""
    lines = [HEADER]
    for number, (a, b, ready) in enumerate(cycles):
        lines.append(f'#{10 * number}\n0!\n{a}"\n{b}$\n#{10 * number + 2}\n{ready}#\n#{10 * number + 5}\n1!\n')
    path.write_text("".join(lines))
    return path


def test_the_state_of_a_cycle_is_what_stood_before_its_rising_edge(tmp_path):
    cycles = [(0, 0, 0), (0, 1, 0), (1, 1, 1), (1, 0, 0), (1, 1, 1), (0, 0, 1), ("x", 1, 1)]
    signals = Signals(waveform(tmp_path / "a.vcd", cycles), {*A.signals, *B.signals})
    assert signals.cycles == 7
    assert_array_equal(A.states(signals), [STARVE, STARVE, TRANSFER, STALL, TRANSFER, STARVE, STARVE])
    assert_array_equal(B.states(signals), [STARVE, STALL, TRANSFER, STARVE, TRANSFER, STARVE, TRANSFER])


def test_a_change_together_with_the_edge_comes_after_it(tmp_path):
    path = tmp_path / "a.vcd"
    path.write_text(HEADER + '#0\n0!\n1"\n1#\n0$\n#5\n1!\n0"\n#10\n0!\n#15\n1!\n1"\n')
    assert_array_equal(A.states(Signals(path, A.signals)), [TRANSFER, STARVE])


def test_a_missing_signal_is_named(tmp_path):
    with pytest.raises(KeyError, match="has no signal c_ready"):
        Signals(waveform(tmp_path / "a.vcd", []), [*A.signals, "c_ready"])


def test_work_goes_before_a_stall_and_comes_behind_a_transfer():
    given, taken, step = [0, 0, 1, 1, 1, 0, 0], [1, 0, 1, 0, 0, 0, 1], [0, 0, 1, 0, 1, 0, 0]
    signals = {
        "u.o__valid": np.array(given, bool),
        "u.o__ready": np.array([0, 0, 0, 0, 1, 1, 0], bool),
        "u.i__valid": np.array(taken, bool),
        "u.i__ready": np.array([1, 1, 1, 1, 0, 0, 0], bool),
        "u.window.valid": np.array(step, bool),
    }
    seen = Watch("u.o__", 1, "u.i__")
    assert_array_equal(seen.states(signals), [COMPUTE, STARVE, COMPUTE, STALL, TRANSFER, STARVE, STARVE])
    seen = Watch("u.o__", 1, step="u.window.valid", ahead=2)
    assert_array_equal(seen.states(signals), [COMPUTE, STARVE, COMPUTE, STALL, TRANSFER, STARVE, STARVE])
    seen = Watch("u.o__", 1, "u.i__", "u.window.valid", ahead=1)
    assert_array_equal(seen.states(signals), [COMPUTE, COMPUTE, COMPUTE, COMPUTE, TRANSFER, STARVE, STARVE])
    assert set(seen.signals) == set(signals)


def test_a_unit_made_by_hand_is_counted_exactly():
    states = np.array([STARVE, TRANSFER, TRANSFER, STALL, COMPUTE, TRANSFER, STARVE], np.uint8)
    edges = bin_edges(7, 3)
    assert_array_equal(edges, [0, 2, 4, 7])
    found = summarise("u", Watch("u.o__", 1), states, edges, 3)
    assert_array_equal(found.counts, [[1, 1, 1], [0, 0, 1], [0, 1, 0], [1, 0, 1]])
    assert_array_equal(found.ends, [1, 2, 5])
    assert found.steady_span == (2, 3)
    assert_array_equal(found.steady, [1, 0, 0, 0])
    assert_array_equal(frame_ends(states, 3, 1), [5])


@pytest.mark.parametrize(
    ("ends", "span"),
    [
        ([40], (0, 99)),
        ([40, 50], (41, 51)),
        ([40, 50, 60], (41, 51)),
        ([40, 50, 60, 70], (51, 61)),
        ([40, 50, 60, 70, 80], (51, 71)),
        ([40, 50, 60, 70, 80, 90], (61, 81)),
    ],
)
def test_steady_frames_are_those_of_the_second_half_but_the_last(ends, span):
    assert steady_span(np.array(ends), 99) == span


@examples(50)
@given(st.data())
def test_bins_are_even_and_nothing_is_lost(data):
    cycles = data.draw(st.integers(1, 60))
    states = np.array(data.draw(st.lists(st.sampled_from(STATES), min_size=cycles, max_size=cycles)), np.uint8)
    edges = bin_edges(cycles, data.draw(st.integers(1, 70)))
    lengths = np.diff(edges)
    assert edges[0] == 0
    assert edges[-1] == cycles
    assert lengths.min() >= 1
    assert np.ptp(lengths) <= 1
    counts = count(states, edges)
    assert_array_equal(counts.sum(axis=0), lengths)
    for state, found in zip(STATES, counts, strict=True):
        assert_array_equal(found, [(states[a:b] == state).sum() for a, b in pairwise(edges)])


def simulated(net, plan, frames, folder):
    """The accelerator, and what each of its units did in Amaranth's simulator."""
    machine = Machine(net, plan, "amaranth", None, None, folder)
    watches = watch(machine.accelerator)
    path = folder / "all.vcd"
    capture = machine.run(machine.stimulus(as_frames(images(net, frames)), 0.0, 0), path)
    signals = Signals(path, {name for seen in watches.values() for name in seen.signals})
    edges = bin_edges(capture.cycles, 1)
    units = {
        name: summarise(name, seen, seen.states(signals)[-capture.cycles :], edges, frames)
        for name, seen in watches.items()
    }
    return machine.accelerator, units


def conv(outs, ins, padding=AROUND, stride=1, seed=0):
    return BinaryConv(bits(outs, 3, 3, ins, seed=seed), stride, padding)


@pytest.mark.parametrize(
    ("layer", "folding", "cycles", "transfers"),
    [
        # Windows that are read word by word.
        (conv(2, 2), Folding(1, 1), 20 * 36, 40),
        (conv(2, 2), Folding(2, 2), 20 * 9, 20),
        # Windows that slide, each given twice in three parts.
        (conv(4, 2), Folding(2, 6), 20 * 6, 40),
        # A step a cycle: most complete no window.
        (conv(4, 2, (0, 0, 0, 0)), Folding(4, 18), 20, 6),
        # Two cycles a window; steps to the next row take three, to the next frame 13.
        (conv(4, 2, (0, 0, 0, 0)), Folding(2, 18), 2 + 2 + 3 + 2 + 2 + 13, 12),
        (conv(4, 2, (1, 0, 1, 0), 2), Folding(1, 18), 4 + 8 + 4 + 8, 16),
    ],
)
def test_the_stage_that_sets_the_rate_is_busy_in_every_steady_cycle(layer, folding, cycles, transfers, tmp_path):
    net = Net(INPUT, Chain((layer,)))
    accelerator, units = simulated(net, Plan({"0": folding}, folding.pe), 3, tmp_path)
    found = units["layer_0"]
    assert accelerator.pipeline.units["layer_0"].cycles == cycles
    assert np.diff(found.steady_span) == cycles
    assert_array_equal(found.steady, [transfers, cycles - transfers, 0, 0])


def test_a_fast_stage_is_stalled_before_a_slow_one_and_starved_behind_it(tmp_path):
    net = Net(INPUT, Chain(tuple(conv(2, 2, seed=seed) for seed in range(3))))
    fast, slow = Folding(2, 2), Folding(1, 1)
    _, units = simulated(net, Plan({"0": fast, "1": slow, "2": fast}), 6, tmp_path)
    before, middle, behind = (units[f"layer_{index}"] for index in range(3))
    assert [int(np.diff(unit.steady_span)[0]) for unit in (before, middle, behind)] == [2 * 720] * 3
    assert_array_equal(middle.steady, [2 * 40, 2 * 680, 0, 0])
    transfers, computing, stalled, starved = before.steady
    assert (transfers, starved) == (2 * 20, 0)
    assert 2 * 160 <= computing <= 2 * 180
    assert stalled == 2 * 720 - transfers - computing
    transfers, computing, stalled, starved = behind.steady
    assert (transfers, stalled) == (2 * 20, 0)
    assert 2 * 160 <= computing <= 2 * 180
    assert starved == 2 * 720 - transfers - computing


@pytest.mark.slow
@examples(20, shrink=False)
@given(st.data())
def test_a_stage_is_busy_for_its_cycles_and_not_much_longer(tmp_path_factory, data):
    net = data.draw(nets(ops=3000, side=5))
    plan = data.draw(plans(net))
    accelerator = Accelerator(net, plan)
    assume(accelerator.cycles <= 300)
    _, units = simulated(net, plan, 5, tmp_path_factory.mktemp("drawn"))
    for name, stage in accelerator.pipeline.stages:
        found = units[name]
        busy = found.steady[TRANSFER] + found.steady[COMPUTE]
        # The last frame may not have left when the run ends: what follows needs no more of it.
        begin, end = found.steady_span
        frames = int(((begin <= found.ends) & (found.ends < end)).sum())
        # The last of them may be behind its work by as much as a word takes. Words that leave or enter while the stage
        # waits for others count as well.
        words = found.words + (stage.source.frame_words if watch(accelerator)[name].taken else 0)
        assert frames >= 1, name
        # While a pipeline of one word waits for it to leave it is not watched.
        works = stage.cycles // stage.results.interval if hasattr(stage, "results") else stage.cycles
        # Work is ahead of its words by as many as wait for others; only one frame follows the last one counted.
        ahead = max(0, -(-getattr(stage, "credits", 0) // found.words) - 1)
        assert (frames - ahead) * works - stage.latency <= busy <= frames * (works + words) + stage.latency, name


def test_the_verilog_has_what_is_watched_and_each_frame_moves_once_through_each_unit():
    net = residual_net()
    plan = fit(net, 16)
    x = images(net, 3)
    found = observe(net, plan, x, bins=17)
    units = {unit.name: unit for unit in found.units}
    assert_array_equal(found.run.logits, net(x))
    assert_array_equal(found.edges, bin_edges(found.run.cycles, 17))
    for unit in found.units:
        assert_array_equal(unit.counts.sum(axis=0), np.diff(found.edges))
        assert unit.counts[TRANSFER].sum() == 3 * unit.words
        assert unit.steady[TRANSFER] == unit.words
        assert unit.steady.sum() == np.diff(unit.steady_span)
        assert (np.diff(unit.ends) > 0).all()
    assert (units["layer_0"].ends >= found.entered).all(), "no stage gives a frame's end before its last pixel is there"
    last = units["output_gate"].ends
    assert (last <= found.run.last_cycles).all(), "the last unit gives a frame before it leaves"
    assert (found.run.last_cycles - last < 20).all(), "cycles are counted from the same moment"
    slowest = max(found.units, key=lambda unit: (unit.steady[TRANSFER] + unit.steady[COMPUTE]) / unit.steady.sum())
    assert slowest.steady[STALL] + slowest.steady[STARVE] == 0


@pytest.mark.slow
def test_a_machine_without_layers_is_watched_at_its_end():
    net = Net(INPUT, Chain(()))
    x = images(net, 2)
    found = observe(net, fit(net, 1), x)
    assert_array_equal(found.run.logits, x)
    assert [unit.name for unit in found.units] == ["output_frame", "output_gate"]
