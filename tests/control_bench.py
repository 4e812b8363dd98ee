"""cocotb tests of the registers, on either bus; what they read goes back to the caller. Run by `sim.cosim.play`."""

from __future__ import annotations

import logging
import os
import pickle
import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource


class AxiLite:
    """Registers on AXI4-Lite, with pauses in every channel."""

    def __init__(self, dut):
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
        write, read = self.master.write_if, self.master.read_if
        for seed, channel in enumerate(
            (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)
        ):
            draw = random.Random(seed)
            channel.set_pause_generator(iter(lambda draw=draw: draw.random() < 0.3, None))

    async def read(self, offset):
        return await self.master.read_dword(offset)

    async def write(self, offset, value, mask=0xF):
        data = value.to_bytes(4, "little")
        lanes = [lane for lane in range(4) if mask >> lane & 1]
        await self.master.write(offset + lanes[0], data[lanes[0] : lanes[-1] + 1])


class Wishbone:
    """Registers on Wishbone: classic cycles, the strobe up until the acknowledgement."""

    def __init__(self, dut):
        self.dut = dut
        dut.wb_cyc_i.value = dut.wb_stb_i.value = dut.wb_we_i.value = 0

    async def cycle(self, offset, data, mask, write):
        dut = self.dut
        dut.wb_adr_i.value, dut.wb_dat_i.value, dut.wb_sel_i.value, dut.wb_we_i.value = offset // 4, data, mask, write
        dut.wb_cyc_i.value = dut.wb_stb_i.value = 1
        for _ in range(10):
            await RisingEdge(dut.clk)
            if dut.wb_ack_o.value == 1:
                break
        else:
            raise AssertionError("no acknowledgement")
        dut.wb_stb_i.value = dut.wb_cyc_i.value = 0
        read = int(dut.wb_dat_o.value)
        await RisingEdge(dut.clk)
        assert dut.wb_ack_o.value == 0
        return read

    async def read(self, offset):
        return await self.cycle(offset, 0, 0xF, 0)

    async def write(self, offset, value, mask=0xF):
        await self.cycle(offset, value, mask, 1)


async def begin(dut):
    """Start the clock, reset; the registers' bus, what sends frames and what takes values."""
    logging.getLogger("cocotb").setLevel(logging.WARNING)
    dut.rst.value = 1
    bus = AxiLite(dut) if hasattr(dut, "s_axi_awaddr") else Wishbone(dut)
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst)
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    return bus, source, sink


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def registers(dut):
    """Frames good, short and long; all registers; soft resets, one in the middle of a frame."""
    folder = Path(os.environ["BITFOLD_JOB"])
    job = pickle.loads((folder / "job").read_bytes())
    offsets, frames, long_frame = job["offsets"], job["frames"], job["long_frame"]
    bus, source, sink = await begin(dut)
    found = {}

    async def look():
        return {name: await bus.read(offset) for name, offset in offsets.items()}

    async def send(data):
        await source.send(AxiStreamFrame(data))
        await source.wait()

    async def received():
        return bytes((await sink.recv()).tdata)

    draw = random.Random(5)
    sink.set_pause_generator(iter(lambda: draw.random() < 0.6, None))
    found["fresh"] = await look()
    found["unmapped"] = await bus.read(60)
    await send(frames[0][: len(frames[0]) // 2])  # short
    await send(long_frame)
    for frame in frames:
        await send(frame)
    found["values"] = [await received() for _ in frames]
    found["after"] = await look()
    for name, offset in offsets.items():  # what is no soft reset does nothing
        if name != "control":
            await bus.write(offset, 0xFFFFFFFF)
    await bus.write(offsets["control"], 0xFFFFFFFE)
    await bus.write(offsets["control"], 0xFFFFFFFF, mask=0b1110)
    found["untouched"] = await look()
    start = await bus.read(offsets["cycles"])
    before = cocotb.utils.get_sim_time("ns")
    await ClockCycles(dut.clk, 500)
    found["counted"] = await bus.read(offsets["cycles"]) - start, (cocotb.utils.get_sim_time("ns") - before) / 10
    sink.clear_pause_generator()
    sink.pause = True  # all inside is full when the reset comes
    for frame in frames:
        source.send_nowait(AxiStreamFrame(frame))
    await ClockCycles(dut.clk, job["settle"])
    source.clear()
    source.pause = True
    await ClockCycles(dut.clk, 2)
    found["waiting"] = int(dut.m_axis_tvalid.value)
    await bus.write(offsets["control"], 1)
    await ClockCycles(dut.clk, 2)
    found["emptied"] = int(dut.m_axis_tvalid.value)
    found["reset"] = await look()
    sink.pause = False
    await ClockCycles(dut.clk, job["settle"])
    found["left over"] = sink.count()
    source.pause = False
    await send(frames[1])
    found["again"] = await received()
    found["once"] = await look()
    (folder / "captures").write_bytes(pickle.dumps(found))
