# amaranth: UnusedElaboratable=no
"""A binary convolution as a stage: window, weight memory, MAC array, requantise, result queue."""

import numpy as np
from amaranth import Cat, Module, Signal
from numpy.typing import NDArray

from ..model.layers import BinaryConv, Requantise
from .constants import ConstantTable
from .mac import MacArray
from .memory import memory
from .plan import Folding
from .requantise import Scaler
from .stream import Flow
from .target import Family
from .window import Geometry
from .windowed import WindowedStage


class ConvStage(WindowedStage):
    """BinaryConv, fused with the Requantise that follows it.

    It takes (kernel area * C_in / simd) * (C_out / pe) cycles a pixel, without a gap between pixels,
    rows or frames.

    Parameters
    ----------
    source : Flow of `simd` lanes
    layer : the convolution
    requantise : what follows it, or None for the exact sums
    folding : outputs in parallel, as many as the sink has lanes; inputs, as many as the source has
    family : of the device, which decides the form of the array and where memories lie
    """

    def __init__(
        self, source: Flow, layer: BinaryConv, requantise: Requantise | None, folding: Folding, family: Family
    ):
        sums = layer.infer(source.tensor)
        self.layer = layer
        self.simd, self.pe = source.lanes, folding.pe
        self.scaler = Scaler(sums, requantise or Requantise(0, sums.lo, sums.hi))
        self.taken = (source.with_zero() if any(layer.padding) else source).tensor
        top = self.taken.hi - self.taken.lo
        self.array = MacArray(self.simd, self.pe, top, self.scaler.width, family.chain)
        super().__init__(
            source,
            Flow(requantise.infer(sums) if requantise else sums, self.pe),
            Geometry(source.tensor.height, source.tensor.width, layer.kernel, layer.stride, layer.padding),
            groups=sums.channels // self.pe,
            dot_cycles=layer.fan_in // self.simd,
            latency=self.array.latency + 2,
            family=family,
        )

    def weight_rows(self) -> list[NDArray[np.bool_]]:
        """The weight memories, one for each position of the array's chains.

        Each bool [words, bits], in the order in which the window reads its taps.
        """
        kh, kw = self.layer.kernel
        folded = self.layer.weights.reshape(self.groups, self.pe, kh, kw, self.source.words, self.simd)
        return self.array.steering(folded.transpose(0, 2, 3, 4, 1, 5).reshape(-1, self.pe, self.simd))

    def initial_rows(self) -> NDArray[np.int64]:
        """int64 [groups, pe]: what each accumulator starts from.

        The rounding constant, the offset and the clip's floor; what the array's terms are too large by; and
        lo * sum(w), because sum(w * q) = sum(w * code) + lo * sum(w).
        """
        channels = self.scaler.source.channels
        words = self.layer.weights.reshape(channels, -1, self.simd)
        correction = self.array.correction(words).sum(axis=-1)
        total = 2 * self.layer.weights.sum(axis=(1, 2, 3), dtype=np.int64) - self.layer.fan_in
        rows = self.scaler.addend + correction + self.taken.lo * total
        return rows.reshape(self.groups, self.pe)

    def elaborate(self, platform):
        m = Module()
        window, queue = self.frame(m)
        weights = []
        address = window.index
        for k, bits in enumerate(self.weight_rows()):
            # The array wants position k's weights k cycles later: its memory is asked later.
            later = Signal.like(address, name=f"address{k}")
            m.d.sync += later.eq(address)
            address = later
            rows = np.packbits(bits, axis=1, bitorder="little")
            m.submodules[f"weights{k}"] = stored = memory(
                bits.shape[1],
                max(2, len(rows)),  # an address of no bits is not Verilog
                self.family,
                [int.from_bytes(row.tobytes(), "little") for row in rows],
            )
            read = stored.read_port()
            m.d.comb += read.addr.eq(address)
            weights.append(read.data)
        m.submodules.array = array = self.array
        m.submodules.initial = initial = ConstantTable(self.initial_rows(), self.scaler.width, self.family)

        m.d.comb += [
            array.valid.eq(window.valid),
            array.first.eq(window.first),
            array.last.eq(window.last),
            array.codes.eq(window.word),
            array.initial.eq(initial.row),
            initial.next.eq(array.starting),
        ]
        m.d.sync += array.weights.eq(Cat(weights))

        done = Signal()
        codes = Signal(self.sink.bits)
        m.d.sync += [done.eq(array.done), codes.eq(Cat(self.scaler.code(value) for value in array.results))]
        m.d.comb += [queue.w_data.eq(codes), queue.w_en.eq(done)]
        return m
