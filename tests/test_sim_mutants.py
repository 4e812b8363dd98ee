"""Each sentence of the interface sheet has a check: what breaks it is caught, in every engine that reads Verilog.

A mutant is the right Verilog with one place changed. Only the outputs and what is in the machine's way to them differ;
the images alone would pass in most of them.
"""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from sim_nets import bits, images

from bitfold.hw.plan import Folding, Plan
from bitfold.hw.verilog.write import write
from bitfold.model.layers import BinaryConv, Chain, GlobalSum
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.sim.simulate import Broken, Deadlock, check

HAS_ICARUS = shutil.which("iverilog") is not None
FAST = "icarus" if HAS_ICARUS else "verilator"
COCOTB = pytest.param("icarus", marks=pytest.mark.skipif(not HAS_ICARUS, reason="iverilog is not on PATH"), id="icarus")

INPUT = Tensor(2, 2, 1, -3, 4)
NET = Net(INPUT, Chain((GlobalSum(), BinaryConv(bits(3, 1, 1, 1, seed=1)))), ("a", "b", "c"))
"""Two beats a frame in, of samples that may lie outside; three values of 6 bits out, a beat each."""
PLAN = Plan({"1": Folding(1, 1)}, input_pixels=2)
assert (NET.output.lo, NET.output.hi) == (-16, 16)


def within(text: str, module: str, old: str, new: str) -> str:
    """Replace the pattern `old` in the module whose name ends so; it must be there."""
    found = re.search(rf"^module (\w*_)?{module} ?\(.*?^endmodule$", text, re.M | re.S)
    changed, count = re.subn(old, new, found[0], flags=re.S)
    assert count, (module, old)
    return text[: found.start()] + changed + text[found.end() :]


def change(module: str, old: str, new: str) -> Callable[[str], str]:
    """The same as a mutation."""
    return lambda text: within(text, module, old, new)


def port(name: str, value: str, *lines: str, bits: int = 1) -> Callable[[str], str]:
    """The top's output `name` becomes `value`, in which `was` is what it was; `lines` stand beside it."""

    def mutate(text: str) -> str:
        assigned = rf"assign {name} = ([^;]*);"
        if re.search(assigned, text):
            text = within(text, "bitfold", assigned, r"assign was = \1;")
        else:
            text = within(text, "bitfold", rf"\({name}\)", "(was)")
        text = within(text, "bitfold", "  wire clk;\n", f"  wire clk;\n  wire [{bits - 1}:0] was;\n")
        return within(text, "bitfold", "endmodule", "\n".join([*lines, f"assign {name} = {value};", "endmodule"]))

    return mutate


def no_reset(unit: str) -> Callable[[str], str]:
    """No reset reaches a unit of the accelerator."""
    return change("accelerator", rf"( {unit} \([^;]*?\.rst)\(rst\)", r"\1(1'h0)")


def slower(text: str) -> str:
    """Beats are taken in every second cycle only."""
    text = port("s_axis_tready", "was & flag", "always @(posedge clk) flag <= ~flag;")(text)
    text = within(text, "bitfold", r"\(s_axis_tvalid\)", "(s_axis_tvalid & flag)")
    return within(text, "bitfold", "  wire clk;\n", "  wire clk;\n  reg flag = 0;\n")


@dataclass(frozen=True)
class Mutant:
    """What is changed, and what is said of it; `quick` ones are tried in the default run."""

    mutate: Callable[[str], str]
    message: str
    quick: bool = False


STILL = "the machine stands still"
COUNT = r"short_frames and long_frames are \d+ and \d+ and must be"
BETWEEN = "changes between two rising edges of clk"
LATE = "always @(posedge clk)"
STALLED = f"reg stalled = 0; {LATE} stalled <= m_axis_tvalid & ~m_axis_tready & ~rst;"
FLAG = f"reg flag = 0; {LATE}"

