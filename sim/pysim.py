"""Amaranth's own simulator on the Accelerator: no Verilog, no compiler, a few thousand cycles a second."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from amaranth import ResetInserter, Signal
from amaranth.sim import Simulator

from ..hw.accelerator import Accelerator
from .contract import Contract
from .stimulus import RESET_CYCLES, Broken, Capture, Progress, Stimulus

PATIENCE = 600.0
"""Seconds that a simulation may take, besides a second for every cycle simulated."""


def run(
    accelerator: Accelerator,
    stimuli: Sequence[Stimulus],
    *,
    waveform: Path | None = None,
    progress: Progress | None = None,
    expected: int = 0,
) -> list[Capture]:
    """Simulate one stimulus after the other, up to the first that ends badly; `waveform` is a VCD to write.

    `progress` hears of the first stimulus. Raises Broken when the simulation takes too long.
    """
    i, o = accelerator.i, accelerator.o
    pixel, values = i.payload.pixel.as_value(), o.payload.values.as_value()
    reset = Signal()
    captures: list[Capture] = []

    async def load(ctx, words: list[int]) -> None:
        port = accelerator.load
        ctx.set(port.valid, 1)
        for index, word in enumerate(words):
            ctx.set(port.payload, {"word": word, "last": index == len(words) - 1})
            while not (await ctx.tick().sample(port.ready))[-1]:
                pass
        ctx.set(port.valid, 0)

    async def play(ctx, stimulus: Stimulus) -> Contract:
        pixels = [int.from_bytes(data.tobytes(), "little") for data in stimulus.beats["data"]]
        lasts = stimulus.beats["last"].tolist()
        idle, stall = random.Random(2 * stimulus.seed), random.Random(2 * stimulus.seed + 1)
        counters = accelerator.short_frames, accelerator.long_frames
        contract = Contract(stimulus, stimulus.preset)
        ctx.set(i.valid, 0)
        ctx.set(o.ready, 0)
        ctx.set(reset, 1)
        for _ in range(RESET_CYCLES):
            await ctx.tick()
            contract.see_reset(*map(ctx.get, (o.valid, *counters)))
        ctx.set(reset, 0)
        if stimulus.preset:
            for register in accelerator.counters:
                ctx.set(register, stimulus.preset)
        if len(stimulus.load):
            await load(ctx, stimulus.load.tolist())
        deadline, frames, offering, seen = time.monotonic() + PATIENCE, 0, False, False
        while not contract.over:
            if not offering and contract.sent < len(pixels) and idle.random() >= stimulus.pauses:
                ctx.set(pixel, pixels[contract.sent])
                ctx.set(i.payload.last, lasts[contract.sent])
                offering = True
            accepting = stall.random() >= stimulus.pauses and (seen or not stimulus.patient)
            ctx.set(i.valid, offering)
            ctx.set(o.ready, accepting)
            *_, ready, valid, value, user, last, short, long = await ctx.tick().sample(
                i.ready, o.valid, values, o.payload.best, o.payload.last, *counters
            )
            beat = (value, user, last) if valid else None
            ending = offering and bool(lasts[contract.sent])
            contract.see((offering, bool(ready)), ending, (bool(valid), accepting), beat, (short, long))
            offering = offering and not ready
            seen = bool(valid) and not accepting
            if valid and accepting and last and progress is not None and not captures:
                frames += 1
                progress(frames, expected)
            if contract.cycle % 256 == 0 and time.monotonic() > deadline + contract.cycle:
                raise Broken(f"the simulation takes longer than {PATIENCE:.0f} seconds and a second a cycle")
        return contract

    async def bench(ctx):
        for stimulus in stimuli:
            captures.append((await play(ctx, stimulus)).capture())
            if captures[-1].broken or captures[-1].stuck:
                return

    simulator = Simulator(ResetInserter(reset)(accelerator))
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    with simulator.write_vcd(str(waveform)) if waveform is not None else contextlib.nullcontext():
        roomy(simulator.run)
    return captures


def _roomy() -> Callable[[Callable[[], None]], None]:
    names = " = ".join(f"v{k}" for k in range(20_000))
    scope: dict[str, Callable[[Callable[[], None]], None]] = {}
    exec(f"def roomy(run):\n    if False:\n        {names} = 0\n    run()", scope)
    return scope["roomy"]


roomy = _roomy()
"""Calls its argument from a frame of 160 KB.

CPython keeps frames in chunks of 16 KB. The simulator's compiled processes have large ones: at an unlucky depth of
the stack each call maps a new chunk and unmaps it, twenty times slower than the simulation. After this frame a chunk
of 256 KB has room for them all.
"""
