# amaranth: UnusedElaboratable=no
"""What convolutions and pools share: windows in, dot products out through a queue of results."""

import numpy as np
from amaranth import Module, Value
from amaranth.lib import wiring
from numpy.typing import NDArray

from ..device.resources import Resources
from ..device.target import Family
from ..stream.flow import Flow
from ..stream.load import LoadLink
from ..stream.results import keep, keep_resources
from ..stream.stage import Stage
from ..stream.turned import TurnedResults
from ..window.slide import SLIDE_LATENCY, SlidingWindow, Sweep
from ..window.window import Geometry, Window

JITTER = 4
"""Cycles by which results may leave late without holding up the dot products behind them."""


def credits_for(dot_cycles: int, latency: int) -> int:
    """Places for results such that a dot product may end every `dot_cycles`, its result offered `latency` later."""
    return -(-(latency + 2 + JITTER) // dot_cycles)


TURNED_LATENCY = 3
"""Cycles from the last result of windows that take turns to the first one's being offered."""


def batches_for(turns: int, groups: int, dot_cycles: int, late: int) -> int:
    """Places for all results of windows that take turns such that these never wait for those before.

    One is filled while one leaves; as long as results are under way, `late` cycles, it has not even begun to.
    """
    return 2 - (-max(0, late - turns * dot_cycles) // (turns * groups * dot_cycles))


class WindowedStage(Stage):
    """A stage whose every output word is a dot product over a window, `dot_cycles` long, or those of adjacent windows.

    A dot product ends only when its result has a place, so what lies between needs no stall. Where dot products are
    long one place is enough, a register; else results wait in a queue. Those of windows that take turns wait until
    there are all of them.

    Parameters
    ----------
    source, sink : Flow in and out
    geometry : where the windows lie; or how they slide, where words are whole taps or more
    groups : as the window's
    dot_cycles : words of the window in one dot product
    latency : cycles from the last of them, as the window gives it, to the result's being offered
    more : cycles of latency more where results wait in a queue
    family : of the device
    least : padding is the least value there is instead of real 0
    link, members : as Stage's

    Attributes
    ----------
    window : what reads the map
    turned : where results of windows that take turns wait; None where none do
    credits : places for results
    uneven_source, uneven_sink : words by which input and output deviate from an even flow, at the most
    """

    uneven_source = uneven_sink = 0
    turned: TurnedResults | None = None

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
        more: int = 0,
        least: bool = False,
        link: LoadLink | None = None,
        **members: wiring.Member,
    ):
        self.family = family
        self.geometry, self.groups, self.dot_cycles = geometry, groups, dot_cycles
        self.window: Window | SlidingWindow
        if isinstance(geometry, Sweep):
            self.latency = SLIDE_LATENCY + dot_cycles - 1 + latency + more
            # The results of all groups get their places at once, when their window begins.
            self.credits = -(-(self.latency + 2) // dot_cycles) + 1 + groups
            self.uneven_source, outward = geometry.uneven(dot_cycles * groups)
            self.uneven_sink = outward * groups
            self.window = SlidingWindow(
                source, geometry, parts=dot_cycles, groups=groups, credits=self.credits, family=family, least=least
            )
            kept = geometry.lead
        else:
            turns = geometry.turns

            def places(ahead: int) -> int:
                """Those for results, from the cycles that the window takes to read a word."""
                if turns > 1:
                    late = ahead + latency + more + TURNED_LATENCY + JITTER
                    return turns * groups * batches_for(turns, groups, dot_cycles, late)
                found = credits_for(dot_cycles, ahead + latency)
                return found if found == 1 else credits_for(dot_cycles, ahead + latency + more)

            self.window = Window(source, geometry, groups=groups, places=places, family=family, least=least)
            self.credits = self.window.credits
            self.latency = self.window.ring.latency + self.window.latency + latency + (more if self.credits > 1 else 0)
            if turns > 1:
                batches = self.credits // (turns * groups)
                self.turned = TurnedResults(sink.bits, turns, groups, batches, family)
                self.latency += TURNED_LATENCY
            kept = source.held(self.window.ring.size)
        self.storage = kept + -(-sink.held(self.credits) * source.tensor.pixels // sink.tensor.pixels)
        super().__init__(source, sink, link, **members)

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
        return 1 if self.turned else self.dot_cycles

    @property
    def needs(self) -> NDArray:
        turns = self.turned.turns if self.turned else 1
        return np.repeat(self.geometry.needs, turns)

    @property
    def lead(self) -> int:
        if not self.turned:
            return self.geometry.lead
        # Results of windows that take turns leave in the time of the next ones.
        others = (self.turned.turns - 1) * self.source.tensor.pixels
        return self.geometry.lead - (-others // self.sink.tensor.pixels)

    def frame_resources(self, family: Family) -> Resources:
        """What `take` and `give` add."""
        turned = self.turned
        results = turned.resources(family) if turned else keep_resources(self.sink.bits, self.credits, family)
        return self.window.resources(family).named("line buffer") + results.named("results")

    def take(self, m: Module) -> Window | SlidingWindow:
        """Add the window at the way in."""
        m.submodules.window = window = self.window
        m.d.comb += [
            window.i.payload.eq(self.i.payload),
            window.i.valid.eq(self.i.valid),
            self.i.ready.eq(window.i.ready),
            window.returned.eq(self.turned.freed if self.turned else self.o.valid & self.o.ready),
        ]
        return window

    def give(self, m: Module, result: Value, done: Value) -> None:
        """Add the results' places at the way out: with `done`, `result` goes there."""
        if not self.turned:
            keep(m, result, done, self.o, self.credits)
            return
        m.submodules.turned = turned = self.turned
        m.d.comb += [turned.result.eq(result), turned.done.eq(done)]
        wiring.connect(m, turned.o, wiring.flipped(self.o))
