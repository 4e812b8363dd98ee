"""The words that load a network into a machine of its shape."""

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..model.error import BadInput
from ..model.layers import Layer, walk
from ..model.net import Net
from ..model.shape import shape
from .accelerator import Accelerator
from .device.loaded import COLUMN, columns
from .stream.stage import Stage


def words(net: Net, accelerator: Accelerator) -> NDArray[np.uint32]:
    """The load: uint32 [words], header and CRC with it.

    BadInput where the plan's weights are not loadable, or the machine is one of another shape.
    """
    if accelerator.loader is None:
        raise BadInput('the plan\'s weights are read-only memories; put a line weights = "loadable" above its [layers]')
    found = [np.array(accelerator.loader.header, np.uint32)]
    for stage, layers in loaded(net, accelerator):
        for (width, _), rows in zip(stage.link.memories, stage.contents(*layers), strict=True):
            found.append(_columns(rows, width))
    load = np.concatenate(found).astype("<u4")
    return np.append(load, np.uint32(zlib.crc32(load.tobytes())))


def loaded(net: Net, accelerator: Accelerator) -> Iterator[tuple[Stage, list[Layer]]]:
    """The stages that are loaded, in the order of the chain, each with its layers in the network.

    BadInput where the machine is one of another shape.
    """
    if shape(net).digest() != accelerator.net.digest():
        raise BadInput(
            f"the network's shape is {shape(net).digest()[:12]}, the machine's {accelerator.net.digest()[:12]}; make a "
            "machine for this network: layers, intervals and shifts must be the same"
        )
    layers: dict[str, Layer] = {}
    walk(net.body, net.input, lambda path, layer, t: layers.update({path: layer}))
    for paths, stage in accelerator.pipeline.loaded:
        yield stage, [layers[path] for path in paths]


def _columns(rows: list[int], width: int) -> NDArray[np.uint32]:
    """Words of `width` bits as a memory wants them: all of the lowest column, then of the next."""
    size = columns(width) * COLUMN // 8
    every = np.frombuffer(b"".join(row.to_bytes(size, "little") for row in rows), "<u4")
    return every.reshape(len(rows), -1).T.ravel()
