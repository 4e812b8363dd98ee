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
    one, two = circuit.input("one", width), circuit.input("two", width)
    return circuit, (one, two, one * two)


def test_a_value_that_makes_a_bit_0_is_found():
    circuit, (one, two, product) = product_of_two(8)
    unrolling = Unrolling(circuit, False, 60)
    other = ~product.equals(221)
    assert unrolling.find([(other, 0)])
    assert unrolling.value(one, 0) * unrolling.value(two, 0) % 256 == 221
    unrolling.require(other, 0)
    assert not unrolling.find([(other, 0)])


def test_it_stops_when_its_time_is_up():
    circuit, (one, two, product) = product_of_two(96)
    other = ~product.equals((2**31 - 1) * (2**47 - 115))
    with pytest.raises(TimeUpError):
        Unrolling(circuit, False, 0.0).find([(other, 0)], [(each < 2**48, 0) for each in (one, two)])


def test_nothing_is_kept_of_what_was_asked():
    """A solver holds many megabytes, and a machine takes hundreds."""
    circuit, (_, _, product) = product_of_two(8)
    unrolling = Unrolling(circuit, False, 60)
    unrolling.find([(~product.equals(221), 0)])
    gone = weakref.ref(unrolling)
    del unrolling
    gc.collect()
    assert gone() is None
