# amaranth: UnusedElaboratable=no
"""Rounding shift and shifted ReLU on codes.

A Requantise is clip((q + addend) >> shift, lo, hi). With all constants moved before the shift, the value
to clip counts from lo: its sign bit is the shifted ReLU's comparator, and its high bits the upper clip's.
"""

from dataclasses import dataclass, replace

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from numpy.typing import NDArray

from ...model.layers import Requantise
from ...model.tensor import Tensor, signed_bits
from ..array.constants import ConstantTable, LoadedTable, pack_rows, table_resources
from ..device.resources import Resources, add_constant, adder, clip
from ..device.target import Family
from ..stream.flow import Flow
from ..stream.load import LoadLink
from ..stream.results import ResultQueue
from ..stream.stage import Stage


@dataclass(frozen=True)
class Scaler:
    """The arithmetic of one Requantise in hardware, from an integer q of `source` to a code of `sink`.

    The value handed to `code` must be q + `addend`. Where it is `loadable` only whether there is an offset decides what
    the hardware is.
    """

    source: Tensor
    layer: Requantise
    loadable: bool = False

    @property
    def floor_first(self) -> bool:
        """Whether the clip's floor is subtracted before the shift; a left or a huge shift forbids it."""
        return self.layer.shift >= 0 and abs(self.layer.lo).bit_length() + self.layer.shift < 62

    @property
    def addend(self) -> NDArray[np.object_]:
        """Added to q, per channel: Python's integers [C], because 64 bits may be too few."""
        addend = np.broadcast_to(np.asarray(self.layer.addend).astype(object), self.source.channels)
        if self.open:
            addend = np.clip(addend, *self._useful)
        return addend - self._floor

    @property
    def open(self) -> bool:
        """Whether the addend is any: that of an offset that is loaded."""
        return self.loadable and self.layer.offset is not None

    @property
    def _floor(self) -> int:
        """The clip's floor, where it is subtracted before the shift."""
        return self.layer.lo << self.layer.shift if self.floor_first else 0

    @property
    def _useful(self) -> tuple[int, int]:
        """The least and the largest addend of use: beyond them all values are clipped."""
        shift, lo, hi = self.layer.shift, self.layer.lo, self.layer.hi
        if shift >= 0:
            most, least = hi << shift, (lo + 1 << shift) - 1
        else:
            most, least = -(-hi >> -shift), lo >> -shift
        most -= self.source.lo
        return min(least - self.source.hi, most), most

    @property
    def interval(self) -> tuple[int, int]:
        """Where q + addend lies, over all channels."""
        if self.open:
            least, most = (addend - self._floor for addend in self._useful)
        else:
            addend = self.addend
            least, most = int(addend.min()), int(addend.max())
        return self.source.lo + least, self.source.hi + most

    @property
    def width(self) -> int:
        """Bits of a signed signal that holds q + addend."""
        return signed_bits(*self.interval)

    def clip_luts(self, family: Family) -> int:
        """Look-up tables of `code`."""
        shift, (lo, hi) = self.layer.shift, self.interval
        lo, hi = (lo >> shift, hi >> shift) if shift >= 0 else (lo << -shift, hi << -shift)
        offset = 0 if self.floor_first else self.layer.lo
        return clip(lo - offset, hi - offset, self.layer.hi - self.layer.lo, family)

    def code(self, value: Value) -> Value:
        """The clipped code of a signed value = q + addend."""
        shift, (lo, hi) = self.layer.shift, self.interval
        if shift >= 0:
            value, lo, hi = value >> shift, lo >> shift, hi >> shift
        else:
            value, lo, hi = value << -shift, lo << -shift, hi << -shift
        if not self.floor_first:
            value, lo, hi = value - self.layer.lo, lo - self.layer.lo, hi - self.layer.lo
        return clip_code(value, lo, hi, self.layer.hi - self.layer.lo)


