# amaranth: UnusedElaboratable=no
"""A build: the clock it settles on, what it leaves behind, and one whole build of a small network."""

import json
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from sim_nets import images, residual_net

from bitfold.boards import build as builds
from bitfold.boards import record as records
from bitfold.boards.board import BOARDS
from bitfold.boards.build import build, check_output
from bitfold.boards.flow import FLOWS, Placed
from bitfold.boards.pll.choose import fastest
from bitfold.cli.main import main
from bitfold.hw.planner import balance
from bitfold.model.error import BadInput
from bitfold.model.net import Net

ULX3S = BOARDS["ulx3s-25f"]
NET = residual_net()
PLAN = balance(NET, 10**4, ULX3S.target)


@pytest.fixture
def placer(monkeypatch):
    """In place of Yosys, nextpnr and the packer: the MHz that place and route is to reach, and what it was asked."""

    class Tools:
        def __init__(self):
            self.reached: list[float] = []
            self.asked: list[tuple[float, int]] = []
            self.packed = 0

        def place(self, flow, platform, folder, clock, seed, cache):
            assert (folder / "top.il").exists()
            self.asked.append((clock / 1e6, seed))
            return Placed(seed, self.reached[len(self.asked) - 1] * 1e6, MappingProxyType({"LUT": (1, 2)}))

        def pack(self, flow, platform, folder, cache):
            self.packed += 1
            (folder / flow.bitstream).write_bytes(b"bits")

    fake = Tools()
    monkeypatch.setattr(builds.flows, "synthesise", lambda *_: None)
    monkeypatch.setattr(builds.flows, "place", fake.place)
    monkeypatch.setattr(builds.flows, "pack", fake.pack)
    return fake


@pytest.fixture
def tools(placer, monkeypatch):
    """The same, and Amaranth writes no top."""
    monkeypatch.setattr(builds.Work, "write", lambda work, setting: (work.folder / "top.il").touch())
    return placer


def clock(most):
    """The fastest of the PLL, in MHz."""
    return fastest("ecp5", 25_000_000, 0, most * 1e6).clock / 1e6


def built(folder, **more):
    return build(NET, "small", ULX3S, folder / "out", plan=PLAN, **more)


@pytest.mark.parametrize(
    ("reached", "asked"),
    [
        ([70.1, 70.3], [100, clock(70.1)]),  # missed, then met
        ([120.0, 119.0, 121], [100, 120, clock(118.8)]),  # faster than asked; missed, then slower
        ([100.3], [100]),  # just met: no setting lies between
        ([70.1, 60.0, 60.2], [100, clock(70.1), 60]),  # a slower second round gives a slower third
    ],
)
def test_the_clock_that_ships_was_reached(tools, tmp_path, reached, asked):
    tools.reached = reached
    found = built(tmp_path)
    assert [clock for clock, _ in tools.asked] == asked
    assert (found.clock, found.fmax) == (int(asked[-1] * 1e6), reached[-1] * 1e6)
    assert found.fmax >= found.clock
    assert tools.packed == 1


def test_the_seed_that_ships_is_the_one_that_reached_it(tools, tmp_path):
    tools.reached = [60, 80, 70, 75, 81]
    found = built(tmp_path, seeds=3)
    assert tools.asked == [(100, 1), (100, 2), (100, 3), (80, 1), (80, 2)]
    assert (found.clock, found.seed) == (80_000_000, 2)


def test_the_best_seed_is_placed_again_where_it_was_not_the_last(tools, tmp_path):
    tools.reached = [100.2, 90, 100.2]
    found = built(tmp_path, seeds=2)
    assert tools.asked == [(100, 1), (100, 2), (100, 1)]
    assert (found.clock, found.seed) == (100_000_000, 1)


