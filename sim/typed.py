"""Dataclasses from a file's JSON, which anybody may have changed."""

from __future__ import annotations

import json
import sys
from dataclasses import fields, is_dataclass
from typing import Any, NoReturn, TypeVar

from ..model.error import short

_T = TypeVar("_T")
_PLAIN: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (float, int)}
LARGEST = 2**63
"""What no count in such a file reaches."""


class Mistyped(Exception):  # noqa: N818
    """The text or the value is not what it has to be; the message says which part, and what it has to be."""


def parsed(text: bytes | str) -> dict[str, Any]:
    """The object in a text; Mistyped where there is none."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Mistyped("it is no object of JSON")
    return value


def typed(kind: type[_T], value: object) -> _T:
    """A dataclass whose fields are texts, numbers, other dataclasses, tuples of these, or None; Mistyped otherwise."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if not isinstance(value, dict) or value.keys() != set(names):
        raise Mistyped(f"it must have the parts {', '.join(names)}, and no other")
    known = vars(sys.modules[kind.__module__])
    return kind(**{each.name: _value(str(each.type), value[each.name], each.name, known) for each in fields(kind)})  # type: ignore[arg-type]


def _value(annotation: str, value: object, name: str, known: dict[str, Any]) -> Any:
    if annotation.endswith(" | None"):
        if value is None:
            return None
        annotation = annotation.removesuffix(" | None")
    if annotation.startswith("tuple[") and isinstance(value, list):
        return tuple(_value(annotation[6:-6], each, name, known) for each in value)
    if is_dataclass(other := known.get(annotation)):
        return typed(other, value)
    right = isinstance(value, _PLAIN.get(annotation, ())) and type(value) is not bool
    if right and (isinstance(value, str) or -LARGEST < value < LARGEST):
        return value
    raise Mistyped(f"{name} must be {annotation}, not {short(value)}")


def _refuse(number: str) -> NoReturn:
    raise ValueError(number)
