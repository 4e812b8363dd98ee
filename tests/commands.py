"""The command line, run in this process."""

import contextlib
import io

import pytest

from bitfold.cli.main import main


def run(*words):
    """Run the command in this process; (exit status, stdout, stderr)."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code or 0, out.getvalue(), err.getvalue()