def test_what_is_written(placer, tmp_path):
    placer.reached = [70.1, 70.3]
    found = built(tmp_path)
    folder = tmp_path / "out"
    assert records.load(folder) == found
    names = {path.name for path in folder.iterdir()}
    assert names == {*found.files, "build.json"}
    assert names == {"small.bitfold", "small.toml", "top.il", "top.v", "top.lpf", "top.bit", "build.json"}
    for name in found.files:
        records.check(folder, found, name)
    net = Net.load(folder / "small.bitfold")
    np.testing.assert_array_equal(net(images(NET, 3)), NET(images(NET, 3)))
    assert found.network_digest == net.digest()
    assert found.plan_digest == PLAN.digest()
    assert found.frames_per_second == found.clock / found.cycles
    text = (folder / "top.v").read_text()
    assert "\nmodule top(" in text
    assert "\\" not in text
    header = text[text.index("\nmodule top(") :]
    header = header[: header.index(";")]
    assert all(port.name in header for port in found.ports.values())
    assert [port.active_low for port in found.ports.values()] == [False] * 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_build_that_fails_leaves_nothing(tools, tmp_path):
    tools.reached = [9.5]
    says = "place and route reaches 9.5 MHz, and the PLL and the serial line of Radiona ULX3S 25F take at least 15 MHz"
    with pytest.raises(RuntimeError, match=says):
        built(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_clocks_that_are_missed_for_ever(tools, tmp_path):
    tools.reached = [90 - 5 * k for k in range(builds.ROUNDS)]
    with pytest.raises(RuntimeError, match=r"^place and route has missed 8 clocks, the last of them 6\d"):
        built(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_tools_log_is_not_promised_where_it_is_gone(tools, tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("nextpnr failed: ERROR: no room; see /gone/top.log")

    monkeypatch.setattr(builds.flows, "place", fails)
    with pytest.raises(RuntimeError, match=r"^nextpnr failed: ERROR: no room$"):
        built(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_for_another_device(tmp_path):
    with pytest.raises(
        BadInput, match=r"^the plan is for generic, and Radiona ULX3S 25F has ecp5-25: plan again with --tar"
    ):
        build(NET, "small", ULX3S, tmp_path / "out", plan=replace(PLAN, target="generic"))


def test_parity_that_nobody_hears_of(tmp_path):
    with pytest.raises(BadInput, match=r'^the plan has protect = "parity", and the host link tells of no flipped bits'):
        build(NET, "small", ULX3S, tmp_path / "out", plan=replace(PLAN, protect="parity"))


def test_where_nothing_can_be_built(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "empty")
    check_output(tmp_path / "new")
    for place, says in {
        "full": "holds files already; name a new folder or remove it",
        "full/x": "cannot be written: Not a directory; choose another place",
        "none/x": "is no folder that can be written; make it first",
    }.items():
        with pytest.raises(BadInput, match=says):
            check_output(tmp_path / place)


def test_a_project_for_the_makers_tools(tmp_path):
    arty = BOARDS["arty-a7-35"]
    found = build(NET, "small", arty, tmp_path / "out", plan=replace(PLAN, target=arty.target))
    folder = tmp_path / "out"
    assert set(found.files) == {
        "build_top.bat", "build_top.sh", "small.bitfold", "small.toml", "top.tcl", "top.v", "top.xdc",
    }  # fmt: skip
    assert (found.bitstream, found.seed, found.fmax, dict(found.used)) == (None, None, None, {})
    assert found.ports["reset"].active_low
    assert "xc7a35ti" in (folder / "top.tcl").read_text()
    assert "PLLE2_BASE" in (folder / "top.v").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "weights"), [("icebreaker", "rom"), ("ulx3s-25f", "loadable"), ("tang-nano-9k", "rom")]
)
def test_a_small_network_becomes_a_bitstream(name, weights, tmp_path):
    """Whose netlist answers as the network does, where there are models of the vendor's cells."""
    board = BOARDS[name]
    found = build(NET, "small", board, tmp_path / "out", plan=balance(NET, 10**4, board.target, weights))
    flow = FLOWS[board.device.family.name]
    assert found.clock <= found.fmax
    assert {flow.bitstream, flow.constraints, "top.json", "top.netlist.v", "top.report.json"} <= set(found.files)
    assert all(used <= available or not available for used, available in found.used.values())
    log = json.loads((tmp_path / "out" / "top.report.json").read_text())
    assert found.fmax == pytest.approx(1e6 * min(entry["achieved"] for entry in log["fmax"].values()))
    if board.device.family.name != "gowin":
        np.save(tmp_path / "x.npy", images(NET, 40))
        with pytest.raises(SystemExit) as left:
            main(["classify", "--port", f"virtual:{tmp_path}/out", "--netlist", f"{tmp_path}/x.npy"])
        assert left.value.code is None
