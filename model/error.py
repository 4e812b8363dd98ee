"""The one exception that a user's input can raise, and what text may reach a terminal."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They let the rest of a line be shown in another order than it has."""


def commands(text: str) -> str:
    """The characters of `text` that steer a terminal or break a line instead of being shown, or have no UTF-8.

    Every script, its marks and joiners, spaces of any width and emoji are text and none of them.
    """
    return "".join(c for c in text if c in BIDI or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp"))


def printable(text: str) -> str:
    r"""The text in one line, with an escape such as ``\x1b`` in place of each of its `commands`."""
    for character in set(commands(text)):
        text = text.replace(character, character.encode("unicode_escape").decode())
    return text


class BadInput(ValueError):  # noqa: N818  the name says whose mistake it is
    """What a user handed over cannot be used; the message, one line, says what, where and how to mend it."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def short(value: object) -> str:
    """The repr of what a file says, cut where a line would not hold it."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of thousands of digits
        text = "a number of thousands of digits" if isinstance(value, int) else "more than can be shown"
    return cut(text)


def cut(text: str) -> str:
    """What a file says, as far as a line holds it."""
    return text if len(text) <= 80 else text[:77] + "..."


def suggest(name: str, names: Iterable[str]) -> str:
    """``did you mean X? `` where one of the names is near, else nothing."""
    close = difflib.get_close_matches(name, names, 1)
    return f"did you mean {close[0]}? " if close else ""


def install(extra: str) -> str:
    """How to install what an extra of pyproject.toml brings."""
    return f"in bitfold's folder: pip install '.[{extra}]'"
