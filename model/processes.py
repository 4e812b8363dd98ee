"""Programs that end with the process that started them, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

_GUARD = str(Path(__file__).with_name("guard.py"))


def start(
    command: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[Any] = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Start a program; stderr goes where `stdout` goes, as UTF-8.

    Leaving the ``with`` block of what this returns ends the program and all that it has started; so does the end of
    this process, be it by SIGKILL. A program that cannot be run gives status 126 and a line.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-S", _GUARD, *command], cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=stdout,
        stderr=subprocess.STDOUT, start_new_session=True, encoding="utf-8", errors="replace",
    )  # fmt: skip


def end(process: subprocess.Popen[str]) -> None:
    """End a program of `start` and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def call(
    command: Sequence[str | os.PathLike[str]], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a program to its end: its status, and what it said."""
    with start(command, cwd=cwd, env=env) as process:
        assert process.stdout is not None
        words = process.stdout.read()
        return process.wait(), words
