# amaranth: UnusedElaboratable=no
"""What streams do over time, read back from a waveform and counted in bins."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import examples
from numpy.testing import assert_array_equal
from sim_nets import INPUT, images, residual_net

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.planner import fit
from bitfold.model.layers import Chain
from bitfold.model.net import Net
from bitfold.sim.occupancy import IDLE, STALL, TRANSFER, bin_edges, count, frame_ends, observe, read_states

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


def waveform(path, cycles):
    """A VCD of (a_valid, b_valid, ready) in each cycle; they change after the rising edge and before the next."""
    lines = [HEADER]
    for number, (a, b, ready) in enumerate(cycles):
        lines.append(f'#{10 * number}\n0!\n{a}"\n{b}$\n#{10 * number + 2}\n{ready}#\n#{10 * number + 5}\n1!\n')
    path.write_text("".join(lines))
    return path


def test_the_state_of_a_cycle_is_what_stood_before_its_rising_edge(tmp_path):
    cycles = [(0, 0, 0), (0, 1, 0), (1, 1, 1), (1, 0, 0), (1, 1, 1), (0, 0, 1), ("x", 1, 1)]
    states = read_states(waveform(tmp_path / "a.vcd", cycles), ["a", "b"])
    assert_array_equal(
        states,
        [
            [IDLE, IDLE, TRANSFER, STALL, TRANSFER, IDLE, IDLE],
            [IDLE, STALL, TRANSFER, IDLE, TRANSFER, IDLE, TRANSFER],
        ],
    )


def test_a_change_together_with_the_edge_comes_after_it(tmp_path):
    path = tmp_path / "a.vcd"
    path.write_text(HEADER + '#0\n0!\n1"\n1#\n0$\n#5\n1!\n0"\n#10\n0!\n#15\n1!\n1"\n')
    assert_array_equal(read_states(path, ["a"]), [[TRANSFER, IDLE]])


def test_a_missing_signal_is_named(tmp_path):
    with pytest.raises(KeyError, match="has no signal c_ready"):
        read_states(waveform(tmp_path / "a.vcd", []), ["a", "c"])


def test_a_stream_made_by_hand_is_counted_exactly():
    states = np.array([[IDLE, TRANSFER, TRANSFER, STALL, STALL, TRANSFER, IDLE]], np.uint8)
    edges = bin_edges(7, 3)
    assert_array_equal(edges, [0, 2, 4, 7])
    assert_array_equal(count(states, TRANSFER, edges), [[1, 1, 1]])
    assert_array_equal(count(states, STALL, edges), [[0, 1, 1]])
    assert_array_equal(count(states, IDLE, edges), [[1, 0, 1]])
    assert_array_equal(frame_ends(states[0], 1, 3), [1, 2, 5])
    assert_array_equal(frame_ends(states[0], 3, 1), [5])


@examples(50)
@given(st.data())
def test_bins_are_even_and_nothing_is_lost(data):
    streams, cycles = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 60))
    rows = st.lists(st.integers(0, 2), min_size=cycles, max_size=cycles)
    states = np.array(data.draw(st.lists(rows, min_size=streams, max_size=streams)), np.uint8)
    edges = bin_edges(cycles, data.draw(st.integers(1, 70)))
    lengths = np.diff(edges)
    assert edges[0] == 0
    assert edges[-1] == cycles
    assert lengths.min() >= 1
    assert np.ptp(lengths) <= 1
    counts = {state: count(states, state, edges) for state in (TRANSFER, STALL, IDLE)}
    assert_array_equal(sum(counts.values()), np.tile(lengths, (streams, 1)))
    for state, found in counts.items():
        expected = [[(row[a:b] == state).sum() for a, b in pairwise(edges)] for row in states]
        assert_array_equal(found, expected)


def test_a_machine_moves_each_frame_once_through_each_stream():
    net = residual_net()
    plan = fit(net, 16)
    x = images(net, 3)
    found = observe(net, plan, x, bins=17)
    taps = Accelerator(net, plan).taps
    words = [tap.flow.tensor.pixels * tap.flow.tensor.channels // tap.flow.lanes for tap in taps]
    assert found.names == tuple(tap.path for tap in taps)
    assert_array_equal(found.run.logits, net(x))
    assert_array_equal(found.edges, bin_edges(found.run.cycles, 17))
    assert_array_equal(found.transfers.sum(axis=1), [3 * n for n in words])
    assert_array_equal(found.transfers + found.stalls + found.idle, np.tile(np.diff(found.edges), (len(taps), 1)))
    assert found.ends.shape == (len(taps), 3)
    assert (np.diff(found.ends, axis=1) > 0).all()
    assert (found.ends[0] >= found.entered).all(), "no stage gives a frame's end before its last pixel is there"
    assert (found.ends[-1] <= found.run.last_cycles).all(), "the last stage gives a frame before it leaves"
    assert (found.run.last_cycles - found.ends[-1] < 20).all(), "cycles are counted from the same moment"


@pytest.mark.slow
def test_a_machine_without_layers_has_no_streams():
    net = Net(INPUT, Chain(()))
    x = images(net, 2)
    found = observe(net, fit(net, 1), x)
    assert_array_equal(found.run.logits, x)
    assert found.names == ()
    assert found.transfers.shape == (0, len(found.edges) - 1)
