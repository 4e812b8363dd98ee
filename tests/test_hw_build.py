# amaranth: UnusedElaboratable=no
"""The table of contents of the hardware: every kind of layer has a stage, every stage keeps the stream's rules."""

import inspect
import pkgutil
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from amaranth.lib.wiring import Component
from machines import ready_to_valid, run_accelerator
from strategies import LAYERS, images, random_weights

import bitfold.hw
from bitfold.hw.accelerator import Accelerator
from bitfold.hw.build import Pipeline
from bitfold.hw.device.component import Port
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.planner import balance
from bitfold.hw.stream.flow import Flow
from bitfold.hw.stream.queue import Queue
from bitfold.hw.stream.stage import Stage
from bitfold.model.layers import (
    KINDS,
    BinaryConv,
    Chain,
    GlobalSum,
    MaxPool,
    PadChannels,
    Requantise,
    Residual,
    Scale,
    SumPool,
    Table,
    shifted_relu,
    trace,
)
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

CONV = BinaryConv(random_weights((4, 3, 3, 4), 1), 1, (1, 1, 1, 1))
EXAMPLES = {
    BinaryConv: CONV,
    Requantise: Requantise(1, -4, 3, np.arange(4)),
    Scale: Scale(np.array([5, -3, 0, 8]), 2),
    Table: Table(np.arange(16) ** 2, -8),
    SumPool: SumPool(2, 2),
    MaxPool: MaxPool(3, 2, (1, 1, 1, 1)),
    GlobalSum: GlobalSum(),
    PadChannels: PadChannels(2),
    Chain: Chain((CONV, shifted_relu(4, 2, 1), SumPool(2, 1))),
    Residual: Residual(Chain((CONV,)), Chain((Requantise(0, -4, 3),))),
}
SOURCE = Tensor(4, 4, 4, -8, 7, 2)


def missing(kinds, cases):
    """Names of the kinds that a table has no case for."""
    return sorted(kind.__name__ for kind in kinds if kind not in cases)


def test_every_stage_takes_several_pixels_at_once():
    batch = images(EVERYTHING, 12)
    run = run_accelerator(machine := Accelerator(EVERYTHING, SLIDING), batch)
    np.testing.assert_array_equal(run.logits, EVERYTHING(batch))
    assert machine.cycles == 4
    assert set(np.diff(run.cycles[2::3])[6:]) == {4}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_has_a_stage_that_is_the_layer(kind):
    """A kind fails here by name until hw/build.py has a case for it and this file an example."""
    assert kind in EXAMPLES, f"tests/test_hw_build.py has no example of {kind.__name__}"
    net = Net(SOURCE, Chain((EXAMPLES[kind],)))
    batch = images(net, 3)
    run = run_accelerator(Accelerator(net, balance(net, 600)), batch)
    np.testing.assert_array_equal(run.logits, net(batch))


def test_every_kind_has_a_strategy():
    assert missing(KINDS, LAYERS) == []


def test_an_unknown_kind_is_named():
    class Softmax:
        pass

    assert missing([Softmax, *KINDS], EXAMPLES) == ["Softmax"]
    pipeline = Pipeline(Plan({}))
    flow = Flow(SOURCE, 4)
    with pytest.raises(TypeError, match=r"^no stage for a layer of kind Softmax$"):
        pipeline.grow(pipeline.start(flow, Port(Queue(flow, 1, FAMILIES["generic"]), "o")), Softmax(), "3")


EVERYTHING = Net(
    SOURCE,
    Chain(
        (
            CONV,
            Requantise(1, -16, 15),
            Requantise(0, -16, 15),
            Residual(
                Chain(
                    (
                        SumPool(3, 1, (1, 1, 1, 1), 1, valid=True),
                        MaxPool(3, 1, (1, 1, 1, 1)),
                        BinaryConv(random_weights((6, 1, 1, 4), 1), 2),
                    )
                ),
                Chain((SumPool(2, 2, scale=1), PadChannels(2))),
            ),
            shifted_relu(4, 2, 1),
            Table(np.array([-2, -2, -1, 0, 1, 2, 4, 3, 5, 6, 8, 8, 9, 10, 12, 11]), -2, 1),
            GlobalSum(),
            BinaryConv(random_weights((6, 1, 1, 6), 3)),
            Scale(np.arange(-2, 4)),
        )
    ),
)
FOLDINGS = {"0": (2, 2), "3.body.0": (4, 1), "3.body.1": (2, 1), "3.body.2": (2, 1), "3.skip.0": (1, 1), "7": (3, 3)}
EVERYWHERE = Plan({path: Folding(*fold, turns=1 + (path == "3.body.2")) for path, fold in FOLDINGS.items()}, 2)
SLIDES = {
    "0": (4, 36, 4),
    "3.body.0": (4, 9, 4),
    "3.body.1": (4, 9, 4),
    "3.body.2": (6, 4, 4),
    "3.skip.0": (4, 4, 4),
    "7": (3, 3),
}
SLIDING = Plan({path: Folding(*fold) for path, fold in SLIDES.items()}, 2, 4)
MAP = Net(SOURCE, Chain((CONV,)))


