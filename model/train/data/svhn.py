"""SVHN, cropped digits: MATLAB files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...error import BadInput, install
from ...tensor import Tensor
from .dataset import DataSet
from .images import Images, joined
from .source import MEND, Source

SIDE = 32

SVHN = Source(
    title="SVHN",
    places=("svhn", "."),
    url="http://ufldl.stanford.edu/housenumbers/",
    md5={
        "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
        "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    },
)

EXTRA = [("extra_32x32.mat",)]
"""531,131 easier images: trained on where they are, but never downloaded."""


def svhn(folder: Path) -> DataSet:
    """SVHN: 73,257 and 26,032 digits of house numbers, 32x32, in colour; the extra images too where they are."""
    extra = SVHN.find(folder, EXTRA) or []
    return DataSet(
        name="svhn",
        input=Tensor(SIDE, SIDE, 3, lo=0, hi=255, frac=6),  # standard deviations 50.5, 51.2, 50.2
        mean=(112, 113, 121),  # 111.61, 113.16, 120.57, without the extra images
        classes=tuple("0123456789"),
        preprocessing="32x32 pixels, 0 to 255 in red, green, blue, as SVHN's files give them; "
        + ("trained on train_32x32.mat and extra_32x32.mat" if extra else "trained on train_32x32.mat alone"),
        train=lambda: joined([_images(path) for path in (*SVHN.obtain(folder, [("train_32x32.mat",)]), *extra)]),
        test=lambda: joined([_images(path) for path in SVHN.obtain(folder, [("test_32x32.mat",)])]),
    )


def _images(path: Path) -> Images:
    """One MATLAB file: X is uint8 [32, 32, 3, N], y holds N labels from 1 to 10, and 10 stands for the digit 0."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise BadInput(f"SVHN is read by scipy, which is not installed; {install('train')}") from None
    try:
        variables = loadmat(path, variable_names=("X", "y"))
        pixels, labels = np.asarray(variables["X"]), np.asarray(variables["y"]).ravel()
    except Exception as error:  # a broken file makes scipy raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{path} is not a MATLAB file with X and y ({reason}); {MEND}") from None
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[:3] != (SIDE, SIDE, 3) or not pixels.size:
        raise BadInput(f"{path}: X is {pixels.dtype} {list(pixels.shape)}, not uint8 [{SIDE}, {SIDE}, 3, N]; {MEND}")
    if len(labels) != pixels.shape[3]:
        raise BadInput(f"{path} holds {len(labels)} labels for {pixels.shape[3]} images; {MEND}")
    if labels.min() < 1 or labels.max() > 10:
        raise BadInput(f"{path}: the labels span [{labels.min()}, {labels.max()}]; expected 1 to 10; {MEND}")
    return Images(np.ascontiguousarray(pixels.transpose(3, 0, 1, 2)), labels.astype(np.int64) % 10)
