# amaranth: UnusedElaboratable=no
"""What convolutions and pools share: windows in, dot products out through a queue of results."""

from amaranth import Module
from amaranth.lib.fifo import SyncFIFO
from numpy.typing import NDArray

from ..device.resources import Resources, fifo
from ..device.target import Family
from ..stream.flow import Flow
from ..stream.load import LoadLink
from ..stream.stage import Stage
from ..window.slide import SLIDE_LATENCY, SlidingWindow, Sweep
from ..window.window import Geometry, Window

WINDOW_LATENCY = 2
"""Cycles from a step of the window to the word it reads."""


def credits_for(dot_cycles: int, latency: int) -> int:
    """Places for results such that a new dot product may start every `dot_cycles` without waiting."""
    return -(-(latency + 2) // dot_cycles) + 2


class WindowedStage(Stage):
    """A stage whose every output word is a dot product over a window, `dot_cycles` long, or those of adjacent windows.

    A dot product starts only when its result has a place in the queue, so what lies between needs no stall.

    Parameters
    ----------
    source, sink : Flow in and out
    geometry : where the windows lie; or how they slide, where words are whole taps or more
    groups : as the window's
    dot_cycles : words of the window in one dot product
    latency : cycles from the last of them, as the window gives it, to the result's being in the queue
    family : of the device
    least : padding is the least value there is instead of real 0
    link : as Stage's

    Attributes
    ----------
    window : what reads the map
    uneven_source, uneven_sink : words by which input and output deviate from an even flow, at the most
    """

    uneven_source = uneven_sink = 0

    def __init__(
        self,
        source: Flow,
        sink: Flow,
        geometry: Geometry | Sweep,
        *,
        groups: int,
        dot_cycles: int,
        latency: int,
        family: Family,
        least: bool = False,
        link: LoadLink | None = None,
    ):
        self.family = family
        self.geometry, self.groups, self.dot_cycles = geometry, groups, dot_cycles
        self.window: Window | SlidingWindow
        if isinstance(geometry, Sweep):
            self.latency = SLIDE_LATENCY + dot_cycles - 1 + latency
            # The results of all groups get their places at once.
            self.credits = credits_for(dot_cycles, self.latency) + groups - 1
            self.uneven_source, outward = geometry.uneven(dot_cycles * groups)
            self.uneven_sink = outward * groups
            self.window = SlidingWindow(
                source, geometry, parts=dot_cycles, groups=groups, credits=self.credits, family=family, least=least
            )
            kept = geometry.lead
        else:
            self.credits = credits_for(dot_cycles, WINDOW_LATENCY + latency)
            self.window = Window(source, geometry, groups=groups, credits=self.credits, family=family, least=least)
            self.latency = self.window.ring.latency + WINDOW_LATENCY + latency
            kept = source.held(self.window.ring.size)
        self.storage = kept + -(-sink.held(self.credits) * source.tensor.pixels // sink.tensor.pixels)
        super().__init__(source, sink, link)

    @property
    def uneven(self) -> bool:
        """Whether a queue before or behind it evens its flow."""
        return max(self.uneven_source, self.uneven_sink) > 1

    @property
    def cycles(self) -> int:
        if isinstance(self.geometry, Sweep):
            return int(self.geometry.costs(self.dot_cycles * self.groups).sum())
        return max(self.source.frame_words, self.sink.frame_words * self.dot_cycles)

    def spacing(self, source: int) -> int:
        return self.dot_cycles

    @property
    def needs(self) -> NDArray:
        return self.geometry.needs

    @property
    def lead(self) -> int:
        return self.geometry.lead

    def frame_resources(self, family: Family) -> Resources:
        """What `frame` adds."""
        results = fifo(self.sink.bits, self.credits, family)
        return self.window.resources(family).named("line buffer") + results.named("results")

    def frame(self, m: Module) -> tuple[Window | SlidingWindow, SyncFIFO]:
        """Add the window at the way in and the queue at the way out; the caller joins them."""
        m.submodules.window = window = self.window
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
