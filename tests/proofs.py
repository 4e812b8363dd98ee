"""What is proven of units, by the kind of claim."""

from __future__ import annotations

from bitfold.sim.proof.netlist import circuit_of, rtlil_of
from bitfold.sim.proof.units import prove_numbers, prove_unit


def circuit(unit):
    return circuit_of(rtlil_of(unit))


def states(unit, layers=()):
    """The states of a unit's rows, by the kind of claim; of one that is loaded, with layers, what it computes too."""
    found, made = {}, circuit(unit)
    for row in (*prove_unit(unit, made), *(prove_numbers(unit, made, layers) if layers else ())):
        found.setdefault(row.kind, set()).add(row.state)
    return found


def refuted(unit):
    """The kinds of claims that a unit is seen to break."""
    return {kind for kind, seen in states(unit).items() if "refuted" in seen}
