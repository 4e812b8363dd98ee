"""Rows of constants that come round in a fixed order: offsets, rounding, corrections."""

import numpy as np
from amaranth import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray


def pack_rows(rows: NDArray[np.int64], width: int) -> list[int]:
    """Each row of int64 [rows, lanes] as one number of `width`-bit two's complement fields, lane 0 lowest."""
    mask = (1 << width) - 1
    return [sum((int(value) & mask) << lane * width for lane, value in enumerate(row)) for row in rows]


class ConstantTable(wiring.Component):
    """Gives row 0 from reset on and the following row after each cycle with `next`, round and round.

    Parameters
    ----------
    rows : int64 [rows, lanes]
    width : bits of each signed constant

    Members
    -------
    next : In(1)
    row : Out(lanes signed constants)
    """

    def __init__(self, rows: NDArray[np.int64], width: int):
        self.words = pack_rows(rows, width)
        self.row_bits = width * rows.shape[1]
        row = data.ArrayLayout(signed(width), rows.shape[1])
        super().__init__({"next": In(1), "row": Out(row, init=row.from_bits(self.words[0]))})

    def elaborate(self, platform):
        m = Module()
        count = len(self.words)
        if len(set(self.words)) > 1:
            m.submodules.table = table = Memory(shape=unsigned(self.row_bits), depth=count, init=self.words)
            read = table.read_port(domain="comb")
            following = Signal(range(count), init=1)
            m.d.comb += read.addr.eq(following)
            with m.If(self.next):
                m.d.sync += [
                    following.eq(Mux(following == count - 1, 0, following + 1)),
                    self.row.as_value().eq(read.data),
                ]
        return m
