"""A cocotb test of loads as the registers tell of them; what it reads goes back to the caller."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import cocotb
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSource
from control_bench import begin


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def loads(dut):
    """Loads, each followed by a frame; a soft reset behind the last one."""
    folder = Path(os.environ["BITFOLD_JOB"])
    job = pickle.loads((folder / "job").read_bytes())
    weights = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_weights_axis"), dut.clk, dut.rst)
    bus, source, sink = await begin(dut)

    async def look():
        """load_status, and the frames that were answered."""
        return [await bus.read(job["offsets"][name]) for name in ("load_status", "frames")]

    found = [await look()]
    waiting = False
    for load in job["loads"]:
        await weights.send(AxiStreamFrame(load))
        await weights.wait()
        if not waiting:
            source.send_nowait(AxiStreamFrame(job["frame"]))
        await ClockCycles(dut.clk, job["settle"])
        waiting = sink.empty()
        found.append([*(await look()), None if waiting else bytes(sink.recv_nowait().tdata)])
    await bus.write(job["offsets"]["control"], 1)
    found.append(await look())
    (folder / "captures").write_bytes(pickle.dumps(found))
