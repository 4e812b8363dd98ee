# amaranth: UnusedElaboratable=no
"""Accelerator(net, plan): the top component, for use in an Amaranth design."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

import numpy as np
from amaranth import Cat, Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.net import Net
from ..model.shape import shape
from .build import Pipeline, Tap, weights_of
from .device.component import Port
from .device.resources import Resources, total
from .plan import Plan
from .stages.frames import COUNTER_BITS, VERDICT, Admission, Classifier, FrameGate, FrameGuard
from .stages.upsets import UpsetCounters
from .stages.windowed import WindowedStage
from .stream.load import LOAD, Loader
from .stream.queue import Queue

LOAD_MAGIC = int.from_bytes(b"bfld", "little")
LOAD_VERSION = 1
"""Of what loads contain: another where arrays or memories want other contents of the same network."""

VERDICT_LATENCY = 3
"""Cycles from a frame's last word at the guard to the verdict on it in the gate: two queues and a register."""


@dataclass(frozen=True)
class _Units:
    """All of a machine: the pipeline, and what stands at its ends."""

    guard: FrameGuard
    pipeline: Pipeline
    gate: FrameGate
    classifier: Classifier
    verdicts: Queue
    admission: Admission | None = None
    loader: Loader | None = None
    upsets: UpsetCounters | None = None

    @property
    def frames_inside(self) -> int:
        """A bound on the frames that are inside at any time: a verdict waits for each, and three on their way."""
        return self.verdicts.depth + 4

    @property
    def named(self) -> dict[str, wiring.Component]:
        """The units by name."""
        ends = {"input_guard": self.guard, "output_classifier": self.classifier, "verdicts": self.verdicts}
        if self.loader:
            ends |= {"input_admission": self.admission, "loader": self.loader}
        if self.upsets:
            ends |= {"upsets": self.upsets}
        return ends | self.pipeline.units

    @cached_property
    def parts(self) -> Mapping[str, Resources]:
        """What each takes of the plan's device."""
        return {name: unit.resources(self.pipeline.plan.family) for name, unit in self.named.items()}


