"""What convolutions and pools share: windows in, dot products out through a queue of results."""

from amaranth import Module
from amaranth.lib.fifo import SyncFIFO
from numpy.typing import NDArray

from .stream import Flow, Stage
from .target import Family
from .window import Geometry, Window

WINDOW_LATENCY = 2
"""Cycles from a step of the window to the word it reads."""


def credits_for(dot_cycles: int, latency: int) -> int:
    """Places for results such that a new dot product may start every `dot_cycles` without waiting."""
    return -(-(latency + 2) // dot_cycles) + 2


class WindowedStage(Stage):
    """A stage whose every output word is a dot product over a window, `dot_cycles` long.

    A dot product starts only when its result has a place in the queue, so what lies between needs no stall.

    Parameters
    ----------
    source, sink : Flow in and out
    geometry : where the windows lie
    groups : as Window's
    dot_cycles : words of the window in one dot product
    latency : cycles from the last of them, as the window gives it, to the result's being in the queue
    family : of the device
    """

    def __init__(
        self,
        source: Flow,
        sink: Flow,
        geometry: Geometry,
        *,
        groups: int,
        dot_cycles: int,
        latency: int,
        family: Family,
    ):
        self.family = family
        self.geometry, self.groups, self.dot_cycles = geometry, groups, dot_cycles
        self.latency = WINDOW_LATENCY + latency
        self.credits = credits_for(dot_cycles, self.latency)
        results = -(-self.credits // sink.words)
        self.storage = geometry.depth + -(-results * source.tensor.pixels // sink.tensor.pixels)
        super().__init__(source, sink)

    @property
    def cycles(self) -> int:
        return max(self.source.frame_words, self.sink.frame_words * self.dot_cycles)

    @property
    def needs(self) -> NDArray:
        return self.geometry.needs

    @property
    def lead(self) -> int:
        return self.geometry.lead

    def frame(self, m: Module) -> tuple[Window, SyncFIFO]:
        """Add the window at the way in and the queue at the way out; the caller joins them."""
        m.submodules.window = window = Window(
            self.source, self.geometry, groups=self.groups, credits=self.credits, family=self.family
        )
        m.submodules.queue = queue = SyncFIFO(width=self.sink.bits, depth=self.credits)
        m.d.comb += [
            window.i.payload.eq(self.i.payload),
            window.i.valid.eq(self.i.valid),
            self.i.ready.eq(window.i.ready),
            window.returned.eq(self.o.valid & self.o.ready),
            self.o.payload.eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
        ]
        return window, queue
