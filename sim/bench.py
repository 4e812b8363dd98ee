"""The cocotb test bench: cocotbext-axi's sources and sinks on the generated Verilog. Run by `cosim`."""

from __future__ import annotations

import itertools
import logging
import os
import pickle
import random
from collections.abc import Iterator
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

from .contract import Contract
from .stimulus import RESET_CYCLES, Capture, Stimulus

PERIOD = 10
"""Nanoseconds of one clock cycle."""

BEAT = ("m_axis_tdata", "m_axis_tuser", "m_axis_tlast")
"""What counts while m_axis_tvalid is high."""
COUNTERS = ("short_frames", "long_frames")
OUTPUTS = ("m_axis_tvalid", *BEAT, *COUNTERS, "s_axis_tready")


def check_still(contract: Contract, before: dict[str, str], now: dict[str, str]) -> None:
    """No output has changed between two looks with no rising edge of clk between them."""
    if now != before:
        name = next(name for name in now if now[name] != before[name])
        contract.fail(f"{name} changes between two rising edges of clk")


def _idle(stimulus: Stimulus) -> Iterator[bool]:
    rng = random.Random(2 * stimulus.seed)
    return (rng.random() < stimulus.pauses for _ in itertools.count())


def _stall(stimulus: Stimulus, dut) -> Iterator[bool]:
    """Whether the sink pauses; a patient one does until it sees tvalid, with tready low."""
    rng = random.Random(2 * stimulus.seed + 1)
    for _ in itertools.count():
        seen = dut.m_axis_tvalid.value == 1 and dut.m_axis_tready.value == 0
        yield rng.random() < stimulus.pauses or (stimulus.patient and not seen)


ASKS = (
    *("s_axi_awvalid", "s_axi_wvalid", "s_axi_bready", "s_axi_arvalid", "s_axi_rready"),
    *("wb_cyc_i", "wb_stb_i"),
)
"""What asks the registers for something, where there are some: nobody does here."""


class Ends:
    """The two streams' other ends, and the contract in between."""

    def __init__(self, dut, first: Stimulus) -> None:
        self.dut = dut
        self.named = {name: getattr(dut, name) for name in OUTPUTS if hasattr(dut, name)}
        self.low = hasattr(dut, "aresetn")
        reset = dut.aresetn if self.low else dut.rst
        for name in ASKS:
            if hasattr(dut, name):
                getattr(dut, name).value = 0
        for side in ("s_axis", "m_axis"):
            logging.getLogger(f"cocotb.{dut._name}.{side}").setLevel(logging.ERROR)
        source, sink = (AxiStreamBus.from_prefix(dut, side) for side in ("s_axis", "m_axis"))
        self.source = AxiStreamSource(source, dut.clk, reset, not self.low, byte_lanes=first.in_bytes)
        if len(first.load):
            dut.s_weights_axis_tvalid.value = 0
        self.sink = AxiStreamSink(sink, dut.clk, reset, not self.low, byte_lanes=first.out_bytes)

    def outputs(self) -> dict[str, str]:
        """The bits that stand on the outputs; a stream's other parts are 0 while it is not valid."""
        now = {name: str(port.value) for name, port in self.named.items()}
        return (
            now if now["m_axis_tvalid"] != "0" else {name: "0" if name in BEAT else bits for name, bits in now.items()}
        )

    async def play(self, stimulus: Stimulus) -> Capture:
        """Reset, and one stimulus from then on."""
        dut, counters = self.dut, self.counters() if stimulus.preset else ()
        contract = Contract(stimulus, stimulus.preset if counters else 0)
        await self.reset(contract)
        for counter in counters:
            counter.value = stimulus.preset
        await self.load(stimulus.load.tolist())
        self.source.set_pause_generator(_idle(stimulus))
        self.sink.set_pause_generator(_stall(stimulus, dut))
        for frame in np.split(stimulus.beats["data"], np.flatnonzero(stimulus.beats["last"][:-1]) + 1):
            self.source.send_nowait(AxiStreamFrame(frame.tobytes()))
        while not contract.over:
            await ReadOnly()
            before = self.outputs()
            await RisingEdge(dut.clk)
            self.see(contract, before)
        return contract.capture()

    def see(self, contract: Contract, before: dict[str, str]) -> None:
        """Tell the contract of a cycle; `before` is what stood on the outputs at its beginning."""
        dut, now = self.dut, self.outputs()
        check_still(contract, before, now)
        if unknown := [name for name, bits in now.items() if bits.strip("01")]:
            contract.fail(f"{unknown[0]} has unknown bits")
            return
        valid, *beat, short, long, ready = (int(now.get(name, "0"), 2) for name in OUTPUTS)
        source, sink = (dut.s_axis_tvalid.value == 1, ready == 1), (valid == 1, dut.m_axis_tready.value == 1)
        contract.see(source, self.ends_frame(contract), sink, tuple(beat) if valid else None, (short, long))

    def ends_frame(self, contract: Contract) -> bool:
        """What stands on s_axis_tlast or, where there is none, what the beat that is offered would have there."""
        if hasattr(self.dut, "s_axis_tlast"):
            return self.dut.s_axis_tlast.value == 1
        beats = contract.stimulus.beats
        return contract.sent < len(beats) and bool(beats["last"][contract.sent])

    def set_reset(self, on: bool) -> None:
        """Put the reset on or off, whichever its sense."""
        if self.low:
            self.dut.aresetn.value = not on
        else:
            self.dut.rst.value = on

    async def load(self, words: list[int]) -> None:
        """Load the machine, from the middle of a cycle to the middle of one."""
        dut = self.dut
        for index, word in enumerate(words):
            dut.s_weights_axis_tdata.value = word
            dut.s_weights_axis_tlast.value = index == len(words) - 1
            dut.s_weights_axis_tvalid.value = 1
            ready = False
            while not ready:  # which changes with the clock alone
                ready = dut.s_weights_axis_tready.value == 1
                await FallingEdge(dut.clk)
        if words:
            dut.s_weights_axis_tvalid.value = 0

    async def reset(self, contract: Contract) -> None:
        """Reset, from the middle of a cycle to the middle of one."""
        dut = self.dut
        self.source.clear()
        await FallingEdge(dut.clk)
        before = self.outputs()
        self.set_reset(True)
        await ReadOnly()
        # The source gives up its beat with the reset, and s_axis_tready may depend on that.
        check_still(contract, before, self.outputs() | {"s_axis_tready": before["s_axis_tready"]})
        for _ in range(RESET_CYCLES):
            await RisingEdge(dut.clk)
            await ReadOnly()
            contract.see_reset(*(getattr(dut, name).value != 0 for name in ("m_axis_tvalid", *COUNTERS)))
        await FallingEdge(dut.clk)
        self.set_reset(False)

    def counters(self) -> tuple:
        """The registers behind the counters; none where the Verilog has no such names."""
        try:
            guard = self.dut.accelerator.input_guard
            return guard.short_frames, guard.long_frames
        except AttributeError:
            return ()


@cocotb.test()
async def stream(dut) -> None:
    """Play the job's stimuli up to the first that ends badly; what was seen goes into the job's folder."""
    folder = Path(os.environ["BITFOLD_JOB"])
    stimuli = pickle.loads((folder / "job").read_bytes())
    ends, captures = Ends(dut, stimuli[0]), []
    ends.set_reset(True)
    cocotb.start_soon(Clock(dut.clk, PERIOD, unit="ns").start())
    for stimulus in stimuli:
        captures.append(await ends.play(stimulus))
        if captures[-1].broken or captures[-1].stuck:
            break
    (folder / "captures").write_bytes(pickle.dumps(captures))
