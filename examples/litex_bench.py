"""What a host does with the SoC of `litex_soc.py`, in simulation: images in, classes out. Run by its --check."""

import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge


class Host:
    """The master of the port `host`."""

    def __init__(self, dut) -> None:
        self.dut = dut
        dut.host_cyc.value = dut.host_stb.value = dut.host_we.value = dut.host_cti.value = dut.host_bte.value = 0

    async def _cycle(self, address: int, data: int, write: bool) -> int:
        dut = self.dut
        dut.host_adr.value, dut.host_dat_w.value, dut.host_sel.value = address // 4, data, 0xF
        dut.host_we.value, dut.host_cyc.value, dut.host_stb.value = write, 1, 1
        await RisingEdge(dut.clk)
        while not dut.host_ack.value:
            await RisingEdge(dut.clk)
        read = int(dut.host_dat_r.value) if not write else 0
        dut.host_cyc.value = dut.host_stb.value = 0
        await RisingEdge(dut.clk)
        return read

    async def read(self, address: int) -> int:
        return await self._cycle(address, 0, False)

    async def write(self, address: int, data: int) -> None:
        await self._cycle(address, data, True)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def digits(dut) -> None:
    """Every digit's class comes out; the registers say which network it is, and how many frames it has answered."""
    folder = Path(os.environ["BITFOLD_JOB"])
    job = pickle.loads((folder / "job").read_bytes())
    soc, images, registers = job["soc"], job["images"], SimpleNamespace(**job["registers"])
    host = Host(dut)
    cocotb.start_soon(Clock(dut.clk, 20, unit="ns").start())
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 4)
    memory, network = soc["memories"]["memory"]["base"], soc["memories"]["registers"]["base"]
    csr = {name: entry["addr"] for name, entry in soc["csr_registers"].items()}

    assert await host.read(network + registers.IDENTITY) == registers.IDENTITY_VALUE
    assert await host.read(network + registers.NETWORK_0) == registers.NETWORK_0_VALUE
    pixels = b"".join(images)
    for offset in range(0, len(pixels), 4):
        await host.write(memory + offset, int.from_bytes(pixels[offset : offset + 4], "little"))
    classes = memory + len(pixels)
    for engine, base, length in (("writer", classes, 4 * len(images)), ("reader", memory, len(pixels))):
        await host.write(csr[f"network_{engine}_base"] + 4, base)  # 64 bits, the high word first
        await host.write(csr[f"network_{engine}_length"], length)
        await host.write(csr[f"network_{engine}_enable"], 1)
    while not await host.read(csr["network_writer_done"]):
        await ClockCycles(dut.clk, 100)
    found = [await host.read(classes + 4 * index) for index in range(len(images))]
    assert await host.read(network + registers.FRAMES) == len(images)
    await host.write(network + registers.CONTROL, registers.CONTROL_SOFT_RESET)
    assert await host.read(network + registers.FRAMES) == 0
    (folder / "captures").write_bytes(pickle.dumps(found))
