# amaranth: UnusedElaboratable=no
"""`bitfold weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..hw.accelerator import Accelerator
from ..hw.load import words
from ..hw.plan import Plan
from ..model.write import check_place, write_beside
from .arguments import JsonOption, NetArgument, load_net
from .tell import err, tell


def weights(
    net: NetArgument,
    plan: Annotated[Path, typer.Option(help='The machine\'s plan, with weights = "loadable".')],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The load: 32-bit words, little-endian.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Write what loads a network into a machine of its shape, through s_weights_axis."""
    check_place(output)
    network, folding = load_net(net), Plan.load(plan)
    with err().status("gathering weights"):
        machine = Accelerator(network, folding)
        load = words(network, machine)
    write_beside(output, load.tobytes())
    tell({"load": str(output), "words": len(load), "shape": machine.net.digest()}, as_json)
