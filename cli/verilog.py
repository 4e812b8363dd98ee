# amaranth: UnusedElaboratable=no
"""`bitfold verilog`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..hw.accelerator import Accelerator
from ..hw.verilog.write import write_machine
from .arguments import CyclesOption, JsonOption, NetArgument, PlanOption, choose_plan, load_net
from .tell import tell


def verilog(
    net: NetArgument,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the files.")],
    plan: PlanOption = None,
    cycles: CyclesOption = None,
    name: Annotated[str, typer.Option(help="Name of the top module and of the files.")] = "bitfold",
    as_json: JsonOption = False,
) -> None:
    """Write Verilog with AXI4-Stream in and out, its interface sheet and its plan."""
    network = load_net(net)
    folding = choose_plan(network, plan, cycles)
    console = Console(stderr=True)
    with console.status("writing Verilog"):
        machine = Accelerator(network, folding)
        path = write_machine(machine, output, name)
    figures = {
        "verilog": str(path),
        "sheet": str(path.with_suffix(".md")),
        "plan": str(path.with_suffix(".toml")),
        "cycles_per_frame": machine.cycles,
        "lanes": folding.lanes(network),
        "weights": network.weights,
    }
    tell(figures, as_json)
