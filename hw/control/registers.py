"""The table of a machine's registers, from which circuit, C header, Python module, IP-XACT and sheet are made."""

from collections.abc import Sequence
from dataclasses import dataclass

IDENTITY = int.from_bytes(b"bfld", "big")
VERSION = 1
"""Of this table."""

BITS = 32
"""Of a register."""
WORDS = 16
"""Of the address space; those without a register read 0."""


@dataclass(frozen=True)
class Register:
    """One of the registers.

    offset : bytes from the first
    value : what it always reads, None where the machine decides
    writable : it is written, and reads 0
    """

    name: str
    offset: int
    meaning: str
    value: int | None
    writable: bool


SOFT_RESET = 1
"""The bit of `control` that empties the machine."""

UPSETS = ("upsets_corrected", "upsets_detected")
"""The registers that machines with protected weights have besides."""

LOADABLE, LOADED, REFUSED = 1, 2, 4
"""The bits of `load_status`."""


def registers(network: str, plan: str, loadable: bool, protected: bool = False) -> Sequence[Register]:
    """The table for a network and a plan of these digests, in hex; of a shape where weights are loaded."""
    kind = "shape" if loadable else "network"
    words = {
        "identity": ("the letters bfld, b in the highest byte", IDENTITY),
        "version": ("version of this table of registers", VERSION),
        "network_0": (f"the {kind}'s digest: its first 8 hexadecimal digits", int(network[:8], 16)),
        "network_1": (f"the {kind}'s digest: the next 8", int(network[8:16], 16)),
        "plan_0": ("the plan's digest: its first 8 hexadecimal digits", int(plan[:8], 16)),
        "plan_1": ("the plan's digest: the next 8", int(plan[8:16], 16)),
        "control": (f"written with bit {SOFT_RESET.bit_length() - 1} set: a soft reset", None),
        "load_status": (
            "bit 0: weights are loaded; bit 1: a load has passed, frames may begin; bit 2: the last load was not right",
            None if loadable else 0,
        ),
        "frames": ("frames answered, since the last reset of either kind, modulo 2^32", None),
        "short_frames": ("frames dropped because they ended early; stops at 65535", None),
        "long_frames": ("frames dropped because they ended late; stops at 65535", None),
        "cycles": ("cycles since the last reset of either kind, modulo 2^32", None),
    }
    if protected:
        told = "cycles with flipped bits of weights that were corrected", "cycles with such that were not"
        words |= {name: (f"{meaning}; stops at 65535", None) for name, meaning in zip(UPSETS, told, strict=True)}
    return tuple(
        Register(name, BITS // 8 * index, meaning, value, writable=name == "control")
        for index, (name, (meaning, value)) in enumerate(words.items())
    )