def test_a_row_of_a_pools_words_waits_where_it_comes_closer_than_it_can_go():
    net = Net(Tensor(8, 8, 16, -8, 7), Chain((SumPool(2, 2), Requantise(1, -16, 15))))
    machine = Accelerator(net, Plan({"0": Folding(4, 1, out=1)}))
    run = run_accelerator(machine, batch := images(net, 6))
    np.testing.assert_array_equal(run.logits, net(batch))
    ends = np.array(run.cycles).reshape(len(batch), -1)[:, -1]
    assert set(np.diff(ends)) == {machine.cycles} == {256}
    assert machine.units["layer_0_out_row"].depth == 4 * 4


def units():
    """One of each unit of the machine, from networks that have them all."""
    found = {}
    machines = [(EVERYTHING, EVERYWHERE), (EVERYTHING, SLIDING), (MAP, balance(MAP, 10**6))]
    for net, plan in [*machines, (EVERYTHING, replace(EVERYWHERE, weights="loadable"))]:
        machine = Accelerator(net, plan)
        for unit in (machine, *machine._units.named.values()):
            deep = isinstance(unit, Queue) and unit.depth > 32
            found[type(unit).__name__, deep, plan.input_pixels, plan.weights] = unit
    return found


def test_no_ready_reaches_an_offer():
    """In no unit and in no whole machine does a stream's ready reach any stream's valid or payload."""
    found = units()
    assert {name: paths for name, unit in found.items() if (paths := ready_to_valid(unit))} == {}
    streams = {"Accelerator", "FrameGuard", "FrameGate", "Classifier", "ConvStage", "GlobalSumStage"}
    streams |= {
        "SumPoolStage",
        "SlidingSumPoolStage",
        "MaxPoolStage",
        "SlidingMaxPoolStage",
        "RunningPoolStage",
        "PixelSumStage",
        "PadChannelsStage",
        "RequantiseStage",
        "ScaleStage",
        "TableStage",
        "SaturatingAdd",
        "Queue",
        "Widen",
        "Narrow",
        "Fork",
        "Admission",
        "Loader",
    }
    assert {name for name, *_ in found} == streams
    assert streams == {kind for kind in components() if kind not in NO_STREAMS}


NO_STREAMS = {
    "WindowedStage", "PoolStage", "SlidingPoolStage", "ResultQueue", "ConstantTable", "DotArray", "MacArray",
    "PopcountArray", "PopcountChain", "PopcountTree", "WiredArray", "Window", "SlidingWindow", "Stage",
    "AxiStreamTop", "Ring", "PairRing", "SinglePort", "RegisterBank", "AxiLite", "Wishbone",
    "TurnedResults", "LoadLink", "LoadedTable", "LoadedMemory", "Checker", "UpsetCounters", "Component",
}  # fmt: skip
"""Parts of units, and what all are; AxiStreamTop renames the Accelerator's ports; software's registers; what loads are
written by; what tells of flipped weights."""


def components():
    """Names of all components of the room."""
    modules = [import_module(info.name) for info in pkgutil.walk_packages(bitfold.hw.__path__, "bitfold.hw.")]
    members = {member for module in modules for _, member in inspect.getmembers(module, inspect.isclass)}
    return {
        member.__name__
        for member in members
        if issubclass(member, Component) and member.__module__.startswith("bitfold.hw.")
    }


def test_ready_to_valid_finds_a_path():
    class Impatient(Stage):
        """Offers only when asked."""

        def elaborate(self, platform):
            from amaranth import Module

            m = Module()
            m.d.comb += [
                self.o.valid.eq(self.i.valid & self.o.ready),
                self.o.payload.eq(self.i.payload),
                self.i.ready.eq(self.o.ready),
            ]
            return m

    flow = Flow(SOURCE, 4)
    assert ready_to_valid(Impatient(flow, flow)) == ["o.ready > o.valid"]


def test_taps_are_the_layers_in_order():
    machine = Accelerator(EVERYTHING, EVERYWHERE)
    outputs = {path: y for path, _, y in trace(EVERYTHING.body, images(EVERYTHING, 2))}
    paths = [tap.path for tap in machine.taps]
    fused = "0"
    assert paths == [path for path in outputs if path not in (fused, "3.body", "3.skip", "")]
    for tap in machine.taps:
        assert tap.flow.tensor.shape == outputs[tap.path].shape[1:]
        assert tap.flow.tensor.channels % tap.flow.lanes == 0
    assert len({tap.name for tap in machine.taps}) == len(paths)
