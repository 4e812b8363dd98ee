"""The cocotb test bench: cocotbext-axi's sources and sinks on the generated Verilog. Run by `cosim`."""

from __future__ import annotations

import itertools
import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import NextTimeStep, RisingEdge
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

from .stimulus import in_dtype, out_dtype

PERIOD = 10
"""Nanoseconds of one clock cycle."""


def _pauses(probability: float, seed: int) -> Iterator[bool]:
    rng = random.Random(seed)
    return (rng.random() < probability for _ in itertools.count())


class Watch:
    """Counts cycles and transfers on both sides, and checks that an offered beat stays until it is taken."""

    def __init__(self, dut, inputs: int, outputs: int) -> None:
        self.dut = dut
        self.inputs, self.outputs = inputs, outputs
        self.cycle = self.sent = self.received = 0
        self.quiet = 0
        self.broken = ""
        self.frame_cycles: list[tuple[int, int]] = []
        self.out_cycles: list[int] = []

    async def run(self, watchdog: int, drain: int) -> bool:
        """True when no transfer happened for `watchdog` cycles; False when all
        expected ones have happened, or more."""
        dut, held, first, starting = self.dut, None, 0, True
        left = drain
        while not self.broken and self.quiet < watchdog:
            if self.received > self.outputs:
                return False
            if self.sent == self.inputs and self.received == self.outputs:
                if left == 0:
                    return False
                left -= 1
            await RisingEdge(dut.clk)
            taken = dut.s_axis_tvalid.value == 1 and dut.s_axis_tready.value == 1
            valid, ready = dut.m_axis_tvalid.value == 1, dut.m_axis_tready.value == 1
            beat = None
            if valid:
                beat = (dut.m_axis_tdata.value, dut.m_axis_tlast.value, dut.m_axis_tuser.value)
            if held is not None and beat != held:
                verb = "changed" if valid else "withdrew"
                self.broken = f"in cycle {self.cycle} m_axis {verb} a beat that was not yet taken"
            held = None if ready else beat
            if taken:
                self.sent += 1
                if starting:
                    first = self.cycle
                starting = dut.s_axis_tlast.value == 1
                if starting:
                    self.frame_cycles.append((first, self.cycle))
            if valid and ready:
                self.received += 1
                self.out_cycles.append(self.cycle)
            self.quiet = 0 if taken or (valid and ready) else self.quiet + 1
            self.cycle += 1
        return not self.broken


@cocotb.test()
async def stream(dut) -> None:
    """Send the job's beats, collect the output frames, and write both into the job's folder."""
    folder = Path(os.environ["BITFOLD_JOB"])
    job = dict(np.load(folder / "job.npz"))
    pauses, seed = float(job["pauses"]), int(job["seed"])
    beats = np.fromfile(folder / "in", in_dtype(int(job["in_bytes"])))

    for side in ("s_axis", "m_axis"):
        logging.getLogger(f"cocotb.{dut._name}.{side}").setLevel(logging.WARNING)
    dut.rst.value = 1
    dut.s_axis_tvalid.value = 0
    dut.s_axis_tlast.value = 0
    dut.m_axis_tready.value = 0
    cocotb.start_soon(Clock(dut.clk, PERIOD, unit="ns").start())
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0

    watch = Watch(dut, len(beats), int(job["outputs"]))
    watching = cocotb.start_soon(watch.run(int(job["watchdog"]), int(job["drain"])))
    width = int(job["out_bytes"])
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, byte_lanes=int(job["in_bytes"]))
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, byte_lanes=width)
    if pauses:
        source.set_pause_generator(_pauses(pauses, 2 * seed))
        sink.set_pause_generator(_pauses(pauses, 2 * seed + 1))
    for frame in np.split(beats["data"], np.flatnonzero(beats["last"])[:-1] + 1):
        source.send_nowait(AxiStreamFrame(frame.tobytes()))
    stuck = await watching
    await NextTimeStep()

    out = np.zeros(watch.received, out_dtype(width))
    out["cycle"] = watch.out_cycles
    position = 0
    while not sink.empty():
        frame = sink.recv_nowait(compact=False)
        data = np.frombuffer(bytes(frame.tdata), np.uint8).reshape(-1, width)
        end = position + len(data)
        out["data"][position:end] = data
        out["user"][position:end] = frame.tuser[::width]
        out["last"][end - 1] = 1
        position = end
    out.tofile(folder / "out")
    np.array(watch.frame_cycles, "<u8").tofile(folder / "frames")
    np.savez(
        folder / "results.npz",
        cycles=watch.cycle,
        stuck=stuck,
        input=[dut.s_axis_tvalid.value == 1, dut.s_axis_tready.value == 1, watch.sent],
        output=[dut.m_axis_tvalid.value == 1, dut.m_axis_tready.value == 1, watch.received],
        broken=watch.broken,
        short_frames=int(dut.short_frames.value),
        long_frames=int(dut.long_frames.value),
    )
