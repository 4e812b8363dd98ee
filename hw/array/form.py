# amaranth: UnusedElaboratable=no
"""Which form of the array codes and a family of devices ask for."""

from ..device.target import Family
from .dot import DotArray
from .mac import MacArray
from .popcount_chain import PopcountChain
from .popcount_tree import PopcountTree


def dot_array(simd: int, pe: int, top: int, width: int, family: Family, turns: int = 1) -> DotArray:
    """The smallest array: of `simd` inputs and `pe` outputs, the largest code `top`, `width` bits an accumulator.

    turns : dot products that take turns
    """
    if top > 1 or simd < 3:
        return MacArray(simd, pe, top, width, family.chain, turns)
    if family.chain > 1:
        return PopcountChain(simd, pe, width, family.chain, turns)
    return PopcountTree(simd, pe, width, turns)
