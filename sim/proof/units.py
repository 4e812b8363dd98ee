"""All that is proven of one unit of a machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import zip_longest

from amaranth.lib import wiring

from ...hw.stages.conv import ConvStage
from ...hw.stages.frames import Admission
from ...hw.stages.global_sum import GlobalSumStage
from ...hw.stages.pool import PoolStage, SlidingPoolStage
from ...hw.stages.running_pool import RunningPoolStage
from ...hw.stages.windowed import WindowedStage
from ...hw.stream.load import Loader
from ...hw.stream.queue import Queue
from ...hw.stream.stage import Stage
from ...hw.window.window import Window
from ...model.layers import Layer
from .circuit import Bits, Circuit
from .claims import FREE, RESULTS, TURNED, Claim, Told, claims_of, hangs_on_ready
from .ends import ends
from .evaluate import MemoryInsideError
from .flips import prove_flips
from .induction import Outcome, Prover
from .invariants import guess, proven, queues
from .joins import pools
from .loads import LOADS, judges, keeps_apart, loads, prove_checksum
from .order import follows, results_follow
from .partial import whole_maps, windows_side_by_side
from .products import prove_codes, prove_products
from .rows import Kind, Row
from .slides import slides
from .streams import watched
from .taps import taps
from .values import ValueStage, prove_values
from .windows import results
from .words import words

CYCLES = 2000
"""Of the runs from which invariants are guessed."""

LIMIT = 20.0
"""Seconds of the processor for one question to the solver."""

PATIENCE = 120.0
"""The same of a queue, where a word lies in one of thousands."""

BITWUZLA = "Bitwuzla"
NETLIST = "the netlist of Yosys"


def prove_unit(unit: wiring.Component, circuit: Circuit) -> list[Row]:
    """The claims of a unit that its circuit keeps or does not; what a proof needs is added to the circuit."""
    subject = watched(circuit, unit)
    started = time.process_time()
    hanging = hangs_on_ready(subject)
    rows = [
        Row(
            FREE,
            "refuted" if hanging else "proven",
            "all paths",
            NETLIST,
            0,
            time.process_time() - started,
            f"{', '.join(hanging)} hangs on a ready" if hanging else "",
        )
    ]
    claims = claims_of(unit, subject)
    known: list[Bits] = []
    told = [ends(unit, subject), words(unit, subject), Told([], [queues(subject)])]
    if isinstance(unit, Loader):
        told.append(judges(unit, subject))
    if isinstance(unit, Admission):
        told.append(keeps_apart(unit, subject))
    if isinstance(unit, GlobalSumStage):
        told.append(whole_maps(unit, subject))
    if isinstance(unit, RunningPoolStage):
        told.append(windows_side_by_side(unit, subject))
    if isinstance(unit, WindowedStage):
        claim, before = (taps if isinstance(unit.window, Window) else slides)(unit, subject)
        for bits in before:
            known += proven(subject, bits, known, PATIENCE)
        claims.append(claim)
        watch = results(unit, subject)
        arrives = Prover(subject, known, LIMIT).prove(watch.arrives, watch.delay + 1)
        rows.append(_row(RESULTS, arrives))
        if arrives.proven:
            known.append(watch.arrives)
        in_turn = [Claim(TURNED, watch.in_turn)] if watch.in_turn else []
        told.append(Told([Claim(RESULTS, watch.placed), Claim(RESULTS, watch.counted), *in_turn], [watch.guesses]))
    if isinstance(unit, PoolStage | SlidingPoolStage):
        told.append(pools(unit, subject))
    if isinstance(unit, Queue):
        told.append(follows(unit, subject))
    told.append(results_follow(circuit))
    for together in zip_longest(*(each.before for each in told), fillvalue=[]):
        bits = [bit for beside in together for bit in beside]
        known += proven(subject, bits, known, PATIENCE if isinstance(unit, Queue) else LIMIT)
    claims += [claim for each in told for claim in each.claims]
    left = []
    for claim in claims:
        # What needs no more than what is known already shows that soonest.
        outcome = Prover(subject, known, LIMIT).by_induction(claim.bit, claim.length)
        if outcome.proven:
            rows.append(_row(claim.kind, outcome))
            known.append(claim.bit)
        else:
            left.append(claim)
    if left:
        with suppress(MemoryInsideError):
            known += proven(subject, guess(subject, CYCLES, not isinstance(unit, WindowedStage)), known)
    for claim in left:
        rows.append(_row(claim.kind, Prover(subject, known, LIMIT).prove(claim.bit, claim.length)))
    if isinstance(unit, ConvStage) and unit.protected:
        rows.append(prove_flips(unit, circuit))
    if isinstance(unit, Loader):
        rows.append(prove_checksum(circuit))
    if isinstance(unit, Stage) and unit.link:
        loading, held, before = loads(unit, subject)
        rows.append(_row(LOADS, Prover(loading, proven(loading, before, [], PATIENCE), PATIENCE).prove(held)))
    else:
        rows += prove_numbers(unit, circuit)
    return rows


def prove_numbers(unit: wiring.Component, circuit: Circuit, layers: Sequence[Layer] = ()) -> list[Row]:
    """What a unit computes; where it is loaded, of the layers that it is loaded with."""
    if isinstance(unit, ConvStage):
        return [prove_products(unit, circuit, layers), prove_codes(unit, circuit, layers)]
    if isinstance(unit, ValueStage):
        return [prove_values(unit, circuit, *layers)]
    return []


def _row(kind: Kind, outcome: Outcome) -> Row:
    if outcome.refuted:
        what = f"{outcome.depth} cycles after reset it is not so"
        return Row(kind, "refuted", "search from reset", BITWUZLA, outcome.depth, outcome.seconds, what)
    if outcome.proven:
        return Row(kind, "proven", "induction", BITWUZLA, outcome.depth, outcome.seconds)
    return Row(
        kind, "bounded" if outcome.depth else "open", "search from reset", BITWUZLA, outcome.depth, outcome.seconds
    )
