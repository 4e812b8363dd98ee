"""Where a machine is built: families of devices, their memories, and the devices by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, eq=False)
class Ram:
    """A memory of the family, as Yosys uses it for one write and one read port; no two are the same.

    kind : the resource it takes, as in ``Target.blocks``; "LUT" for one made of look-up tables
    units : how many of them
    shapes : depth for each width
    byte : a word that is written takes a multiple of so many bits, or of the width where that is less
    cost, scale : by which Yosys chooses: of one, and the share of it that unused width saves
    """

    kind: str
    units: int
    shapes: Mapping[int, int]
    cost: int
    byte: int = 9
    scale: int = 0

    @property
    def bits(self) -> int:
        """Bits of the largest shape."""
        return max(width * depth for width, depth in self.shapes.items())


@dataclass(frozen=True)
class Family:
    """What the devices of a family have in common.

    chain : pairs of activations that the array adds one after the other before a tree joins the sums: 1 is a tree
    inputs : of a look-up table
    joins : look-up tables that fixed multiplexers join to one of more inputs, at no cost in look-up tables
    blocks : its memory blocks for one write and one read port, or initialised and read only
    lut_rams : memories of look-up tables, with a read port without a clock
    worth : look-up tables that a block is worth: a memory that takes fewer lies in them
    apart : the part of the flip-flops that take a look-up table's place, where a cell has one of each and its
        flip-flop holds only what its table gives
    single_port : the block with one port and no initial contents that takes the place of others where they run out;
        None where there is none, or none is to be used
    like : the family whose carry chains it has, by name; "" for its own
    start : look-up tables that a carry chain takes before its first bit
    held : its blocks have a register for the word they give, which no flip-flop is taken for
    """

    name: str
    chain: int = 1
    inputs: int = 6
    joins: int = 1
    blocks: tuple[Ram, ...] = ()
    lut_rams: tuple[Ram, ...] = ()
    worth: int = 0
    apart: float = 0.0
    single_port: Ram | None = None
    like: str = ""
    start: int = 0
    held: bool = False

    @property
    def fabric(self) -> str:
        """Which carry chains its look-up tables stand before: those of the family of that name."""
        return self.like or self.name

    @property
    def cell(self) -> str:
        """What its area is counted in, in the plural."""
        return "logic cells" if self.apart else "LUTs"


@dataclass(frozen=True)
class Clock:
    """A clock that rates are told at.

    mhz : in MHz
    origin : "measured" where place and route has given each machine tried on the device at least that; "assumed" where
        none was tried; "asked" where a user has said it
    """

    mhz: float
    origin: str

    def __str__(self) -> str:
        return f"{self.mhz:g} MHz ({self.origin})"


ASSUMED = Clock(100.0, "assumed")
"""Of Verilog for any device, and of families for which no place and route is at hand."""


@dataclass(frozen=True)
class Target:
    """A device: its family, its look-up tables, its flip-flops, its memory blocks by kind, those with a single port.

    lut_rams : how many look-up tables can be memories; None where that is no limit
    clock : that its machines reach, with some care
    dsps : its multipliers of 16x16 bits or more, which no machine uses
    """

    name: str
    family: Family
    luts: int
    ffs: int
    blocks: Mapping[str, int] = field(default_factory=dict)
    single_port: Ram | None = None
    lut_rams: int | None = None
    clock: Clock = ASSUMED
    dsps: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", MappingProxyType(dict(self.blocks)))


def _shapes(address_bits: int, *widths: int) -> Mapping[int, int]:
    """Each width twice (or a parity bit more than twice) the one before, and half as deep."""
    return MappingProxyType({width: 1 << address_bits - k for k, width in enumerate(widths)})


SPRAM = Ram("SPRAM", 1, _shapes(14, 16), cost=2048, byte=16)

RAMB18 = (
    Ram("RAMB18", 1, _shapes(14, 1, 2, 4, 9, 18, 36), cost=129),
    Ram("RAMB18", 2, _shapes(15, 1, 2, 4, 9, 18, 36, 72), cost=257),  # a RAMB36
    Ram("RAMB18", 4, _shapes(16, 1, 2, 4, 9), cost=513),  # two of them, cascaded
)

FAMILIES = {
    family.name: family
    for family in (
        Family("generic"),
        Family(
            "xc7",
            chain=8,
            inputs=6,
            joins=4,
            blocks=RAMB18,
            lut_rams=(
                Ram("LUT", 4, _shapes(5, 6), cost=8, scale=7),
                Ram("LUT", 4, _shapes(6, 3), cost=8, scale=7),
            ),
            worth=64,
            held=True,
        ),
        Family(
            "xcup",
            chain=8,
            inputs=6,
            joins=4,
            blocks=RAMB18,
            lut_rams=(
                Ram("LUT", 8, _shapes(5, 14), cost=16, scale=16),
                Ram("LUT", 8, _shapes(6, 7), cost=16, scale=16),
            ),
            worth=64,
            like="xc7",
            held=True,
        ),
        Family(
            "ecp5",
            inputs=4,
            joins=8,
            blocks=(Ram("DP16KD", 1, _shapes(14, 1, 2, 4, 9, 18, 36), cost=128),),
            lut_rams=(Ram("LUT", 6, _shapes(4, 4), cost=4, byte=0),),
            worth=128,
            held=True,
        ),
        Family(
            "nexus",
            inputs=4,
            joins=2,
            blocks=(Ram("DP16K", 1, _shapes(14, 1, 2, 4, 9, 18, 36), cost=128),),
            lut_rams=(Ram("LUT", 6, _shapes(4, 4), cost=4, byte=0),),
            worth=128,
            like="ecp5",
            start=2,
            held=True,
        ),
        Family(
            "ice40", inputs=4, blocks=(Ram("EBR", 1, _shapes(11, 2, 4, 8, 16), cost=64, byte=1),), worth=64, apart=0.5
        ),
        Family(
            "gowin",
            inputs=4,
            joins=8,
            blocks=(Ram("BSRAM", 1, _shapes(14, 1, 2, 4, 9, 18, 36), cost=128),),
            lut_rams=(Ram("LUT", 4, _shapes(4, 4), cost=4, scale=4),),
            worth=128,
            held=True,
        ),
    )
}

# Below the slowest that README has: with the host link digits-tiny reached 28.9 MHz on the iCEBreaker, without it 38 to
# 43, and a network of maps 29 to 31.
UP5K = Clock(28.0, "measured")
# digits reached 96.9 and 118.4 MHz with the host link (ULX3S-85F, OrangeCrab 25F), 123 to 132 without it; mnist 87.5.
# All sizes are of one speed grade, and those that were not tried are taken for the others.
ECP5 = 85.0
# digits-tiny on the Tang Nano 9K, with the host link: 63.0 MHz. The GW2A is of a faster grade, and was not tried.
GW1N = Clock(60.0, "measured")
GW2A = Clock(60.0, "assumed")

TARGETS = {
    target.name: target
    for target in (
        Target("ice40-hx8k", FAMILIES["ice40"], 7680, 7680, {"EBR": 32}, clock=Clock(60.0, "assumed")),
        Target("ice40-up5k", FAMILIES["ice40"], 5280, 5280, {"EBR": 30, "SPRAM": 4}, SPRAM, clock=UP5K, dsps=8),
        Target("ecp5-12", FAMILIES["ecp5"], 12144, 12144, {"DP16KD": 32}, clock=Clock(ECP5, "assumed"), dsps=28),
        Target("ecp5-25", FAMILIES["ecp5"], 24288, 24288, {"DP16KD": 56}, clock=Clock(ECP5, "measured"), dsps=28),
        Target("ecp5-45", FAMILIES["ecp5"], 43848, 43848, {"DP16KD": 108}, clock=Clock(ECP5, "assumed"), dsps=72),
        Target("ecp5-85", FAMILIES["ecp5"], 83640, 83640, {"DP16KD": 208}, clock=Clock(ECP5, "measured"), dsps=156),
        Target("xc7a35t", FAMILIES["xc7"], 20800, 41600, {"RAMB18": 100}, dsps=90),
        Target("xc7a100t", FAMILIES["xc7"], 63400, 126800, {"RAMB18": 270}, dsps=240),
        Target("xc7a200t", FAMILIES["xc7"], 134600, 269200, {"RAMB18": 730}, dsps=740),
        Target("xc7k325t", FAMILIES["xc7"], 203800, 407600, {"RAMB18": 890}, dsps=840),
        Target("xc7z020", FAMILIES["xc7"], 53200, 106400, {"RAMB18": 280}, dsps=220),
        Target("xc7z045", FAMILIES["xc7"], 218600, 437200, {"RAMB18": 1090}, dsps=900),
        # What can be memories: AMD's maximum of distributed RAM, 64 bits a look-up table.
        Target("xczu3eg", FAMILIES["xcup"], 70560, 141120, {"RAMB18": 432}, lut_rams=28800, dsps=360),
        Target("xck26", FAMILIES["xcup"], 117120, 234240, {"RAMB18": 288}, lut_rams=57600, dsps=1248),
        Target("xczu7ev", FAMILIES["xcup"], 230400, 460800, {"RAMB18": 624}, lut_rams=101760, dsps=1728),
        Target("xcku5p", FAMILIES["xcup"], 216960, 433920, {"RAMB18": 960}, lut_rams=99840, dsps=1824),
        Target("lifcl-40", FAMILIES["nexus"], 32256, 32256, {"DP16K": 84}, clock=Clock(ECP5, "assumed"), dsps=56),
        # Shadow SRAM of 17,280 and 41,472 bits (DS117, DS226), 16 bits a look-up table.
        Target("gw1nr-9", FAMILIES["gowin"], 8640, 6480, {"BSRAM": 26}, lut_rams=1080, clock=GW1N, dsps=20),
        Target("gw2a-18", FAMILIES["gowin"], 20736, 15552, {"BSRAM": 46}, lut_rams=2592, clock=GW2A, dsps=48),
    )
}


def clock_of(target: str, asked: float | None = None) -> Clock:
    """The clock `asked` for in MHz, or else the device's; that of any device where a `target` is no key of TARGETS."""
    if asked is not None:
        return Clock(asked, "asked")
    return TARGETS[target].clock if target in TARGETS else ASSUMED
