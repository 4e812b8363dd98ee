# amaranth: UnusedElaboratable=no
"""Verilog of a network with AXI4-Stream on both sides, and the sheet that describes its interface."""

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from amaranth import ClockDomain, Const, Elaboratable, Module, Mux, ResetSignal, Signal, Value
from amaranth.back import verilog
from amaranth.hdl import Fragment
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ...model import places
from ...model.net import Net
from ...model.write import check_folder, make_folder, write_beside
from ..accelerator import Accelerator
from ..control import texts
from ..control.axi_lite import AxiLite
from ..control.bank import RegisterBank
from ..control.registers import UPSETS, Register
from ..control.wishbone import Wishbone
from ..plan import Plan
from ..stages.frames import COUNTER_BITS
from . import ip_xact as ip_xact_package
from .comments import commented
from .formats import PLAIN, Interface, formats
from .names import broken, check_name, inner, plain
from .ports import attributed, ports
from .roms import CONTENTS, Roms
from .sheet import interface_sheet, table_of
from .zeros import looped


class AxiStreamTop(wiring.Component):
    """An Accelerator behind the plain port names that other tools expect; its `ports` but clock and reset.

    Where reset is active low, or there are registers with a soft reset, it is a port of this one, and drives that of
    the domain. The registers' bus is in the domain `bus`, of the same clock, which the port alone resets.
    """

    def __init__(self, accelerator: Accelerator, interface: Interface = PLAIN):
        self.accelerator = accelerator
        self.formats = formats(accelerator.net, accelerator.plan, interface)
        every = [port for port in ports(self.formats) if port.name not in self.outside]
        super().__init__({port.name: (Out if port.output else In)(port.bits) for port in every})

    @property
    def outside(self) -> Sequence[str]:
        """The ports that are not this one's but the domain's."""
        interface = self.formats.interface
        return ("clk",) if interface.aresetn or interface.registers else ("clk", "rst")

    @property
    def table(self) -> Sequence[Register]:
        """The registers; none without a bus for them."""
        return table_of(self.accelerator, self.formats.interface)

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator = inner = self.accelerator
        f, t = self.formats, inner.net.output
        pixel = inner.i.payload.pixel.as_value()
        m.d.comb += [
            pixel.eq(self.s_axis_tdata[: len(pixel)]),
            inner.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(inner.i.ready),
            self.m_axis_tlast.eq(inner.o.payload.last),
            self.short_frames.eq(inner.short_frames),
            self.long_frames.eq(inner.long_frames),
        ]
        if f.loadable:
            m.d.comb += [
                inner.load.payload.word.eq(self.s_weights_axis_tdata),
                inner.load.payload.last.eq(self.s_weights_axis_tlast),
                inner.load.valid.eq(self.s_weights_axis_tvalid),
                self.s_weights_axis_tready.eq(inner.load.ready),
                self.weights_loaded.eq(inner.loaded),
                self.weights_refused.eq(inner.refused),
            ]
        if f.protect == "ecc":
            m.d.comb += self.upsets_corrected.eq(inner.corrected)
        if inner.plan.protected:
            m.d.comb += self.upsets_detected.eq(inner.detected)
        if f.interface.counted:
            last = _last(m, "beats_left", f.in_beats, inner.i.valid & inner.i.ready)
            m.d.comb += inner.i.payload.last.eq(last)
        else:
            m.d.comb += inner.i.payload.last.eq(self.s_axis_tlast)
        if f.interface.out == "class":
            words = t.channels // inner.plan.output_lanes
            ending = _last(m, "words_left", words, inner.o.valid & inner.o.ready)
            m.d.comb += [
                self.m_axis_tdata.eq(inner.o.payload.best),
                self.m_axis_tvalid.eq(inner.o.valid & ending),
                inner.o.ready.eq(self.m_axis_tready | ~ending),
            ]
        else:
            m.d.comb += [
                self.m_axis_tdata.eq(inner.o.payload.values.as_value()),
                self.m_axis_tuser.eq(inner.o.payload.best),
                self.m_axis_tvalid.eq(inner.o.valid),
                inner.o.ready.eq(self.m_axis_tready),
            ]
        reset = ~self.aresetn if f.interface.aresetn else None if "rst" in self.outside else self.rst
        if f.interface.registers:
            soft = self._add_registers(m)
            m.d.comb += [ResetSignal().eq(reset | soft), ResetSignal("bus").eq(reset)]
            m.d.comb += self.s_axis_tready.eq(inner.i.ready & ~soft)  # no beat is lost: the source knows of no reset
            if f.loadable:
                m.d.comb += self.s_weights_axis_tready.eq(inner.load.ready & ~soft)
        elif reset is not None:
            m.d.comb += ResetSignal().eq(reset)
        return m

    def _add_registers(self, m: Module) -> Value:
        """The registers and their bus; the soft reset."""
        m.submodules.registers = bank = RegisterBank(self.table, COUNTER_BITS)
        front = (AxiLite if self.formats.interface.control == "axi-lite" else Wishbone)(bank)
        m.submodules.bus = front
        for name, member in front.signature.members.items():
            inside, outside = getattr(front, name), getattr(self, name)
            m.d.comb += outside.eq(inside) if member.flow is Out else inside.eq(outside)
        m.d.comb += [
            bank.short_frames.eq(self.short_frames),
            bank.long_frames.eq(self.long_frames),
            bank.answered.eq(self.m_axis_tvalid & self.m_axis_tready & self.m_axis_tlast),
        ]
        if self.accelerator.plan.protected:
            counts = self.accelerator.corrected, self.accelerator.detected
            m.d.comb += [getattr(bank, name).eq(count) for name, count in zip(UPSETS, counts, strict=True)]
        if self.formats.loadable:
            m.d.comb += [bank.loaded.eq(self.weights_loaded), bank.refused.eq(self.weights_refused)]
        return bank.soft_reset


