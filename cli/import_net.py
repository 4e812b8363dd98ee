"""`bitfold import`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..model.error import BadInput, install
from ..model.imports.integers import integers
from ..model.imports.published import open_published
from ..model.net import Net
from ..model.train.data.cifar import cifar10, cifar100
from ..model.write import check_place
from .arguments import DataOption, JsonOption
from .tell import err, tell

SETS = {10: cifar10, 100: cifar100}
"""What the published networks were trained on, by their number of classes."""

IMAGES = 64
"""Of the training set, by which activations are calibrated."""


def import_net(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A published network, see docs/published.md; or QONNX, see docs/onnx.md."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="NET", help="The network's .bitfold file.")],
    bits: Annotated[int | None, typer.Option(min=2, max=8, help="Of an activation.", show_default="8")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn another program's network of 1-bit weights into integers, its normalisations kept.

    Of a published one, training images in --data calibrate the activations; without any, what the file says of their
    distribution does. A .onnx file says itself how they are quantised.
    """
    check_place(output)
    if file.suffix.lower() == ".onnx":
        if bits is not None or data is not None:
            raise BadInput(f"--bits and --data are for published networks; {file} says itself what its activations are")
        net, told = _qonnx(file)
    else:
        net, told = _published(file, 8 if bits is None else bits, data)
    net.save(output)
    tell({"net": str(output), **told, "weights": net.weights}, as_json)


def _qonnx(file: Path) -> tuple[Net, dict[str, Any]]:
    """A network of Brevitas, and what it tells of itself."""
    if not find_spec("onnx"):
        raise BadInput(f"{file} needs onnx to be read, which is not installed; {install('onnx')}")
    from ..model.imports.qonnx import load

    with err().status("reading QONNX"):
        net = load(file)
    return net, {"layout": "QONNX", "input": net.preprocessing}


def _published(file: Path, bits: int, data: Path | None) -> tuple[Net, dict[str, Any]]:
    """A published network with activations of so many bits, and what it tells of itself."""
    network = open_published(file)
    classes = len(network.logits.mean)
    known = SETS.get(classes)
    about = known(data or Path()) if known else None
    images = None
    if data is not None:
        if about is None:
            raise BadInput(f"{file} tells {classes} classes apart, as no data set here does: leave --data away")
        if not data.is_dir():
            raise BadInput(f"the data's folder {data} does not exist: make it, or name another")
        with err().status("reading images"):
            train = about.train()
            images = train.batch(np.arange(min(IMAGES, len(train))))
    with err().status("calibrating activations"):
        net = integers(network, bits, images, about.classes if about else (), about.preprocessing if about else "")
    calibrated = "moments in the file" if images is None else f"{len(images)} training images"
    return net, {"layout": network.layout, "bits": bits, "calibrated_on": calibrated}
