# amaranth: UnusedElaboratable=no
"""What a machine says of flipped bits in its weight memories."""

from collections.abc import Sequence

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..device.resources import Resources, add_constant, equals
from ..device.target import Family
from .conv import ConvStage
from .frames import COUNTER_BITS, count


class UpsetCounters(wiring.Component):
    """Counts the cycles in which any of some stages tells of flips; each counter stops at its largest value.

    Parameters
    ----------
    stages : those with protected weights, one or more

    Members
    -------
    were_corrected, were_detected : In, of each stage what it tells of
    corrected, detected : Out, cycles with words that were corrected, with words that could not be
    """

    def __init__(self, stages: Sequence[ConvStage]):
        self.stages = stages
        super().__init__(
            {
                "were_corrected": In(len(stages)),
                "were_detected": In(len(stages)),
                "corrected": Out(COUNTER_BITS),
                "detected": Out(COUNTER_BITS),
            }
        )

    @property
    def corrects(self) -> bool:
        """Whether any stage corrects words."""
        return any(stage.corrects for stage in self.stages)

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        luts = equals(len(self.stages), family) + equals(COUNTER_BITS, family) + 1 + add_constant(COUNTER_BITS, family)
        return Resources(luts, 1 + COUNTER_BITS) * (1 + self.corrects)

    def elaborate(self, platform):
        m = Module()
        told = [("detected", self.were_detected, self.detected)]
        if self.corrects:
            told.append(("corrected", self.were_corrected, self.corrected))
        for name, were, counter in told:
            told_now = Signal(name=f"any_{name}")
            m.d.sync += told_now.eq(were.any())
            with m.If(told_now):
                count(m, counter)
        return m
