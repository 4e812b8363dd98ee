"""scikit-learn's digits, which need no download."""

from __future__ import annotations

import numpy as np

from ...error import BadInput, install
from ...tensor import Tensor
from .dataset import DataSet
from .images import Images, hold_out


def digits() -> DataSet:
    """scikit-learn's digits: 1797 handwritten digits, 8x8, ink 0 to 16; a fixed fifth is held out as the test.

    Its parts raise BadInput when scikit-learn is missing; the images come with it, nothing is downloaded.
    """
    return DataSet(
        name="digits",
        input=Tensor(8, 8, 1, lo=0, hi=16, frac=3),  # standard deviation 6.02
        mean=(5,),  # 4.88
        classes=tuple("0123456789"),
        preprocessing="8x8 pixels, 0 (paper) to 16 (ink), as scikit-learn's load_digits gives them",
        train=lambda: _part(held_out=False),
        test=lambda: _part(held_out=True),
    )


def _part(held_out: bool) -> Images:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise BadInput(f"the digits come with scikit-learn, which is not installed; {install('sim')}") from None
    pixels, labels = load_digits(return_X_y=True)
    everything = Images(pixels.astype(np.uint8).reshape(-1, 8, 8, 1), labels.astype(np.int64))
    return everything.take(np.flatnonzero(hold_out(everything.labels, parts=5, seed=0) == held_out))
