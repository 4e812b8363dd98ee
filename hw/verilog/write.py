# amaranth: UnusedElaboratable=no
"""Verilog of a network with AXI4-Stream on both sides, and the sheet that describes its interface."""

import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from amaranth import Elaboratable, Module
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ...model import places
from ...model.net import Net
from ...model.write import check_folder, make_folder, write_beside
from ..accelerator import Accelerator
from ..plan import Plan
from .comments import commented
from .formats import formats
from .names import broken, check_name, inner, plain
from .ports import ports
from .roms import CONTENTS, Roms
from .sheet import interface_sheet


class AxiStreamTop(wiring.Component):
    """An Accelerator behind the plain port names that other tools expect."""

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        every = ports(formats(accelerator.net, accelerator.plan))
        super().__init__({port.name: (Out if port.output else In)(port.bits) for port in every[2:]})

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


WAIVERS = {
    "CASEINCOMPLETE": "a state that no case names keeps its value",
    "DECLFILENAME": "all modules are in one file",
    "PROCASSINIT": "registers have a reset and an initial value",
    "UNUSEDSIGNAL": "streams have named parts that not every stage uses, and taps for simulation",
    "WIDTHEXPAND": "Yosys writes additions and comparisons of unequal widths, extended as meant",
    "WIDTHTRUNC": "Yosys writes the test for zero of a whole vector as !vector",
}
"""Verilator's warnings about the style of generated code that the file switches off, with the reason."""


ENDINGS = (".toml", ".md", ".v")
"""Of the files that are written."""


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
    return _convert(accelerator, name, cache, False)[0]


def _convert(accelerator: Accelerator, name: str, cache: Path | None, apart: bool) -> tuple[str, Mapping[str, str]]:
    """The Verilog, and the files of contents by name where these stand `apart`."""
    files = _Files(inner(name, ""))
    top = AxiStreamTop(accelerator)
    with places.environment(XDG_CACHE_HOME=str(places.cache(cache))):  # where Yosys looks for its own
        text = verilog.convert(top, name=name, platform=files, emit_src=False, strip_internal_attrs=True)
    text, roms = files.roms.place(plain(text + "".join(files.texts.values()), name))
    contents = {f"{module}{CONTENTS}": rom.contents() for module, rom in roms.items()} if apart else {}
    text += "".join(rom.module(module, f"{module}{CONTENTS}" if apart else "") for module, rom in roms.items())
    return broken(commented(text, accelerator, name)), contents


def write(
    net: Net,
    plan: Plan,
    directory: str | os.PathLike[str],
    name: str = "bitfold",
    *,
    clock: float | None = None,
    weights_file: bool = False,
    cache: Path | None = None,
) -> Path:
    """Write NAME.v, the interface sheet NAME.md and the plan NAME.toml; returns the Verilog's path.

    The same network, plan and name give the same bytes. The sheet tells times at `clock` MHz, where one is given. With
    `weights_file` the contents of memories are files beside NAME.v, one for each memory, that it reads with $readmemh.
    `cache` is a folder for what Yosys keeps between runs, None the user's. BadInput where the plan does not suit the
    network, the name is none for a module or the folder cannot be written.
    """
    check_name(name)
    return write_machine(Accelerator(net, plan), directory, name, clock=clock, weights_file=weights_file, cache=cache)


def write_machine(
    accelerator: Accelerator,
    directory: str | os.PathLike[str],
    name: str = "bitfold",
    *,
    clock: float | None = None,
    weights_file: bool = False,
    cache: Path | None = None,
) -> Path:
    """The same of a machine that is there already."""
    check_name(name)
    check_folder(directory, *(f"{name}{ending}" for ending in ENDINGS))
    net, plan = accelerator.net, accelerator.plan
    text, contents = _convert(accelerator, name, cache, weights_file)
    made_by = f"bitfold {version('bitfold')}, network {net.digest()}, cycles a frame {accelerator.cycles}"
    header = [f"// {made_by}", "// Interface: see the sheet beside this file."]
    header += [f"/* verilator lint_off {code} */ // {reason}" for code, reason in WAIVERS.items()]
    directory = make_folder(directory)
    for file, words in contents.items():
        write_beside(directory / file, words.encode())
    write_beside(directory / f"{name}.toml", plan.dumps().encode())
    write_beside(directory / f"{name}.md", interface_sheet(accelerator, name, clock, weights_file).encode())
    path = directory / f"{name}.v"
    write_beside(path, ("\n".join(header) + "\n" + text).encode())
    return path
