"""``python -m bitfold`` is the `bitfold` command."""

from .cli.main import main

main()
