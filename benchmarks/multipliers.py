# amaranth: UnusedElaboratable=no
"""LUTs a lane of arrays whose weights have eight bits: the baseline that one bit is held against, by Yosys.

    python benchmarks/multipliers.py [--json]

Arrays of 16 inputs and 4 outputs with 24-bit accumulators, for codes of 1, 2, 4 and 8 bits, in three forms:

product : each lane multiplies, as Yosys makes a product without DSPs; a tree adds
rows    : each lane adds the weight once for each bit of the code, in a tree; a tree adds
planes  : the array for one bit, eight times, once for each bit of the weights, on the same pairs of codes; the eight
          results are joined

All have a register behind every adder, and each is first proven in simulation against numpy. Beside them the array for
weights of one bit, and the price of eight bits by hw/array/multiplied.py, which is that of planes, of codes of one bit
that of rows.
"""

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import Component, In, Out
from mac_array import TARGETS, dot_products, synthesised

from bitfold.hw.array.dot import numbers, ones
from bitfold.hw.array.form import dot_array
from bitfold.hw.array.mac import MacArray
from bitfold.hw.array.multiplied import BITS, multiplied
from bitfold.hw.device.target import FAMILIES

SIMD, PE, WIDTH = 16, 4, 24
CODES = 1, 2, 4, 8
"""Bits of a code."""


