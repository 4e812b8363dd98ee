# amaranth: UnusedElaboratable=no
"""A binary convolution as a stage: window, weight memory, MAC array, requantise, result queue."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from amaranth import Array, Cat, Const, Module, Signal, Value
from numpy.typing import NDArray

from ...model.layers import BinaryConv, Requantise
from ..array.constants import ConstantTable, table_resources
from ..array.dot import numbers, ones
from ..array.form import dot_array
from ..array.wired import WiredArray
from ..device.memory import alike, memory, mux_luts, place
from ..device.resources import Resources, stored
from ..device.target import Family
from ..plan import Folding
from ..stream.flow import Flow
from ..window.slide import Sweep
from ..window.window import Geometry
from .requantise import Scaler
from .windowed import WindowedStage


def _ones(layer: BinaryConv, simd: int) -> NDArray[np.int64]:
    """int64 [3, C_out]: the `ones` of a layer's weights."""
    # Any even number of weights a word has them at the same places.
    return _ones_of(layer, simd if simd % 2 else 2)


@lru_cache(16)
def _ones_of(layer: BinaryConv, simd: int) -> NDArray[np.int64]:
    return ones(layer.weights.reshape(len(layer.weights), -1, simd))


class ConvStage(WindowedStage):
    """BinaryConv, fused with the Requantise that follows it.

    It takes (kernel area * C_in / simd) * (C_out / pe) cycles a pixel, without a gap between pixels,
    rows or frames. A sliding window takes at least a cycle for each of its steps; each window of a step has
    an array of its own, and all share the weights. Where they are wired there is no weight memory.

    Parameters
    ----------
    source : Flow of `simd` lanes, or of `pixels` whole pixels for a window that slides
    layer : the convolution
    requantise : what follows it, or None for the exact sums
    folding : the sink has `pe` lanes for each window of a step
    family : of the device, which decides the form of the array and where memories lie
    """

    def __init__(
        self, source: Flow, layer: BinaryConv, requantise: Requantise | None, folding: Folding, family: Family
    ):
        sums = layer.infer(source.tensor)
        self.layer = layer
        self.simd, self.pe = folding.simd, folding.pe
        self.scaler = Scaler(sums, requantise or Requantise(0, sums.lo, sums.hi))
        self.taken = (source.with_zero() if any(layer.padding) else source).tensor
        top = self.taken.hi - self.taken.lo
        geometry = Geometry(source.tensor.height, source.tensor.width, layer.kernel, layer.stride, layer.padding)
        sweep = Sweep(geometry, folding.pixels) if folding.slides(source.tensor.channels) else None
        windows = sweep.windows if sweep else 1
        self.wired = folding.wired
        if self.wired:
            constants = (self.scaler.addend + self._surplus()).astype(np.int64)
            matrix = layer.weights.reshape(len(layer.weights), -1)
            self.arrays = [WiredArray(matrix, top, constants, self.scaler.width, family) for _ in range(windows)]
        else:
            self.arrays = [dot_array(self.simd, self.pe, top, self.scaler.width, family) for _ in range(windows)]
        super().__init__(
            source,
            Flow(requantise.infer(sums) if requantise else sums, self.pe * len(self.arrays)),
            sweep or geometry,
            groups=sums.channels // self.pe,
            dot_cycles=layer.fan_in // self.simd,
            latency=self.arrays[0].latency + 2,
            family=family,
        )

    def resources(self, family: Family) -> Resources:
        outer = self.outer_resources(family)
        if self.wired:
            return outer + self.arrays[0].resources(family) * len(self.arrays)
        array = self.arrays[0].resources(family, constant=self.groups * self.dot_cycles == 1)
        return outer + array * len(self.arrays) + self.weight_resources(family)

    def outer_resources(self, family: Family) -> Resources:
        """What all but the arrays and the weights takes."""
        clips = Resources(self.scaler.clip_luts(family), self.sink.tensor.bits) * self.sink.lanes
        return self.frame_resources(family) + clips + Resources(1, 1)

    def weight_resources(self, family: Family) -> Resources:
        """What the weights take, and the accumulators' initial values."""
        found = table_resources(self.initial_rows(), self.scaler.width, family)
        depth = self.groups * self.dot_cycles
        # Columns of a few words may be constants by chance.
        rows = self.weight_rows() if depth <= 64 else None
        for k, inputs in enumerate(self.arrays[0].positions):
            width = int((rows[k] != rows[k][0]).any(axis=0).sum()) if rows else self.pe * len(inputs)
            parts = [place(width, len(part), family, rom=True) for part in self.parts(range(depth), width, family)]
            found += sum((stored(part) for part in parts), Resources(0, alike(width, depth) + (depth - 1).bit_length()))
            if len(parts) > 1:
                found += Resources(width * mux_luts(len(parts), family), width * len(parts))
            # The word is in a register behind the memory; one of look-up tables has a register of its own, too.
            found += Resources(0, sum(alike(width, part.depth) for part in parts if not part.blocks))
        return found

    def weight_rows(self) -> list[NDArray[np.bool_]]:
        """The weight memories, one for each position of the array's chains.

        Each bool [words, bits], in the order in which the window reads its taps.
        """
        folded = self.layer.weights.reshape(self.groups, self.pe, -1, self.simd)
        return self.arrays[0].steering(folded.transpose(0, 2, 1, 3).reshape(-1, self.pe, self.simd))

    def initial_rows(self) -> NDArray[np.int64]:
        """int64 [groups, pe]: what each accumulator starts from.

        The rounding constant, the offset and the clip's floor; what the array's terms are too large by; and
        lo * sum(w), because sum(w * q) = sum(w * code) + lo * sum(w).
        """
        correction = self.arrays[0].correction(_ones(self.layer, self.simd), self.dot_cycles)
        return (self.scaler.addend + correction + self._surplus()).reshape(self.groups, self.pe)

    def _surplus(self) -> NDArray[np.int64]:
        """int64 [C_out]: lo * sum(w)."""
        return self.taken.lo * (2 * _ones(self.layer, self.simd).sum(axis=0) - self.layer.fan_in)

    def elaborate(self, platform):
        m = Module()
        window, queue = self.frame(m)
        for k, array in enumerate(self.arrays):
            m.submodules[f"array{k}"] = array
            m.d.comb += [array.valid.eq(window.valid), array.codes.eq(window.word.word_select(k, len(array.codes)))]
        if not self.wired:
            m.submodules.initial_values = initial = ConstantTable(self.initial_rows(), self.scaler.width, self.family)
            weights = self.weights(m, window.index)
            for array in self.arrays:
                m.d.comb += [
                    array.first.eq(window.first),
                    array.last.eq(window.last),
                    array.weights.eq(weights),
                    array.initial.eq(initial.row.as_value()),
                ]
            m.d.comb += initial.next.eq(self.arrays[0].starting)

        done = Signal()
        codes = Signal(self.sink.bits)
        sums = (value for array in self.arrays for value in numbers(array.results, self.pe))
        m.d.sync += [done.eq(self.arrays[0].done), codes.eq(Cat(self.scaler.code(value) for value in sums))]
        m.d.comb += [queue.w_data.eq(codes), queue.w_en.eq(done)]
        return m

    def weights(self, m: Module, index: Value) -> Value:
        """What steers the arrays, three cycles after its place among the words, `index`; k more for position k."""
        positions = self.weight_rows()
        if len(positions[0]) == 1:
            bits = np.concatenate(positions, axis=1)[0]
            return Const(sum(int(bit) << place for place, bit in enumerate(bits)), len(bits))
        read_data = []
        address = index
        for k, bits in enumerate(positions):
            # The array wants position k's weights k cycles later: its memory is asked later.
            later = Signal.like(address, name=f"address{k}")
            m.d.sync += later.eq(address)
            read_data.append(self._read(m, f"weights{k}", bits, address, later))
            address = later
        weights = Signal(self.pe * self.simd)
        m.d.sync += weights.eq(Cat(read_data))
        return weights

    def _read(self, m: Module, name: str, bits: NDArray[np.bool_], address: Value, later: Value) -> Value:
        """Row `address` of the weights two cycles later; `later` is the address in a register."""
        rows = np.packbits(bits, axis=1, bitorder="little")
        parts = self.parts([int.from_bytes(row.tobytes(), "little") for row in rows], bits.shape[1], self.family)
        ports = []
        for n, part in enumerate(parts):
            if len(part) == 1:
                continue  # a constant: a memory of one word would have an address of no bits
            stored = memory(bits.shape[1], len(part), self.family, part)
            m.submodules[f"{name}_part{n}" if n else name] = stored
            read = stored.read_port()  # by a name of its own, which waveforms show
            ports.append(read)
        if len(parts) == 1:
            m.d.comb += ports[0].addr.eq(later)
            return ports[0].data
        # A block answers late in its cycle: there is no time to choose one of several before the next register.
        chosen = Signal(range(len(parts)), name=f"{name}_chosen")
        m.d.sync += chosen.eq(later >> (len(parts[0]) - 1).bit_length())
        held = [Signal.like(port.data, name=f"{name}_held{n}", reset_less=True) for n, port in enumerate(ports)]
        for port, part in zip(ports, held, strict=True):
            m.d.comb += port.addr.eq(address)
            m.d.sync += part.eq(port.data)
        alone = [Const(part[0], bits.shape[1]) for part in parts if len(part) == 1]
        return Array([*held, *alone])[chosen]

    @staticmethod
    def parts(words: Sequence, width: int, family: Family) -> list[Sequence]:
        """The words of a weight memory of `width` bits, cut where blocks of the family end."""
        rows = place(width, len(words), family, rom=True).rows
        size = 1 << (-(-len(words) // rows) - 1).bit_length()
        return [words[start : start + size] for start in range(0, len(words), size)]
