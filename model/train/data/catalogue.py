"""The data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...error import BadInput, suggest
from .arrays import arrays
from .cifar import cifar10, cifar100
from .dataset import DataSet
from .digits import digits
from .folders import folders
from .idx import fashion_mnist, mnist
from .image_files import SIZE
from .svhn import svhn

_IN_FOLDERS: dict[str, Callable[[Path], DataSet]] = {
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "svhn": svhn,
    "arrays": arrays,
}

DATA = ("digits", *_IN_FOLDERS, "folders")
"""Every data set by the name that a recipe gives it."""


def open_data(name: str, folder: Path | None, size: tuple[int, int, int] = SIZE) -> DataSet:
    """The data set called `name`, whose files are in `folder` or below; the digits need none.

    `size`, (height, width, channels), is what pictures in folders become; all other images have theirs. BadInput for a
    name that is none of `DATA`, and for a folder that is missing; but for arrays the files are read later.
    """
    if name == "digits":
        return digits()
    if name not in DATA:
        raise BadInput(f"no data set is called {name[:80]!r}; {suggest(name, DATA)}there are {', '.join(DATA)}")
    if folder is None:
        raise BadInput(f"{name} is read from a folder: name it with --data DIR")
    if not (folder.is_dir() or (name == "arrays" and folder.is_file())):
        raise BadInput(f"the data's folder {folder} does not exist: make it, or name another")
    return folders(folder, size) if name == "folders" else _IN_FOLDERS[name](folder)
