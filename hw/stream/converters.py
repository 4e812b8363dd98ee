# amaranth: UnusedElaboratable=no
"""Between flows of different lanes."""

from math import lcm

from amaranth import Cat, Module, Mux, Signal

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
    """Splits words into words of a fraction of their lanes; gives one a cycle without a gap."""

    def __init__(self, flow: Flow, lanes: int):
        super().__init__(flow, flow.over(lanes))

    def spacing(self, source: int) -> int:
        return 1

    def resources(self, family: Family) -> Resources:
        bits = (self.source.lanes // self.sink.lanes).bit_length()
        return Resources(self.source.bits - self.sink.bits + 3 * bits + 2, self.source.bits + bits + 2)

    def elaborate(self, platform):
        m = Module()
        ratio = self.source.lanes // self.sink.lanes
        held = Signal(self.source.bits, reset_less=True)
        left = Signal(range(1, ratio + 1), init=1)
        # The last part is out, or none is: by a register, for every bit of the word hangs on it.
        last = Signal(init=1)
        full, move = output_register(m, self.o, held)
        m.d.comb += self.i.ready.eq(last & move)
        with m.If(move):
            m.d.sync += [
                held.eq(Mux(last, self.i.payload, held >> self.sink.bits)),
                full.eq(~last | self.i.valid),
                last.eq(Mux(last, ~self.i.valid, left == 2)),
                left.eq(Mux(last, Mux(self.i.valid, ratio, 1), left - 1)),
            ]
        return m


def converters(flow: Flow, lanes: int) -> list[Stage]:
    """The stages that turn a flow into one of `lanes` lanes: none, one, or widen then narrow."""
    common = lcm(flow.lanes, lanes)
    stages: list[Stage] = []
    if common != flow.lanes:
        stages.append(Widen(flow, common))
    if common != lanes:
        stages.append(Narrow(flow.over(common), lanes))
    return stages
