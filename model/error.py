"""The one exception that a user's input can raise."""


class BadInput(ValueError):
    """What a user handed over cannot be used; the message says what, where and how to mend it, in one line."""