def _grow(net: Net, plan: Plan, depths: Mapping[str, int], single: Collection[str] = ()) -> _Units:
    """The units of a network; `depths` and `single`, what lies in blocks with one port, as Pipeline says."""
    guard = FrameGuard(plan.source(net.input), plan.family)
    pipeline = Pipeline(plan, single, depths)
    end = pipeline.grow(pipeline.start(guard.sink, Port(guard, "o")), net.body, "")
    end = pipeline.convert(end, "output", plan.output_lanes)
    stages = [stage for _, stage in pipeline.stages]
    early = end.flow.tensor.pixels > 1 or end.needs[0] < net.input.pixels
    if early or not any(isinstance(stage, WindowedStage) for stage in stages):
        # The verdict on a frame comes with its last pixel. Until then a map's first rows wait here, and every frame
        # where there is no window that takes it in; the next one's words, while the verdict is still on its way.
        words = end.flow.frame_words
        ahead = max(0, VERDICT_LATENCY - sum(stage.latency for stage in stages if not stage.direct))
        end = pipeline.queue(end, "output_frame", max(2, words + ahead), together=words)
    gate = FrameGate(end.flow)
    end = pipeline.add(end, "output_gate", gate)
    classifier = Classifier(end.flow, plan.family)
    pipeline.joined.append((end.port, Port(classifier, "i")))
    frames = sum(-(-stage.storage // stage.source.tensor.pixels) for _, stage in pipeline.stages)
    units = _Units(guard, pipeline, gate, classifier, Queue(VERDICT, frames + 2, plan.family))
    if protected := pipeline.protected:
        units = replace(units, upsets=UpsetCounters(protected))
    if not plan.loadable:
        return units
    count = sum(stage.link.words for _, stage in pipeline.loaded)
    admission = Admission(guard, units.frames_inside)
    return replace(units, admission=admission, loader=Loader(_header(net, plan, count), count))


def _header(net: Net, plan: Plan, count: int) -> list[int]:
    """The words with which a load of a machine begins; `net` is the shape, and `count` words of contents follow."""
    digest = sha256(f"{net.digest()} {plan.digest()}".encode()).digest()
    return [LOAD_MAGIC, LOAD_VERSION, *np.frombuffer(digest, "<u4").tolist(), count]


def _fitting(net: Net, plan: Plan, depths: Mapping[str, int]) -> _Units:
    """The units of a network; where blocks run out, some rings and weights lie in as few as will do with one port."""
    units, device = _grow(net, plan, depths), plan.device
    if device is None or device.single_port is None:
        return units
    kind, other = plan.family.blocks[0].kind, device.single_port.kind

    def lacking(units: _Units) -> int:
        return total(units.parts.values()).blocks.get(kind, 0) - device.blocks[kind]

    if (wanted := lacking(units)) <= 0:
        return units
    # For each number of blocks with one port: what most is saved, and by which rings and weights.
    best: list[tuple[int, tuple[str, ...]]] = [(0, ())] * (device.blocks[other] + 1)
    for called in (str, weights_of):
        moved = _grow(net, plan, depths, {called(name) for name in units.named}).parts
        for name in sorted(units.parts.keys() & moved.keys()):
            cost = moved[name].blocks.get(other, 0)
            saved = units.parts[name].blocks.get(kind, 0) - moved[name].blocks.get(kind, 0)
            if cost and saved > 0:
                for most in range(len(best) - 1, cost - 1, -1):
                    so_far, names = best[most - cost]
                    best[most] = max(best[most], (so_far + saved, (*names, called(name))))
    for saved, names in best:
        if saved >= wanted and lacking(found := _grow(net, plan, depths, names)) <= 0:
            return found
    return _grow(net, plan, depths, best[-1][1])


class Accelerator(wiring.Component):
    """A network as a pipeline of stages.

    Parameters
    ----------
    net : what is computed
    plan : how far it is unrolled; BadInput where it does not fold this network evenly
    depths : words of residuals' queues, by the names of these units, in the place of those derived

    Members
    -------
    i : In, a word of plan.source(net.input) a transfer: payload.pixel, an array of its samples, channel after
        channel, pixel after pixel (see ``beat.sample_shape``; a sample outside the input's interval becomes the
        nearest inside), and payload.last with a frame's last word
    o : Out, plan.output_lanes values a transfer: payload.values, signed, channel after channel, pixel after
        pixel; payload.best, the index of the pixel's largest value so far: with the pixel's last word its
        class; payload.last with a frame's last word
    short_frames, long_frames : Out, frames that ended early or late; they are dropped, the next one is right
    load : In(LOAD), where the plan's weights are loadable: the words of ``load.words``, payload.last with the last
    loaded, refused : Out, there too: frames may begin; the last load was not right
    corrected, detected : Out, where the plan protects weights: cycles in which words of them were corrected, or could
        not be; up to the largest value

    Attributes
    ----------
    net : that of which it is the machine; where weights are loadable the shape of all that it serves

    Timing
    ------
    A frame takes ``cycles`` cycles in steady state, those of the slowest stage.
    """

    def __init__(self, net: Net, plan: Plan, depths: Mapping[str, int] | None = None):
        plan.check(net)
        self.net, self.plan = shape(net) if plan.loadable else net, plan
        self._units = _fitting(self.net, plan, depths or {})
        self.pipeline = self._units.pipeline
        super().__init__(
            ({"load": In(LOAD), "loaded": Out(1), "refused": Out(1)} if plan.loadable else {})
            | ({"corrected": Out(COUNTER_BITS), "detected": Out(COUNTER_BITS)} if plan.protected else {})
            | {
                "i": self._units.guard.signature.members["i"],
                "o": self._units.classifier.signature.members["o"],
                "short_frames": Out(COUNTER_BITS),
                "long_frames": Out(COUNTER_BITS),
            }
        )

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The streams between the stages, in the order data flows."""
        return tuple(tap for tap, _ in self.pipeline.taps)

    @property
    def counters(self) -> tuple[Signal, Signal]:
        """The registers behind short_frames and long_frames."""
        return self._units.guard.short_frames, self._units.guard.long_frames

    @property
    def frames_inside(self) -> int:
        """A bound on the frames that are inside at any time."""
        return self._units.frames_inside

    @property
    def loader(self) -> Loader | None:
        """What takes loads; None where weights are in read-only memories."""
        return self._units.loader

    @property
    def units(self) -> Mapping[str, wiring.Component]:
        """All units by name: those of the pipeline, and what stands at its ends."""
        return self._units.named

    @property
    def parts(self) -> Mapping[str, Resources]:
        """What each unit takes of the plan's device, by name."""
        return self._units.parts

    @cached_property
    def resources(self) -> Resources:
        """What the whole takes of the plan's device, before synthesis."""
        return total(self.parts.values())

    @property
    def cells(self) -> int:
        """Look-up tables of the plan's device, and flip-flops that take the place of one."""
        return self.resources.cells(self.plan.family)

    @property
    def cycles(self) -> int:
        """Cycles a frame takes in steady state: those of the slowest stage."""
        return max(self._units.guard.sink.frame_words, *(stage.cycles for _, stage in self.pipeline.stages))

    def elaborate(self, platform):
        m = Module()
        units = self._units
        for name, unit in units.named.items():
            # Behind a load windows may be at work on the next frame's padding.
            fresh = units.loader and name in self.pipeline.units
            m.submodules[name] = ResetInserter(units.loader.restart)(unit) if fresh else unit
        for source, sink in self.pipeline.links:
            wiring.connect(m, source, sink)
        wiring.connect(m, units.guard.verdict, units.verdicts.i)
        wiring.connect(m, units.verdicts.o, units.gate.verdict)
        if units.loader:
            self._join_loader(m, units)
        else:
            wiring.connect(m, wiring.flipped(self.i), units.guard.i)
        wiring.connect(m, units.classifier.o, wiring.flipped(self.o))
        if units.upsets:
            m.d.comb += [
                units.upsets.were_corrected.eq(Cat(stage.corrected for stage in units.upsets.stages)),
                units.upsets.were_detected.eq(Cat(stage.detected for stage in units.upsets.stages)),
            ]
            m.d.comb += [self.corrected.eq(units.upsets.corrected), self.detected.eq(units.upsets.detected)]
        m.d.comb += [
            self.short_frames.eq(units.guard.short_frames),
            self.long_frames.eq(units.guard.long_frames),
        ]
        for tap, port in self.pipeline.taps:
            for suffix, value in (("valid", port.valid), ("ready", port.ready), ("codes", port.payload)):
                watched = Signal(value.shape(), name=f"{tap.name}_{suffix}")
                m.d.comb += watched.eq(value)
        return m

    def _join_loader(self, m: Module, units: _Units) -> None:
        """The way in, the chain of loads, and what keeps frames and loads apart."""
        admission, loader = units.admission, units.loader
        wiring.connect(m, wiring.flipped(self.i), admission.i)
        wiring.connect(m, admission.o, units.guard.i)
        wiring.connect(m, wiring.flipped(self.load), loader.i)
        end = loader.o
        for _, stage in self.pipeline.loaded:
            wiring.connect(m, end, stage.load_i)
            end = stage.load_o
        m.d.comb += [
            admission.open.eq(loader.loaded),
            admission.entered.eq(units.guard.o.valid & units.guard.o.ready),
            admission.left.eq(units.gate.left),
            loader.empty.eq(admission.empty),
            loader.back.eq(end.done),
            self.loaded.eq(loader.loaded),
            self.refused.eq(loader.refused),
        ]
