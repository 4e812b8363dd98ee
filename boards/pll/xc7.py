"""The PLL of AMD's 7 series, PLLE2_BASE, fed back through its own clock buffer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from amaranth import Instance, Module, Signal
from amaranth.lib.io import Buffer, SingleEndedPort

NAME = "PLLE2_BASE"

# Hertz, for the slowest speed grade; tables "PLL Specification" of DS181 (Artix-7) and DS187 (Zynq-7000).
PFD = (19_000_000, 450_000_000)
VCO = (800_000_000, 1_600_000_000)
OUT = (6_250_000, 464_000_000)  # up to what a clock buffer takes at 1 V


@dataclass(frozen=True)
class Setting:
    """crystal / divclk * mult is the VCO, that / clkout the clock; all in hertz."""

    crystal: int
    divclk: int
    mult: int
    clkout: int

    @property
    def pfd(self) -> Fraction:
        return Fraction(self.crystal, self.divclk)

    @property
    def vco(self) -> Fraction:
        return self.pfd * self.mult

    @property
    def clock(self) -> int:
        return self.crystal * self.mult // (self.divclk * self.clkout)

    def add(self, m: Module, pin: SingleEndedPort, clock: Signal, locked: Signal) -> None:
        """The PLL between the crystal's pin and `clock`; `locked` once the clock is steady."""
        m.submodules.clock_pin = buffer = Buffer("i", pin)
        made, fed_back, back = Signal(), Signal(), Signal()
        m.submodules.pll = Instance(
            NAME,
            p_CLKIN1_PERIOD=1e9 / self.crystal,
            p_DIVCLK_DIVIDE=self.divclk,
            p_CLKFBOUT_MULT=self.mult,
            p_CLKOUT0_DIVIDE=self.clkout,
            i_CLKIN1=buffer.i,
            i_CLKFBIN=back,
            i_PWRDWN=0,
            i_RST=0,
            o_CLKFBOUT=fed_back,
            o_CLKOUT0=made,
            o_LOCKED=locked,
        )
        m.submodules.clock_back = Instance("BUFG", i_I=fed_back, o_O=back)
        m.submodules.clock_net = Instance("BUFG", i_I=made, o_O=clock)


def settings(crystal: int) -> Iterator[Setting]:
    """All of whole hertz that the ranges allow."""
    for divclk in range(1, 57):
        for mult in range(2, 65):
            found = Setting(crystal, divclk, mult, 1)
            if PFD[0] <= found.pfd <= PFD[1] and VCO[0] <= found.vco <= VCO[1]:
                for clkout in range(1, 129):
                    if crystal * mult % (divclk * clkout) == 0:
                        found = Setting(crystal, divclk, mult, clkout)
                        if OUT[0] <= found.clock <= OUT[1]:
                            yield found
