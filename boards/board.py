"""The boards: what stands on each, and what of it a machine uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ..hw.device.target import TARGETS, Target
from ..model.error import BadInput, suggest

if TYPE_CHECKING:
    from amaranth.build import Platform


class Pin(NamedTuple):
    """A pin by its resource in the platform, and the part of that where it has some."""

    resource: str
    number: int = 0
    part: str = ""

    @property
    def port(self) -> str:
        """The name of the top module's port."""
        return "__".join((f"{self.resource}_{self.number}", *filter(None, [self.part]), "io"))


RX, TX = Pin("uart", part="rx"), Pin("uart", part="tx")
"""Of every board: what the machine receives on, and what it sends on."""


@dataclass(frozen=True)
class Board:
    """A board.

    name, title : as it is asked for, and as its maker calls it
    target : its device, a key of ``TARGETS``
    pll : a key of ``pll.choose.FAMILIES``
    platform : makes Amaranth's description of it
    clock, reset : the crystal's pin and a button's
    leds : their pins: heartbeat, activity, trouble, then the class from its lowest bit
    baud, bridge : of the serial port, and what makes it
    wanted : hertz that place and route tries first; of a project what it is made for
    loader : openFPGALoader's name for it
    """

    name: str
    title: str
    target: str
    pll: str
    platform: Callable[[], Platform]
    clock: Pin
    reset: Pin
    leds: tuple[Pin, ...]
    baud: int
    bridge: str
    wanted: int
    loader: str

    @property
    def device(self) -> Target:
        return TARGETS[self.target]

    @property
    def makes(self) -> str:
        """What a build gives: the bitstream, or a project for the maker's tools."""
        return "project" if self.device.family.name == "xc7" else "bitstream"

    @property
    def crystal(self) -> int:
        """Hertz."""
        return int(self.platform().lookup(self.clock.resource, self.clock.number).clock.frequency)


def _icebreaker() -> Platform:
    from amaranth_boards.icebreaker import ICEBreakerPlatform

    platform = ICEBreakerPlatform()
    platform.add_resources(platform.break_off_pmod)
    return platform


def _ulx3s(size: str) -> Platform:
    from amaranth_boards import ulx3s

    return getattr(ulx3s, f"ULX3S_{size}_Platform")()


def _orangecrab(size: str) -> Platform:
    from amaranth.build import Attrs
    from amaranth_boards import orangecrab_r0_2
    from amaranth_boards.resources import UARTResource

    platform = getattr(orangecrab_r0_2, f"OrangeCrabR0_2_{size}Platform")()
    # The Feather's pins: 0 is what it receives on, 1 what it sends on.
    platform.add_resources([UARTResource(0, rx="0", tx="1", conn=("io", 0), attrs=Attrs(IO_TYPE="LVCMOS33"))])
    return platform


def _tang_nano_9k() -> Platform:
    from amaranth_boards.tang_nano_9k import TangNano9kPlatform

    return TangNano9kPlatform()


def _tang_nano_20k() -> Platform:
    from .tang_nano_20k import TangNano20kPlatform

    return TangNano20kPlatform()


def _arty_a7(size: str) -> Platform:
    from amaranth_boards import arty_a7

    return getattr(arty_a7, f"ArtyA7_{size}Platform")()


def _arty_z7() -> Platform:
    from amaranth.build import Attrs
    from amaranth_boards.arty_z7 import ArtyZ720Platform
    from amaranth_boards.resources import UARTResource

    platform = ArtyZ720Platform()
    # The board's own serial port belongs to the processor. Digilent's Pmod USBUART sends on its pin 3 (to the FPGA) and
    # receives on its pin 2; it stands in the upper row of JA.
    platform.add_resources([UARTResource(0, rx="3", tx="2", conn=("pmod", 0), attrs=Attrs(IOSTANDARD="LVCMOS33"))])
    return platform


def _leds(*numbers: int) -> tuple[Pin, ...]:
    return tuple(Pin("led", number) for number in numbers)


# FTDI's application note AN120: the FT231X and FT232R divide 3 MBd, the FT2232H 12 MBd.
FT231X = 3_000_000
FT232R = 3_000_000


def _ulx3s_board(size: str, target: str) -> Board:
    return Board(
        name=f"ulx3s-{size.lower()}",
        title=f"Radiona ULX3S {size}",
        target=target,
        pll="ecp5",
        platform=lambda: _ulx3s(size),
        clock=Pin("clk25"),
        reset=Pin("button"),
        leds=_leds(*range(8)),
        baud=FT231X,
        bridge="FT231X",
        wanted=100_000_000,
        loader="ulx3s",
    )