def _last(m: Module, name: str, count: int, passed: Value) -> Value:
    """Whether the next of those that `passed` tells of is the last of `count`, round and round."""
    left = Signal(range(count), init=count - 1, name=name) if count > 1 else Const(0)
    if count > 1:
        with m.If(passed):
            m.d.sync += left.eq(Mux(left == 0, count - 1, left - 1))
    return left == 0


WAIVERS = {
    "CASEINCOMPLETE": "a state that no case names keeps its value",
    "DECLFILENAME": "all modules are in one file",
    "PROCASSINIT": "registers have a reset and an initial value",
    "UNUSEDSIGNAL": "streams have named parts that not every stage uses, and taps for simulation",
    "WIDTHEXPAND": "Yosys writes additions and comparisons of unequal widths, extended as meant",
    "WIDTHTRUNC": "Yosys writes the test for zero of a whole vector as !vector",
}
"""Verilator's warnings about the style of generated code that the file switches off, with the reason."""


def file_names(name: str, interface: Interface, ip_xact: bool = False) -> Sequence[str]:
    """The files that are written, but those with contents of memories."""
    named = (".toml", ".md", *((".h", "_registers.py") if interface.registers else ()), ".v")
    return (*(f"{name}{ending}" for ending in named), *((ip_xact_package.FILE,) if ip_xact else ()))


