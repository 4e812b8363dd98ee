"""The certificate of a machine: what is proven of it, by what, what is only searched or run, and what neither shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ...hw.accelerator import Accelerator
from ...hw.load import loaded
from ...model.net import Net
from ..tools import bitwuzla
from . import netlist
from .circuit import Circuit
from .rows import Row
from .standstill import prove_moves
from .units import prove_numbers, prove_unit

ORDER = ("refuted", "open", "tested", "bounded", "proven")
"""States of rows, the weakest first."""


@dataclass(frozen=True)
class Entry:
    """A row of the certificate: a claim of one unit, or of all those with the same netlist.

    Attributes
    ----------
    units : those it is about, by name
    shape : what they are
    """

    row: Row
    units: tuple[str, ...]
    shape: str


@dataclass(frozen=True)
class Certificate:
    """Of a machine.

    Attributes
    ----------
    network, plan : their digests; of a machine that is loaded the network that is
    target, cycles : the machine's
    entries : claim by claim, unit by unit
    """

    network: str
    plan: str
    target: str
    cycles: int
    entries: tuple[Entry, ...]

    @property
    def refuted(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.row.state == "refuted"]

    @property
    def open(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.row.state == "open"]

    @property
    def holds(self) -> bool:
        """Nothing is refuted, and nothing is open."""
        return not self.refuted and not self.open

    def lines(self) -> Iterator[Line]:
        """The entries of the same claim about units of one kind, found the same way, in one line each."""
        groups: dict[tuple[str, str, str, str, str], list[Entry]] = {}
        for entry in self.entries:
            row = entry.row
            what = row.what if row.state == "refuted" else ""
            groups.setdefault((row.kind.name, entry.shape, row.state, row.method, what), []).append(entry)
        for group in groups.values():
            yield Line(tuple(group))

    def figures(self) -> dict[str, object]:
        """All of it, for machines to read."""
        rows = [
            {
                "claim": entry.row.kind.name,
                "says": entry.row.kind.says,
                "units": list(entry.units),
                "shape": entry.shape,
                **{name: value for name, value in asdict(entry.row).items() if name != "kind"},
                "does_not_establish": entry.row.kind.leaves,
            }
            for entry in self.entries
        ]
        about = {"network": self.network, "plan": self.plan, "target": self.target, "cycles_per_frame": self.cycles}
        return about | {"holds": self.holds, "refuted": len(self.refuted), "open": len(self.open), "rows": rows}


@dataclass(frozen=True)
class Line:
    """Entries that say the same of units of one kind."""

    entries: tuple[Entry, ...]

    @property
    def row(self) -> Row:
        return self.entries[0].row

    @property
    def units(self) -> list[str]:
        return sorted({unit for entry in self.entries for unit in entry.units})

    @property
    def about(self) -> str:
        """The kind of unit, and how many of them there are."""
        count = len(self.units)
        return self.entries[0].shape if count == 1 else f"{count} {self.entries[0].shape}"

    @property
    def depth(self) -> str:
        """The cycles that inductions or searches look at, from the least to the most."""
        depths = {entry.row.depth for entry in self.entries}
        return "" if depths == {0} else "-".join(map(str, sorted({min(depths), max(depths)})))

    @property
    def seconds(self) -> float:
        return sum(entry.row.seconds for entry in self.entries)


def certify(
    net: Net,
    accelerator: Accelerator,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Certificate:
    """Prove what can be proven of a network's machine, unit by unit; units with the same netlist once.

    Where weights are loaded, what its stages compute is proven of this network's. `cache` is a folder for what Yosys
    keeps between runs; `progress` hears (units done, in all). BadInput where a tool is missing.
    """
    netlist.check()
    bitwuzla()
    units = accelerator.units
    alike: dict[str, list[str]] = {}
    for name, unit in units.items():
        alike.setdefault(netlist.rtlil_of(unit), []).append(name)
    entries: list[Entry] = []
    circuits: dict[str, Circuit] = {}
    loads = {id(stage): layers for stage, layers in loaded(net, accelerator)} if accelerator.loader else {}
    for done, (text, names) in enumerate(alike.items()):
        if progress:
            progress(done, len(alike))
        unit, circuit = units[names[0]], netlist.circuit_of(text, cache)
        circuits |= dict.fromkeys(names, circuit)
        shape = type(unit).__name__
        entries += [Entry(row, tuple(names), shape) for row in prove_unit(unit, circuit)]
        for name in names:
            if (layers := loads.get(id(units[name]))) is not None:
                entries += [Entry(row, (name,), shape) for row in prove_numbers(units[name], circuit, layers)]
    for name, row in prove_moves(accelerator, circuits, cache):
        entries.append(Entry(row, (name or "the machine",), "Queue" if name else "Accelerator"))
    plan = accelerator.plan
    return Certificate(net.digest(), plan.digest(), plan.target, accelerator.cycles, tuple(entries))


def markdown(certificate: Certificate, name: str) -> str:
    """The certificate as a page of Markdown."""
    states: dict[str, int] = {}
    for entry in certificate.entries:
        states[entry.row.state] = states.get(entry.row.state, 0) + len(entry.units)
    counted = ", ".join(f"{states[state]} {state}" for state in reversed(ORDER) if state in states)
    text = [
        f"# What is proven of {name}",
        "",
        f"Network {certificate.network}, plan {certificate.plan}, for {certificate.target}, "
        f"{certificate.cycles:,} cycles a frame. Claims of units: {counted}.",
        "",
        *ABOUT,
        "",
        *_table(
            ("claim", "units", "", "method", "engine", "cycles", "seconds", "does not establish"),
            (
                (
                    line.row.kind.name,
                    line.about,
                    line.row.state,
                    line.row.method,
                    line.row.engine,
                    line.depth,
                    f"{line.seconds:.1f}",
                    line.row.what or line.row.kind.leaves,
                )
                for line in certificate.lines()
            ),
        ),
        "",
        "## The claims",
        "",
    ]
    kinds = {entry.row.kind.name: entry.row.kind for entry in certificate.entries}
    text += [f"- **{kind.name}**: {kind.says}." for kind in kinds.values()]
    text += ["", "## Not claimed here", "", *(f"- {line}" for line in UNCLAIMED)]
    text += ["", "## The units", ""]
    shapes: dict[str, set[str]] = {}
    for entry in certificate.entries:
        shapes.setdefault(entry.shape, set()).update(entry.units)
    text += [f"- {shape}: {', '.join(sorted(units))}" for shape, units in shapes.items()]
    return "\n".join(text) + "\n"


ABOUT = (
    "A *proven* claim holds in every cycle after a reset, for all words and pauses. Inductions assume that the",
    "streams that come in keep the stream contract, as the units that give them are proven to do. What *bounded*",
    "claims say was searched up to the cycle given after a reset, and no further.",
)


UNCLAIMED = ("What a synthesised netlist or a board makes of the machine.",)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
