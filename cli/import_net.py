"""`bitfold import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ..model.error import BadInput
from ..model.imports.integers import integers
from ..model.imports.published import open_published
from ..model.train.data.cifar import cifar10, cifar100
from ..model.write import check_place
from .arguments import DataOption, JsonOption
from .tell import err, tell

SETS = {10: cifar10, 100: cifar100}
"""What the published networks were trained on, by their number of classes."""

IMAGES = 64
"""Of the training set, by which activations are calibrated."""


def import_net(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A published network; docs/published.md says which.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="NET", help="The network's .bitfold file.")],
    bits: Annotated[int, typer.Option(min=2, max=8, help="Of an activation.")] = 8,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a published network of 1-bit weights into integers, its normalisations kept.

    Training images in --data calibrate the activations; without any, what the file says of their distribution does.
    """
    check_place(output)
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
    net.save(output)
    figures = {
        "net": str(output),
        "layout": network.layout,
        "weights": net.weights,
        "bits": bits,
        "calibrated_on": "moments in the file" if images is None else f"{len(images)} training images",
    }
    tell(figures, as_json)
