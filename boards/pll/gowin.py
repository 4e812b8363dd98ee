"""The PLL of Gowin's GW1N and GW2A, rPLL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from amaranth import Instance, Module, Signal
from amaranth.lib.io import Buffer, SingleEndedPort

NAME = "rPLL"


@dataclass(frozen=True)
class Device:
    """A device's name as its tools know it, and its ranges in hertz."""

    name: str
    pfd: tuple[int, int]
    vco: tuple[int, int]
    out: tuple[int, int]


# Of the data sheets DS117 (GW1NR, C6/I5) and DS226 (GW2AR, C8/I7), as apycula's gowin_pll has them.
GW1NR_9C = Device("GW1NR-9C", (3_000_000, 400_000_000), (400_000_000, 1_200_000_000), (3_125_000, 600_000_000))
GW2AR_18C = Device("GW2AR-18C", (3_000_000, 500_000_000), (500_000_000, 1_250_000_000), (3_906_250, 625_000_000))

ODIVS = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)


@dataclass(frozen=True)
class Setting:
    """crystal * (fbdiv + 1) / (idiv + 1) is the clock, that * odiv the VCO; all in hertz."""

    crystal: int
    idiv: int
    fbdiv: int
    odiv: int
    device: Device

    @property
    def pfd(self) -> Fraction:
        return Fraction(self.crystal, self.idiv + 1)

    @property
    def clock(self) -> int:
        return self.crystal * (self.fbdiv + 1) // (self.idiv + 1)

    @property
    def vco(self) -> int:
        return self.clock * self.odiv

    def add(self, m: Module, pin: SingleEndedPort, clock: Signal, locked: Signal) -> None:
        """The PLL between the crystal's pin and `clock`; `locked` once the clock is steady."""
        m.submodules.clock_pin = buffer = Buffer("i", pin)
        m.submodules.pll = Instance(
            NAME,
            p_DEVICE=self.device.name,
            p_FCLKIN=f"{self.crystal / 1e6:g}",
            p_IDIV_SEL=self.idiv,
            p_FBDIV_SEL=self.fbdiv,
            p_ODIV_SEL=self.odiv,
            p_DYN_IDIV_SEL="false",
            p_DYN_FBDIV_SEL="false",
            p_DYN_ODIV_SEL="false",
            p_DYN_DA_EN="false",
            p_PSDA_SEL="0000",
            p_DUTYDA_SEL="1000",
            p_CLKFB_SEL="internal",
            p_CLKOUT_BYPASS="false",
            i_CLKIN=buffer.i,
            i_CLKFB=0,
            i_RESET=0,
            i_RESET_P=0,
            i_FBDSEL=Signal(6),
            i_IDSEL=Signal(6),
            i_ODSEL=Signal(6),
            i_PSDA=Signal(4),
            i_DUTYDA=Signal(4),
            i_FDLY=Signal(4),
            o_CLKOUT=clock,
            o_LOCK=locked,
        )


def settings(crystal: int, device: Device) -> Iterator[Setting]:
    """For each clock of whole hertz that the ranges allow the one with its VCO in the middle."""
    middle = sum(device.vco) // 2
    for idiv in range(64):
        for fbdiv in range(64):
            if crystal * (fbdiv + 1) % (idiv + 1) == 0:
                clock = crystal * (fbdiv + 1) // (idiv + 1)
                odiv = min(ODIVS, key=lambda odiv: abs(clock * odiv - middle))
                found = Setting(crystal, idiv, fbdiv, odiv, device)
                values = {found.pfd: device.pfd, found.vco: device.vco, found.clock: device.out}
                if all(low <= value <= high for value, (low, high) in values.items()):
                    yield found
