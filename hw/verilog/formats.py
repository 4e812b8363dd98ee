"""Layout of the generated Verilog's two AXI4-Stream interfaces."""

from dataclasses import dataclass

from ...model.error import BadInput
from ...model.net import Net
from ...model.shape import shape
from ..plan import Plan
from ..stream.beat import sample_shape, value_shape

OUT = ("values", "class")
"""What can come out: all values, or the class of each pixel of the output alone."""
CONTROL = ("none", "axi-lite", "wishbone")
"""The bus on which software finds the registers."""


@dataclass(frozen=True)
class Interface:
    """How the ports are, beside what network and plan decide; the plain one has none of it.

    out : one of OUT
    padded : tdata is 8, 16, 32, ... bits wide on both sides, as DMA engines have it
    counted : frames are counted off from reset on, and there is no s_axis_tlast
    aresetn : reset is active low and called so
    control : one of CONTROL
    """

    out: str = "values"
    padded: bool = False
    counted: bool = False
    aresetn: bool = False
    control: str = CONTROL[0]

    def __post_init__(self) -> None:
        if self.out not in OUT:
            raise BadInput(f"out is one of {', '.join(OUT)}, not {self.out}")
        if self.control not in CONTROL:
            raise BadInput(f"control is one of {', '.join(CONTROL)}, not {self.control}")

    @property
    def registers(self) -> bool:
        """Whether software has registers."""
        return self.control != CONTROL[0]


PLAIN = Interface()


@dataclass(frozen=True)
class Formats:
    """Layout of the two AXI4-Stream interfaces.

    in_bytes, out_bytes : bytes of a sample, of an output value or class
    in_signed : samples are two's complement; output values always are, and classes never
    in_lanes, out_lanes : samples, output values or classes a beat
    in_beats, out_beats : beats a frame
    in_width, out_width : bytes of tdata
    best_bits : width of tuser, or of a class
    interface : how the ports are
    loadable : there is a third one, for loads
    protect : the plan's
    """

    in_bytes: int
    in_signed: bool
    in_lanes: int
    in_beats: int
    in_width: int
    out_bytes: int
    out_lanes: int
    out_beats: int
    out_width: int
    best_bits: int
    interface: Interface
    loadable: bool
    protect: str


def formats(net: Net, plan: Plan, interface: Interface) -> Formats:
    """The interfaces of a network under a plan; where weights are loadable those of all networks of its shape."""
    net = shape(net) if plan.loadable else net
    sample, value, source = sample_shape(net.input), value_shape(net.output), plan.source(net.input)
    classes, best_bits = interface.out == "class", max(1, (net.output.channels - 1).bit_length())
    in_bytes, in_lanes = sample.width // 8, source.lanes
    out_bytes, out_lanes = (-(-best_bits // 8), 1) if classes else (value.width // 8, plan.output_lanes)
    per_pixel = 1 if classes else net.output.channels // out_lanes

    def width(used: int) -> int:
        return 1 << (used - 1).bit_length() if interface.padded else used

    return Formats(
        in_bytes=in_bytes,
        in_signed=sample.signed,
        in_lanes=in_lanes,
        in_beats=source.frame_words,
        in_width=width(in_bytes * in_lanes),
        out_bytes=out_bytes,
        out_lanes=out_lanes,
        out_beats=net.output.pixels * per_pixel,
        out_width=width(out_bytes * out_lanes),
        best_bits=best_bits,
        interface=interface,
        loadable=plan.loadable,
        protect=plan.protect,
    )
