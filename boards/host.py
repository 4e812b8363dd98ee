"""The host's end of the link: who a board is, and images through it."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..model.error import BadInput, install
from .protocol import OVERHEAD, Counts, Decoder, Frame, Identity, Kind, Reason

BITS_PER_BYTE = 10
FLAGS = 2
TRIES = 8
"""Times that an image, or a question, is sent before the host gives up."""

READ_SECONDS = 0.05

_Told = TypeVar("_Told", Identity, Counts)


class Port(Protocol):
    """What a serial port is to the link; pyserial's Serial is one."""

    @property
    def in_waiting(self) -> int:
        """Bytes that have come."""

    def read(self, size: int = 1, /) -> bytes:
        """At most so many bytes, after a short time fewer or none."""

    def write(self, data: bytes, /) -> int | None:
        """Send all of them."""


@contextmanager
def open_port(name: str, baud: int) -> Iterator[Port]:
    """A serial port; BadInput where there is none, it cannot be opened, or pyserial is missing."""
    try:
        import serial
        from serial.tools.list_ports import comports
    except ImportError:
        raise BadInput(f"pyserial is not installed; {install('boards')}") from None
    try:
        port = serial.Serial(name, baud, timeout=READ_SECONDS)
    except ValueError:
        raise BadInput(f"{name} does not do {baud} bits a second") from None
    except serial.SerialException as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        ports = ", ".join(sorted(each.device for each in comports())) or "none"
        raise BadInput(f"{name}: {reason}; there are these serial ports: {ports}") from None
    with port:
        yield port


@dataclass(frozen=True)
class Answer:
    """A board's answer to an image.

    index : of the image
    values : int64 [height, width, channels], what came out
    best : the class of the last pixel, as the board found it
    seconds : from the image's leaving to its answer
    tries : times the image was sent
    """

    index: int
    values: NDArray[np.int64]
    best: int
    seconds: float
    tries: int


