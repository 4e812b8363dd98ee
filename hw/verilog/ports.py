"""The ports of a machine's Verilog."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..device.loaded import COLUMN
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


def reset(f: Formats) -> str:
    """The name of the reset."""
    return "aresetn" if f.interface.aresetn else "rst"


def ports(f: Formats) -> Sequence[Port]:
    """All of them, clock and reset first."""
    return tuple(_ports(f))


def _ports(f: Formats) -> Iterator[Port]:
    top, classes = 2**COUNTER_BITS - 1, f.interface.out == "class"
    sample, value = f"{f.in_lanes} x {8 * f.in_bytes}-bit sample", f"{f.out_lanes} x {8 * f.out_bytes}-bit output value"
    active = "low" if f.interface.aresetn else "high"
    rest = "" if f.interface.counted else "; in mid-frame too: the rest of that frame counts as short"
    yield Port("clk", False, 1, "everything happens at its rising edge")
    yield Port(reset(f), False, 1, f"synchronous, active {active}: empties the machine, clears the counters{rest}")
    yield Port("s_axis_tdata", False, 8 * f.in_width, f"a beat of pixels: {sample}", "s_axis TDATA")
    yield Port("s_axis_tvalid", False, 1, "a beat is offered; it is transferred when both are high", "s_axis TVALID")
    yield Port("s_axis_tready", True, 1, "a beat is taken", "s_axis TREADY")
    if not f.interface.counted:
        yield Port("s_axis_tlast", False, 1, "the frame's last beat", "s_axis TLAST")
    if f.loadable:
        yield Port("s_weights_axis_tdata", False, COLUMN, "a word of a load", "s_weights_axis TDATA")
        yield Port(
            "s_weights_axis_tvalid", False, 1, "a word is offered: no frame begins any more", "s_weights_axis TVALID"
        )
        yield Port("s_weights_axis_tready", True, 1, "a word is taken: no frame is inside", "s_weights_axis TREADY")
        yield Port("s_weights_axis_tlast", False, 1, "the load's last word, its CRC", "s_weights_axis TLAST")
    yield Port("m_axis_tdata", True, 8 * f.out_width, "a pixel's class" if classes else value, "m_axis TDATA")
    yield Port("m_axis_tvalid", True, 1, "a beat is offered; it is transferred when both are high", "m_axis TVALID")
    yield Port("m_axis_tready", False, 1, "a beat is taken", "m_axis TREADY")
    yield Port("m_axis_tlast", True, 1, "the frame's last beat", "m_axis TLAST")
    if not classes:
        yield Port(
            "m_axis_tuser",
            True,
            f.best_bits,
            "index of the pixel's largest value up to this beat; with the pixel's last beat its class",
            "m_axis TUSER",
        )
    if f.interface.counted:
        yield Port("short_frames", True, COUNTER_BITS, "0: no frame can be short where they are counted off")
        yield Port("long_frames", True, COUNTER_BITS, "0: nor long")
    else:
        yield Port("short_frames", True, COUNTER_BITS, f"frames dropped because they ended early; stops at {top}")
        yield Port("long_frames", True, COUNTER_BITS, f"the same for those that ended late; stops at {top}")


def attributed(text: str, name: str, f: Formats) -> str:
    """The Verilog of machine `name` with what tells Vivado's IP integrator the interfaces at the ports of its top."""
    start = text.index(f"module {name}(")
    end = text.index("endmodule", start)
    top = text[start:end]
    for port in ports(f):
        lines = "".join(f'  (* {key} = "{value}" *)\n' for key, value in attributes(port, f).items())
        top = re.sub(rf"^(?=  (?:in|out)put (?:\[.*\] )?{port.name};$)", lines, top, flags=re.MULTILINE)
    return text[:start] + top + text[end:]


def attributes(port: Port, f: Formats) -> Mapping[str, str]:
    """Which interface a port belongs to, as Vivado wants it."""
    if port.signal:
        return {"X_INTERFACE_INFO": f"xilinx.com:interface:axis:1.0 {port.signal}"}
    if port.name == "clk":
        streams = "s_axis:m_axis:s_weights_axis" if f.loadable else "s_axis:m_axis"
        belongs = f"XIL_INTERFACENAME clk, ASSOCIATED_BUSIF {streams}, ASSOCIATED_RESET {reset(f)}"
        return {"X_INTERFACE_INFO": "xilinx.com:signal:clock:1.0 clk CLK", "X_INTERFACE_PARAMETER": belongs}
    if port.name == reset(f):
        polarity = f"XIL_INTERFACENAME {port.name}, POLARITY ACTIVE_{'LOW' if f.interface.aresetn else 'HIGH'}"
        return {"X_INTERFACE_INFO": f"xilinx.com:signal:reset:1.0 {port.name} RST", "X_INTERFACE_PARAMETER": polarity}
    return {}
