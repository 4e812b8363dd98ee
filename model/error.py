"""The one exception that a user's input can raise."""


class BadInput(ValueError):  # noqa: N818  the name says whose mistake it is
    """What a user handed over cannot be used; the message, one line, says what, where and how to mend it."""
