# amaranth: UnusedElaboratable=no
"""A machine behind a host link of two wires."""

from dataclasses import dataclass
from importlib.metadata import version

from amaranth import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...hw.accelerator import Accelerator
from ...hw.device.loaded import COLUMN
from ...hw.device.resources import Resources, total
from ...hw.device.target import Family
from ...hw.stream.flow import Flow
from ...hw.stream.queue import Queue
from ...hw.verilog.formats import PLAIN, formats
from ...model.tensor import Tensor
from ..protocol import PROTOCOL, Identity, Kind, Reason
from .feeder import Feeder
from .receiver import PIECE, REQUEST, Receiver
from .transmitter import Transmitter
from .uart import UartReceiver, UartTransmitter

IN_FLIGHT = 32
"""Images whose results are still to come."""

REQUESTS = 2
"""Frames whose replies are still to come; further ones are not answered."""

GLOW = 20
"""A light stays on for 2^GLOW cycles at least, and for at most twice as many: some hundredths of a second."""


def bytes_flow(bits: int) -> Flow:
    """Words of so many bits, for a Queue."""
    return Flow(Tensor(1, 1, 1, 0, (1 << bits) - 1), 1)


def waiting(image_bytes: int, bits: int, family: Family) -> int:
    """Pieces of images, `bits` each, that may wait for the machine: two images, one that comes and one being worked on.

    Or more, where they are small: what a memory block of the family holds.
    """
    fitting = [depth for block in family.blocks[:1] for width, depth in block.shapes.items() if width >= bits]
    return max(2 * (image_bytes + 1) + 1, max(fitting, default=0))


def identity(accelerator: Accelerator, *, clock: int, baud: int, board: str) -> Identity:
    """What a board with this machine says of itself.

    Parameters
    ----------
    clock : Hz
    baud : bits a second of the link
    board : at most 16 ASCII characters
    """
    net, plan = accelerator.net, accelerator.plan
    t, out, f = net.input, net.output, formats(net, plan, PLAIN)
    major, minor, patch = (int(part) for part in version("bitfold").split(".")[:3])
    return Identity(
        protocol=PROTOCOL,
        version=(major, minor, patch),
        network=net.digest(),
        plan=plan.digest(),
        board=board,
        clock=clock,
        baud=baud,
        height=t.height,
        width=t.width,
        channels=t.channels,
        sample_bytes=f.in_bytes,
        sample_signed=f.in_signed,
        out_height=out.height,
        out_width=out.width,
        out_channels=out.channels,
        value_bytes=f.out_bytes,
        cycles=accelerator.cycles,
        in_flight=IN_FLIGHT,
        buffer=waiting(t.pixels * t.channels * f.in_bytes, PIECE.size + plan.loadable, plan.family) - 1,
        load_words=accelerator.loader.length if accelerator.loader else 0,
    )


@dataclass(frozen=True)
class _Units:
    """All that stands around a machine."""

    uart_receiver: UartReceiver
    receiver: Receiver
    pieces: Queue
    feeder: Feeder
    sequences: Queue
    requests: Queue
    transmitter: Transmitter
    uart_transmitter: UartTransmitter
    load_feeder: Feeder | None