def held(m, value, name):
    """A value, a cycle later."""
    register = Signal(Value.cast(value).shape(), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register


def followed(m, array):
    """An array's valid and first when the totals of their word are there; gives starting and done."""
    flags = Cat(array.valid, array.valid & array.first, array.valid & array.last)
    for stage in range(array.latency - 1):
        flags = held(m, flags, f"flags{stage}")
    valid, first, last = flags
    m.d.comb += array.starting.eq(first)
    m.d.sync += array.done.eq(last)
    return valid, first


class Planes(MacArray):
    """An array for weights of BITS bits, the odd numbers from -255 to 255: bit b of one, +1 or -1, has the weight 2^b.

    `outputs` of them; what MacArray calls an output is a plane, the BITS planes of one after the other. The lowest
    `outputs` numbers of `initial` and `results` are used.
    """

    def __init__(self, simd: int, outputs: int, top: int, width: int, chain: int):
        self.outputs = outputs
        super().__init__(simd, BITS * outputs, top, width, chain)
        self.latency += BITS.bit_length() - 1

    @staticmethod
    def planes(weights: np.ndarray) -> np.ndarray:
        """Bool [words, outputs * BITS, simd] of weights, int64 [words, outputs, simd]."""
        bits = (weights[:, :, None] + 2**BITS - 1) // 2 >> np.arange(BITS)[:, None] & 1
        return bits.reshape(len(weights), -1, weights.shape[-1]).astype(bool)

    def accumulate(self, m, totals, carries=()):
        register = partial(held, m)
        valid, first = followed(m, self)
        for p in range(self.outputs):
            level, shift = totals[BITS * p : BITS * (p + 1)], 1
            while len(level) > 1:
                # The lowest bits of one pass beside the adder.
                level = [
                    register(Cat(one[:shift], one[shift:] + other), f"join{p}_{shift}_{k}")
                    for k, (one, other) in enumerate(zip(level[::2], level[1::2], strict=True))
                ]
                shift *= 2
            result, initial = (numbers(port, self.pe)[p] for port in (self.results, self.initial))
            with m.If(valid):
                m.d.sync += numbers(self.results, self.pe)[p].eq(Mux(first, initial, result) + level[0])


class Products(Component):
    """An array that multiplies codes and signed weights of BITS bits, `rows` by rows of its own or by Yosys' product.

    Members, timing : as DotArray's, but `weights` has the bits of each lane together, output after output, and comes a
    cycle after the codes
    """

    def __init__(self, simd: int, outputs: int, bits: int, width: int, rows: bool):
        self.simd, self.outputs, self.bits, self.width, self.rows = simd, outputs, bits, width, rows
        levels = max(1, (bits - 1).bit_length()) if rows else 1
        self.latency = 2 + levels + (simd - 1).bit_length()
        super().__init__(
            {name: In(1) for name in ("valid", "first", "last")}
            | {"codes": In(simd * bits), "weights": In(outputs * simd * BITS), "initial": In(outputs * width)}
            | {"starting": Out(1), "done": Out(1), "results": Out(outputs * width)}
        )

    def elaborate(self, platform):
        m = Module()

        register = partial(held, m)

        def summed(level, name):
            count = 0
            while len(level) > 1:
                pairs = [level[k : k + 2] for k in range(0, len(level), 2)]
                level = [register(sum(pair[1:], pair[0]), f"{name}_{count}_{k}") for k, pair in enumerate(pairs)]
                count += 1
            return level[0]

        valid, first = followed(m, self)
        codes = [register(self.codes.word_select(i, self.bits), f"code{i}") for i in range(self.simd)]
        for p in range(self.outputs):
            products = []
            for i, code in enumerate(codes):
                weight = self.weights.word_select(self.simd * p + i, BITS).as_signed()
                if self.rows and self.bits > 1:
                    rows = [Mux(bit, Cat(Const(0, j), weight).as_signed(), 0) for j, bit in enumerate(code)]
                    products.append(summed(rows, f"rows{p}_{i}"))
                elif self.rows:
                    products.append(register(Mux(code, weight, 0), f"rows{p}_{i}"))
                else:
                    products.append(register(weight * code, f"product{p}_{i}"))
            total = summed(products, f"tree{p}")
            result, initial = (numbers(port, self.outputs)[p] for port in (self.results, self.initial))
            with m.If(valid):
                m.d.sync += result.eq(Mux(first, initial, result) + total)
        return m


FORMS = {
    "product": lambda bits, family: Products(SIMD, PE, bits, WIDTH, rows=False),
    "rows": lambda bits, family: Products(SIMD, PE, bits, WIDTH, rows=True),
    "planes": lambda bits, family: Planes(SIMD, PE, 2**bits - 1, WIDTH, FAMILIES[family].chain),
}


def prove(array: Planes | Products) -> None:
    """Random dot products of 1 to 5 words without a pause; AssertionError unless all are exact."""
    rng = np.random.default_rng(0)
    planes = isinstance(array, Planes)
    lengths = rng.integers(1, 6, 30)
    words, starts = int(lengths.sum()), np.cumsum([0, *lengths[:-1]])
    codes = rng.integers(0, 2**array.bits, (words, SIMD))
    weights = rng.integers(-(2 ** (BITS - 1)), 2 ** (BITS - 1), (words, PE, SIMD))
    if planes:
        weights = 2 * weights + 1
        each = array.planes(weights)
        corrections = np.add.reduceat(array.correction(ones(each[..., None, :]), 1), starts)
        initial = (corrections.reshape(len(starts), PE, BITS) << np.arange(BITS)).sum(axis=-1)
        given = array.steering(each)
    else:
        initial = np.zeros((len(starts), PE), np.int64)
        rows = weights.reshape(words, -1, 1) >> np.arange(BITS) & 1
        given = [rows.reshape(words, -1).astype(bool)]
    expected = np.add.reduceat((weights * codes[:, None]).sum(axis=-1), starts)
    np.testing.assert_array_equal(dot_products(array, PE, WIDTH, starts, codes, given, initial), expected)


def figures(family: str, bits: int, folder: Path) -> dict[str, object]:
    """LUTs and flip-flops a lane of each form, and of the array for weights of one bit; what is estimated."""
    device, lanes = FAMILIES[family], SIMD * PE
    found: dict[str, object] = {"family": family, "bits": bits}
    one = synthesised(dot_array(SIMD, PE, 2**bits - 1, WIDTH - BITS, device), family, f"one{bits}", folder)
    found["one"] = round(one.luts / lanes, 2)
    for form, make in FORMS.items():
        prove(make(bits, family))
        netlist = synthesised(make(bits, family), family, f"{form}{bits}", folder)
        if netlist.multipliers:
            raise SystemExit(f"Yosys took {netlist.multipliers} multipliers for {form}, {bits} bits, on {family}")
        found[form] = round(netlist.luts / lanes, 2)
        found[f"{form}_ffs"] = round(netlist.ffs / lanes, 2)
    made = multiplied(SIMD, PE, 2**bits - 1, WIDTH, device)
    found["estimated"], found["estimated_ffs"] = round(made.luts / lanes, 2), round(made.ffs / lanes, 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for family in TARGETS:
            for bits in CODES:
                rows.append(f := figures(family, bits, Path(folder)))
                if not arguments.json:
                    print(
                        f"{family:6} codes of {bits}: one bit {f['one']:5.2f} LUT a lane; eight bits: product "
                        f"{f['product']:6.2f}, rows {f['rows']:6.2f}, planes {f['planes']:6.2f}; the price "
                        f"{f['estimated']:6.2f}, {f['estimated_ffs']:.2f} FF",
                        flush=True,
                    )
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
