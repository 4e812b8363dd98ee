"""The build record, build.json: what was built, for which board, by which tools, and the checksum of every file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..model.error import BadInput, short
from ..model.read import read_bytes, read_text

VERSION = 1

NAME = "build.json"

PORTS = {"clock", "rx", "tx", "reset"}
"""Of the top module, each known by its name here."""

LARGEST = 2**31
"""Bytes that no file of a build has."""


@dataclass(frozen=True)
class Port:
    """A port of the top module: its name in the Verilog, and whether it is active low."""

    name: str
    active_low: bool


@dataclass(frozen=True)
class Record:
    """What build.json says.

    bitfold : the version that built
    board, loader, target : the board's name, openFPGALoader's for it, its device
    network, network_digest, plan_digest : the network's name; of both the digest
    clock, crystal : hertz of the machine and of the board
    baud : of the serial line
    ports : of the top module: clock, rx, tx, reset
    bitstream : the file's name; None for a project
    tools : versions by name
    seed, fmax, used : of place and route; fmax in hertz; of each kind of cell the used and the available
    cycles : a frame
    frames_per_second : at that clock, in steady state, without the serial line
    seconds, gibibytes : what the build took, its largest process
    files : SHA-256 of every other file of the folder
    """

    bitfold: str
    board: str
    loader: str
    target: str
    network: str
    network_digest: str
    plan_digest: str
    clock: int
    crystal: int
    baud: int
    ports: Mapping[str, Port]
    bitstream: str | None
    tools: Mapping[str, str]
    seed: int | None
    fmax: float | None
    used: Mapping[str, tuple[int, int]]
    cycles: int
    frames_per_second: float
    seconds: float
    gibibytes: float
    files: Mapping[str, str]

    def dumps(self) -> str:
        """As JSON."""
        return json.dumps({"bitfold_build": VERSION, **asdict(self)}, indent=1) + "\n"


def load(folder: Path) -> Record:
    """The record of a folder; BadInput where there is none that this version reads, or a file is not as recorded."""
    path = folder / NAME
    if folder.is_dir() and not path.exists():
        raise BadInput(f"{folder} has no {NAME}; give a folder that bitfold build has made")
    text = read_text(path, "a build's record")
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError):  # ValueError: no JSON, or a number of thousands of digits
        raise BadInput(f"{path} is not a build's record: it is not JSON; build again") from None
    if not isinstance(content, dict) or content.pop("bitfold_build", None) != VERSION:
        raise BadInput(f"{path} is not a build's record of version {VERSION}, which this bitfold reads; build again")
    if set(content) != {field.name for field in fields(Record)}:
        raise BadInput(f"{path} does not have the entries of a build's record; build again")
    try:
        ports = {name: Port(**port) for name, port in content["ports"].items()}
        used = {name: tuple(counts) for name, counts in content["used"].items()}
        record = Record(**{**content, "ports": ports, "used": used})
        _check_types(record)
        if record.bitstream is not None and record.bitstream not in record.files:
            raise TypeError("bitstream")
    except (TypeError, AttributeError) as error:
        raise BadInput(f"{path} is not a build's record: {short(str(error))}; build again") from None
    return record


_TEXTS = ("bitfold", "board", "loader", "target", "network", "network_digest", "plan_digest")
_COUNTS = ("clock", "crystal", "baud", "cycles")
_RATES = ("frames_per_second", "seconds", "gibibytes")


def _check_types(record: Record) -> None:
    """TypeError with the name of the first entry that is of another type, or a count or rate that is not positive."""

    def all_of(values: Iterable[object], kind: type) -> bool:
        return all(type(value) is kind for value in values)

    def positive(value: object, *kinds: type) -> bool:
        return type(value) in kinds and 0 < value < math.inf  # type: ignore[operator]

    right = {name: type(getattr(record, name)) is str for name in _TEXTS}
    right |= {name: positive(getattr(record, name), int) for name in _COUNTS}
    right |= {name: positive(getattr(record, name), int, float) for name in _RATES}
    right["bitstream"] = type(record.bitstream) in (str, type(None))
    right["seed"] = type(record.seed) in (int, type(None))
    right["fmax"] = record.fmax is None or positive(record.fmax, int, float)
    right["ports"] = set(record.ports) == PORTS and all(
        type(port.name) is str and type(port.active_low) is bool for port in record.ports.values()
    )
    right["tools"], right["files"] = (
        all_of((text for pair in texts.items() for text in pair), str) for texts in (record.tools, record.files)
    )
    right["used"] = all(len(counts) == 2 and all_of(counts, int) for counts in record.used.values())
    for name, fits in right.items():
        if not fits:
            raise TypeError(name)


def check(folder: Path, record: Record, name: str) -> None:
    """BadInput unless a file of the folder is what the record says."""
    if digest(folder / name) != record.files.get(name):
        raise BadInput(
            f"{folder / name} is not the file that was built: its SHA-256 differs from {NAME}'s; build again"
        )


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(read_bytes(path, "a file of a build", LARGEST)).hexdigest()