class Shell(wiring.Component):
    """A machine behind a host link: protocol.py and docs/host_link.md have its frames.

    Parameters
    ----------
    clock : Hz of the domain `sync`
    baud : bits a second, at most a fifth of the clock
    board : its name, at most 16 ASCII characters

    Members
    -------
    rx : In(1), the wire from the host; no clock of ours
    tx : Out(1), the wire to the host
    activity : Out(1), a result has just left
    trouble : Out(1), a frame has just been refused
    best : Out, the last image's class

    Attributes
    ----------
    identity : what it says of itself
    """

    def __init__(self, accelerator: Accelerator, *, clock: int, baud: int, board: str):
        self.accelerator = accelerator
        self.identity = identity(accelerator, clock=clock, baud=baud, board=board)
        f, family = formats(accelerator.net, accelerator.plan, PLAIN), accelerator.plan.family
        source = accelerator.i.payload.shape()["pixel"].shape
        words = self.identity.load_words
        result = accelerator.o.payload.shape()
        self._units = _Units(
            UartReceiver(clock, baud),
            Receiver(self.identity.image_bytes, words * COLUMN // 8),
            Queue(bytes_flow(PIECE.size + bool(words)), self.identity.buffer + 1, family),
            Feeder(source.size, f.in_beats),
            Queue(bytes_flow(8), IN_FLIGHT, family),
            Queue(bytes_flow(REQUEST.size), REQUESTS, family),
            Transmitter(result, f.out_beats, self.identity.pack(), family),
            UartTransmitter(clock, baud),
            Feeder(COLUMN, words) if words else None,
        )
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "activity": Out(1),
                "trouble": Out(1),
                "best": Out(f.best_bits),
            }
        )

    @property
    def resources(self) -> Resources:
        """What it takes of the plan's device beside the machine."""
        family = self.accelerator.plan.family
        counters = 2 * 32 + 8 * len(Reason)
        own = Resources(counters + 70, counters + len(self.best) + 16)
        if self.identity.load_words:
            own += Resources(40, 12)
        return own + total(unit.resources(family) for unit in vars(self._units).values() if unit)

    def elaborate(self, platform):
        m = Module()
        units, machine = self._units, self.accelerator
        clear = units.transmitter.clear
        for name in ("uart_receiver", "receiver", "requests", "transmitter", "uart_transmitter"):
            m.submodules[name] = getattr(units, name)
        for name in ("pieces", "feeder", "sequences"):
            m.submodules[name] = ResetInserter(clear)(getattr(units, name))
        m.submodules.machine = ResetInserter(clear)(machine)

        serial, receiver, transmitter = units.uart_receiver, units.receiver, units.transmitter
        m.d.comb += [
            serial.rx.eq(self.rx),
            self.tx.eq(units.uart_transmitter.tx),
            receiver.data.eq(serial.data),
            receiver.valid.eq(serial.valid),
            receiver.broken.eq(serial.broken),
            receiver.clear.eq(clear),
        ]

        # The last place is kept for the end of an image that has begun.
        pieces = units.pieces
        inside = Signal(range(pieces.depth + 1))
        came, went = pieces.i.valid & pieces.i.ready, pieces.o.valid & pieces.o.ready
        m.d.sync += inside.eq(inside + came - went)
        m.d.comb += [
            receiver.room.eq(inside < pieces.depth - 1),
            receiver.numbered.eq(units.sequences.i.ready),
            pieces.i.payload.eq(Cat(receiver.piece, receiver.of_load)),
            pieces.i.valid.eq(receiver.pieces),
            units.sequences.i.payload.eq(receiver.sequence),
            units.sequences.i.valid.eq(receiver.accepted),
            units.requests.i.payload.eq(receiver.request.as_value()),
            units.requests.i.valid.eq(receiver.asked),
            units.feeder.i.payload.as_value().eq(pieces.o.payload),
            machine.i.payload.pixel.as_value().eq(units.feeder.o.payload.word),
            machine.i.payload.last.eq(units.feeder.o.payload.last),
            machine.i.valid.eq(units.feeder.o.valid),
            units.feeder.o.ready.eq(machine.i.ready),
            transmitter.requests.payload.as_value().eq(units.requests.o.payload),
            transmitter.requests.valid.eq(units.requests.o.valid),
            units.requests.o.ready.eq(transmitter.requests.ready),
        ]
        wiring.connect(m, machine.o, transmitter.values)
        wiring.connect(m, units.sequences.o, transmitter.sequences)
        wiring.connect(m, transmitter.o, units.uart_transmitter.i)

        cycles, results = Signal(32), Signal(32)
        m.d.sync += [cycles.eq(cycles + 1), results.eq(results + transmitter.answered)]
        refused = [Signal(8, name=f"refused_{reason.name.lower()}") for reason in Reason]
        if units.load_feeder:
            self._add_loads(m, inside, clear)
        else:
            m.d.comb += [units.feeder.i.valid.eq(pieces.o.valid), pieces.o.ready.eq(units.feeder.i.ready)]
        asked = data.View(REQUEST, units.requests.i.payload)
        trouble = units.requests.i.valid & ~asked.sound
        for reason, counter in zip(Reason, refused, strict=True):
            with m.If(trouble & (asked.what == reason) & ~counter.all()):
                m.d.sync += counter.eq(counter + 1)
        dropped = (machine.short_frames, machine.long_frames)
        dropped = [Mux(number[8:].any(), 0xFF, number[:8]) for number in dropped]
        m.d.comb += transmitter.counts.eq(Cat(cycles, results, *refused, *dropped))
        with m.If(clear):
            m.d.sync += [counter.eq(0) for counter in (cycles, results, inside, *refused)]

        # A light that an event has lit goes out at the second tick.
        for light, event in ((self.activity, transmitter.answered), (self.trouble, trouble)):
            again = Signal()
            with m.If(event):
                m.d.sync += [light.eq(1), again.eq(1)]
            with m.Elif(cycles[:GLOW].all()):
                m.d.sync += [light.eq(again), again.eq(0)]
        with m.If(machine.o.valid & machine.o.ready & machine.o.payload.last):
            m.d.sync += self.best.eq(machine.o.payload.best)
        return m

    def _add_loads(self, m: Module, inside: Value, clear: Value) -> None:
        """Loads out of the pieces into the machine, and the answer to each; `inside` is the number of pieces that wait.

        Loads and images wait in one queue, so each image meets the weights that were loaded when it was sent. No image
        is let in until nothing waits behind a load: one that the machine cannot take would hold up the next load.
        """
        units, machine = self._units, self.accelerator
        receiver, pieces, requests = units.receiver, units.pieces, units.requests
        m.submodules.load_feeder = feeder = ResetInserter(clear)(units.load_feeder)
        is_load = pieces.o.payload[-1]
        m.d.comb += [
            feeder.i.payload.as_value().eq(pieces.o.payload[:-1]),
            feeder.i.valid.eq(pieces.o.valid & is_load),
            units.feeder.i.valid.eq(pieces.o.valid & ~is_load),
            pieces.o.ready.eq(Mux(is_load, feeder.i.ready, units.feeder.i.ready)),
            machine.load.payload.eq(feeder.o.payload.as_value()),
            machine.load.valid.eq(feeder.o.valid),
            feeder.o.ready.eq(machine.load.ready),
        ]
        loading = Signal()  # pieces of a load may wait
        m.d.comb += receiver.open.eq(machine.loaded & ~loading)
        with m.If(receiver.pieces & receiver.of_load):
            m.d.sync += loading.eq(1)
        with m.Elif(inside == 0):
            m.d.sync += loading.eq(0)

        number = Signal(8)
        waits, judged = Signal(), Signal()  # a whole load for its answer; its last word has been taken
        with m.If(receiver.loaded):
            m.d.sync += [waits.eq(1), number.eq(receiver.sequence)]
        with m.If(waits & feeder.o.valid & feeder.o.ready & feeder.o.payload.last):
            m.d.sync += judged.eq(1)
        with m.If(judged & (machine.loaded | machine.refused) & ~receiver.asked):
            answer = data.View(REQUEST, requests.i.payload)
            m.d.comb += [
                answer.sequence.eq(number),
                answer.sound.eq(machine.loaded),
                answer.what.eq(Mux(machine.loaded, Kind.LOAD & 7, Reason.LOAD)),
                requests.i.valid.eq(1),
            ]
            with m.If(requests.i.ready):
                m.d.sync += [waits.eq(0), judged.eq(0)]
        with m.If(clear):
            m.d.sync += [loading.eq(0), waits.eq(0), judged.eq(0)]
