"""That a convolution's circuit computes the dot products of its own weights, for all activations."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...hw.stages.conv import ConvStage
from ...hw.stages.requantise import Scaler
from ...hw.stream.load import RESTART
from ...model.layers import Layer
from .circuit import Circuit
from .contents import held, no_load
from .evaluate import Evaluator
from .linear import Form, Number, Run, driven, joined, number, part_of, plus, whole
from .rows import Kind, Row

SUMS = Kind(
    "dot products",
    "every output's accumulator ends, for all activations, with the sum that the layer's weights and constants say, "
    "and no such sum leaves its width",
    "that it does so whatever pauses are between taps: without any, and with some at random, it is run",
)

CODES = Kind(
    "rounding and clip",
    "of every sum that a channel can have the code is the layer's, shifted, rounded and clipped",
    "that the sum is right",
)

WINDOWS = 6
"""On which arrays are run that keep no sums of unknowns; the first two of the least and of the largest codes."""

PAUSE = 3
"""Cycles between two taps, at the most, of arrays that are run with pauses."""

LINEAR = "the netlist on unknowns"
NUMBERS = "the netlist on all numbers"


def prove_products(stage: ConvStage, circuit: Circuit, layers: Sequence[Layer] = ()) -> Row:
    """Run a stage on unknown taps, for each group of its outputs; where it is loaded, with those layers.

    Arrays that count bits keep no sums of unknowns: these are run on random taps instead.
    """
    started = time.process_time()
    fan_in, top = stage.layer.fan_in * stage.turns, stage.taken.hi - stage.taken.lo
    tops = np.full(fan_in, top)
    taps: list[Number] = [Form(row, 0, tops) for row in np.eye(fan_in, dtype=np.int64)]
    wrong = _wrong(stage, circuit, layers, taps)
    if wrong is not None:
        state = "refuted" if wrong else "proven"
        return Row(SUMS, state, "sums of unknowns", LINEAR, 0, time.process_time() - started, wrong)
    random = np.random.default_rng(0)
    some = [np.zeros(fan_in, int), tops, *random.integers(0, top + 1, (WINDOWS - 2, fan_in))]
    wrong = next((found for each in some if (found := _wrong(stage, circuit, layers, each.tolist())) != ""), "")
    state = {None: "open", "": "tested"}.get(wrong, "refuted")
    seconds = time.process_time() - started
    return Row(SUMS, state, f"{WINDOWS} random windows", NUMBERS, 0, seconds, wrong or "")


def prove_codes(stage: ConvStage, circuit: Circuit, layers: Sequence[Layer] = ()) -> Row:
    """Run what follows the accumulators on every sum of every channel; where it is loaded, of those layers."""
    started = time.process_time()
    scaler, width = _scaler(stage, layers), stage.scaler.width
    sums = np.arange(scaler.source.lo, scaler.source.hi + 1)
    place = "turned.result" if stage.turned else "queue.w_data" if stage.credits > 1 else "o__payload"
    held = circuit[place].node
    run = Evaluator(circuit, (circuit.next[held],))
    codes, wrong = stage.sink.tensor.bits, ""
    given_sums = np.broadcast_to(sums[:, None], (len(sums), scaler.source.channels))
    expected = scaler.layer(given_sums).astype(np.int64) - scaler.layer.lo
    for channel in range(scaler.source.channels):
        values = (sums + int(scaler.addend[channel])) & (1 << width) - 1
        lane = channel % stage.pe
        # What the register held before stays only where nothing is done.
        none = np.zeros_like(sums)
        given = {circuit.inputs["rst"]: none, held: none, circuit["array0.done"].node: none + 1}
        for k in range(len(stage.arrays)):
            given |= _registers(circuit, circuit[f"array{k}.results"].node, values.astype(object) << lane * width)
        [found] = run(given).values()
        for k in range(len(stage.arrays)):
            got = found >> (k * stage.pe + lane) * codes & (1 << codes) - 1
            if (different := np.flatnonzero(got != expected[:, channel])).size:
                wrong = f"output {channel}, sum {sums[different[0]]}: the code is {got[different[0]]}"
    state = "refuted" if wrong else "proven"
    return Row(CODES, state, "every sum", NUMBERS, 0, time.process_time() - started, wrong)


def _scaler(stage: ConvStage, layers: Sequence[Layer]) -> Scaler:
    """What follows the accumulators where the stage is loaded with those layers; its own where there are none."""
    return replace(stage.scaler, layer=layers[1]) if len(layers) > 1 else stage.scaler


def _registers(circuit: Circuit, place: int, values: NDArray[np.object_]) -> dict[int, NDArray[np.object_]]:
    """What the registers that a node is put together from must be for it to be `values`."""
    node = circuit.nodes[place]
    if node.op != "concat":
        return {place: values}
    high, low = node.args
    width = circuit.nodes[low].width
    return _registers(circuit, low, values & (1 << width) - 1) | _registers(circuit, high, values >> width)


def _wrong(stage: ConvStage, circuit: Circuit, layers: Sequence[Layer], taps: Sequence[Number]) -> str | None:
    """Which output is wrong for these taps, and how; "" where none is, None where it cannot be told.

    taps : those of a window, or of all windows that take turns, one after the other
    """
    # Each array by itself: windows side by side overlap, and what one of them reads is among what another does.
    random = np.random.default_rng(0)
    steps = stage.depth + (stage.turns if stage.turns > 1 else 0)
    pauses = np.zeros(steps, int), random.integers(0, PAUSE + 1, steps) * random.integers(0, 2, steps)
    contents = held(stage, circuit, layers)
    found = (
        _wrong_in(stage, circuit, layers, contents, array, taps, pause)
        for array in range(len(stage.arrays))
        for pause in pauses
    )
    return next((wrong for wrong in found if wrong != ""), "")


def _wrong_in(
    stage: ConvStage,
    circuit: Circuit,
    layers: Sequence[Layer],
    contents: Mapping[int, Sequence[int]],
    array: int,
    taps: Sequence[Number],
    pauses: NDArray[np.int64],
) -> str | None:
    """As `_wrong`, of one of the windows side by side, with so many cycles before each tap in which none is read."""
    layer, scaler = layers[0] if layers else stage.layer, _scaler(stage, layers)
    width = scaler.width
    weights = np.where(layer.weights.reshape(len(layer.weights), -1), 1, -1)
    dot, simd, turns, total = stage.dot_cycles, stage.simd, stage.turns, stage.depth
    windows = [taps[start : start + layer.fan_in] for start in range(0, len(taps), layer.fan_in)]
    codes, result = circuit[f"array{array}.codes"].node, circuit[f"array{array}.results"].node
    bits = len(stage.arrays[array].codes) // simd
    done = circuit["array0.done"].node
    run = Run(circuit, (done, result), contents)
    ended = 0
    # The index of a word of weights comes so many cycles ahead of it, and of a part of one as many taps more.
    ahead, early = 0 if stage.wired else 2 + stage.late, turns if turns > 1 else 0
    asked = np.cumsum(pauses + 1) - 1
    for cycle in range(-RESTART, int(asked[-1]) + ahead + stage.arrays[array].latency + 2):
        fetched = cycle - ahead in asked
        step = int(np.searchsorted(asked, cycle - ahead)) - early
        here = fetched and step >= 0
        at, turn = divmod(step, turns)
        given = {circuit.inputs["rst"]: number(int(cycle < 0), 1), **no_load(circuit)}
        if "index" in circuit:
            index = circuit["index"]
            given[index.node] = number(int(np.searchsorted(asked, cycle)) % total, index.width)
        for name, bit in (
            ("array0.valid", here),
            ("array0.first", here and at % dot == 0),
            ("array0.last", here and at % dot == dot - 1),
            ("window.foremost", here and turn == 0),
            ("window.fetched", fetched),
        ):
            if name in circuit:
                given[circuit[name].node] = number(int(bit), 1)
        # What stands there while none is read is as unknown.
        word = joined((bits, windows[turn][at % dot * simd + k] if here else taps[k]) for k in range(simd))
        found = run.step(given | driven(circuit, codes, word))
        if found[done] != number(1, 1):
            continue
        group, turn = divmod(ended, turns)
        for lane in range(stage.pe):
            channel = group * stage.pe + lane
            value = whole(part_of(found[result], (lane + 1) * width - 1, lane * width))
            if value is None:
                return None
            constant = int(scaler.addend[channel]) + stage.taken.lo * int(weights[channel].sum())
            said = _said(weights[channel], windows[turn], constant)
            low, high = said.interval if isinstance(said, Form) else (said, said)
            if not _same(value, said, width):
                return f"output {channel}: another sum than the layer's"
            if low < -(1 << width - 1) or high >= 1 << width - 1:
                return f"output {channel}: a sum does not fit {width} bits"
        ended += 1
    return "" if ended == stage.groups * turns else None


def _said(weights: NDArray[np.int64], taps: Sequence[Number], constant: int) -> Number:
    """What the layer says of a window's taps."""
    total: Number = constant
    for weight, tap in zip(weights.tolist(), taps, strict=True):
        total = plus(total, tap, weight)
    return total


def _same(value: Number, said: Number, width: int) -> bool:
    """Whether two numbers are the same modulo 2^width, whatever the unknowns are."""
    different = plus(value, said, -1)
    if isinstance(different, int):
        return different % (1 << width) == 0
    return different.divides(1 << width) and different.constant % (1 << width) == 0
