# amaranth: UnusedElaboratable=no
"""Frames of a host: what they ask for, and the images and loads in them."""

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...hw.device.resources import Resources, counter
from ...hw.device.target import Family
from ..protocol import HEADER, OVERHEAD, Kind, Reason
from .crc import ByteCrc
from .stuffing import Unstuffer

REQUEST = data.StructLayout({"sequence": 8, "sound": 1, "what": 3})
"""What a frame was: the number it says; whether it is answered, and then its Kind's lowest bits, else the Reason."""

PIECE = data.StructLayout({"byte": 8, "end": 1})
"""A byte of an image or a load, or with `end` what became of it: 1 it is whole, 0 it is not."""


class Receiver(wiring.Component):
    """Takes frames apart and judges them.

    An image's bytes leave before it is known whether the frame is whole; what ends them tells. Bytes come as fast as
    the wire gives them: where nobody takes a piece the image is lost, and its frame refused as an overrun. A load's
    bytes leave in the same way.

    Parameters
    ----------
    image_bytes : of an image, at least 1
    load_bytes : of a load, 0 where there are none

    Members
    -------
    data, valid, broken : In, as UartReceiver gives them
    room : In(1), two more pieces at least will be taken, or one and the image has begun
    numbered : In(1), one more sequence number will be taken
    open : In(1), images can be answered
    piece : Out(PIECE), of an image, or of a load with `of_load`; `pieces` tells when
    pieces, of_load : Out(1)
    sequence : Out(8), the number of an image or a load; `accepted` or `loaded` tells when, with its end
    accepted, loaded : Out(1)
    request : Out(REQUEST), what a frame was, whole images and loads left out; `asked` tells when
    asked : Out(1)
    clear : In(1), what has come of an image is gone
    """

    def __init__(self, image_bytes: int, load_bytes: int = 0):
        self.image_bytes, self.load_bytes = image_bytes, load_bytes
        super().__init__(
            {
                "data": In(8),
                "valid": In(1),
                "broken": In(1),
                "room": In(1),
                "numbered": In(1),
                "open": In(1, init=1),
                "piece": Out(PIECE),
                "pieces": Out(1),
                "of_load": Out(1),
                "sequence": Out(8),
                "accepted": Out(1),
                "loaded": Out(1),
                "request": Out(REQUEST),
                "asked": Out(1),
                "clear": In(1),
            }
        )

    @property
    def _most(self) -> int:
        """Bytes of the longest payload."""
        return max(self.image_bytes, self.load_bytes)

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        count = counter(self._most + OVERHEAD + 2, family)
        return Unstuffer().resources(family) + ByteCrc().resources(family) + count + Resources(60, 20)

    def elaborate(self, platform):
        m = Module()
        m.submodules.unstuffer = wire = Unstuffer()
        m.submodules.crc = crc = ByteCrc()
        # Bytes of the frame so far; it stops where no frame of a host is as long.
        top = self._most + OVERHEAD + 1
        count = Signal(range(top + 1))
        kind = Signal(8)
        sequence = Signal(8)
        fits = Signal()  # the length said is that of the kind
        begun = Signal()  # pieces of this image have left
        lost = Signal()  # and some did not
        shut = Signal()  # when the frame began no image could be answered
        is_image = kind == Kind.IMAGE
        is_load = kind == Kind.LOAD if self.load_bytes else Const(0)
        payload = Mux(is_image, self.image_bytes, Mux(is_load, self.load_bytes, 0))
        m.d.comb += [
            wire.data.eq(self.data),
            wire.valid.eq(self.valid),
            wire.broken.eq(self.broken),
            crc.byte.eq(wire.byte),
            crc.valid.eq(wire.given),
            crc.start.eq(wire.given & (count == 0)),
        ]
        with m.If(wire.given):
            with m.If(count != top):
                m.d.sync += count.eq(count + 1)
            with m.If(count == 0):
                m.d.sync += [kind.eq(wire.byte), fits.eq(1), shut.eq(~self.open)]
            with m.Elif(count == 1):
                m.d.sync += sequence.eq(wire.byte)
            for byte in range(2, HEADER.size):
                said = (payload >> 8 * (byte - 2))[:8]
                with m.If((count == byte) & (wire.byte != said)):
                    m.d.sync += fits.eq(0)
            inside = (count >= HEADER.size) & (count < HEADER.size + payload)
            with m.If(inside & fits & ~(is_image & shut)):
                m.d.comb += [self.piece.byte.eq(wire.byte), self.pieces.eq(self.room & ~lost)]
                m.d.sync += lost.eq(~self.pieces)
                with m.If(self.pieces):
                    m.d.sync += begun.eq(1)

        whole = wire.sound & crc.match & (count >= OVERHEAD)
        length = fits & (count == payload + OVERHEAD)
        known = is_image | is_load | (kind == Kind.IDENTIFY) | (kind == Kind.COUNT) | (kind == Kind.RESET)
        reason = Signal(3)
        m.d.comb += [
            self.sequence.eq(sequence),
            self.of_load.eq(is_load),
            self.request.sequence.eq(sequence),
            self.request.sound.eq(reason == 0),
            self.request.what.eq(Mux(reason == 0, kind[:3], reason)),
        ]
        with m.If(wire.flag):
            with m.If(~whole):
                m.d.comb += reason.eq(Reason.DAMAGED)
            with m.Elif(~known):
                m.d.comb += reason.eq(Reason.UNKNOWN)
            with m.Elif(~length):
                m.d.comb += reason.eq(Reason.LENGTH)
            with m.Elif(is_image & shut):
                m.d.comb += reason.eq(Reason.UNLOADED)
            with m.Elif(((is_image | is_load) & lost) | (is_image & ~self.numbered)):
                m.d.comb += reason.eq(Reason.OVERRUN)
            m.d.comb += [
                self.accepted.eq(is_image & (reason == 0)),
                self.loaded.eq(is_load & (reason == 0)),
                self.asked.eq(~self.accepted & ~self.loaded),
                self.piece.byte.eq(self.accepted | self.loaded),
                self.piece.end.eq(1),
                self.pieces.eq(begun),
            ]
            m.d.sync += [begun.eq(0), lost.eq(0), count.eq(0)]
        with m.If(self.clear):
            m.d.sync += [begun.eq(0), lost.eq(begun | wire.given)]
        return m
