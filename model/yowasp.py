"""Programs that are installed as YoWASP packages: Yosys, nextpnr and what they pack with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from . import places
from .error import BadInput, install
from .processes import call


def tool(name: str, extra: str = "fpga") -> Path:
    """Path of a YoWASP program; BadInput where it is not installed, which names the `extra` that brings it."""
    program = Path(sys.executable).with_name(name)
    if not program.exists():
        raise BadInput(f"{name} is not installed; {install(extra)}")
    return program


def run_tool(name: str, arguments: list[str], folder: Path, log: str, cache: Path | None = None) -> None:
    """Run a YoWASP program in `folder`; it sees that folder only, and its own words may be lost: `log` has them.

    `cache` is a folder for what it keeps between runs; None is the user's.
    """
    # By this Python, because the first line of a script does not bear every path.
    env = os.environ | {"XDG_CACHE_HOME": str(places.cache(cache))}
    status, words = call([sys.executable, tool(name), *arguments], cwd=folder, env=env)
    if status:
        path = folder / log
        words = (path.read_text(encoding="utf-8", errors="replace") if path.exists() else "") + words
        lines = [line for line in words.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or [f"status {status}"]
        raise RuntimeError(f"{name} failed: {errors[0]}; see {path}")
