"""Layout of the generated Verilog's two AXI4-Stream interfaces."""

from dataclasses import dataclass

from ...model.net import Net
from ..plan import Plan
from ..stream.beat import sample_shape, value_shape


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
    sample, value, source = sample_shape(net.input), value_shape(net.output), plan.source(net.input)
    return Formats(
        in_bytes=sample.width // 8,
        in_signed=sample.signed,
        in_lanes=source.lanes,
        in_beats=source.frame_words,
        out_bytes=value.width // 8,
        out_lanes=plan.output_lanes,
        out_beats=net.output.pixels * net.output.channels // plan.output_lanes,
        best_bits=max(1, (net.output.channels - 1).bit_length()),
    )
