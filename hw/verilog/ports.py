"""The ports of a machine's Verilog."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from amaranth import Shape
from amaranth.lib.wiring import Member, Out

from ..control import axi_lite, wishbone
from ..device.loaded import COLUMN
from ..stages.frames import COUNTER_BITS
from .formats import Formats

BUSES = {"s_axis": "axis", "m_axis": "axis", "s_weights_axis": "axis", "s_axi": "aximm"}
"""The interfaces that Vivado knows, and their kind in its catalogue."""


@dataclass(frozen=True)
class Port:
    """A port of the top module; `signal` is what it is of one of BUSES or of none, as in "s_axis TDATA"."""

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

    if f.loadable:
        yield Port("weights_loaded", True, 1, "a load has passed, and frames may begin")
        yield Port("weights_refused", True, 1, "the last load was not right; until the next one's first word is taken")

    if f.protect == "ecc":
        yield Port(
            "upsets_corrected", True, COUNTER_BITS, f"cycles with flipped bits of weights, corrected; stops at {top}"
        )
        yield Port(
            "upsets_detected", True, COUNTER_BITS, f"cycles with flips that could not be corrected; stops at {top}"
        )
    if f.protect == "parity":
        yield Port("upsets_detected", True, COUNTER_BITS, f"cycles with flipped bits of weights; stops at {top}")

    yield from _control_ports(f.interface.control)


def _control_ports(control: str) -> Iterator[Port]:
    """Those of the bus of the registers."""
    if control == "axi-lite":
        for name, member in axi_lite.MEMBERS.items():
            signal = name.removeprefix("s_axi_").upper()
            where = ", bytes from the first register" if signal.endswith("ADDR") else ""
            yield Port(
                name,
                member.flow is Out,
                bits(member),
                f"{signal} of the registers' AXI4-Lite{where}",
                f"s_axi {signal}",
            )
    if control == "wishbone":
        for name, member in wishbone.MEMBERS.items():
            where = ", words from the first register" if name == "wb_adr_i" else ""
            yield Port(name, member.flow is Out, bits(member), f"{name[3:6].upper()} of the registers' Wishbone{where}")


def bits(member: Member) -> int:
    """Width of a component's port."""
    return Shape.cast(member.shape).width


def interfaces(f: Formats) -> Sequence[str]:
    """Those of BUSES that the ports have."""
    found = dict.fromkeys(port.signal.split()[0] for port in ports(f) if port.signal)
    return tuple(found)


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
        bus = port.signal.split()[0]
        return {"X_INTERFACE_INFO": f"xilinx.com:interface:{BUSES[bus]}:1.0 {port.signal}"}
    if port.name == "clk":
        belongs = f"XIL_INTERFACENAME clk, ASSOCIATED_BUSIF {':'.join(interfaces(f))}, ASSOCIATED_RESET {reset(f)}"
        return {"X_INTERFACE_INFO": "xilinx.com:signal:clock:1.0 clk CLK", "X_INTERFACE_PARAMETER": belongs}
    if port.name == reset(f):
        polarity = f"XIL_INTERFACENAME {port.name}, POLARITY ACTIVE_{'LOW' if f.interface.aresetn else 'HIGH'}"
        return {"X_INTERFACE_INFO": f"xilinx.com:signal:reset:1.0 {port.name} RST", "X_INTERFACE_PARAMETER": polarity}
    return {}
