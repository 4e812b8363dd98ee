# amaranth: UnusedElaboratable=no
"""What a machine says of flipped bits in its weight memories."""

from collections.abc import Sequence

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from ..device.resources import Resources, add_constant, equals
from ..device.target import Family
from .conv import ConvStage
from .frames import COUNTER_BITS


class UpsetCounters(wiring.Component):
    """Counts the cycles in which any of some stages tells of flips; each counter stops at its largest value.

    Parameters
    ----------
    stages : those with protected weights, one or more

    Members
    -------
    corrected, detected : Out, cycles with words that were corrected, with words that could not be
    """

    def __init__(self, stages: Sequence[ConvStage]):
        self.stages = stages
        super().__init__({"corrected": Out(COUNTER_BITS), "detected": Out(COUNTER_BITS)})

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        luts = equals(len(self.stages), family) + equals(COUNTER_BITS, family) + 1 + add_constant(COUNTER_BITS, family)
        return Resources(luts, 1 + COUNTER_BITS) * (1 + any(stage.corrects for stage in self.stages))

    def elaborate(self, platform):
        m = Module()
        told = [("detected", self.detected)]
        if any(stage.corrects for stage in self.stages):
            told.append(("corrected", self.corrected))
        for name, count in told:
            told_now = Signal(name=f"any_{name}")
            m.d.sync += told_now.eq(Cat(getattr(stage, name) for stage in self.stages).any())
            with m.If(told_now & ~count.all()):
                m.d.sync += count.eq(count + 1)
        return m
