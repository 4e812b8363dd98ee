"""Sums as circuits."""

from amaranth import Cat, Const, Mux, Signal, Value


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
