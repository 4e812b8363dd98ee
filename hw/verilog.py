"""Verilog of a network with AXI4-Stream on both sides, and the sheet that describes its interface."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from amaranth import Module
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.net import Net
from ..model.write import write_beside
from .accelerator import Accelerator
from .frames import COUNTER_BITS, sample_shape, value_shape
from .plan import Plan

MODULE = "bitfold"
"""Name of the top module."""


@dataclass(frozen=True)
class Formats:
    """Layout of the two AXI4-Stream interfaces.

    in_bytes, out_bytes : bytes of a sample, of an output value
    in_signed : samples are two's complement; output values always are
    in_lanes, out_lanes : samples, output values a beat
    in_beats, out_beats : beats a frame
    best_bits : width of tuser
    """

    in_bytes: int
    in_signed: bool
    in_lanes: int
    in_beats: int
    out_bytes: int
    out_lanes: int
    out_beats: int
    best_bits: int


def formats(net: Net, plan: Plan) -> Formats:
    """The interfaces of a network under a plan."""
    sample, value = sample_shape(net.input), value_shape(net.output)
    return Formats(
        in_bytes=sample.width // 8,
        in_signed=sample.signed,
        in_lanes=net.input.channels,
        in_beats=net.input.pixels,
        out_bytes=value.width // 8,
        out_lanes=plan.output_lanes,
        out_beats=net.output.pixels * net.output.channels // plan.output_lanes,
        best_bits=max(1, (net.output.channels - 1).bit_length()),
    )


class AxiStreamTop(wiring.Component):
    """An Accelerator behind the plain port names that other tools expect."""

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        f = formats(accelerator.net, accelerator.plan)
        super().__init__(
            {
                "s_axis_tdata": In(8 * f.in_bytes * f.in_lanes),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(8 * f.out_bytes * f.out_lanes),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
                "m_axis_tuser": Out(f.best_bits),
                "short_frames": Out(COUNTER_BITS),
                "long_frames": Out(COUNTER_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator = inner = self.accelerator
        m.d.comb += [
            inner.i.payload.pixel.as_value().eq(self.s_axis_tdata),
            inner.i.payload.last.eq(self.s_axis_tlast),
            inner.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(inner.i.ready),
            self.m_axis_tdata.eq(inner.o.payload.values.as_value()),
            self.m_axis_tuser.eq(inner.o.payload.best),
            self.m_axis_tlast.eq(inner.o.payload.last),
            self.m_axis_tvalid.eq(inner.o.valid),
            inner.o.ready.eq(self.m_axis_tready),
            self.short_frames.eq(inner.short_frames),
            self.long_frames.eq(inner.long_frames),
        ]
        return m


def write(net: Net, plan: Plan, directory: Path) -> Path:
    """Write bitfold.v, the interface sheet bitfold.md and the plan bitfold.toml; returns the Verilog's path.

    The same network and plan give the same bytes. BadInput where the plan does not suit the network.
    """
    accelerator = Accelerator(net, plan)
    text = verilog.convert(AxiStreamTop(accelerator), name=MODULE, emit_src=False, strip_internal_attrs=True)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{MODULE}.v"
    write_beside(path, text.encode())
    return path
