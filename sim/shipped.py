"""The files that `bitfold verilog` has written, to be simulated as they are."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..hw.plan import Plan
from ..hw.verilog.formats import CONTROL, OUT, Interface, formats
from ..hw.verilog.ports import ports
from ..model.error import BadInput
from ..model.net import Net
from ..model.read import read_bytes
from ..model.shape import shape
from .parts import VERILOG
from .taps import TOP

MOST = 2**30
"""Bytes of Verilog, or of a memory's contents, at the most."""
MEND = "write it again with bitfold verilog NET -o DIR"


@dataclass(frozen=True)
class Shipped:
    """Verilog in a folder, with what stands beside it.

    files : by name, bitfold.v and the contents of memories; the machine's modules are called after ``taps.TOP``
    digest_of : the same as they lie in the folder, under whatever name
    """

    path: Path
    plan: Plan
    interface: Interface
    files: Mapping[str, bytes]
    digest_of: Mapping[str, bytes]


def shipped(folder: Path, net: Net) -> Shipped:
    """What `bitfold verilog` wrote into a folder for a network; BadInput where it did not, or did for another."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder with Verilog: {MEND}")
    paths = [path for path in sorted(folder.glob("*.v")) if path.with_suffix(".toml").exists()]
    if len(paths) != 1:
        found = ", ".join(path.name for path in paths) or "none"
        raise BadInput(f"{folder} must hold one machine, NAME.v beside NAME.toml, and there is {found}; {MEND}")
    [path] = paths
    raw, plan = read_bytes(path, "Verilog", MOST), Plan.load(path.with_suffix(".toml"))
    text = raw.decode("utf-8", "replace")
    plan.check(net)
    made = re.match(r"// bitfold \S+, (network|shape) ([0-9a-f]{64}), ", text)
    if made is None:
        raise BadInput(f"{path} does not begin as bitfold writes it; {MEND}")
    own = (shape(net) if plan.loadable else net).digest()
    if made[2] != own:
        raise BadInput(f"{path} is of the {made[1]} {made[2][:12]}, not {own[:12]}; name its network, or {MEND}")
    name = path.stem
    contents = {}
    for file in re.findall(r'\$readmemh\("([^"/]+)"', text):
        contents[file] = read_bytes(path.with_name(file), "contents of a memory", MOST)
    called = text if name == TOP else _renamed(text, name)
    interface = _interface(text, name, net, plan, path)
    return Shipped(path, plan, interface, {VERILOG: called.encode(), **contents}, {VERILOG: raw, **contents})


def _renamed(text: str, name: str) -> str:
    """The Verilog with the modules of machine `name` called after TOP, and nothing else changed."""
    return re.sub(rf"^(module |  ){name}(?=(?:__\w+)?(?:\(| \w+ \(| #\())", rf"\g<1>{TOP}", text, flags=re.MULTILINE)


def _interface(text: str, name: str, net: Net, plan: Plan, path: Path) -> Interface:
    """How the ports of module `name` are."""
    module = re.search(rf"^module {name}\(.*?^endmodule$", text, re.MULTILINE | re.DOTALL)
    declared = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);$", module[0], re.MULTILINE) if module else ()
    found = {(port, way == "output", int(top or 0) + 1) for way, top, port in declared}
    flags = (False, True)
    for out, padded, counted, aresetn, control in itertools.product(OUT, flags, flags, flags, CONTROL):
        interface = Interface(out, padded, counted, aresetn, control)
        if {(port.name, port.output, port.bits) for port in ports(formats(net, plan, interface))} == found:
            return interface
    raise BadInput(f"{path} has not the ports of a machine of this network and the plan beside it; {MEND}")
