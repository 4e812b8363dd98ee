"""The PLL of Lattice's ECP5, EHXPLLL, fed back from the clock it makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from amaranth import Instance, Module, Signal
from amaranth.lib.io import Buffer, SingleEndedPort

NAME = "EHXPLLL"

# Hertz; of the data sheet's table "sysCLOCK PLL Timing" (FPGA-DS-02012), as ecppll has them.
PFD = (3_125_000, 400_000_000)
VCO = (400_000_000, 800_000_000)
OUT = (10_000_000, 400_000_000)
MIDDLE = 600_000_000


@dataclass(frozen=True)
class Setting:
    """crystal / clki * clkfb is the clock, that * clkop the VCO; all in hertz."""

    crystal: int
    clki: int
    clkfb: int
    clkop: int

    @property
    def pfd(self) -> Fraction:
        return Fraction(self.crystal, self.clki)

    @property
    def clock(self) -> int:
        return self.crystal * self.clkfb // self.clki

    @property
    def vco(self) -> int:
        return self.clock * self.clkop

    def add(self, m: Module, pin: SingleEndedPort, clock: Signal, locked: Signal) -> None:
        """The PLL between the crystal's pin and `clock`; `locked` once the clock is steady."""
        m.submodules.clock_pin = buffer = Buffer("i", pin)
        m.submodules.pll = Instance(
            NAME,
            a_FREQUENCY_PIN_CLKI=f"{self.crystal / 1e6:g}",
            a_FREQUENCY_PIN_CLKOP=f"{self.clock / 1e6:g}",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA",
            p_OUTDIVIDER_MUXB="DIVB",
            p_OUTDIVIDER_MUXC="DIVC",
            p_OUTDIVIDER_MUXD="DIVD",
            p_CLKI_DIV=self.clki,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=self.clkop,
            p_CLKOP_CPHASE=max(0, self.clkop // 2 - 1),
            p_CLKOP_FPHASE=0,
            p_FEEDBK_PATH="CLKOP",
            p_CLKFB_DIV=self.clkfb,
            i_RST=0,
            i_STDBY=0,
            i_CLKI=buffer.i,
            i_CLKFB=clock,
            i_PHASESEL0=0,
            i_PHASESEL1=0,
            i_PHASEDIR=1,
            i_PHASESTEP=1,
            i_PHASELOADREG=1,
            i_PLLWAKESYNC=0,
            i_ENCLKOP=0,
            o_CLKOP=clock,
            o_LOCK=locked,
        )


def settings(crystal: int) -> Iterator[Setting]:
    """For each clock of whole hertz that the ranges allow the one with its VCO in the middle."""
    for clki in range(1, 129):
        for clkfb in range(1, 81):
            if crystal * clkfb % clki == 0:
                found = Setting(crystal, clki, clkfb, 1)
                if PFD[0] <= found.pfd <= PFD[1] and OUT[0] <= found.clock <= OUT[1]:
                    found = replace(found, clkop=min(128, max(1, round(MIDDLE / found.clock))))
                    if VCO[0] <= found.vco <= VCO[1]:
                        yield found
