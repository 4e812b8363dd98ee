# amaranth: UnusedElaboratable=no
"""Verilog and plans that were made before, found again by what they are made from, before anything is made."""

from __future__ import annotations

import functools
import re
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from amaranth.back.verilog import find_yosys

from ...model import kept, places
from ...model.net import Net
from ..accelerator import Accelerator
from ..plan import Plan
from .formats import PLAIN, Interface
from .write import write_machine

_ROOT = Path(__file__).parents[2]
_WORK = re.compile("build-[0-9a-f]{32}")


@functools.cache
def generator() -> bytes:
    """All that decides which plan and which Verilog a network gets: the sources of `hw` and `model`, what they run on.

    Training, imports and the shipped networks are no part of it.
    """
    sources = sorted([*_ROOT.glob("hw/**/*.py"), *_ROOT.glob("model/*.py")])
    yosys = find_yosys(lambda found: found >= (0, 40)).version()  # as Amaranth finds it
    runs_on = sys.version_info[:3], yosys, *(version(name) for name in ("bitfold", "amaranth", "numpy"))
    named = (part for path in sources for part in (str(path.relative_to(_ROOT)).encode(), path.read_bytes()))
    return kept.key(repr(runs_on).encode(), *named).encode()


def plan(net: Net, asked: object, make: Callable[[], Plan], cache: Path) -> Plan:
    """The plan that `make` gives for a network, which is asked for by what `asked` says; made once.

    `cache` is a folder for what is kept between runs, such as ``places.cache()``.
    """
    folder = _folder(cache, "plans")
    name = kept.key(generator(), net.digest().encode(), repr(asked).encode())
    if found := kept.find(folder, name):
        return Plan.load(found)
    made = make()
    with places.held(folder / f"build-{name}") as work:
        made.save(work / "plan")
        kept.keep(folder, name, work / "plan")
    return made


def verilog(net: Net, plan: Plan, directory: Path, cache: Path, interface: Interface = PLAIN) -> Path:
    """The Verilog that ``write`` gives, in `directory`, without sheet and plan; generated once."""
    accelerator = Accelerator(net, plan)
    folder = _folder(cache, "verilog")
    parts = generator(), accelerator.net.digest().encode(), accelerator.plan.digest().encode(), repr(interface).encode()
    name, path = kept.key(*parts), directory / "bitfold.v"
    with places.held(folder / f"build-{name}") as work:
        found = kept.find(folder, name)
        if found is None:
            found = kept.keep(folder, name, write_machine(accelerator, work, interface=interface, cache=cache))
        shutil.copyfile(found, path)
    return path


def _folder(cache: Path, name: str) -> Path:
    folder = cache.resolve() / name
    folder.mkdir(parents=True, exist_ok=True)
    places.sweep(folder, _WORK)
    return folder
