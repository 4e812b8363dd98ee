"""``python -m bitfold`` is the `bitfold` command."""

from .cli import main

main()
