# amaranth: UnusedElaboratable=no
"""A number times one of a few constants, without a multiplier."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from amaranth import Module, Signal, Value

from ..device.arithmetic import tree
from ..device.memory import mux_luts
from ..device.resources import Resources, adder
from ..device.target import Family


@dataclass(frozen=True)
class ChosenFactor:
    """A number times one of the `factors`, chosen by a key, its place among them.

    The product is the sum of as many shifted numbers as the factor with the most ones has, and each of these is chosen
    among the shifts that any of the factors has in its place: of 4, 6 and 9 there is 4x or 8x, and 0, 2x or x.
    """

    factors: Sequence[int]

    @property
    def shifts(self) -> list[tuple[int | None, ...]]:
        """Of each term, for each factor: how far the number is shifted; None where the factor has no such term."""
        ones = [[k for k in range(factor.bit_length()) if factor >> k & 1][::-1] for factor in self.factors]
        return list(zip_longest(*ones))

    @property
    def levels(self) -> int:
        """Cycles that it takes: of registered adders, or one for the choice; 0 where there is nothing to do."""
        if set(self.factors) == {1}:
            return 0
        return max(1, (len(self.shifts) - 1).bit_length())

    def resources(self, bits: int, family: Family) -> Resources:
        """What it takes of a device of the family, for a number of `bits` bits."""
        if not self.levels:
            return Resources()
        luts, ffs, widths = 0, 0, []
        for index, term in enumerate(self.shifts):
            ways = set(term)
            shifts = [shift for shift in ways if shift is not None]
            # With large tables an adder chooses its right operand itself.
            if family.inputs < 6 or index % 2 == 0:
                luts += mux_luts(len(ways), family) * (bits + max(shifts) - min(shifts))
            widths.append(bits + max(shifts))
        for _ in range(self.levels):
            pairs = [widths[k : k + 2] for k in range(0, len(widths), 2)]
            widths = [max(pair) + len(pair) - 1 for pair in pairs]
            luts += sum(adder(width - 1, family) for width, pair in zip(widths, pairs, strict=True) if len(pair) > 1)
            ffs += sum(widths)
        return Resources(luts, ffs)

    def times(self, m: Module, number: Value, key: Value, name: str, top: int) -> Value:
        """The product `levels` cycles after the number and its key, modulo top + 1; `top` is all ones."""
        if not self.levels:
            return number
        terms = []
        for index, shifts in enumerate(self.shifts):
            most = (1 << len(number) + max(shift for shift in shifts if shift is not None)) - 1
            term = Signal(most.bit_length(), name=f"{name}_term{index}")
            with m.Switch(key):
                # The last factor's comes last.
                for shift in reversed(dict.fromkeys(shifts[::-1])):
                    keys = [at for at, other in enumerate(shifts) if other == shift]
                    with m.Default() if len(shifts) - 1 in keys else m.Case(*keys):
                        m.d.comb += term.eq(0 if shift is None else number << shift)
            terms.append((term, most))
        product, _ = tree(m, terms, self.levels, name, top)
        return product