MUTANTS = {
    "tvalid follows tready": Mutant(port("m_axis_tvalid", "was & m_axis_tready"), f"{STILL}|{BETWEEN}", quick=True),
    "tvalid comes after tready": Mutant(
        port("m_axis_tvalid", "was & flag", f"{FLAG} flag <= ~rst & (m_axis_tready | (flag & ~m_axis_tvalid));"), STILL
    ),
    "tvalid is withdrawn": Mutant(port("m_axis_tvalid", "was & ~stalled", STALLED), "withdrew a beat", quick=True),
    "tdata changes while it waits": Mutant(port("m_axis_tdata", "was ^ stalled", STALLED, bits=8), "changed a beat"),
    "tuser changes while it waits": Mutant(port("m_axis_tuser", "was ^ stalled", STALLED, bits=2), "changed a beat"),
    "tlast changes while it waits": Mutant(port("m_axis_tlast", "was ^ stalled", STALLED), "changed a beat|tlast is"),
    "tdata waits for tready": Mutant(port("m_axis_tdata", "was ^ !m_axis_tready", bits=8), f"changed a beat|{BETWEEN}"),
    "tdata is late by half a cycle": Mutant(
        port("m_axis_tdata", "half", "reg [7:0] half = 0; always @(negedge clk) half <= was;", bits=8), BETWEEN
    ),
    "no tlast": Mutant(port("m_axis_tlast", "1'h0 & was"), "m_axis_tlast is 0 with beat 3 of 3", quick=True),
    "tlast with each beat": Mutant(port("m_axis_tlast", "1'h1 | was"), "m_axis_tlast is 1 with beat 1 of 3"),
    "tlast with the first beat": Mutant(
        port("m_axis_tlast", "flag", f"reg flag = 1; {LATE} if (m_axis_tvalid & m_axis_tready) flag <= was;"),
        "m_axis_tlast is 1 with beat 1 of 3",
    ),
    "tuser before a pixel's last beat": Mutant(
        port("m_axis_tuser", "m_axis_tlast ? was : 2'h2", bits=2), "the class is the first that differs", quick=True
    ),
    "tuser with a pixel's last beat": Mutant(
        port("m_axis_tuser", "was ^ m_axis_tlast", bits=2), "the class is the first that differs"
    ),
    "the last of equal values is the class": Mutant(
        change("classifier", "word > top", "word >= top"), "tuser of output|the class is"
    ),
    "values without a sign": Mutant(port("m_axis_tdata", "{2'h0, was[5:0]}", bits=8), "the output is the first"),
    "padding that is not the sign": Mutant(
        port("m_axis_tdata", "{~was[7], was[6:0]}", bits=8), "the output is the first"
    ),
    "short_frames is stuck": Mutant(port("short_frames", "16'h0 & was", bits=16), COUNT, quick=True),
    "long_frames is stuck": Mutant(port("long_frames", "16'h0 & was", bits=16), COUNT, quick=True),
    "short_frames counts by two": Mutant(change("input_guard", r"short_frames \+ 1'h1", "short_frames + 2'h2"), COUNT),
    "long_frames counts in pairs": Mutant(port("long_frames", "was & 16'hfffe", bits=16), COUNT),
    "short_frames counts long ones": Mutant(port("short_frames", "was & 16'h0 | long_frames", bits=16), COUNT),
    "short_frames begins again": Mutant(change("input_guard", r"= & short_frames;", "= 1'h0;"), COUNT, quick=True),
    "long_frames begins again": Mutant(change("input_guard", r"= & long_frames;", "= 1'h0;"), COUNT),
    "short_frames counts in seven bits": Mutant(port("short_frames", "was & 16'h007f", bits=16), COUNT),
    "tlast in is ignored": Mutant(change("bitfold", r"= s_axis_tlast;", "= 1'h1;"), COUNT),
    "bad frames come out": Mutant(
        change("accelerator", r"(\.verdict__payload)\([^()]*verdict__payload[^()]*\)", r"\1(1'h1)"),
        "no good frame has gone in",
    ),
    "a frame is lost after a bad one": Mutant(
        change(
            "input_guard",
            r"(output verdict__payload;\n.*?\.o__payload)\(verdict__payload\)(.*)endmodule",
            r"wire right; \1(right)\2 reg after = 0; always @(posedge clk) if (verdict__valid & verdict__ready)"
            " after <= ~right; assign verdict__payload = right & ~after;\nendmodule",
        ),
        f"{STILL}|the value of output frame",
    ),
    "samples above are not clipped": Mutant(
        change("input_guard", r"[\\$_]\w+ *\? 3'h7", "1'h0 ? 3'h7"), "the value of output frame"
    ),
    "samples below are not clipped": Mutant(
        change("input_guard", r"[\\$_]\w+ *\? 3'h0", "1'h0 ? 3'h0"), "the value of output frame"
    ),
    "tready is always high": Mutant(port("s_axis_tready", "1'h1 | was"), f"{STILL}|{COUNT}|{BETWEEN}|the output is"),
    "tready falls with clk": Mutant(port("s_axis_tready", "was & clk"), BETWEEN),
    "a counter is cleared at once": Mutant(port("short_frames", "was & {16{~rst}}", bits=16), BETWEEN, quick=True),
    "tvalid falls at once": Mutant(port("m_axis_tvalid", "was & ~rst"), BETWEEN),
    "tvalid is high in reset": Mutant(port("m_axis_tvalid", "was | rst"), f"m_axis_tvalid is not 0|{BETWEEN}"),
    "no reset of anything": Mutant(
        change("bitfold", r"\.rst\(rst\)", ".rst(1'h0)"), "is not 0 after a rising edge", quick=True
    ),
    "no reset of the guard": Mutant(no_reset("input_guard"), "short_frames is not 0 after"),
    "no reset of the gate": Mutant(no_reset("output_gate"), "."),
    "no reset of the class": Mutant(no_reset("output_classifier"), "m_axis_tvalid is not 0 after"),
    "no reset of verdicts": Mutant(no_reset("verdicts"), "."),
    "no reset of the sums": Mutant(no_reset("layer_0"), "."),
    "no reset of the convolution": Mutant(no_reset("layer_1"), "."),
    "slower than declared": Mutant(slower, "in steady state a frame takes 4 cycles, and 3 are declared"),
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A folder for what is compiled, and the right Verilog."""
    folder = tmp_path_factory.mktemp("machine")
    return folder, write(NET, PLAN, folder).read_text()


def caught(text: str, engine: str, folder) -> str:
    """What `check` says of the Verilog."""
    path = folder / "mutant.v"
    path.write_text(text)
    try:
        report = check(NET, PLAN, images(NET, 3), engine=engine, verilog=path, build=folder)
    except (Broken, Deadlock) as error:
        return str(error)
    return "" if report.exact else str(report.first)


@pytest.mark.parametrize("engine", ["verilator", COCOTB])
def test_the_right_machine_is_not_caught(engine, machine):
    folder, text = machine
    assert caught(text, engine, folder) == ""


@pytest.mark.parametrize("name", [name for name, mutant in MUTANTS.items() if mutant.quick])
def test_the_bench_catches(name, machine):
    folder, text = machine
    assert re.search(MUTANTS[name].message, caught(MUTANTS[name].mutate(text), FAST, folder))


LEAST = ["tvalid follows tready", "long_frames is stuck", "bad frames come out", "no reset of the guard"]


@pytest.mark.parametrize("name", [LEAST[0], *(pytest.param(name, marks=pytest.mark.slow) for name in LEAST[1:])])
def test_the_least_trials_of_large_machines_catch_too(name, machine, monkeypatch):
    monkeypatch.setattr("bitfold.sim.protocol.BUDGET", 0)
    folder, text = machine
    assert caught(text, FAST, folder) == ""
    assert caught(MUTANTS[name].mutate(text), FAST, folder)


@pytest.mark.parametrize("name", ["tvalid follows tready", "tuser before a pixel's last beat", "short_frames is stuck"])
def test_the_driver_catches(name, machine):
    folder, text = machine
    assert re.search(MUTANTS[name].message, caught(MUTANTS[name].mutate(text), "verilator", folder))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["verilator", COCOTB])
@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_is_caught(name, engine, machine):
    folder, text = machine
    assert re.search(MUTANTS[name].message, caught(MUTANTS[name].mutate(text), engine, folder))
