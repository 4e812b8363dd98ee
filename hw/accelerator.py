# amaranth: UnusedElaboratable=no
"""Accelerator(net, plan): the top component, for use in an Amaranth design."""

from functools import cached_property

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from ..model.net import Net
from .build import Pipeline, Tap
from .frames import COUNTER_BITS, VERDICT, Classifier, FrameGate, FrameGuard
from .plan import Plan
from .resources import Resources, total
from .stream import Queue


class Accelerator(wiring.Component):
    """A network as a pipeline of stages.

    Parameters
    ----------
    net : what is computed
    plan : how far it is unrolled; BadInput where it does not fold this network evenly

    Members
    -------
    i : In, plan.input_pixels a transfer in raster order: payload.pixel, an array of C samples of each (see
        ``frames.sample_shape``; a sample outside the input's interval becomes the nearest inside), and
        payload.last with a frame's last pixels
    o : Out, plan.output_lanes values a transfer: payload.values, signed, channel after channel, pixel after
        pixel; payload.best, the index of the pixel's largest value so far: with the pixel's last word its
        class; payload.last with a frame's last word
    short_frames, long_frames : Out, frames that ended early or late; they are dropped, the next one is right

    Timing
    ------
    A frame takes ``cycles`` cycles in steady state, those of the slowest stage.
    """

    def __init__(self, net: Net, plan: Plan):
        plan.check(net)
        self.net, self.plan = net, plan
        self._guard = FrameGuard(net.input, plan.input_pixels, plan.family)
        self.pipeline = pipeline = Pipeline(plan)
        end = pipeline.grow(pipeline.start(self._guard.sink, self._guard.o), net.body, "")
        end = pipeline.convert(end, "output", plan.output_lanes)
        if end.flow.tensor.pixels > 1:
            # The verdict on a frame comes with its last pixel; until then a map's first rows wait here.
            end = pipeline.add(end, "output_frame", Queue(end.flow, end.flow.frame_words, plan.family))
        self._gate = FrameGate(end.flow)
        end = pipeline.add(end, "output_gate", self._gate)
        self._classifier = Classifier(end.flow, plan.family)
        pipeline.links.append((end.port, self._classifier.i))
        frames = sum(-(-stage.storage // stage.source.tensor.pixels) for _, stage in pipeline.stages)
        self._verdicts = Queue(VERDICT, frames + 2, plan.family)
        super().__init__(
            {
                "i": self._guard.signature.members["i"],
                "o": self._classifier.signature.members["o"],
                "short_frames": Out(COUNTER_BITS),
                "long_frames": Out(COUNTER_BITS),
            }
        )

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The streams between the stages, in the order data flows."""
        return tuple(tap for tap, _ in self.pipeline.taps)

    @cached_property
    def parts(self) -> dict[str, Resources]:
        """What each unit takes of the plan's device, by name."""
        family = self.plan.family
        ends = {"input_guard": self._guard, "output_classifier": self._classifier, "verdicts": self._verdicts}
        return {name: unit.resources(family) for name, unit in (ends | self.pipeline.units).items()}

    @cached_property
    def resources(self) -> Resources:
        """What the whole takes of the plan's device, before synthesis."""
        return total(self.parts.values())

    @property
    def cycles(self) -> int:
        """Cycles a frame takes in steady state: those of the slowest stage."""
        return max(self._guard.sink.frame_words, *(stage.cycles for _, stage in self.pipeline.stages))

    def elaborate(self, platform):
        m = Module()
        m.submodules.input_guard = self._guard
        m.submodules.output_classifier = self._classifier
        m.submodules.verdicts = self._verdicts
        for name, unit in self.pipeline.units.items():
            m.submodules[name] = unit
        for source, sink in self.pipeline.links:
            wiring.connect(m, source, sink)
        wiring.connect(m, self._guard.verdict, self._verdicts.i)
        wiring.connect(m, self._verdicts.o, self._gate.verdict)
        wiring.connect(m, wiring.flipped(self.i), self._guard.i)
        wiring.connect(m, self._classifier.o, wiring.flipped(self.o))
        m.d.comb += [
            self.short_frames.eq(self._guard.short_frames),
            self.long_frames.eq(self._guard.long_frames),
        ]
        for tap, port in self.pipeline.taps:
            for suffix, value in (("valid", port.valid), ("ready", port.ready), ("codes", port.payload)):
                watched = Signal(value.shape(), name=f"{tap.name}_{suffix}")
                m.d.comb += watched.eq(value)
        return m
