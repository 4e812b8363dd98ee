# amaranth: UnusedElaboratable=no
"""Rows of constants that come round in a fixed order: offsets, rounding, corrections."""

from dataclasses import replace

import numpy as np
from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from ..device.arithmetic import wrap_add
from ..device.component import Component
from ..device.loaded import Fill, LoadedMemory
from ..device.memory import alike, memory, place
from ..device.resources import Resources, counter, stored
from ..device.target import Family


def pack_rows(rows: NDArray[np.int64], width: int) -> list[int]:
    """Each row of int64 [rows, lanes] as one number of `width`-bit two's complement fields, lane 0 lowest."""
    mask = (1 << width) - 1
    return [sum((int(value) & mask) << lane * width for lane, value in enumerate(row)) for row in rows]


def table_resources(rows: NDArray[np.int64], width: int, family: Family) -> Resources:
    """What a ConstantTable takes of a device of the family."""
    changing = np.bitwise_or.reduce(rows ^ rows[0], axis=0) & (1 << width) - 1
    bits, count = sum(int(bits).bit_count() for bits in changing), len(rows)
    if not bits:
        return Resources()
    where, columns = place(bits, count, family, rom=True), alike(bits, count)
    if where.blocks:
        # A block gives no first row by itself, but on xc7: a multiplexer does until the first is asked for.
        row = Resources(0 if family.fabric == "xc7" else bits, 1)
    else:
        row = Resources(0, columns)
        if family.fabric == "xc7" and count > 4:
            # Registers that begin with 0 and with 1 share nothing; and more than 32 words Yosys does not make a table.
            where = replace(where, luts=columns if count <= 32 else round(0.06 * count * columns))
    return stored(where) + counter(count, family) + row


class ConstantTable(Component):
    """Gives row 0 from reset on and the following row after each cycle with `next`, round and round.

    Parameters
    ----------
    rows : int64 [rows, lanes]
    width : bits of each signed constant
    family : of the device

    Members
    -------
    next : In(1)
    row : Out(lanes signed constants)

    Attributes
    ----------
    words : the rows, as they are stored
    fields : the constants that occur
    """

    def __init__(self, rows: NDArray[np.int64], width: int, family: Family):
        self.rows, self.width, self.family = rows, width, family
        self.words = pack_rows(rows, width)
        self.fields = {int(value) for value in rows.flat}
        self.row_bits = width * rows.shape[1]
        row = data.ArrayLayout(signed(width), rows.shape[1])
        super().__init__({"next": In(1), "row": Out(row, init=row.from_bits(self.words[0]))})

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        return table_resources(self.rows, self.width, family)

    def elaborate(self, platform):
        m = Module()
        count = len(self.words)
        if len(set(self.words)) > 1:
            m.submodules.table = table = memory(self.row_bits, count, self.family, self.words)
            read = table.read_port(domain="comb")
            following = Signal(range(count), init=1)
            m.d.comb += read.addr.eq(following)
            with m.If(self.next):
                m.d.sync += [
                    following.eq(Mux(following == count - 1, 0, following + 1)),
                    self.row.as_value().eq(read.data),
                ]
        return m


class LoadedTable(Component):
    """The same of `count` rows of `lanes` constants that are loaded; row 0 two cycles after it was written.

    Members
    -------
    fill : In(Fill(row_bits, count))
    next : In(1)
    row : Out(lanes signed constants)
    """

    def __init__(self, count: int, lanes: int, width: int, family: Family):
        self.count, self.row_bits = count, lanes * width
        self.memory = LoadedMemory(self.row_bits, count, family)
        row = data.ArrayLayout(signed(width), lanes)
        super().__init__({"fill": In(Fill(self.row_bits, count)), "next": In(1), "row": Out(row)})

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        found = self.memory.resources(family)
        if self.count == 1:
            return found
        return found + counter(self.count, family) + Resources((self.count - 1).bit_length())

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = self.memory
        wiring.connect(m, wiring.flipped(self.fill), memory.fill)
        m.d.comb += self.row.as_value().eq(memory.data)
        if self.count > 1:
            # The row is read anew in every cycle: it follows what is written.
            at = Signal(range(self.count))
            m.d.comb += memory.address.eq(Mux(self.next, wrap_add(at, 1, self.count), at))
            m.d.sync += at.eq(memory.address)
        return m
