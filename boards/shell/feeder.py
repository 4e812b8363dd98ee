# amaranth: UnusedElaboratable=no
"""Pieces of images, or of loads, to a machine's words, so that only whole ones have an effect."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hw.device.resources import Resources, counter
from ...hw.device.target import Family
from .receiver import PIECE


class Feeder(wiring.Component):
    """Collects bytes to words, each of which leaves when it is known what follows.

    The last word of a whole image goes with payload.last. An image that broke off ends too early, or too late by a
    word: the machine drops both. The same of a load.

    Parameters
    ----------
    bits : of a word, whole bytes
    words : of an image

    Members
    -------
    i : In(PIECE)
    o : Out, payload.word and payload.last
    """

    def __init__(self, bits: int, words: int):
        self.bytes, self.words = bits // 8, words
        word = data.StructLayout({"word": bits, "last": 1})
        super().__init__({"i": In(stream.Signature(PIECE)), "o": Out(stream.Signature(word))})

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        counts = counter(max(2, self.bytes), family) + counter(self.words + 1, family)
        return counts + Resources(8 * self.bytes + 24, 8 * self.bytes + 8)

    def elaborate(self, platform):
        m = Module()
        word = Signal(8 * self.bytes)
        index = Signal(range(max(2, self.bytes)))  # bytes of the word that have come
        full = Signal()  # all have, and the word waits for what follows
        sent = Signal(range(self.words + 1))  # words of the image that have left
        byte, end = self.i.payload.byte, self.i.payload.end
        passed = self.o.valid & self.o.ready
        m.d.comb += self.o.payload.word.eq(word)
        with m.FSM(name="feed"):
            with m.State("collect"):
                with m.If(~end & ~full):
                    m.d.comb += self.i.ready.eq(1)
                    with m.If(self.i.valid):
                        m.d.sync += word.word_select(index, 8).eq(byte)
                        m.d.sync += index.eq(index + 1)
                        with m.If(index == self.bytes - 1):
                            m.d.sync += [index.eq(0), full.eq(1)]
                with m.Elif(~end | byte[0]):
                    m.d.comb += [self.o.valid.eq(self.i.valid), self.o.payload.last.eq(end)]
                    m.d.comb += self.i.ready.eq(end & self.o.ready)
                    with m.If(passed):
                        m.d.sync += [full.eq(0), sent.eq(Mux(end, 0, sent + 1))]
                with m.Elif(self.i.valid):
                    m.d.sync += [index.eq(0), full.eq(0)]
                    with m.If(sent == 0):  # the machine has seen nothing of it
                        m.d.comb += self.i.ready.eq(1)
                    with m.Else():
                        m.next = "spoil"
            with m.State("spoil"):
                # One word more, or two, so that they are not as many as an image has.
                m.d.comb += [self.o.valid.eq(1), self.o.payload.last.eq(sent != self.words - 1)]
                m.d.comb += self.i.ready.eq(self.o.payload.last & self.o.ready)
                with m.If(passed):
                    m.d.sync += sent.eq(Mux(self.o.payload.last, 0, sent + 1))
                    with m.If(self.o.payload.last):
                        m.next = "collect"
        return m
