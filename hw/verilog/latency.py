"""How long a frame takes through a machine: when each of its words is offered, stage after stage."""

import numpy as np
from numpy.typing import NDArray

from ..accelerator import VERDICT_LATENCY, Accelerator
from ..stages.frames import FrameGate
from ..stages.global_sum import GlobalSumStage
from ..stages.pool import PoolStage
from ..stages.residual import SaturatingAdd
from ..stages.running_pool import RunningPoolStage
from ..stream.fork import Fork
from ..stream.stage import Stage

CLASSIFIER_LATENCY = 3
"""Cycles that a word of one lane takes through the Classifier; each round of its knockout takes one more."""


def latency(accelerator: Accelerator) -> int:
    """Cycles from a frame's first beat in to its last beat out, where it is alone and nothing outside holds it up.

    Computed from what the stages declare, as if each had room for all that comes to it: of shipped networks simulation
    gives the same to 1 %, of random ones up to a half more, and less where a map comes
    out or pixels are left out.
    """
    plan, pipeline = accelerator.plan, accelerator.pipeline
    fed_by = {id(sink): id(source) for source, sink in pipeline.links}
    (start, _), (end, _) = pipeline.links[0], pipeline.links[-1]
    offered = {id(start): np.arange(plan.source(accelerator.net.input).frame_words)}
    for unit in pipeline.units.values():
        match unit:
            case Fork():
                offered[id(unit.o0)] = offered[id(unit.o1)] = offered[fed_by[id(unit.i)]]
            case SaturatingAdd():
                both = np.maximum(offered[fed_by[id(unit.body)]], offered[fed_by[id(unit.skip)]])
                offered[id(unit.o)] = _spaced(both + unit.latency, 1)
            case FrameGate():  # the verdict comes with the last beat, after as long as the slowest stage takes
                came = offered[fed_by[id(unit.i)]]
                verdict = max(came[-1], accelerator.cycles - 1 + VERDICT_LATENCY)
                offered[id(unit.o)] = _spaced(np.maximum(came, verdict), 1)
            case _:
                offered[id(unit.o)] = _through(unit, offered[fed_by[id(unit.i)]])
    rounds = (plan.output_lanes - 1).bit_length()
    return int(_spaced(offered[id(end)], 1)[-1]) + CLASSIFIER_LATENCY + rounds


def words_taken(stage: Stage) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each word of a frame that a stage gives: the words of the frame that it must have taken by then, int64.

    The second tells the steps more without a word of the frame that a sliding window takes.
    """
    source, sink = stage.source, stage.sink
    words = np.arange(1, sink.frame_words + 1)
    if type(stage).needs is Stage.needs and source.tensor.channels == sink.tensor.channels:
        return -(-words * sink.lanes // source.lanes), np.zeros_like(words)
    needs = stage.needs[-(-words * sink.lanes // sink.tensor.channels) - 1]
    pixels = np.minimum(needs, source.tensor.pixels)
    taken = -(-pixels * source.tensor.channels // source.lanes)
    if isinstance(stage, PoolStage | RunningPoolStage | GlobalSumStage):  # a channel waits for itself alone
        taken -= source.words - 1 - (words - 1) % source.words
    return taken, -(-(needs - pixels) // source.pixels)


def _through(stage: Stage, came: NDArray[np.int64]) -> NDArray[np.int64]:
    """When a stage offers each word of a frame whose words have come to it at such times."""
    (taken, late), cycles = words_taken(stage), stage.spacing(1)
    ready = came[taken - 1] + late
    ready[0] = max(ready[0], came[0] + cycles - 1)
    return _spaced(ready + stage.latency * (not stage.direct), cycles)


def _spaced(ready: NDArray[np.int64], cycles: int) -> NDArray[np.int64]:
    """When words are offered that are ready at such times, so many cycles after one another at the least."""
    behind = np.arange(len(ready)) * cycles
    return np.maximum.accumulate(ready - behind) + behind
