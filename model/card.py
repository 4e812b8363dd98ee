"""What is known of a trained network besides itself, and which files belong together.

    NAME.bitfold        the network of integers
    NAME.float.bitfold  its float twin, where it has one: the network before its activations became codes, with
                        activations of 22 or 32 bits instead, so that the same reference computes it
    NAME.json           its card

Training writes them beside each other, and the zoo is a folder of them.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NoReturn, Self

from .error import BadInput, short
from .read import read_bytes
from .write import write_beside

SUFFIX = ".bitfold"
TWIN_SUFFIX = ".float" + SUFFIX


def card_path(net: Path) -> Path:
    """Where the card of the network in the file `net` is."""
    return net.with_name(net.name.removesuffix(SUFFIX) + ".json")


def twin_path(net: Path) -> Path:
    """Where the float twin of the network in the file `net` is, if it has one."""
    return net.with_name(net.name.removesuffix(SUFFIX) + TWIN_SUFFIX)


@dataclass(frozen=True)
class Card:
    """How a network was made and how well it does.

    Parameters
    ----------
    name : of the network
    data : name of the data set
    recipe : name of the recipe
    settings : the whole recipe as a table
    seed : of everything random
    epochs : in all phases together
    hardware : what it was trained on
    torch : version
    seconds : the training took
    date : it was finished, YYYY-MM-DD
    command : that makes it again
    bits : of an activation
    weights : one-bit weights
    bytes : size of the network's file
    digest : of the network
    images : test images
    test_error : share of them that the integers get wrong, in [0, 1]
    float_test_error : share of them that the float twin gets wrong; None where there is none
    """

    name: str
    data: str
    recipe: str
    settings: dict[str, Any]
    seed: int
    epochs: int
    hardware: str
    torch: str
    seconds: float
    date: str
    command: str
    bits: int
    weights: int
    bytes: int
    digest: str
    images: int
    test_error: float
    float_test_error: float | None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the card's JSON whole or not at all; BadInput when that fails."""
        write_beside(path, (json.dumps(asdict(self), indent=2, allow_nan=False) + "\n").encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The card that `save` wrote; BadInput, in one line, for any other file."""
        raw = read_bytes(path, "a network's card")
        try:
            value = json.loads(raw, parse_constant=_refuse)
        except (ValueError, RecursionError):
            raise BadInput(f"{path} is not a network's card: it is not JSON") from None
        types = {field.name: str(field.type) for field in fields(cls)}
        if not isinstance(value, dict):
            raise BadInput(f"{path} is not a network's card: it is not an object")
        for what, names in ("lacks", types.keys() - value.keys()), ("has the unknown", value.keys() - types.keys()):
            if names:
                raise BadInput(f"{path} is not a network's card: it {what} {', '.join(sorted(map(short, names)))}")
        return cls(**{name: _typed(value[name], types[name], f"{path}: {name!r}") for name in types})


def _typed(value: Any, annotation: str, where: str) -> Any:
    match annotation, value:
        case ("str", str()) | ("dict[str, Any]", dict()) | ("float | None", None):
            return value
        case "int", int() if type(value) is int:
            return value
        case (("float" | "float | None"), int() | float()) if type(value) is not bool:
            return float(value)
    raise BadInput(f"{where} must be {annotation.replace(', Any', '')}, not {short(value)}")


def _refuse(number: str) -> NoReturn:
    raise ValueError(number)
