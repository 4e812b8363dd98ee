# amaranth: UnusedElaboratable=no
"""A unit with one stream in and one out, and what it declares of itself."""

import numpy as np
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from ...model.layers import Layer
from ..device.component import Component
from ..device.resources import Resources
from ..device.target import Family
from .flow import Flow
from .load import CHAIN, LoadLink


class Stage(Component):
    """A unit with one stream in and one out, and what the planner and the skip queues ask of it.

    Members
    -------
    i : In(source.signature)
    o : Out(sink.signature)
    load_i, load_o : In(CHAIN), Out(CHAIN), where it has contents that are loaded

    Attributes
    ----------
    source, sink : Flow in and out
    link : its place in the chain by which contents are loaded; None where it has none
    cycles : cycles a frame takes in steady state when nothing outside holds it up
    latency : cycles from the step that completes an output word to that word's being offered
    lead : pixels of input, beyond its even share, that a steady output demands
    storage : pixels of input the stage can hold
    interval : cycles from a word's entering to the next one's, at the least
    direct : a word is offered in the cycle in which the last of what it is made of comes
    """

    latency = 1
    lead = 0
    storage = 1
    interval = 1
    direct = False

    def __init__(self, source: Flow, sink: Flow, link: LoadLink | None = None, **members: wiring.Member):
        self.source = source
        self.sink = sink
        self.link = link
        if link:
            members |= {"load_i": In(CHAIN), "load_o": Out(CHAIN)}
        super().__init__({"i": In(source.signature), "o": Out(sink.signature), **members})

    @property
    def cycles(self) -> int:
        return max(self.source.frame_words, self.sink.frame_words) * self.interval

    @property
    def needs(self) -> NDArray[np.int64]:
        """For each output pixel of a frame, how many input pixels must have come before it can leave.

        More than the frame has are pixels of the next one; it waits for those only where the first of them has come.
        """
        return self.source.whole(self.sink.whole(np.arange(1, self.sink.tensor.pixels + 1)))

    def spacing(self, source: int) -> int:
        """Cycles from a word out to the next, at the least, where words come in so many cycles apart."""
        return max(source, self.interval)

    def contents(self, *layers: Layer) -> list[list[int]]:
        """The words of each memory that is loaded, for its layer in a network: the link's, in its order.

        Its layer may be two, a convolution and the Requantise behind it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no contents to be loaded")

    def add_link(self, m: Module, *memories: wiring.Component) -> LoadLink:
        """Add the link, joined to the chain and to `fill` of the memories, in its order."""
        m.submodules.link = self.link
        wiring.connect(m, wiring.flipped(self.load_i), self.link.i)
        wiring.connect(m, self.link.o, wiring.flipped(self.load_o))
        for k, memory in enumerate(memories):
            wiring.connect(m, getattr(self.link, f"fill{k}"), memory.fill)
        return self.link

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it takes of a device")