def _orangecrab_board(size: str, target: str) -> Board:
    return Board(
        name=f"orangecrab-{size.lower()}",
        title=f"OrangeCrab r0.2 {size}",
        target=target,
        pll="ecp5",
        platform=lambda: _orangecrab(size),
        clock=Pin("clk"),
        reset=Pin("button"),
        leds=tuple(Pin("rgb_led", part=part) for part in "gbr"),
        baud=1_000_000,  # which every common adapter makes exactly: FTDI's of 3 MHz, CP2102N of 24 MHz, CH340 of 12 MHz
        bridge="an adapter of 3.3 V at pins 0 and 1",
        wanted=100_000_000,
        loader="orangeCrab",
    )


def _arty_a7_board(size: str, target: str) -> Board:
    return Board(
        name=f"arty-a7-{size}",
        title=f"Digilent Arty A7-{size}T",
        target=target,
        pll="xc7",
        platform=lambda: _arty_a7(size),
        clock=Pin("clk100"),
        reset=Pin("rst"),
        leds=_leds(*range(4)),
        baud=6_000_000,  # of the FT2232H's 12 MBd; PyFtdi's documentation finds more than 6 unreliable
        bridge="FT2232H",
        wanted=100_000_000,
        loader=f"arty_a7_{size}t",
    )


BOARDS = MappingProxyType({
    board.name: board
    for board in (
        Board(
            name="icebreaker",
            title="1BitSquared iCEBreaker",
            target="ice40-up5k",
            pll="ice40",
            platform=_icebreaker,
            clock=Pin("clk12"),
            reset=Pin("button"),
            leds=_leds(1, 3, 0, 4, 5, 6, 2),  # the green and the red one of the board, else those of its break-off part
            baud=3_000_000,  # of the FT2232H's 12 MBd the most that leaves a bit 5 cycles of its clock and more
            bridge="FT2232H",
            wanted=36_000_000,
            loader="ice40_generic",
        ),
        # The 12F is the 25F's die, and nextpnr uses all of it.
        _ulx3s_board("12F", "ecp5-25"),
        _ulx3s_board("25F", "ecp5-25"),
        _ulx3s_board("45F", "ecp5-45"),
        _ulx3s_board("85F", "ecp5-85"),
        _orangecrab_board("25F", "ecp5-25"),
        _orangecrab_board("85F", "ecp5-85"),
        Board(
            name="tang-nano-9k",
            title="Sipeed Tang Nano 9K",
            target="gw1nr-9",
            pll="gw1nr-9c",
            platform=_tang_nano_9k,
            clock=Pin("clk27"),
            reset=Pin("button"),
            leds=_leds(*range(6)),
            baud=3_000_000,  # of its 96 MHz; found clean by others (sipeed/TangNano-9K-example, issue 7)
            bridge="BL702",
            wanted=60_000_000,
            loader="tangnano9k",
        ),
        Board(
            name="tang-nano-20k",
            title="Sipeed Tang Nano 20K",
            target="gw2a-18",
            pll="gw2ar-18c",
            platform=_tang_nano_20k,
            clock=Pin("clk27"),
            reset=Pin("button"),
            leds=_leds(*range(6)),
            baud=2_000_000,  # of its 40 MHz; what Bouffalo's own BL616 boards run their console at
            bridge="BL616",
            wanted=80_000_000,
            loader="tangnano20k",
        ),
        _arty_a7_board("35", "xc7a35t"),
        _arty_a7_board("100", "xc7a100t"),
        Board(
            name="arty-z7-20",
            title="Digilent Arty Z7-20",
            target="xc7z020",
            pll="xc7",
            platform=_arty_z7,
            clock=Pin("clk125"),
            reset=Pin("button"),
            leds=_leds(*range(4)),
            baud=FT232R,
            bridge="a Pmod USBUART in the upper row of JA",
            wanted=100_000_000,
            loader="arty_z7_20",
        ),
    )
})  # fmt: skip


def board(name: str) -> Board:
    """The board of that name; BadInput lists those there are."""
    if name not in BOARDS:
        raise BadInput(f"there is no board {name}; {suggest(name, BOARDS)}there are {', '.join(BOARDS)}")
    return BOARDS[name]
