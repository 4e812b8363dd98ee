"""The PLL of Lattice's iCE40, SB_PLL40_PAD: the clock's pin is its own, no other buffer stands between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from amaranth import Instance, Module, Signal
from amaranth.lib.io import SingleEndedPort

NAME = "SB_PLL40_PAD"

# Hertz; of the data sheet's table "sysCLOCK PLL Timing" (FPGA-DS-02008 and -02029), as icepll has them.
PFD = (10_000_000, 133_000_000)
VCO = (533_000_000, 1_066_000_000)
OUT = (16_000_000, 275_000_000)

# The loop filter for each range of the phase detector: its upper end in hertz, and FILTER_RANGE.
FILTERS = ((17e6, 1), (26e6, 2), (44e6, 3), (66e6, 4), (101e6, 5), (133e6, 6))


@dataclass(frozen=True)
class Setting:
    """crystal * (divf + 1) / (divr + 1) is the VCO, that / 2^divq the clock; all in hertz."""

    crystal: int
    divr: int
    divf: int
    divq: int

    @property
    def pfd(self) -> Fraction:
        return Fraction(self.crystal, self.divr + 1)

    @property
    def vco(self) -> Fraction:
        return self.pfd * (self.divf + 1)

    @property
    def clock(self) -> int:
        return self.crystal * (self.divf + 1) // (self.divr + 1) >> self.divq

    def add(self, m: Module, pin: SingleEndedPort, clock: Signal, locked: Signal) -> None:
        """The PLL between the crystal's pin and `clock`; `locked` once the clock is steady."""
        m.submodules.pll = Instance(
            NAME,
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=self.divr,
            p_DIVF=self.divf,
            p_DIVQ=self.divq,
            p_FILTER_RANGE=next(number for most, number in FILTERS if self.pfd <= most),
            i_PACKAGEPIN=pin.io,
            i_RESETB=1,
            i_BYPASS=0,
            o_PLLOUTGLOBAL=clock,
            o_LOCK=locked,
        )


def settings(crystal: int) -> Iterator[Setting]:
    """All of whole hertz that the ranges allow."""
    for divr in range(16):
        for divf in range(128):
            found = Setting(crystal, divr, divf, 0)
            if PFD[0] <= found.pfd <= PFD[1] and VCO[0] <= found.vco <= VCO[1]:
                for divq in range(1, 7):
                    found = Setting(crystal, divr, divf, divq)
                    whole = crystal * (divf + 1) % ((divr + 1) << divq) == 0
                    if whole and OUT[0] <= found.clock <= OUT[1]:
                        yield found
