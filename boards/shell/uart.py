"""Bytes on a wire: start bit, eight bits with the lowest first, stop bit."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from ...hw.device.resources import Resources
from ...hw.device.target import Family

CYCLES_PER_BIT = 5
"""At least so many, so that every bit is sampled within a fifth of its middle."""


class Pace:
    """How a clock is divided into bits, by adding `step` in `width` bits: a carry is a bit's end.

    The rate is within 1/4,096 of the one asked for. ValueError for fewer than CYCLES_PER_BIT cycles a bit.
    """

    def __init__(self, clock: int, baud: int):
        if not 0 < baud * CYCLES_PER_BIT <= clock:
            raise ValueError(f"{baud} bits a second take a clock of {baud * CYCLES_PER_BIT} Hz at least, not {clock}")
        self.width = (clock // baud).bit_length() + 11
        self.step = round((baud << self.width) / clock)

    def after(self, phase: Signal):
        """The phase a cycle later, and whether a bit ended."""
        total = phase + Const(self.step, self.width)
        return total[: self.width], total[self.width]


class UartReceiver(wiring.Component):
    """Bytes that come.

    Parameters
    ----------
    clock, baud : Hz, bits a second, as for Pace

    Members
    -------
    rx : In(1), the wire, without a clock of ours
    data : Out(8)
    valid : Out(1), a byte has come; nobody can make it wait
    broken : Out(1), one came without its stop bit
    """

    rx: In(1, init=1)
    data: Out(8)
    valid: Out(1)
    broken: Out(1)

    def __init__(self, clock: int, baud: int):
        self.pace = Pace(clock, baud)
        super().__init__()

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        return Resources(self.pace.width + 14, self.pace.width + 14)

    def elaborate(self, platform):
        m = Module()
        line = Signal(init=1)
        m.submodules += FFSynchronizer(self.rx, line, init=1)
        phase = Signal(self.pace.width)
        # The start bit, then the byte from above; a one at its lower end shows that all have come.
        bits = Signal(9)
        then, end = self.pace.after(phase)
        m.d.sync += [self.valid.eq(0), self.broken.eq(0)]
        m.d.comb += self.data.eq(bits[1:])
        with m.FSM(name="receive"):
            with m.State("idle"):
                # Half a bit from here is the start bit's middle.
                m.d.sync += [phase.eq(1 << self.pace.width - 1), bits.eq(1 << 8)]
                with m.If(~line):
                    m.next = "start"
            with m.State("start"):
                m.d.sync += phase.eq(then)
                with m.If(end):
                    m.next = "bits"
                    with m.If(line):  # it was none
                        m.next = "idle"
            with m.State("bits"):
                m.d.sync += phase.eq(then)
                with m.If(end):
                    m.d.sync += bits.eq(Cat(bits[1:], line))
                    with m.If(bits[0]):
                        m.d.sync += [bits.eq(bits), self.valid.eq(line), self.broken.eq(~line)]
                        m.next = "rest"
            with m.State("rest"), m.If(line):
                m.next = "idle"
        return m


class UartTransmitter(wiring.Component):
    """Bytes that leave.

    Parameters
    ----------
    clock, baud : Hz, bits a second, as for Pace

    Members
    -------
    i : In, a byte a transfer
    tx : Out(1), the wire

    Timing
    ------
    Ten bits a byte, one after the other without a pause.
    """

    i: In(stream.Signature(8))
    tx: Out(1, init=1)

    def __init__(self, clock: int, baud: int):
        self.pace = Pace(clock, baud)
        super().__init__()

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        return Resources(self.pace.width + 12, self.pace.width + 15)

    def elaborate(self, platform):
        m = Module()
        phase = Signal(self.pace.width)
        bits = Signal(10, init=1)
        left = Signal(range(11))
        then, end = self.pace.after(phase)
        m.d.sync += self.tx.eq(bits[0])
        last = left <= 1
        m.d.comb += self.i.ready.eq((left == 0) | (last & end))
        with m.If(left != 0):
            m.d.sync += phase.eq(then)
        with m.If(end & (left != 0)):
            m.d.sync += [bits.eq(Cat(bits[1:], Const(1))), left.eq(left - 1)]
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += [bits.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1))), left.eq(10)]
            with m.If(left == 0):
                m.d.sync += phase.eq(0)
        return m