class _Files:
    """The platform for which Verilog is written: it collects the modules that stand beside a machine's own.

    `prefix` begins their names.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.texts: dict[str, str] = {}
        self.roms = Roms(prefix)

    def add_file(self, name: str, text: str) -> None:
        self.texts[name] = text

    def get_memory(self, memory: Memory) -> Elaboratable:
        """What stands for a memory."""
        return memory.elaborate(None) if memory.write_ports else self.roms.instance(memory)


def convert(accelerator: Accelerator, name: str, cache: Path | None = None) -> str:
    """The Verilog of a machine behind AxiStreamTop as module `name`, whole, nothing else; `cache` as in ``write``."""
    return _convert(accelerator, name, PLAIN, cache, False)[0]


def _convert(
    accelerator: Accelerator, name: str, interface: Interface, cache: Path | None, apart: bool
) -> tuple[str, Mapping[str, str]]:
    """The Verilog, and the files of contents by name where these stand `apart`."""
    files = _Files(inner(name, ""))
    top, domain = AxiStreamTop(accelerator, interface), ClockDomain("sync")
    own = {"clk": domain.clk, "rst": domain.rst}
    given = []
    for port in ports(top.formats):
        signal = own[port.name] if port.name in top.outside else getattr(top, port.name)
        given.append(signal)
    fragment = Fragment.get(top, files)
    fragment.add_domains(domain)
    if interface.registers:
        bus = ClockDomain("bus")
        bus.clk = domain.clk
        fragment.add_domains(bus)
    with places.environment(XDG_CACHE_HOME=str(places.cache(cache))):  # where Yosys looks for its own
        text = verilog.convert(
            fragment, name=name, platform=files, ports=given, emit_src=False, strip_internal_attrs=True
        )
    text, roms = files.roms.place(plain(looped(text) + "".join(files.texts.values()), name))
    contents = {f"{module}{CONTENTS}": rom.contents() for module, rom in roms.items()} if apart else {}
    text += "".join(rom.module(module, f"{module}{CONTENTS}" if apart else "") for module, rom in roms.items())
    return broken(commented(attributed(text, name, top.formats), accelerator, name)), contents


def write(
    net: Net,
    plan: Plan,
    directory: str | os.PathLike[str],
    name: str = "bitfold",
    *,
    interface: Interface = PLAIN,
    clock: float | None = None,
    weights_file: bool = False,
    ip_xact: bool = False,
    cache: Path | None = None,
) -> Path:
    """Write NAME.v, the interface sheet NAME.md and the plan NAME.toml; returns the Verilog's path.

    `interface` says how the ports are; with registers there are also the C header NAME.h and the Python module
    NAME_registers.py, which name them. The same arguments give the same bytes. The sheet tells times at `clock` MHz,
    or at the device's clock where none is given. With `weights_file` the contents of memories are files beside NAME.v,
    one for each memory, that it reads with $readmemh. With `ip_xact` there is a component.xml, by which Vivado takes
    the folder for one of its catalogue. `cache` is a folder for what Yosys keeps between runs, None the user's.
    BadInput where the plan does not suit the network, the name is none for a module or the folder cannot be written.
    """
    check_name(name)
    return write_machine(
        Accelerator(net, plan),
        directory,
        name,
        interface=interface,
        clock=clock,
        weights_file=weights_file,
        ip_xact=ip_xact,
        cache=cache,
    )


def write_machine(
    accelerator: Accelerator,
    directory: str | os.PathLike[str],
    name: str = "bitfold",
    *,
    interface: Interface = PLAIN,
    clock: float | None = None,
    weights_file: bool = False,
    ip_xact: bool = False,
    cache: Path | None = None,
) -> Path:
    """The same of a machine that is there already."""
    check_name(name)
    check_folder(directory, *file_names(name, interface, ip_xact))
    net, plan = accelerator.net, accelerator.plan
    text, contents = _convert(accelerator, name, interface, cache, weights_file)
    kind = "shape" if plan.loadable else "network"
    made_by = f"bitfold {version('bitfold')}, {kind} {net.digest()}, cycles a frame {accelerator.cycles}"
    header = [f"// {made_by}", "// Interface: see the sheet beside this file."]
    header += [f"/* verilator lint_off {code} */ // {reason}" for code, reason in WAIVERS.items()]
    directory = make_folder(directory)
    for file, words in contents.items():
        write_beside(directory / file, words.encode())
    write_beside(directory / f"{name}.toml", plan.dumps().encode())
    write_beside(directory / f"{name}.md", interface_sheet(accelerator, name, interface, clock, weights_file).encode())
    table = table_of(accelerator, interface)
    if ip_xact:
        f = formats(net, plan, interface)
        package = ip_xact_package.component(name, made_by, f, table, tuple(contents))
        write_beside(directory / ip_xact_package.FILE, package)
    if table:
        write_beside(directory / f"{name}.h", texts.header(name, table).encode())
        write_beside(directory / f"{name}_registers.py", texts.module(name, table).encode())
    path = directory / f"{name}.v"
    write_beside(path, ("\n".join(header) + "\n" + text).encode())
    return path
