# amaranth: UnusedElaboratable=no
"""Between flows of different lanes."""

from math import lcm

from amaranth import Cat, Module, Mux, Signal

from ..device.arithmetic import wrap_add
from ..device.resources import Resources
from ..device.target import Family
from .flow import Flow
from .register import output_register
from .stage import Stage


class Widen(Stage):
    """Collects words into words of a multiple of their lanes; takes one a cycle."""

    direct = True

    def __init__(self, flow: Flow, lanes: int):
        super().__init__(flow, flow.over(lanes))

    def spacing(self, source: int) -> int:
        return source * (self.sink.lanes // self.source.lanes)

    def resources(self, family: Family) -> Resources:
        bits = (self.sink.lanes // self.source.lanes - 1).bit_length()
        return Resources(3 + bits, self.sink.bits - self.source.bits + bits)

    def elaborate(self, platform):
        m = Module()
        ratio = self.sink.lanes // self.source.lanes
        held = Signal((ratio - 1) * self.source.bits)
        count = Signal(range(ratio))
        full = count == ratio - 1
        m.d.comb += [
            self.o.payload.eq(Cat(held, self.i.payload)),
            self.o.valid.eq(self.i.valid & full),
            self.i.ready.eq(~full | self.o.ready),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                held.eq(Cat(held, self.i.payload) >> self.source.bits),
                count.eq(Mux(full, 0, count + 1)),
            ]
        return m


class Narrow(Stage):
    """Splits words into words of a fraction of their lanes; gives one a cycle without a gap.

    The parts of a word shift through a register. Where look-up tables are large it stays, and a part is chosen for a
    second register.
    """

    def __init__(self, flow: Flow, lanes: int, family: Family):
        self.ratio = flow.lanes // lanes
        self.chooses = family.inputs == 6 and self.ratio > 2
        self.latency = 1 + self.chooses
        self.storage = flow.held(1) + self.chooses
        super().__init__(flow, flow.over(lanes))

    def spacing(self, source: int) -> int:
        return 1

    def resources(self, family: Family) -> Resources:
        if not self.chooses:
            bits = self.ratio.bit_length()
            return Resources(self.source.bits - self.sink.bits + 3 * bits + 2, self.source.bits + bits + 2)
        bits, ways, luts = (self.ratio - 1).bit_length(), self.ratio, 0
        while ways > 1:
            ways = -(-ways // 4)
            luts += ways
        return Resources(luts * self.sink.bits + bits + 3, self.source.bits + self.sink.bits + bits + 3)

    def elaborate(self, platform):
        return self._choose() if self.chooses else self._shift()

    def _choose(self) -> Module:
        m = Module()
        held = Signal(self.source.bits, reset_less=True)
        some = Signal()
        part = Signal(range(self.ratio))
        last = part == self.ratio - 1
        result = Signal(self.sink.bits, reset_less=True)
        full, move = output_register(m, self.o, result)
        m.d.comb += self.i.ready.eq(~some | (last & move))
        with m.If(self.i.ready):
            m.d.sync += [held.eq(self.i.payload), some.eq(self.i.valid)]
        with m.If(move):
            m.d.sync += [result.eq(held.word_select(part, self.sink.bits)), full.eq(some)]
        with m.If(move & some):
            m.d.sync += part.eq(wrap_add(part, 1, self.ratio))
        return m

    def _shift(self) -> Module:
        m = Module()
        held = Signal(self.source.bits, reset_less=True)
        left = Signal(range(1, self.ratio + 1), init=1)
        # The last part is out, or none is: by a register, for every bit of the word hangs on it.
        last = Signal(init=1)
        full, move = output_register(m, self.o, held)
        m.d.comb += self.i.ready.eq(last & move)
        with m.If(move):
            m.d.sync += [
                held.eq(Mux(last, self.i.payload, held >> self.sink.bits)),
                full.eq(~last | self.i.valid),
                last.eq(Mux(last, ~self.i.valid, left == 2)),
                left.eq(Mux(last, Mux(self.i.valid, self.ratio, 1), left - 1)),
            ]
        return m


def converters(flow: Flow, lanes: int, family: Family) -> list[Stage]:
    """The stages that turn a flow into one of `lanes` lanes: none, one, or widen then narrow."""
    common = lcm(flow.lanes, lanes)
    stages: list[Stage] = []
    if common != flow.lanes:
        stages.append(Widen(flow, common))
    if common != lanes:
        stages.append(Narrow(flow.over(common), lanes, family))
    return stages
