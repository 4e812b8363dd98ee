"""One line for a person, whatever is in it."""

import pickle

import pytest

from bitfold.model.error import BadInput, commands, printable

WELCOME = [
    "plain",
    "Çà et là",
    "e\N{COMBINING ACUTE ACCENT}",
    "日本\N{IDEOGRAPHIC SPACE}語",
    "می\N{ZERO WIDTH NON-JOINER}خواهم",
    "\N{MAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}",
    "no\N{NO-BREAK SPACE}break",
    "\N{RIGHT-TO-LEFT MARK}שלום",
    "a back\\slash",
]
"""Text of any script."""

STEERING = [
    "\0", "\t", "\n", "\r", "\x1b[31m", "\x7f", "\x85", "\x9b31m", "\N{LINE SEPARATOR}", "\N{PARAGRAPH SEPARATOR}",
    "\N{RIGHT-TO-LEFT OVERRIDE}", "\N{LEFT-TO-RIGHT ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}", "\ud800", "\udcff",
]  # fmt: skip
"""What begins with a character that no terminal may get."""


@pytest.mark.parametrize("text", WELCOME)
def test_text_of_any_script_is_printed_as_it_is(text):
    assert commands(text) == ""
    assert printable(text) == str(BadInput(text)) == text


@pytest.mark.parametrize("text", STEERING, ids=ascii)
def test_what_steers_a_terminal_is_escaped(text):
    assert commands("a" + text) == text[0]
    escaped = text[0].encode("unicode_escape").decode() + text[1:]
    for shown in printable(text * 2), str(BadInput(text * 2)):
        assert shown == escaped * 2
        assert len(shown.encode().splitlines()) == 1


def test_the_exception_travels_between_processes():
    error = pickle.loads(pickle.dumps(BadInput("a\nb")))
    assert (type(error), str(error)) == (BadInput, "a\\nb")
