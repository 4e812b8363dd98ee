"""What the arrays with 1-bit weights have in common: their ports, their flags and their accumulators."""

from collections.abc import Sequence

import numpy as np
from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from ..device.arithmetic import later
from ..device.component import Component
from ..device.resources import Resources, adder
from ..device.target import Family


def numbers(value: Value, count: int) -> list[Value]:
    """A value as `count` signed numbers, the first in the lowest bits."""
    width = len(value) // count
    return [value[k * width : (k + 1) * width].as_signed() for k in range(count)]


def ones(weights: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many weights of a dot product are +1: of the first of pairs, of the second, of those without another.

    weights : bool [..., words, SIMD], in the words in which the array sees them
    Returns int64 [3, ...].
    """
    paired = weights.shape[-1] // 2 * 2
    places = weights[..., 0:paired:2], weights[..., 1:paired:2], weights[..., paired:]
    return np.array([some.sum(axis=(-2, -1), dtype=np.int64) for some in places])


def tree_resources(most: Sequence[int], family: Family) -> Resources:
    """What a registered tree takes of a device of the family that adds terms of such largest values."""
    found = Resources()
    while len(most) > 1:
        pairs = [most[k : k + 2] for k in range(0, len(most), 2)]
        luts = sum(adder(max(pair).bit_length(), family) for pair in pairs if len(pair) == 2)
        most = [sum(pair) for pair in pairs]
        found += Resources(luts, sum(value.bit_length() for value in most))
    return found


class DotArray(Component):
    """PE dot products of SIMD unsigned codes and +-1 a cycle, accumulated from `first` to `last`.

    It is a plain pipeline without back-pressure: whoever starts a dot product has a place for its result.

    Parameters
    ----------
    simd, pe : inputs and outputs in parallel
    bits : of a code
    width : bits of the signed accumulators; the true results must fit, what they pass through need not
    positions : for each position of the array's chains its range of inputs; it takes the bits pe * start to pe * stop
        of `weights`
    latency : cycles from `last` to `done`, 3 or more
    turns : dot products that take turns, a word each; all of them have their first words one after the other

    Members
    -------
    valid, first, last : In(1), a word is given; it is the first, the last of a dot product
    codes : In(simd codes)
    weights : In(pe * simd), the bits of `steering`, one position of the chains after the other
    initial : In(pe * width), the accumulators' initial `numbers`, taken with a first word where `starting` says so
    starting : Out(1), `initial` is taken
    done : Out(1), `results` are given for this cycle
    results : Out(pe * width), the `numbers` that the accumulators hold

    Timing
    ------
    The weights of position k come 1 + k cycles after the codes; `done` comes `latency` cycles after the cycle
    that has `last`.
    """

    def __init__(
        self, simd: int, pe: int, bits: int, width: int, positions: Sequence[range], latency: int, turns: int = 1
    ):
        self.simd, self.pe, self.bits, self.width, self.turns = simd, pe, bits, width, turns
        self.positions, self.latency = tuple(positions), latency
        super().__init__(
            {
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "codes": In(simd * bits),
                "weights": In(pe * simd),
                "initial": In(pe * width),
                "starting": Out(1),
                "done": Out(1),
                "results": Out(pe * width),
            }
        )

    def steering(self, weights: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        """What the array wants instead of the weights, as many bits, for each position of the chains.

        weights : bool [words, PE, SIMD], 1 is +1
        Returns bool [words, PE * inputs of the position].
        """
        raise NotImplementedError

    def correction(self, each: NDArray[np.int64], words: int) -> NDArray[np.int64]:
        """What must be added to the sum of a dot product's terms to make it the dot product.

        each : int64 [3, ...], of each dot product's weights the `ones`
        words : of a dot product
        Returns int64 [...].
        """
        raise NotImplementedError

    def resources(self, family: Family, *, constant: bool = False) -> Resources:
        """What it takes of a device of the family; `constant` where the weights are always the same."""
        raise NotImplementedError

    def split(self, steering: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        """Bits [words, PE, SIMD] in order of the inputs, as `steering` returns them."""
        return [steering[..., inputs.start : inputs.stop].reshape(len(steering), -1) for inputs in self.positions]

    def weight(self, p: int, position: int, k: int) -> Value:
        """Bit of `weights` for output p and input k, which is one of the position's."""
        inputs = self.positions[position]
        return self.weights[self.pe * inputs.start + p * len(inputs) + k - inputs.start]

    def frame_resources(self) -> Resources:
        """What the flags take, and the registers of codes that wait for their position."""
        ffs = 3 * (self.latency - 1) + 1 + min(4, self.pe) + min(16, self.pe)
        ffs += sum((self.simd - inputs.start) * self.bits for inputs in self.positions[1:])
        return Resources(1, ffs)

    def accumulator_resources(self, family: Family, *, constant: bool = False, carried: bool = False) -> Resources:
        """What one takes, `carried` where it has a carry: with 4-input LUTs its multiplexer lies before its adder."""
        adds = self.width
        if family.fabric == "ecp5":
            adds = 2 * -(-(self.width + carried) // 2) + family.start  # two bits a carry cell
        elif family.fabric == "gowin":
            adds += carried
        return Resources(adds + (0 if family.inputs == 6 or constant else self.width), self.width * self.turns)

    def waiting_codes(self, m: Module) -> list[Value]:
        """For each position the codes from its own on, as many cycles late as its place in the chains."""
        found: list[Value] = [self.codes]
        for k, inputs in enumerate(self.positions[1:], 1):
            # With a reset, lest synthesis spend LUTs on shift registers.
            later = Signal((self.simd - inputs.start) * self.bits, name=f"codes{k}")
            m.d.sync += later.eq(found[-1][-len(later) :])
            found.append(later)
        return found

    def accumulate(self, m: Module, totals: Sequence[Value], carries: Sequence[Value] = ()) -> None:
        """Accumulators of each output's totals, which come `latency` - 1 cycles after their word; with a bit each."""
        flags = [Cat(self.valid, self.valid & self.first, self.valid & self.last)]
        for stage in range(self.latency - 1):
            flags.append(Signal(3, name=f"flags{stage}"))
            m.d.sync += flags[-1].eq(flags[-2])
        valid, first, last = flags[-1]
        # One flag for the multiplexers of all accumulators would be the slowest path: its last two registers are up to
        # four and sixteen. Their initial value, which means nothing while `valid` is 0, and their reset keep synthesis
        # from making one register of those that hold the same.
        firsts = [flags[-3][1]]
        for level in range(2):
            sources, firsts = firsts, []
            for k in range(min(4 * len(sources), self.pe)):
                source, kind = k % len(sources), k // len(sources)
                firsts.append(Signal(name=f"first{level}_{k}", init=kind & 1, reset_less=bool(kind & 2)))
                m.d.sync += firsts[-1].eq(sources[source])
        m.d.comb += self.starting.eq(first)
        m.d.sync += self.done.eq(last)
        with m.If(valid):
            accumulators = zip(totals, numbers(self.initial, self.pe), numbers(self.results, self.pe), strict=True)
            for p, (total, initial, result) in enumerate(accumulators):
                # Sums of dot products that take turns go round behind the one that was added to last.
                so_far = later(m, result, self.turns - 1, f"sum{p}_").as_signed()
                chosen = Mux(firsts[p % len(firsts)], initial, so_far)
                if carries:
                    # The bit below adds a carry to itself, which gives a carry: a LUT less than 1 and the carry.
                    m.d.sync += result.eq((Cat(carries[p], chosen) + Cat(carries[p], total))[1:])
                else:
                    m.d.sync += result.eq(chosen + total)
