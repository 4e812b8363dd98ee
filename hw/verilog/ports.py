"""The ports of a machine's Verilog."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..stages.frames import COUNTER_BITS
from .formats import Formats


@dataclass(frozen=True)
class Port:
    """A port of the top module; `signal` is what it is of an AXI4-Stream or of none, as in "s_axis TDATA"."""

    name: str
    output: bool
    bits: int
    meaning: str
    signal: str = ""

    @property
    def range(self) -> str:
        """Of its declaration in Verilog, with a space behind it where there is one."""
        return f"[{self.bits - 1}:0] " if self.bits > 1 else ""


def ports(f: Formats) -> Sequence[Port]:
    """All of them, clock and reset first."""
    top = 2**COUNTER_BITS - 1
    sample, value = f"{f.in_lanes} x {8 * f.in_bytes}-bit sample", f"{f.out_lanes} x {8 * f.out_bytes}-bit output value"
    return (
        Port("clk", False, 1, "everything happens at its rising edge"),
        Port(
            "rst",
            False,
            1,
            "synchronous, active high: empties the machine, clears the counters; in mid-frame too: the rest of that "
            "frame counts as short",
        ),
        Port("s_axis_tdata", False, 8 * f.in_bytes * f.in_lanes, f"a beat of pixels: {sample}", "s_axis TDATA"),
        Port("s_axis_tvalid", False, 1, "a beat is offered; it is transferred when both are high", "s_axis TVALID"),
        Port("s_axis_tready", True, 1, "a beat is taken", "s_axis TREADY"),
        Port("s_axis_tlast", False, 1, "the frame's last beat", "s_axis TLAST"),
        Port("m_axis_tdata", True, 8 * f.out_bytes * f.out_lanes, value, "m_axis TDATA"),
        Port("m_axis_tvalid", True, 1, "values are offered; they are transferred when both are high", "m_axis TVALID"),
        Port("m_axis_tready", False, 1, "values are taken", "m_axis TREADY"),
        Port("m_axis_tlast", True, 1, "the frame's last values", "m_axis TLAST"),
        Port(
            "m_axis_tuser",
            True,
            f.best_bits,
            "index of the pixel's largest value up to this beat; with the pixel's last beat its class",
            "m_axis TUSER",
        ),
        Port("short_frames", True, COUNTER_BITS, f"frames dropped because they ended early; stops at {top}"),
        Port("long_frames", True, COUNTER_BITS, f"the same for those that ended late; stops at {top}"),
    )
