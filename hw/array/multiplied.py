# amaranth: UnusedElaboratable=no
"""What an array takes whose weights have eight bits: the baseline that one bit is held against.

No machine has such an array. It is priced in the form that takes fewest look-up tables of those that were tried:
benchmarks/multipliers.py builds them, proves them in simulation and measures them.

Codes of several bits have *planes*: the array for one bit, once for each bit of the weights, on the same pairs of
codes; the results of the planes are joined. Products that synthesis makes of look-up tables take 1.1 to 4.6 times
as many. Codes of one bit *mask* the weights, which a tree adds. Every adder has a register behind it.
"""

from ..device.resources import Resources, adder
from ..device.target import Family
from .dot import tree_resources
from .mac import MacArray

BITS = 8
"""Of a weight."""


def multiplied(simd: int, pe: int, top: int, width: int, family: Family) -> Resources:
    """What it takes of a device of the family: of `simd` inputs and `pe` outputs, the largest code `top`.

    width : bits of an accumulator, BITS more than where weights have one
    """
    return planes(simd, pe, top, width, family) if top > 1 else masks(simd, pe, width, family)


def planes(simd: int, pe: int, top: int, width: int, family: Family) -> Resources:
    """The array for one bit, once for each bit of a weight."""
    array = MacArray(simd, pe, top, width, family.chain)
    shared, chains, most = array.chain_resources(family)
    each = (chains + tree_resources(most, family)) * BITS
    # Of two sums that are joined the lower one's lowest bits pass beside the adder.
    largest, count = sum(most), BITS
    while count > 1:
        shift, count = BITS // count, count // 2
        luts = adder(largest.bit_length(), family)
        largest += largest << shift
        each += Resources(luts, largest.bit_length()) * count
        shared += Resources(0, 3)  # flags
    return shared + (each + array.accumulator_resources(family)) * pe


def masks(simd: int, pe: int, width: int, family: Family) -> Resources:
    """Weights that a code of one bit takes or leaves: in the reset of a register, which costs nothing."""
    array = MacArray(simd, pe, 1, width, 1)
    tree = tree_resources([2**BITS - 1] * simd, family) + Resources(0, simd * BITS)
    each = tree + array.accumulator_resources(family)
    return array.frame_resources() + Resources(0, simd) + each * pe
