"""Where a machine is built: families of devices, their memories, and the devices by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """What the devices of a family have in common.

    chain : pairs of activations that the array adds one after the other before a tree joins the sums: 1 is a tree
    """

    name: str
    chain: int = 1


@dataclass(frozen=True)
class Target:
    """A device: its family, its look-up tables, and its memory blocks by kind."""

    name: str
    family: Family
    luts: int
    blocks: Mapping[str, int]


FAMILIES = {
    family.name: family
    for family in (Family("generic"), Family("xc7", chain=8), Family("ecp5"), Family("ice40"), Family("gowin"))
}

TARGETS = {
    target.name: target
    for target in (
        Target("ice40-up5k", FAMILIES["ice40"], 5280, {"EBR": 30, "SPRAM": 4}),
        Target("ecp5-85", FAMILIES["ecp5"], 83640, {"DP16KD": 208}),
        Target("xc7a35t", FAMILIES["xc7"], 20800, {"RAMB18": 100}),
    )
}
