"""A unit's circuit with its streams, and what a proof watches them by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from amaranth.lib import wiring
from amaranth.lib.wiring import In

from .circuit import Bits, Circuit

GHOST = "?"
"""In the names of registers that a proof has added, and in no other."""

WORD = f"{GHOST}word"
"""Ends the names of those that hold words: they steer nothing."""


COUNT_BITS = 24
"""Of a count of words that is compared."""


@dataclass(frozen=True)
class Port:
    """A stream at a unit's border, with two registers that remember what was offered and not taken the cycle before.

    `waits` : it was; `word` : what
    """

    name: str
    inward: bool
    valid: Bits
    ready: Bits
    payload: Bits
    waits: Bits
    word: Bits

    @property
    def passes(self) -> Bits:
        """A word is transferred."""
        return self.valid & self.ready

    @property
    def holds(self) -> Bits:
        """What was offered and not taken is offered still."""
        return self.waits.implies(self.valid & self.payload.equals(self.word))


@dataclass
class Subject:
    """A unit's circuit and its streams by name.

    Attributes
    ----------
    around : 1 in every cycle, by what is around the unit; of a stage that is loaded that no load is under way
    """

    circuit: Circuit
    ports: dict[str, Port]
    around: Sequence[Bits] = ()

    @property
    def ins(self) -> list[Port]:
        return [port for port in self.ports.values() if port.inward]

    @property
    def outs(self) -> list[Port]:
        return [port for port in self.ports.values() if not port.inward]

    @property
    def steering(self) -> list[int]:
        """What decides on transfers, what addresses memories, and what a proof counts: no words."""
        circuit = self.circuit
        found = [bit.node for port in self.ports.values() for bit in (port.valid, port.ready, port.waits)]
        found += [circuit[name].node for name in circuit.depths]
        counted = (place for name, place in circuit.states.items() if GHOST in name and not name.endswith(WORD))
        return [*found, *counted]

    @cached_property
    def assumed(self) -> Bits:
        """In every cycle: what comes in holds, and what is around the unit."""
        return self.circuit.all_of([*(port.holds for port in self.ins), *self.around])


def watched(circuit: Circuit, unit: wiring.Component) -> Subject:
    """The circuit of a unit with its streams; a unit of wires alone gets a reset, for what a proof adds."""
    if "rst" not in circuit:
        circuit.input("rst", 1)
    ports = {}
    for name, member in unit.signature.members.items():
        if not member.is_signature or not {"valid", "ready", "payload"} <= member.signature.members.keys():
            continue
        valid, ready, payload = (
            circuit[f"{name}__{part}"] if f"{name}__{part}" in circuit else circuit.const(1, 1)
            for part in ("valid", "ready", "payload")
        )
        waits = circuit.state(f"{name}{GHOST}waits", 1)
        word = circuit.state(f"{name}{WORD}", payload.width)
        circuit.drive(waits, valid & ~ready)
        circuit.drive(word, payload)
        ports[name] = Port(name, member.flow == In, valid, ready, payload, waits, word)
    return Subject(circuit, ports, [bit.equals(0) for bit in load_inputs(circuit) if bit.width == 1])


def later(circuit: Circuit, value: Bits, cycles: int, name: str) -> Bits:
    """A value as many cycles later."""
    for cycle in range(cycles):
        held = circuit.state(f"{name}{cycle}{WORD}", value.width)
        circuit.drive(held, value)
        value = held
    return value


def load_inputs(circuit: Circuit) -> list[Bits]:
    """By which loads come to a stage: all 0 while none does."""
    return [Bits(circuit, node) for name, node in circuit.inputs.items() if name.startswith("load_i__")]


def rounds(circuit: Circuit, name: str, passes: Bits, most: int) -> tuple[Bits, Bits]:
    """A counter of what passes, from 0 to most - 1, round and round; and whether it ends a round."""
    if most == 1:
        return circuit.const(0, COUNT_BITS), passes
    at = circuit.state(name, (most - 1).bit_length())
    ends = at.equals(most - 1)
    circuit.drive(at, passes.mux(ends.mux(0, at + 1), at))
    return at.extend(COUNT_BITS), passes & ends
