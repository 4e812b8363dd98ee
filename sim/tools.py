"""The programs that simulation needs, or one line that says how to get them."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from pathlib import Path
from typing import Any

from ..model.error import BadInput, install


def program(name: str, package: str) -> str:
    """Path of a program on PATH; BadInput names the Debian packages that bring it."""
    path = shutil.which(name)
    if path is None:
        raise BadInput(f"{name} was not found on PATH; install {package.replace(' ', ' and ')} "
                       f"(Debian: apt install {package})")  # fmt: skip
    return path


def module(name: str) -> Path:
    """Folder of an installed Python package of the `sim` extra; BadInput says how to install it."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # the package that a part is looked for in
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise BadInput(f"the Python package {name} is missing; {install('sim')}")
    return Path(spec.submodule_search_locations[0])


def bitwuzla() -> Any:
    """The solver's module; BadInput says how to install it."""
    try:
        return importlib.import_module("bitwuzla")
    except ModuleNotFoundError:
        raise BadInput(f"the Python package bitwuzla is missing; {install('prove')}") from None
