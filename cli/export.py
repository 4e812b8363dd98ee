"""`bitfold export`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ..model.error import BadInput, install
from ..model.write import check_place
from .arguments import JsonOption, NetArgument, load_net
from .tell import err, tell


def export(
    net: NetArgument,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The model's .onnx file.")],
    as_json: JsonOption = False,
) -> None:
    """Write a network as plain ONNX, integer operators alone, for any other runtime to judge."""
    if not find_spec("onnx"):
        raise BadInput(f"export needs onnx, which is not installed; {install('onnx')}")
    check_place(output)
    from ..model.imports import onnx

    network = load_net(net)
    with err().status("writing ONNX"):
        operators = onnx.save(network, output)
    figures = {
        "onnx": str(output),
        "operators": operators,
        "bytes": output.stat().st_size,
        "weights": network.weights,
    }
    tell(figures, as_json)
