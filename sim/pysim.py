"""Amaranth's own simulator on the Accelerator: no Verilog, no compiler, a few thousand cycles a second."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from amaranth.sim import Simulator

from ..hw.accelerator import Accelerator
from .stimulus import Broken, Capture, Progress, Stimulus, out_dtype

PATIENCE = 600.0
"""Seconds that a simulation may take, besides a second for every cycle simulated."""


def run(
    accelerator: Accelerator,
    stimulus: Stimulus,
    *,
    waveform: Path | None = None,
    progress: Progress | None = None,
    expected: int = 0,
) -> Capture:
    """Simulate; `waveform` is a VCD to write. Raises Broken when the output stream breaks its contract."""
    i, o = accelerator.i, accelerator.o
    pixel, values = i.payload.pixel.as_value(), o.payload.values.as_value()
    pixels = [int.from_bytes(data.tobytes(), "little") for data in stimulus.beats["data"]]
    lasts = stimulus.beats["last"].tolist()
    idle, stall = random.Random(2 * stimulus.seed), random.Random(2 * stimulus.seed + 1)
    captures: list[Capture] = []

    async def bench(ctx):
        out: list[tuple[int, int, int, bytes]] = []
        frame_cycles: list[tuple[int, int]] = []
        cycle = sent = frames = first = quiet = 0
        left, deadline = stimulus.drain, time.monotonic() + PATIENCE
        offering, starting, held = False, True, None
        while quiet < stimulus.watchdog:
            if len(out) > stimulus.outputs:
                break
            if sent == len(pixels) and len(out) == stimulus.outputs:
                if left == 0:
                    break
                left -= 1
            if not offering and sent < len(pixels) and idle.random() >= stimulus.pauses:
                ctx.set(pixel, pixels[sent])
                ctx.set(i.payload.last, lasts[sent])
                offering = True
            accepting = stall.random() >= stimulus.pauses
            ctx.set(i.valid, offering)
            ctx.set(o.ready, accepting)
            *_, ready, valid, value, user, last = await ctx.tick().sample(
                i.ready, o.valid, values, o.payload.best, o.payload.last
            )
            beat = (user, last, value.to_bytes(stimulus.out_bytes, "little")) if valid else None
            if held is not None and beat != held:
                verb = "changed" if valid else "withdrew"
                raise Broken(f"in cycle {cycle} the output {verb} a beat that was not yet taken")
            held = None if accepting else beat
            quiet += 1
            if offering and ready:
                first = cycle if starting else first
                starting = bool(lasts[sent])
                if starting:
                    frame_cycles.append((first, cycle))
                sent += 1
                offering, quiet = False, 0
            if beat is not None and accepting:
                out.append((cycle, *beat))
                quiet = 0
                frames += last
                if last and progress is not None:
                    progress(frames, expected)
            cycle += 1
            if cycle % 256 == 0 and time.monotonic() > deadline + cycle:
                raise Broken(f"the simulation takes longer than {PATIENCE:.0f} seconds and a second a cycle")
        beats = np.zeros(len(out), out_dtype(stimulus.out_bytes))
        for beat, (when, user, last, data) in zip(beats, out, strict=True):
            beat["cycle"], beat["user"], beat["last"] = when, user, last
            beat["data"] = np.frombuffer(data, np.uint8)
        captures.append(
            Capture(
                beats,
                np.array(frame_cycles, np.uint64).reshape(-1, 2),
                cycle,
                ctx.get(accelerator.short_frames),
                ctx.get(accelerator.long_frames),
                quiet >= stimulus.watchdog,
                (offering, bool(ctx.get(i.ready)), sent),
                (bool(ctx.get(o.valid)), bool(ctx.get(o.ready)), len(out)),
            )
        )

    simulator = Simulator(accelerator)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    with simulator.write_vcd(str(waveform)) if waveform is not None else contextlib.nullcontext():
        roomy(simulator.run)
    return captures[0]


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
