"""Sums as circuits, and the flags that go beside them."""

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal, Value

from .target import Family


def wrap_add(value: Value, step: int, size: int) -> Value:
    """(value + step) mod size for a value in [0, size)."""
    step %= size
    if size & (size - 1) == 0:
        return (value + step)[: max(1, (size - 1).bit_length())]
    if step == 1:
        return Mux(value == size - 1, 0, value + 1)
    return Mux(value >= size - step, value - (size - step), value + step)


def add(total: Signal, change: Value, one: Value) -> Value:
    """total + change + one, for signed values and a bit, in one carry chain."""
    bits = len(total)
    change = Cat(change, change[-1].replicate(bits))[:bits]
    return (Cat(Const(1, 1), total) + Cat(one, change))[1 : bits + 1].as_signed()


def larger(one: Value, other: Value, family: Family) -> Value:
    """Whether one unsigned number is larger than another of as many bits.

    Of the small look-up tables of most families Yosys makes a carry chain for a difference, and more than that for a
    comparison.
    """
    return one > other if family.inputs == 6 else (other - one)[len(one)]


def largest(m: Module, terms: Sequence[Value], levels: int, name: str, family: Family) -> Value:
    """The largest of unsigned numbers of as many bits, `levels` cycles later: each level of comparisons is registered.

    terms : at least one, at most 2**levels
    name : what the registers' names begin with
    """
    for level in range(levels):
        joined = []
        for k in range(0, len(terms), 2):
            held = Signal(len(terms[k]), name=f"{name}_{level}_{k // 2}", reset_less=True)
            one, *other = terms[k : k + 2]
            m.d.sync += held.eq(Mux(larger(other[0], one, family), other[0], one) if other else one)
            joined.append(held)
        terms = joined
    return terms[0]


def tree(
    m: Module, terms: Sequence[tuple[Value, int]], levels: int, name: str, top: int | None = None
) -> tuple[Value, int]:
    """The sum of unsigned terms `levels` cycles later, each level of adders registered; the most it can be.

    terms : at least one, at most 2**levels, each with the most it can be
    name : what the registers' names begin with
    top : of all bits; the sum is taken modulo top + 1
    """
    for level in range(levels):
        joined = []
        for k in range(0, len(terms), 2):
            pair = terms[k : k + 2]
            most = sum(most for _, most in pair)
            most = most if top is None else min(most, top)
            held = Signal(most.bit_length(), name=f"{name}_{level}_{k // 2}", reset_less=True)
            m.d.sync += held.eq(sum((value for value, _ in pair[1:]), pair[0][0]))
            joined.append((held, most))
        terms = joined
    return terms[0]


def later(m: Module, value: Value, cycles: int, name: str = "valid") -> Value:
    """A bit or a number, `cycles` cycles later."""
    for cycle in range(1, cycles + 1):
        held = Signal(len(value), name=f"{name}{cycle}")
        m.d.sync += held.eq(value)
        value = held
    return value
