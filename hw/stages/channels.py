"""PadChannels: zero channels appended to every pixel."""

from amaranth import Cat, Module, Mux, Signal

from ...model.layers import PadChannels
from ..device.resources import Resources
from ..device.target import Family
from ..stream.flow import Flow
from ..stream.stage import Stage


class PadChannelsStage(Stage):
    """Words of whole pixels get the zeros at once; else a pixel's words pass, then words of real 0.

    In the second case the source's lanes divide the added channels.
    """

    direct = True

    def __init__(self, source: Flow, layer: PadChannels):
        padded = layer.infer(source.tensor)
        self.whole = source.lanes % source.tensor.channels == 0
        super().__init__(source, Flow(padded, source.pixels * padded.channels if self.whole else source.lanes))

    def resources(self, family: Family) -> Resources:
        bits = (self.sink.words - 1).bit_length()
        return Resources(self.sink.bits + 1 + bits, bits)

    def elaborate(self, platform):
        m = Module()
        if self.whole:
            t, sink = self.source.tensor, self.sink.tensor
            pixels = self.source.recode(self.i.payload, self.sink)
            zeros = Flow(sink, sink.channels).zero()[t.channels * sink.bits :]
            m.d.comb += [
                self.o.payload.eq(
                    Cat((pixels.word_select(k, t.channels * sink.bits), zeros) for k in range(self.source.pixels))
                ),
                self.o.valid.eq(self.i.valid),
                self.i.ready.eq(self.o.ready),
            ]
            return m
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
