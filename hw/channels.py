"""PadChannels: zero channels appended to every pixel."""

from amaranth import Module, Mux, Signal

from ..model.layers import PadChannels
from .resources import Resources
from .stream import Flow, Stage
from .target import Family


class PadChannelsStage(Stage):
    """Passes the words of a pixel, then words of real 0. The source's lanes divide the added channels."""

    def __init__(self, source: Flow, layer: PadChannels):
        super().__init__(source, Flow(layer.infer(source.tensor), source.lanes))

    def resources(self, family: Family) -> Resources:
        bits = (self.sink.words - 1).bit_length()
        return Resources(self.sink.bits + 1 + bits, bits)

    def elaborate(self, platform):
        m = Module()
        word = Signal(range(self.sink.words))
        padding = Signal()
        m.d.comb += [
            padding.eq(word >= self.source.words),
            self.o.payload.eq(Mux(padding, self.sink.zero(), self.source.recode(self.i.payload, self.sink))),
            self.o.valid.eq(self.i.valid | padding),
            self.i.ready.eq(self.o.ready & ~padding),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += word.eq(Mux(word == self.sink.words - 1, 0, word + 1))
        return m
