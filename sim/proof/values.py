"""That stages which make a value of each value by itself make those of their layers, of every code in every channel."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...hw.stages.requantise import RequantiseStage
from ...hw.stages.scale import ScaleStage
from ...hw.stages.table import TableStage
from ...hw.stream.load import RESTART
from ...model.layers import Layer
from .circuit import Circuit
from .contents import held, no_load
from .evaluate import WIDEST, Evaluator
from .linear import Form, Number, Run, joined, number, part_of, whole
from .products import LINEAR, NUMBERS
from .rows import Kind, Row

VALUES = Kind(
    "values",
    "of every code in every channel the value is the layer's, at a word of any place in its frame",
    "which codes come",
)

MOST = 1 << 18
"""Codes that are all tried; of more the ends are, and random ones between."""

ValueStage = RequantiseStage | ScaleStage | TableStage

Numbers = NDArray[np.object_]
"""Python's integers: words are of any width."""


def prove_values(stage: ValueStage, circuit: Circuit, layer: Layer | None = None) -> Row:
    """Run a stage on all codes, channel by channel; where it is loaded, with that layer."""
    started = time.process_time()
    layer = layer or stage.layer
    t = stage.source.tensor
    top = t.hi - t.lo
    codes = np.arange(min(top + 1, MOST)).astype(object)
    if every := top < MOST:
        how = "every code"
    else:
        random = np.random.default_rng(0)
        codes[MOST // 4 : -MOST // 4] = [int(random.integers(0, top, endpoint=True)) for _ in range(MOST // 2)]
        codes[-MOST // 4 :] += top + 1 - MOST
        how = f"{MOST} codes"
    values = np.broadcast_to((codes + t.lo).astype(np.int64)[:, None], (len(codes), t.channels))
    said = layer(values).astype(np.int64) - stage.sink.tensor.lo
    contents = held(stage, circuit, [layer])
    run = _table if isinstance(stage, TableStage) else _pipeline
    given = run(stage, circuit, contents, codes)
    wrong: str | None = ""
    count = 0
    for channel, found in given:
        count += 1
        if found is None:
            wrong = wrong or None
            continue
        if (different := np.flatnonzero(found != said[:, channel])).size:
            at = different[0]
            wrong = f"channel {channel}, code {codes[at]}: the code is {found[at]}, not {said[at, channel]}"
    if count != t.channels:
        wrong = wrong or "a word is lost"
    state = "refuted" if wrong else "open" if wrong is None else "proven" if every else "tested"
    engine = NUMBERS if isinstance(stage, TableStage) else f"{LINEAR} and numbers"
    return Row(VALUES, state, how, engine, 0, time.process_time() - started, wrong or "")


def _table(
    stage: TableStage, circuit: Circuit, contents: Mapping[int, Sequence[int]], codes: Numbers
) -> Iterator[tuple[int, Numbers]]:
    """Of each channel the codes that come out for those that go in."""
    out = Evaluator(circuit, (circuit["o__payload"].node,))
    words = {place: np.array(stored) for place, stored in contents.items()}
    ahead = Evaluator(circuit, tuple(circuit.next[place] for place in out.leaves), words)
    lanes, (bits, width) = stage.source.lanes, (stage.source.tensor.bits, stage.sink.tensor.bits)
    for lane in range(lanes):
        given = {place: np.zeros_like(codes) for place in ahead.leaves}
        for name in ("i__valid", "o__ready"):
            given[circuit.inputs[name]] = np.ones_like(codes)
        given[circuit.inputs["i__payload"]] = codes << lane * bits
        [found] = out(dict(zip(out.leaves, ahead(given).values(), strict=True))).values()
        for word in range(stage.source.words):
            yield word * lanes + lane, found >> lane * width & (1 << width) - 1


def _pipeline(
    stage: RequantiseStage | ScaleStage, circuit: Circuit, contents: Mapping[int, Sequence[int]], codes: Numbers
) -> Iterator[tuple[int, Numbers | None]]:
    """The same of sums and products with constants, whose lanes are unknown; None where they are no form of them."""
    lanes, t = stage.source.lanes, stage.source.tensor
    tops = np.full(lanes, t.hi - t.lo)
    unknown: list[tuple[int, Number | None]] = [(t.bits, Form(row, 0, tops)) for row in np.eye(lanes, dtype=np.int64)]
    scales = isinstance(stage, ScaleStage)
    ends = [circuit["results.result"]] if scales else [circuit[f"value{lane}"] for lane in range(lanes)]
    width = stage.sink.tensor.bits if scales else ends[0].width
    run = Run(circuit, (circuit["results.done"].node, *(end.node for end in ends)), contents)
    word = 0
    for cycle in range(-RESTART, (stage.source.words + 2) * (stage.latency + 2) + 1):
        given = no_load(circuit) | {
            circuit.inputs["rst"]: number(int(cycle < 0), 1),
            circuit.inputs["i__valid"]: number(1, 1),
            circuit.inputs["o__ready"]: number(1, 1),
            circuit.inputs["i__payload"]: joined(unknown),
        }
        done, *found = run.step(given).values()
        if cycle < 0 or done != number(1, 1):
            continue
        for lane in range(lanes):
            end = part_of(found[0], (lane + 1) * width - 1, lane * width) if scales else found[lane]
            values = _at(whole(end), lane, codes, width)
            yield word * lanes + lane, values if scales or values is None else _clipped(stage, circuit, lane, values)
        word += 1
        if word == stage.source.words:
            return


def _at(value: Number | None, lane: int, codes: Numbers, width: int) -> Numbers | None:
    """What a word of so many bits is for the codes of its lane."""
    if isinstance(value, int):
        return np.full_like(codes, value % (1 << width))
    if value is None or value.floors or np.delete(value.factors, lane).any():
        return None
    return (codes * int(value.factors[lane]) + value.constant) % (1 << width)


def _clipped(stage: RequantiseStage | ScaleStage, circuit: Circuit, lane: int, values: Numbers) -> Numbers:
    """What comes of a lane's sums."""
    result, value = circuit["results.result"].node, circuit[f"value{lane}"].node
    run = Evaluator(circuit, (result,))
    if max(circuit.nodes[place].width for place in (result, value)) <= WIDEST:
        values = values.astype(np.int64)
    given = {place: np.zeros_like(values) for place in run.leaves}
    [found] = run(given | {value: values}).values()
    bits = stage.sink.tensor.bits
    return found >> lane * bits & (1 << bits) - 1
