"""What is asked of the solver, and what it leaves behind."""

import gc
import weakref

import pytest

pytest.importorskip("bitwuzla")

from bitfold.sim.proof.circuit import Circuit
from bitfold.sim.proof.solver import TimeUpError, Unrolling


def product_of_two(width):
    """A circuit, and two inputs of it and what they are multiplied."""
    circuit = Circuit()
    one, two = (circuit.add("input", width, data=(index,)) for index in range(2))
    product = circuit.add("mul", width, one, two)
    return circuit, (one, two, product)


def test_a_value_that_makes_a_bit_0_is_found():
    circuit, (one, two, product) = product_of_two(8)
    unrolling = Unrolling(circuit, False, 60)
    other = circuit.add("neq", 1, product, circuit.const(221, 8))
    assert unrolling.find([(other, 0)])
    assert unrolling.value(one, 0) * unrolling.value(two, 0) % 256 == 221
    unrolling.require(other, 0)
    assert not unrolling.find([(other, 0)])


def test_it_stops_when_its_time_is_up():
    circuit, (one, two, product) = product_of_two(96)
    wide = circuit.const(2, 96), circuit.const(1 << 48, 96)
    small = [circuit.add("ult", 1, each, wide[1]) for each in (one, two)]
    large = [circuit.add("ugte", 1, each, wide[0]) for each in (one, two)]
    other = circuit.add("neq", 1, product, circuit.const((2**31 - 1) * (2**47 - 115), 96))
    with pytest.raises(TimeUpError):
        Unrolling(circuit, False, 0.0).find([(other, 0)], [(bit, 0) for bit in (*small, *large)])


def test_nothing_is_kept_of_what_was_asked():
    """A solver holds many megabytes, and a machine takes hundreds."""
    circuit, (_, _, product) = product_of_two(8)
    unrolling = Unrolling(circuit, False, 60)
    unrolling.find([(circuit.add("neq", 1, product, circuit.const(221, 8)), 0)])
    gone = weakref.ref(unrolling)
    del unrolling
    gc.collect()
    assert gone() is None
