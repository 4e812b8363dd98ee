"""Any picture file as an image of a network's input."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .error import BadInput, install
from .net import Net

MODES = {1: "L", 3: "RGB"}
"""Pillow's, for grey and for red, green, blue."""


def picture(path: Path, net: Net) -> NDArray[np.int64]:
    """int64 [height, width, channels] in the input's interval, of a file that Pillow reads.

    The shorter side is resized to that of the input, or to what the network's preprocessing says, and the middle cut
    out; 0 to 255 becomes 0 to the input's largest value. Where the preprocessing says that 0 is paper or background,
    a picture with a light edge is dark on light, and inverted.

    BadInput where the file is no picture, Pillow is missing, or the input is no picture's: not 1 or 3 channels from 0.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise BadInput(f"picture files are read by Pillow, which is not installed; {install('boards')}") from None
    t = net.input
    if t.channels not in MODES or t.lo != 0:
        raise BadInput(
            f"{path} is a picture, and the network takes {t.channels} channels from {t.lo} to {t.hi}; "
            "give a .npy file of integers [N, height, width, channels]"
        )
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert(MODES[t.channels])
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no picture that Pillow reads"
        raise BadInput(f"{path}: {reason}") from None
    said = re.search(r"shorter side resized to (\d+) pixels", net.preprocessing)
    shorter = int(said[1]) if said else 0
    scale = max(max(t.height, shorter) / image.height, max(t.width, shorter) / image.width)
    width, height = round(image.width * scale), round(image.height * scale)
    image = image.resize((max(t.width, width), max(t.height, height)), Image.Resampling.BILINEAR)
    left, top = (image.width - t.width) // 2, (image.height - t.height) // 2
    pixels = np.asarray(image.crop((left, top, left + t.width, top + t.height)), np.int64)
    pixels = pixels.reshape(t.shape)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if re.search(r"0 \((paper|background)\)", net.preprocessing) and np.median(edge) > 127:
        pixels = 255 - pixels
    return (pixels * t.hi + 127) // 255
