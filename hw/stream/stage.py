# amaranth: UnusedElaboratable=no
"""A unit with one stream in and one out, and what it declares of itself."""

import numpy as np
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from ..device.resources import Resources
from ..device.target import Family
from .flow import Flow


class Stage(wiring.Component):
    """A unit with one stream in and one out, and what the planner and the skip queues ask of it.

    Members
    -------
    i : In(source.signature)
    o : Out(sink.signature)

    Attributes
    ----------
    source, sink : Flow in and out
    cycles : cycles a frame takes in steady state when nothing outside holds it up
    latency : cycles from the step that completes an output word to that word's being offered
    lead : pixels of input, beyond its even share, that a steady output demands
    storage : pixels of input the stage can hold
    direct : a word is offered in the cycle in which the last of what it is made of comes
    """

    latency = 1
    lead = 0
    storage = 1
    direct = False

    def __init__(self, source: Flow, sink: Flow, **members: wiring.Member):
        self.source = source
        self.sink = sink
        super().__init__({"i": In(source.signature), "o": Out(sink.signature), **members})

    @property
    def cycles(self) -> int:
        return max(self.source.frame_words, self.sink.frame_words)

    @property
    def needs(self) -> NDArray[np.int64]:
        """For each output pixel of a frame, how many input pixels must have come before it can leave.

        More than the frame has are pixels of the next one; it waits for those only where the first of them has come.
        """
        return self.source.whole(self.sink.whole(np.arange(1, self.sink.tensor.pixels + 1)))

    def spacing(self, source: int) -> int:
        """Cycles from a word out to the next, at the least, where words come in so many cycles apart."""
        return source

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it takes of a device")
