"""Which setting of a PLL: the fastest clock at or below what place and route proves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import Protocol

from amaranth import Module, Signal
from amaranth.lib.io import SingleEndedPort

from . import ecp5, gowin, ice40, xc7


class Setting(Protocol):
    """What a setting of any family tells, in hertz, and the hardware it becomes."""

    @property
    def pfd(self) -> Fraction: ...

    @property
    def vco(self) -> Fraction | int: ...

    @property
    def clock(self) -> int: ...

    def add(self, m: Module, pin: SingleEndedPort, clock: Signal, locked: Signal) -> None: ...


FAMILIES: dict[str, Callable[[int], Iterator[Setting]]] = {
    "ice40": ice40.settings,
    "ecp5": ecp5.settings,
    "gw1nr-9c": partial(gowin.settings, device=gowin.GW1NR_9C),
    "gw2ar-18c": partial(gowin.settings, device=gowin.GW2AR_18C),
    "xc7": xc7.settings,
}


def fastest(pll: str, crystal: int, least: float, most: float) -> Setting | None:
    """The setting with the fastest clock from `least` to `most`; None where there is none.

    Of settings with the same clock the one whose phases are compared most often. All in hertz.

    Parameters
    ----------
    pll : a key of FAMILIES
    """
    found = (setting for setting in FAMILIES[pll](crystal) if least <= setting.clock <= most)
    return max(found, key=lambda setting: (setting.clock, setting.pfd), default=None)