class Link:
    """A board behind a port. Use it as a context: a thread reads while others write.

    Parameters
    ----------
    patience : seconds of silence after which what was sent counts as lost
    """

    def __init__(self, port: Port, patience: float = 1.0):
        self._port, self.patience = port, patience
        self._frames: queue.Queue[Frame | Exception] = queue.Queue()
        self._decoder = Decoder()
        self._sequence = 0
        self._open = True
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Link:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._reader.join()

    @property
    def damaged(self) -> int:
        """Frames from the board that came damaged, and were not taken for answers."""
        return self._decoder.damaged

    def _read(self) -> None:
        try:
            while self._open:
                for frame in self._decoder.feed(self._port.read(max(1, self._port.in_waiting))):
                    self._frames.put(frame)
        except OSError as error:  # a SerialException is one
            self._frames.put(error)

    def _send(self, kind: Kind, payload: bytes = b"") -> int:
        """Send a frame; its sequence number."""
        self._sequence = (self._sequence + 1) % 256
        try:
            self._port.write(Frame(kind, self._sequence, payload).encode())
        except OSError as error:
            raise RuntimeError(f"the port has failed: {error}") from None
        return self._sequence

    def _receive(self, seconds: float) -> Frame | None:
        """The next frame; None when none has come in time."""
        try:
            found = self._frames.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None
        if isinstance(found, Exception):
            raise RuntimeError(f"the port has failed: {found}")
        return found

    def _exchange(self, kind: Kind, payload: bytes, *replies: Kind) -> Frame | None:
        """Send a frame; the first reply to it that is of one of these kinds, None where none comes in time."""
        asked, until = self._send(kind, payload), time.monotonic() + self.patience
        while frame := self._receive(until - time.monotonic()):
            if frame.kind in replies and frame.sequence == asked:
                return frame
        return None

    def _ask(self, kind: Kind, reply: Kind) -> bytes:
        """The payload of a question's reply; BadInput when nobody answers it."""
        for _ in range(TRIES):
            if frame := self._exchange(kind, b"", reply):
                return frame.payload
        what = f"answers rubbish ({self.damaged} damaged frames)" if self.damaged else "does not answer"
        raise BadInput(
            f"the board {what}: see that it is programmed, its rate is right and no other program has its port"
        )

    def _learn(self, kind: Kind, reply: Kind, what: type[_Told]) -> _Told:
        """What a board tells of itself; BadInput where nobody answers, or nobody that this version understands."""
        payload = self._ask(kind, reply)
        try:
            return what.unpack(payload)
        except ValueError as error:
            raise BadInput(
                f"the board speaks another version of the link: {error}; build and program it again"
            ) from None

    def identify(self) -> Identity:
        """Who the board is; BadInput where nobody answers, or nobody that this version understands."""
        return self._learn(Kind.IDENTIFY, Kind.IDENTITY, Identity)

    def counts(self) -> Counts:
        """What the board has counted; BadInput as for `identify`."""
        return self._learn(Kind.COUNT, Kind.COUNTS, Counts)

    def reset(self) -> None:
        """Empty the machine and begin counting anew; BadInput where nobody answers."""
        self._ask(Kind.RESET, Kind.DONE)

    def load(self, load: bytes) -> None:
        """Load weights while no image is on its way; RuntimeError where that fails TRIES times."""
        why = "it was silent"
        for _ in range(TRIES):
            frame = self._exchange(Kind.LOAD, load, Kind.LOADED, Kind.REFUSED)
            if frame and frame.kind == Kind.LOADED:
                return
            if frame:
                why = f"it refused it as {refusal(frame)}"
        raise RuntimeError(f"the board took no weights, sent {TRIES} times: {why}")

    def classify(self, identity: Identity, images: Sequence[bytes], load: bytes = b"") -> Iterator[Answer]:
        """Send images, several in flight, and give each one's answer as it comes.

        Results keep the order of the images, so one that is missing was lost, and its image is sent again.

        Parameters
        ----------
        identity : the board's
        images : payloads of IMAGE
        load : what was loaded, where weights are: it is loaded again where a reset has taken it away

        RuntimeError when an image is refused or lost TRIES times.
        """
        window = in_flight(identity)
        waiting = list(range(len(images)))[::-1]
        tries = [0] * len(images)
        sent: dict[int, tuple[int, float]] = {}  # by sequence number, in order: the image, and when it left
        heard = time.monotonic()

        def lost(sequences: list[int], why: str) -> None:
            for sequence in reversed(sequences):
                index, _ = sent.pop(sequence)
                if tries[index] >= TRIES:
                    raise RuntimeError(f"the board gave no answer to image {index}, sent {TRIES} times: {why}")
                waiting.append(index)

        while waiting or sent:
            if waiting and len(sent) < window:
                index = waiting.pop()
                tries[index] += 1
                now = time.monotonic()
                sent[self._send(Kind.IMAGE, images[index])] = index, now
                heard = max(heard, now) if len(sent) == 1 else heard
                if len(sent) < window and waiting and self._frames.empty():
                    continue
            frame = self._receive(heard + self.patience - time.monotonic())
            if frame is None:
                lost(list(sent), f"it was silent for {self.patience:g} s")
                heard = time.monotonic()
                continue
            heard = time.monotonic()
            if frame.kind == Kind.REFUSED and frame.sequence in sent:
                if load and frame.payload[:1] == bytes((Reason.UNLOADED,)):
                    lost(list(sent), "its weights were gone")
                    self.load(load)
                    heard = time.monotonic()
                    continue
                lost([frame.sequence], f"it refused it as {refusal(frame)}")
            if frame.kind == Kind.RESULT and frame.sequence in sent and len(frame.payload) == identity.result_bytes:
                before = list(sent)
                lost(before[: before.index(frame.sequence)], "others were answered before it")
                index, left = sent.pop(frame.sequence)
                yield Answer(index, *_result(identity, frame.payload), heard - left, tries[index])


def in_flight(identity: Identity) -> int:
    """Images that may be on their way to a board, so that none is lost where it is slower than the link."""
    bits = identity.baud / BITS_PER_BYTE
    image = (identity.image_bytes + OVERHEAD + FLAGS) / bits
    result = (identity.result_bytes + OVERHEAD + FLAGS) / bits
    if max(result, identity.cycles / identity.clock) <= image:
        return identity.in_flight
    return max(1, min(identity.in_flight, identity.buffer // (identity.image_bytes + 1)))


def refusal(frame: Frame) -> str:
    """The reason in a REFUSED frame, in a word."""
    reason = frame.payload[0] if frame.payload else 0
    return Reason(reason).name.lower() if reason in set(Reason) else f"reason {reason}"


def _result(identity: Identity, payload: bytes) -> tuple[NDArray[np.int64], int]:
    """The values and the class of a result."""
    size = identity.value_bytes
    raw = np.frombuffer(payload[:-2], np.uint8).reshape(-1, size).astype(np.int64)
    values = (raw << 8 * np.arange(size)).sum(axis=1)
    values -= (values >> 8 * size - 1) << 8 * size
    shape = identity.out_height, identity.out_width, identity.out_channels
    return values.reshape(shape), int.from_bytes(payload[-2:], "little")


def pixels(identity: Identity, images: NDArray[np.integer]) -> list[bytes]:
    """Payloads of IMAGE: of int [N, height, width, channels] within the input's interval."""
    size = identity.sample_bytes
    flat = images.reshape(len(images), -1, 1).astype(np.int64)
    raw = (flat >> 8 * np.arange(size) & 0xFF).astype(np.uint8)
    return [image.tobytes() for image in raw]
