# amaranth: UnusedElaboratable=no
"""Rounding shift and shifted ReLU on codes.

A Requantise is clip((q + addend) >> shift, lo, hi). With all constants moved before the shift, the value
to clip counts from lo: its sign bit is the shifted ReLU's comparator, and its high bits the upper clip's.
"""

from dataclasses import dataclass

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from numpy.typing import NDArray

from ...model.layers import Requantise
from ...model.tensor import Tensor, signed_bits
from ..array.constants import ConstantTable, table_resources
from ..device.resources import Resources, add_constant, adder, clip
from ..device.target import Family
from ..stream.flow import Flow
from ..stream.results import ResultQueue
from ..stream.stage import Stage


@dataclass(frozen=True)
class Scaler:
    """The arithmetic of one Requantise in hardware, from an integer q of `source` to a code of `sink`.

    The value handed to `code` must be q + `addend`.
    """

    source: Tensor
    layer: Requantise

    @property
    def floor_first(self) -> bool:
        """Whether the clip's floor is subtracted before the shift; a left or a huge shift forbids it."""
        return self.layer.shift >= 0 and abs(self.layer.lo).bit_length() + self.layer.shift < 62

    @property
    def addend(self) -> NDArray[np.object_]:
        """Added to q, per channel: Python's integers [C], because 64 bits may be too few."""
        addend = np.broadcast_to(np.asarray(self.layer.addend).astype(object), self.source.channels)
        return addend - (self.layer.lo << self.layer.shift) if self.floor_first else addend

    @property
    def interval(self) -> tuple[int, int]:
        """Where q + addend lies, over all channels."""
        addend = self.addend
        return self.source.lo + int(addend.min()), self.source.hi + int(addend.max())

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
    """A Requantise by itself, on every lane: one addition of a constant, then shift and clip; a word a cycle."""

    latency = 2

    def __init__(self, source: Flow, layer: Requantise, family: Family):
        self.layer, self.family = layer, family
        self.scaler = Scaler(source.tensor, layer)
        super().__init__(source, Flow(layer.infer(source.tensor), source.lanes))
        self.results = ResultQueue(self.sink, self.latency)
        self.storage = source.held(self.results.credits)
        self.rows = source.rows(self.scaler.addend + source.tensor.lo)

    def resources(self, family: Family) -> Resources:
        width, lanes = self.scaler.width, self.source.lanes
        constants = table_resources(self.rows, width, family)
        # Bits below the lowest of any constant are not added; on iCE40 those that are shifted out are carries alone.
        low = min((int(word) & -int(word)).bit_length() - 1 if word else width for word in self.rows.flat)
        if family.name == "ice40":
            low = max(low, self.layer.shift)
        added = adder(width - low, family) if constants.ffs else add_constant(width - low, family)
        if family.name == "xc7":
            changing = np.bitwise_or.reduce(self.rows ^ self.rows[0], axis=0)
            added = -(-sum((int(bits) & (1 << width) - 1).bit_count() for bits in changing) // lanes)
        each = Resources(added + self.scaler.clip_luts(family), width - max(0, self.layer.shift))
        return constants + self.results.resources(family) + each * lanes + Resources(2, 1)

    def elaborate(self, platform):
        m = Module()
        width = self.scaler.width
        m.submodules.constants = constants = ConstantTable(self.rows, width, self.family)
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
