"""Which layout a published network's file has."""

from __future__ import annotations

import os

from ..error import BadInput, short
from . import keras, matlab
from .mat import described, load_mat
from .wide_resnet import WideResNet

_LAYOUTS = (keras, matlab)


def open_published(path: str | os.PathLike[str]) -> WideResNet:
    """The network in a file of a layout that is known; BadInput, in one line, for any other file.

    A layout is known by the names of its variables. Of an unknown one the line says every variable.
    """
    variables = load_mat(path)
    for layout in _LAYOUTS:
        if layout.recognises(variables):
            try:
                network: WideResNet = layout.network(variables)
                return network
            except BadInput as error:
                raise BadInput(
                    f"{os.fspath(path)} has the layout of {layout.NAME}, but {error}; fetch the file again"
                ) from None
    found = ", ".join(f"{short(name)[1:-1]} ({described(value)})" for name, value in variables.items()) or "nothing"
    known = " or ".join(f"{layout.NAME} ({layout.KEYS})" for layout in _LAYOUTS)
    raise BadInput(f"{os.fspath(path)} has no layout that is known: it holds {found}; give a file of {known}")
