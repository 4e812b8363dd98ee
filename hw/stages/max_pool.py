# amaranth: UnusedElaboratable=no
"""The largest value of each window, channel by channel.

Codes grow with their values, so the largest code is the largest value's; and padding is code 0, above which every
pixel of the map lies or with which it is level.
"""

from amaranth import Cat, Module, Signal

from ...model.layers import MaxPool
from ..device.arithmetic import larger, largest, later
from ..device.resources import Resources, comparison
from ..device.target import Family
from ..stream.flow import Flow
from .pool import PoolStage, SlidingPoolStage


class MaxPoolStage(PoolStage):
    """MaxPool: the largest so far a lane."""

    def __init__(self, source: Flow, layer: MaxPool, family: Family):
        super().__init__(source, layer, family, least=True)

    def resources(self, family: Family) -> Resources:
        # What is larger goes in by the registers' own enable.
        each = comparison(self.sink.tensor.bits, family) + 1
        return self.frame_resources(family) + Resources(each * self.sink.lanes, self.sink.bits + 1)

    def elaborate(self, platform):
        m = Module()
        window = self.take(m)
        found = []
        for lane, code in enumerate(window.read_flow.codes(window.word)):
            so_far = Signal(len(code), name=f"largest{lane}")
            found.append(so_far)
            with m.If(window.valid & (window.first | larger(code, so_far, self.family))):
                m.d.sync += so_far.eq(code)
        done = Signal()
        m.d.sync += done.eq(window.valid & window.last)
        self.give(m, Cat(found), done)
        return m


class SlidingMaxPoolStage(SlidingPoolStage):
    """MaxPool with all taps of a window at once."""

    def __init__(self, source: Flow, layer: MaxPool, family: Family):
        super().__init__(source, layer, family, least=True)

    def resources(self, family: Family) -> Resources:
        bits, terms, ffs = self.sink.tensor.bits, self.area, 0
        while terms > 1:
            terms = -(-terms // 2)
            ffs += terms * bits
        # Of one bit and of two, comparison and choice are one table a bit.
        each = bits if bits <= 2 else comparison(bits, family) + bits
        lane = Resources((self.area - 1) * each, ffs)
        return self.frame_resources(family) + lane * self.sink.lanes + Resources(1, self.levels)

    def elaborate(self, platform):
        m = Module()
        window = self.take(m)
        found = [
            largest(m, codes, self.levels, f"largest{lane}", self.family)
            for lane, codes in enumerate(self.taps(window))
        ]
        self.give(m, Cat(found), later(m, window.valid, self.levels))
        return m