def clip_code(value: Value, lo: int, hi: int, top: int) -> Value:
    """A signed value in [lo, hi], clipped to [0, top]; comparators appear only where they can matter.

    As wide as `top` even where the value is narrower, because codes are packed side by side.
    """
    bits = max(1, top.bit_length())
    code = Cat(value[:bits], Const(0, bits))[:bits]
    if hi > top:
        code = Mux(value > top, top, code)
    if lo < 0:
        code = Mux(value < 0, 0, code)
    return code


class RequantiseStage(Stage):
    """A Requantise by itself, on every lane: one addition of a constant, then shift and clip.

    A word a cycle, or as ``ResultQueue`` says of a flow whose frames take so many `cycles` to come.
    """

    latency = 2

    def __init__(self, source: Flow, layer: Requantise, family: Family, loadable: bool = False, cycles: int = 0):
        self.layer, self.family = layer, family
        self.scaler = Scaler(source.tensor, layer, loadable)
        self.rows = self._rows(source, self.scaler)
        count, lanes = self.rows.shape
        self.table = LoadedTable(count, lanes, self.scaler.width, family) if self.scaler.open else None
        link = LoadLink([(self.table.row_bits, count)]) if self.table else None
        super().__init__(source, Flow(layer.infer(source.tensor), source.lanes), link)
        self.results = ResultQueue(self.sink, self.latency, cycles)
        self.storage, self.interval = source.held(self.results.credits), self.results.interval

    @staticmethod
    def _rows(source: Flow, scaler: Scaler) -> NDArray[np.object_]:
        """[words, lanes]: what is added to the codes."""
        return source.rows(scaler.addend + source.tensor.lo)

    def contents(self, layer: Requantise) -> list[list[int]]:
        rows = self._rows(self.source, replace(self.scaler, layer=layer))
        return [pack_rows(rows, self.scaler.width)]

    def resources(self, family: Family) -> Resources:
        width, lanes = self.scaler.width, self.source.lanes
        if self.table:
            each = Resources(adder(width, family) + self.scaler.clip_luts(family), width - max(0, self.layer.shift))
            constants = self.table.resources(family).named("constants") + self.link.resources(family)
            return constants + self.results.resources(family) + each * lanes + Resources(2, 1)
        constants = table_resources(self.rows, width, family).named("constants")
        # Bits below the lowest of any constant are not added; on iCE40 those that are shifted out are carries alone.
        low = min((int(word) & -int(word)).bit_length() - 1 if word else width for word in self.rows.flat)
        if family.fabric == "ice40":
            low = max(low, self.layer.shift)
        added = adder(width - low, family) if constants.ffs else add_constant(width - low, family)
        if family.fabric == "xc7":
            changing = np.bitwise_or.reduce(self.rows ^ self.rows[0], axis=0)
            added = -(-sum((int(bits) & (1 << width) - 1).bit_count() for bits in changing) // lanes)
        each = Resources(added + self.scaler.clip_luts(family), width - max(0, self.layer.shift))
        return constants + self.results.resources(family) + each * lanes + Resources(2, 1)

    def elaborate(self, platform):
        m = Module()
        width = self.scaler.width
        m.submodules.constants = constants = self.table or ConstantTable(self.rows, width, self.family)
        if self.table:
            self.add_link(m, self.table)
        m.submodules.results = results = self.results
        take = Signal()
        m.d.comb += [
            self.i.ready.eq(results.room),
            take.eq(self.i.valid & self.i.ready),
            constants.next.eq(take),
            results.enter.eq(take),
        ]
        wiring.connect(m, results.o, wiring.flipped(self.o))
        m.d.sync += results.done.eq(take)
        for lane, (code, constant) in enumerate(zip(self.source.codes(self.i.payload), constants.row, strict=True)):
            value = Signal(signed(width), name=f"value{lane}", reset_less=True)
            m.d.sync += value.eq(code + constant)
            m.d.comb += self.sink.codes(results.result)[lane].eq(self.scaler.code(value))
        return m
