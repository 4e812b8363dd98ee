# amaranth: UnusedElaboratable=no
"""From layers to stages: the table of contents of the hardware, one plain recursion."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, gcd

import numpy as np
from amaranth.lib import wiring
from numpy.typing import NDArray

from ..model.layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    Layer,
    PadChannels,
    Requantise,
    Residual,
    Scale,
    SumPool,
)
from ..model.tensor import Tensor
from .channels import PadChannelsStage
from .conv import ConvStage
from .plan import Plan
from .pool import GlobalSumStage, SumPoolStage
from .requantise import RequantiseStage
from .residual import SaturatingAdd
from .scale import ScaleStage
from .stream import Flow, Fork, Queue, Stage, converters


@dataclass(frozen=True)
class Tap:
    """A stage's output stream, to be watched: it carries the output of the layer at `path`.

    `name` prefixes the signals ``_valid``, ``_ready`` and ``_codes`` of the module ``accelerator``.
    """

    path: str
    tensor: Tensor
    lanes: int
    name: str


@dataclass(frozen=True)
class End:
    """The open end of a growing pipeline, and how it lags behind the fork (or input) that feeds it.

    flow, port : what comes out, and where
    needs : for each pixel here, how many pixels must have entered at the fork: int64 [pixels]
    lead : the same for an even flow, in pixels at the fork beyond the even share
    rate : pixels at the fork for each pixel here
    """

    flow: Flow
    port: wiring.PureInterface
    needs: NDArray[np.int64]
    lead: Fraction = Fraction(0)
    rate: Fraction = Fraction(1)


@dataclass
class Pipeline:
    """All units of a network and how they are joined; built once, before anything is elaborated."""

    plan: Plan
    units: dict[str, wiring.Component] = field(default_factory=dict)
    links: list[tuple[wiring.PureInterface, wiring.PureInterface]] = field(default_factory=list)
    taps: list[tuple[Tap, wiring.PureInterface]] = field(default_factory=list)

    @property
    def stages(self) -> Iterator[tuple[str, Stage]]:
        """(name, stage) of every unit with one stream in and one out."""
        return ((name, unit) for name, unit in self.units.items() if isinstance(unit, Stage))

    def start(self, flow: Flow, port: wiring.PureInterface) -> End:
        """The end from which a pipeline, or the branch of a residual, grows."""
        return End(flow, port, np.arange(1, flow.tensor.pixels + 1))

    def add(self, end: End, name: str, stage: Stage) -> End:
        """Append a stage."""
        self.units[name] = stage
        self.links.append((end.port, stage.i))
        slowest = max(1, stage.cycles // stage.sink.tensor.pixels)
        late = Fraction(stage.latency, slowest) + 1
        growth = Fraction(stage.source.tensor.pixels, stage.sink.tensor.pixels)
        return End(
            stage.sink,
            stage.o,
            end.needs[stage.needs - 1],
            end.lead + end.rate * (stage.lead + growth * late),
            end.rate * growth,
        )

    def convert(self, end: End, name: str, lanes: int) -> End:
        """Append what turns the flow into one of `lanes` lanes."""
        for stage in converters(end.flow, lanes):
            kind = type(stage).__name__.lower()
            end = self.add(end, f"{name}_{kind}", stage)
        return end

    def grow(self, end: End, layer: Layer, path: str) -> End:
        """Append the stages of a layer."""
        name = "layer_" + (path.replace(".", "_") or "body")
        source = end.flow.tensor
        match layer:
            case Chain():
                return self.grow_chain(end, layer, path)
            case Residual():
                end = self.grow_residual(end, layer, path, name)
            case BinaryConv():
                end = self.grow_conv(end, layer, None, path, name)
            case Requantise():
                end = self.add(end, name, RequantiseStage(end.flow, layer, self.plan.family))
            case Scale():
                end = self.add(end, name, ScaleStage(end.flow, layer, self.plan.family))
            case SumPool():
                end = self.convert(end, name, self.plan.foldings[path].pe)
                end = self.add(end, name, SumPoolStage(end.flow, layer, self.plan.family))
            case GlobalSum():
                end = self.add(end, name, GlobalSumStage(end.flow, layer, self.plan.family))
            case PadChannels():
                end = self.convert(end, name, gcd(end.flow.lanes, source.channels, layer.channels))
                # While zeros go out, what comes in waits here instead of holding up its stage.
                end = self.add(end, f"{name}_pixel", Queue(end.flow, end.flow.words, self.plan.family))
                end = self.add(end, name, PadChannelsStage(end.flow, layer))
            case _:
                raise TypeError(f"no stage for a layer of kind {type(layer).__name__}")
        self.taps.append((Tap(path, end.flow.tensor, end.flow.lanes, "tap" + name.removeprefix("layer")), end.port))
        return end

    def grow_chain(self, end: End, chain: Chain, path: str) -> End:
        """Append a chain; a Requantise right after a BinaryConv becomes part of its stage."""
        dot = path + "." if path else ""
        layers = list(enumerate(chain.layers))
        while layers:
            index, layer = layers.pop(0)
            if isinstance(layer, BinaryConv) and layers and isinstance(layers[0][1], Requantise):
                following, requantise = layers.pop(0)
                name = "layer_" + f"{dot}{index}".replace(".", "_")
                end = self.grow_conv(end, layer, requantise, f"{dot}{index}", name)
                tap_path = f"{dot}{following}"
                tap = Tap(tap_path, end.flow.tensor, end.flow.lanes, "tap_" + tap_path.replace(".", "_"))
                self.taps.append((tap, end.port))
            else:
                end = self.grow(end, layer, f"{dot}{index}")
        return end

    def grow_conv(self, end: End, layer: BinaryConv, requantise: Requantise | None, path: str, name: str) -> End:
        folding = self.plan.foldings[path]
        end = self.convert(end, name, folding.simd)
        return self.add(end, name, ConvStage(end.flow, layer, requantise, folding, self.plan.family))

    def grow_residual(self, end: End, layer: Residual, path: str, name: str) -> End:
        """Fork, body, skip queue, saturating add."""
        dot = path + "." if path else ""
        fork = self.units[f"{name}_fork"] = Fork(end.flow)
        self.links.append((end.port, fork.i))
        body = self.grow(self.start(end.flow, fork.o0), layer.body, dot + "body")
        skip = self.grow(self.start(end.flow, fork.o1), layer.skip, dot + "skip")
        skip = self.convert(skip, f"{name}_skip", body.flow.lanes)
        depth = skip_depth(body, skip)
        if skip.lead > body.lead or (skip.needs > body.needs).any():
            # The skip is the slower branch (or is at times): then the body's words have to wait as well.
            body = self.add(body, f"{name}_body_queue", Queue(body.flow, skip_depth(skip, body), self.plan.family))
        if depth:
            skip = self.add(skip, f"{name}_queue", Queue(skip.flow, depth, self.plan.family))
        add = self.units[f"{name}_add"] = SaturatingAdd(body.flow, skip.flow, layer)
        self.links += [(body.port, add.body), (skip.port, add.skip)]
        return replace(
            end,
            flow=add.sink,
            port=add.o,
            needs=end.needs[np.maximum(body.needs, skip.needs) - 1],
            lead=end.lead + end.rate * max(body.lead, skip.lead),
            rate=end.rate * body.rate,
        )


def least_skip_depth(body: End, skip: End) -> int:
    """The fewest words with which a skip queue never hangs.

    Before word n leaves the body, needs[n] pixels have gone into it, and the skip has turned them into as
    many of its own pixels as they allow; those from n on must wait. The fork may be one word ahead.
    """
    arrived = np.searchsorted(skip.needs, body.needs, side="right")
    waiting = int((arrived - np.arange(len(arrived))).max())
    return max(0, waiting * body.flow.words - 1)


def skip_depth(body: End, skip: End) -> int:
    """Words of a skip queue that neither hangs nor ever makes the fork wait for the body's latency."""
    even = ceil(body.lead / body.rate) + 1
    return max(least_skip_depth(body, skip), even * body.flow.words)
