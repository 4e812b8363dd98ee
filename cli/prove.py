# amaranth: UnusedElaboratable=no
"""`bitfold prove`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..hw.accelerator import Accelerator
from ..hw.device.target import TARGETS
from ..model import places
from ..model.error import BadInput, printable
from ..model.write import check_place, write_beside
from .arguments import CacheOption, JsonOption, NetArgument, PlanOption, choose_plan, load_net
from .progress import bar
from .tell import err, out, show

if TYPE_CHECKING:
    from ..sim.proof.certificate import Certificate


def prove(
    net: NetArgument,
    plan: PlanOption = None,
    target: Annotated[
        str | None, typer.Option(metavar="DEVICE", help=f"{', '.join(TARGETS)}; without it the plan's, or none.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.md", help="Where to write the certificate.")
    ] = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove the machine, unit by unit: a certificate of what is proven, how, and what that does not establish.

    Status 1 where a claim is refuted or stays open.
    """
    from ..sim.proof import certificate  # here, because no other command needs the solver

    if target is not None and target not in TARGETS:
        raise BadInput(f'no device is called "{target}"; there are {", ".join(TARGETS)}')
    if output is not None:
        check_place(output)
    network = load_net(net)
    kept = places.cache(cache)
    machine = Accelerator(network, choose_plan(network, plan, None, kept, target))
    with bar(err(), "elaborating", "netlists of units") as progress:
        found = certificate.certify(network, machine, kept, progress)
    name = printable(Path(net).stem)
    if output is not None:
        write_beside(output, certificate.markdown(found, name).encode())
    if as_json:
        print(json.dumps(found.figures()))
    else:
        _show(found)
    if not found.holds:
        raise typer.Exit(1)


def _show(found: Certificate) -> None:
    """Print the table, and what is refuted."""
    table = Table(box=None)
    for name in ("claim", "units", "", "method", "engine"):
        table.add_column(name)
    for name in ("cycles", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("does not establish")
    for line in found.lines():
        row = line.row
        table.add_row(
            row.kind.name,
            line.about,
            row.state,
            row.method,
            row.engine,
            line.depth,
            f"{line.seconds:.1f}",
            row.kind.leaves,
            style="bold" if row.state in ("refuted", "open") else None,
        )
    console = out()
    show(table, console)
    for entry in (*found.refuted, *found.open):
        row = entry.row
        console.print(f"{row.state}: {row.kind.name}, {', '.join(entry.units)}: {row.what or 'the time was up'}")
