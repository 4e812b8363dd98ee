# amaranth: UnusedElaboratable=no
"""Tables of constants."""

import numpy as np
import pytest
from amaranth import ClockDomain, Module
from amaranth.sim import Simulator

from bitfold.hw.array.constants import ConstantTable, pack_rows
from bitfold.hw.device.target import FAMILIES


def test_rows_pack_lane_0_lowest_in_twos_complement():
    assert pack_rows(np.array([[1, -1], [-8, 7]]), 4) == [0xF1, 0x78]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("same", [False, True])
def test_rows_come_round_and_round(count, same):
    rows = np.array([[-5, 3], [1, -2], [0, 0], [7, -8], [-1, 1]])[:count]
    if same:
        rows[:] = rows[0]
    table = ConstantTable(rows, 4, FAMILIES["generic"])
    step = np.random.default_rng(count).random(25) < 0.6
    seen = []

    async def bench(ctx):
        for advance in step:
            seen.append([ctx.get(table.row[lane]) for lane in range(2)])
            ctx.set(table.next, int(advance))
            await ctx.tick()

    m = Module()
    m.domains += ClockDomain("sync")
    m.submodules += table
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    at = (np.cumsum(step) - step) % count
    np.testing.assert_array_equal(seen, rows[at])
