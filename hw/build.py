# amaranth: UnusedElaboratable=no
"""From layers to stages: the table of contents of the hardware, one plain recursion."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, gcd

import numpy as np
from amaranth.lib import wiring
from numpy.typing import ArrayLike, NDArray

from ..model.layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    Layer,
    MaxPool,
    PadChannels,
    Requantise,
    Residual,
    Scale,
    SumPool,
    Table,
    Windowed,
)
from ..model.tensor import Tensor
from .device.component import Port
from .device.protect import PROTECT
from .device.target import Family
from .plan import Folding, Plan
from .stages.channels import PadChannelsStage
from .stages.conv import ConvStage
from .stages.global_sum import GlobalSumStage, PixelSumStage
from .stages.max_pool import MaxPoolStage, SlidingMaxPoolStage
from .stages.pool import SlidingSumPoolStage, SumPoolStage
from .stages.requantise import RequantiseStage
from .stages.residual import SaturatingAdd
from .stages.running_pool import RunningPoolStage
from .stages.scale import ScaleStage
from .stages.table import TableStage
from .stages.windowed import WindowedStage
from .stream.converters import converters
from .stream.flow import Flow
from .stream.fork import Fork
from .stream.queue import Queue
from .stream.stage import Stage


@dataclass(frozen=True)
class Tap:
    """A stage's output stream, to be watched: it carries the output of the layer at `path`.

    `name` prefixes the signals ``_valid``, ``_ready`` and ``_codes`` of the module ``accelerator``.
    """

    path: str
    flow: Flow
    name: str


@dataclass(frozen=True)
class End:
    """The open end of a growing pipeline, and how it lags behind the fork (or input) that feeds it.

    flow, port : what comes out, and where
    needs : for each pixel here, how many pixels must have entered at the fork: int64 [pixels]; those beyond a
        frame are the next one's
    early : the same where no next frame begins, which lets a sliding window go on without it
    lead : the same for an even flow, in pixels at the fork beyond the even share
    rate : pixels at the fork for each pixel here
    spacing : cycles from a word to the next, at the least
    burst : the words of a pixel come so close together though the frame has time for more
    cycles : that a frame takes to come, at the least
    closer : how many times closer than evenly words may come within these cycles
    """

    flow: Flow
    port: Port
    needs: NDArray[np.int64]
    early: NDArray[np.int64]
    lead: Fraction = Fraction(0)
    rate: Fraction = Fraction(1)
    spacing: int = 1
    burst: bool = False
    cycles: int = 0
    closer: int = 1

    @property
    def even_cycles(self) -> int:
        """The cycles of a frame whose words come evenly, and no closer than they do; 0 where that is not known."""
        return 0 if self.burst else self.cycles // self.closer

    def after(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many pixels must have entered at the fork before so many are here, of this frame and those after it."""
        frames, last = np.divmod(pixels - 1, len(self.needs))
        return self.needs[last] + frames * int(self.rate * len(self.needs))

    def before(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many pixels may be here when so many have entered at the fork."""
        frames, within = np.divmod(pixels, int(self.rate * len(self.needs)))
        return frames * len(self.needs) + np.searchsorted(self.early, within, side="right")


def unit_name(path: str) -> str:
    """Name of the stage of the layer at `path`."""
    return "layer_" + (path.replace(".", "_") or "body")


def steps(chain: Chain) -> Iterator[tuple[int, Layer, Requantise | None]]:
    """The layers of a chain, each with its index and the Requantise behind it that becomes part of its stage."""
    layers = list(enumerate(chain.layers))
    while layers:
        index, layer = layers.pop(0)
        fused = isinstance(layer, BinaryConv) and layers and isinstance(layers[0][1], Requantise)
        yield index, layer, layers.pop(0)[1] if fused else None


def weights_of(name: str) -> str:
    """What the weights of a unit that are loaded are called."""
    return f"{name}.weights"


def folded_stage(
    layer: Windowed,
    t: Tensor,
    requantise: Requantise | None,
    folding: Folding,
    family: Family,
    loaded: Family | None = None,
    protect: str = PROTECT[0],
) -> WindowedStage | RunningPoolStage:
    """The stage of a layer that a plan folds, `t` its input; its source has the words that it takes."""
    if isinstance(layer, BinaryConv):
        lanes = folding.pixels * t.channels if folding.slides(t.channels) else folding.simd
        return ConvStage(Flow(t, lanes), layer, requantise, folding, family, loaded, protect)
    if folding.slides(1):
        slides = SlidingMaxPoolStage if isinstance(layer, MaxPool) else SlidingSumPoolStage
        return slides(Flow(t, folding.pixels * t.channels), layer, family)
    if RunningPoolStage.takes(t, layer, folding.pe):
        return RunningPoolStage(Flow(t, folding.pe), layer, family)
    reads = MaxPoolStage if isinstance(layer, MaxPool) else SumPoolStage
    return reads(Flow(t, folding.pe), layer, family)


@dataclass
class Pipeline:
    """All units of a network and how they are joined; built once, before anything is elaborated.

    `single` names what lies in blocks with one port: the ring of a unit, or by ``weights_of`` its weights. `loaded` are
    the stages with contents that are loaded, in the order of the chain, each with the paths of its layers. `depths` are
    words of residuals' queues, by name, in the place of those derived; `least` those with which each never hangs.
    """

    plan: Plan
    single: Collection[str] = ()
    depths: Mapping[str, int] = field(default_factory=dict)
    least: dict[str, int] = field(default_factory=dict)
    units: dict[str, wiring.Component] = field(default_factory=dict)
    joined: list[tuple[Port, Port]] = field(default_factory=list)
    watched: list[tuple[Tap, Port]] = field(default_factory=list)
    loaded: list[tuple[tuple[str, ...], Stage]] = field(default_factory=list)

    @property
    def links(self) -> list[tuple[wiring.PureInterface, wiring.PureInterface]]:
        """Which stream goes into which."""
        return [(source.interface, sink.interface) for source, sink in self.joined]

    @property
    def taps(self) -> list[tuple[Tap, wiring.PureInterface]]:
        """The streams that can be watched."""
        return [(tap, port.interface) for tap, port in self.watched]

    @property
    def stages(self) -> Iterator[tuple[str, Stage]]:
        """(name, stage) of every unit with one stream in and one out."""
        return ((name, unit) for name, unit in self.units.items() if isinstance(unit, Stage))

    @property
    def protected(self) -> list[ConvStage]:
        """The stages whose weight memories have check bits."""
        return [stage for _, stage in self.stages if isinstance(stage, ConvStage) and stage.protected]

    def family(self, name: str) -> Family:
        """Of the plan's device, with the memories that the unit may lie in."""
        device = self.plan.device
        return replace(self.plan.family, single_port=device.single_port if device and name in self.single else None)

    def start(self, flow: Flow, port: Port, cycles: int = 0) -> End:
        """The end from which a pipeline, or the branch of a residual, grows; a frame takes so many cycles to come."""
        needs = flow.whole(np.arange(1, flow.tensor.pixels + 1))
        return End(flow, port, needs, needs, cycles=cycles)

    def add(self, end: End, name: str, stage: Stage) -> End:
        """Append a stage."""
        assert name not in self.units, name
        self.units[name] = stage
        self.joined.append((end.port, Port(stage, "i")))
        # A pixel, or a word of several, at a time.
        pixels = stage.sink.pixels
        slowest = max(1, stage.cycles * pixels // stage.sink.tensor.pixels)
        late = (Fraction(stage.latency, slowest) + 1) * pixels
        growth = Fraction(stage.source.tensor.pixels, stage.sink.tensor.pixels)
        own = np.minimum(stage.needs, stage.source.tensor.pixels)
        windowed = isinstance(stage, WindowedStage)
        # What gives a few words for many that come, and holds none of them up, gives them as close as they come.
        closer = stage.source.frame_words // stage.sink.frame_words if isinstance(stage, RunningPoolStage) else 1
        return End(
            stage.sink,
            Port(stage, "o"),
            end.after(stage.needs),
            end.early[own - 1],
            end.lead + end.rate * (stage.lead + growth * late),
            end.rate * growth,
            stage.spacing(end.spacing),
            isinstance(stage, GlobalSumStage) or (end.burst and not windowed),
            max(end.cycles, stage.cycles),
            1 if windowed else end.closer * closer,
        )

    @property
    def how(self) -> tuple[Family, bool]:
        """What a stage with constants asks the plan."""
        return self.plan.family, self.plan.loadable

    def add_loaded(self, end: End, path: str, stage: Stage) -> End:
        """Append the stage of the layer at `path`, which may be loaded."""
        self.note(stage, path)
        return self.add(end, unit_name(path), stage)

    def note(self, stage: Stage, *paths: str) -> None:
        """Let the stage of the layers at the paths have its place in the chain, where it is loaded."""
        if stage.link:
            self.loaded.append((paths, stage))

    def queue(self, end: End, name: str, depth: int, together: int = 0) -> End:
        """Append a queue; `together` as it takes it."""
        return self.add(end, name, Queue(end.flow, depth, self.family(name), together))

    def convert(self, end: End, name: str, lanes: int) -> End:
        """Append what turns the flow into one of `lanes` lanes."""
        for stage in converters(end.flow, lanes, self.plan.family):
            kind = type(stage).__name__.lower()
            words = end.flow.words
            if end.burst and words > 1 and stage.sink.words > end.spacing * words:
                # A pixel's words come faster than they can go, and wait here instead of holding up the next frame's.
                end = self.queue(end, f"{name}_burst", words)
            elif end.closer > 1 and stage.sink.frame_words > max(end.even_cycles, end.flow.frame_words):
                # A row of words comes closer together than it can go, and waits until no more come.
                end = replace(self.queue(end, f"{name}_row", words * end.flow.tensor.width), closer=1)
            end = self.add(end, f"{name}_{kind}", stage)
        return end

    def grow(self, end: End, layer: Layer, path: str) -> End:
        """Append the stages of a layer."""
        name = unit_name(path)
        source = end.flow.tensor
        match layer:
            case Chain():
                return self.grow_chain(end, layer, path)
            case Residual():
                end = self.grow_residual(end, layer, path, name)
            case BinaryConv() | SumPool() | MaxPool():
                end = self.grow_folded(end, layer, None, path)
            case Requantise():
                end = self.add_loaded(end, path, RequantiseStage(end.flow, layer, *self.how, end.even_cycles))
            case Scale():
                end = self.add_loaded(end, path, ScaleStage(end.flow, layer, *self.how, end.even_cycles))
            case Table():
                end = self.add_loaded(end, path, TableStage(end.flow, layer, *self.how))
            case GlobalSum():
                while (pixels := end.flow.pixels) > 1:
                    count = next(k for k in range(2, pixels + 1) if pixels % k == 0)
                    end = self.add(end, f"{name}_pixels{pixels}", PixelSumStage(end.flow, count))
                end = self.add(end, name, GlobalSumStage(end.flow, layer, self.plan.family))
            case PadChannels():
                end = self.convert(end, name, padded_lanes(end.flow, layer))
                if end.flow.lanes % source.channels:
                    # While zeros go out, what comes in waits here instead of holding up its stage.
                    end = self.queue(end, f"{name}_pixel", end.flow.words)
                end = self.add(end, name, PadChannelsStage(end.flow, layer))
            case _:
                raise TypeError(f"no stage for a layer of kind {type(layer).__name__}")
        self.tap(end, path)
        return end

    def tap(self, end: End, path: str) -> None:
        """Let the output of the layer at `path` be watched here."""
        name = "tap" + unit_name(path).removeprefix("layer")
        self.watched.append((Tap(path, end.flow, name), end.port))

    def grow_chain(self, end: End, chain: Chain, path: str) -> End:
        """Append a chain; a Requantise right after a BinaryConv becomes part of its stage."""
        dot = path + "." if path else ""
        for index, layer, requantise in steps(chain):
            if requantise:
                end = self.grow_folded(end, layer, requantise, f"{dot}{index}", f"{dot}{index + 1}")
                self.tap(end, f"{dot}{index + 1}")
            else:
                end = self.grow(end, layer, f"{dot}{index}")
        return end

    def grow_folded(self, end: End, layer: Windowed, requantise: Requantise | None, *paths: str) -> End:
        """Append the stage of a layer that the plan folds, with queues around it where its flows are not even.

        paths : the layer's, and that of the Requantise, where there is one
        """
        name, folding = unit_name(paths[0]), self.plan.foldings[paths[0]]
        loaded = self.family(weights_of(name)) if self.plan.loadable else None
        stage = folded_stage(layer, end.flow.tensor, requantise, folding, self.family(name), loaded, self.plan.protect)
        self.note(stage, *paths)
        end = self.add_folded(self.convert(end, name, stage.source.lanes), name, stage)
        return self.convert(end, f"{name}_out", folding.out) if folding.out else end

    def add_folded(self, end: End, name: str, stage: WindowedStage) -> End:
        """Append such a stage itself, with the queues."""
        if stage.uneven_source > 1:
            end = self.queue(end, f"{name}_before", stage.uneven_source)
        end = self.add(end, name, stage)
        if stage.uneven_sink > 1:
            end = self.queue(end, f"{name}_after", stage.uneven_sink)
        return end

    def depth(self, name: str, body: End, skip: End) -> int:
        """Words of the queue of that name at the end of a `skip`; notes the fewest with which it never hangs."""
        self.least[name] = least_skip_depth(body, skip)
        return self.depths.get(name, skip_depth(body, skip))

    def grow_residual(self, end: End, layer: Residual, path: str, name: str) -> End:
        """Fork, body, skip queue, saturating add."""
        dot = path + "." if path else ""
        fork = self.units[f"{name}_fork"] = Fork(end.flow)
        self.joined.append((end.port, Port(fork, "i")))
        before = len(self.units)
        body = self.grow(self.start(end.flow, Port(fork, "o0"), end.even_cycles), layer.body, dot + "body")
        between = len(self.units)
        head, padding = unpadded(layer.skip)
        skip = self.grow(self.start(end.flow, Port(fork, "o1"), end.even_cycles), head, dot + "skip")
        units = list(self.units.values())
        path = f"{dot}skip.{len(layer.skip.layers) - 1}" if padding else ""
        if padding:
            skip = self.convert(skip, unit_name(path), padded_lanes(skip.flow, padding))
        else:
            skip = self.convert(skip, f"{name}_skip", body.flow.lanes)
        if depth := self.depth(f"{name}_queue", body, skip):
            skip = self.queue(skip, f"{name}_queue", depth, _together(skip.flow, units[before:between]))
            # What waits there leaves as the body's words come.
            skip = replace(skip, closer=1)
        if padding:
            # No zero waits in the queue.
            skip = self.add(skip, unit_name(path), PadChannelsStage(skip.flow, padding))
            self.tap(skip, path)
            skip = self.convert(skip, f"{name}_skip", body.flow.lanes)
        if skip.lead > body.lead or (skip.needs > body.early).any():
            # The skip is the slower branch (or is at times): then the body's words have to wait as well.
            together = _together(body.flow, units[between:])
            body = self.queue(body, f"{name}_body_queue", self.depth(f"{name}_body_queue", skip, body), together)
        cycles = min(body.even_cycles, skip.even_cycles)
        add = self.units[f"{name}_add"] = SaturatingAdd(body.flow, skip.flow, layer, cycles)
        self.joined += [(body.port, Port(add, "body")), (skip.port, Port(add, "skip"))]
        late = (Fraction(add.latency, add.sink.words) + 1) * add.sink.pixels
        return replace(
            end,
            flow=add.sink,
            port=Port(add, "o"),
            needs=end.after(np.maximum(body.needs, skip.needs)),
            early=end.early[np.maximum(body.early, skip.early) - 1],
            lead=end.lead + end.rate * (max(body.lead, skip.lead) + body.rate * late),
            rate=end.rate * body.rate,
            spacing=max(body.spacing, skip.spacing),
            burst=body.burst or skip.burst,
            cycles=max(body.cycles, skip.cycles, add.cycles),
        )


def unpadded(skip: Layer) -> tuple[Layer, PadChannels | None]:
    """A branch of a residual without the channels that it appends at its end, and these."""
    match skip:
        case Chain(layers=(*head, PadChannels() as padding)):
            return Chain(tuple(head)), padding
    return skip, None


def padded_lanes(flow: Flow, layer: PadChannels) -> int:
    """The lanes at which channels are appended to a flow: its own, or those of words that none of them shares."""
    whole = flow.lanes % flow.tensor.channels == 0
    return flow.lanes if whole else gcd(flow.lanes, flow.tensor.channels, layer.channels)


def _together(flow: Flow, other: Sequence[wiring.Component]) -> int:
    """Words that all come to a branch's queue before the first has to leave, with the units of the other branch.

    Those of a pixel where the other branch takes a pixel in before it gives one; else it may hold up the fork.
    """
    return flow.words if any(isinstance(unit, WindowedStage) for unit in other) else 1


def least_skip_depth(body: End, skip: End) -> int:
    """The fewest words with which a skip queue never hangs.

    Before word n leaves the body, needs[n] pixels have gone into it, and the skip has turned them into as
    many of its own pixels as they allow; those from n on must wait. The fork may be one word ahead.
    """
    arrived = skip.before(body.needs)
    waiting = int((arrived - np.arange(len(arrived))).max())
    return max(0, _words(waiting, skip.flow) - 1)


def skip_depth(body: End, skip: End) -> int:
    """Words of a skip queue that neither hangs nor ever makes the fork wait for the body's latency.

    A queue of one word could not take one in the cycle in which it gives one.
    """
    return max(least_skip_depth(body, skip), int(even_depth(ceil(body.lead / body.rate), skip.flow)))


def even_depth(lag: ArrayLike, flow: Flow) -> NDArray[np.int64]:
    """Words of a skip queue that never slows down a body that lags so many pixels behind the fork."""
    return np.maximum(2, _words(np.asarray(lag) + 1, flow))


def _words(pixels: NDArray[np.int64] | int, flow: Flow) -> NDArray[np.int64] | int:
    """Words that hold so many pixels."""
    return -(-pixels * flow.tensor.channels // flow.lanes)
