"""The command line: 0 on success, 1 when a check fails, 2 on bad input with one line about it."""

from __future__ import annotations

import io
import signal
import sys
from typing import Any

import typer

from ..model.error import BadInput
from .check import check
from .demo import demo
from .plan import plan
from .report import report
from .simulate import simulate
from .train import train
from .verilog import verilog
from .zoo import list_zoo

USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""What typer raises for a wrong command line; it has no public name for it."""

app = typer.Typer(
    help="1-bit networks to Verilog, proven bit for bit.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

for command in (demo, plan, verilog, simulate, report, train, check):
    app.command()(command)
app.command("zoo")(list_zoo)


def main() -> None:
    """Run the command line and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name may have what this terminal has not
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is signal.SIG_DFL:
            signal.signal(ending, lambda number, frame: sys.exit(128 + number))  # so that all are left in order
    try:
        status = app(standalone_mode=False)
    except USAGE_ERROR as error:
        _fail(2, error.format_message().rstrip(".") + "; see bitfold --help")
    except typer.Abort:
        _fail(1, "stopped")
    except BadInput as error:
        _fail(2, str(error))
    except OSError as error:
        _fail(2, f"{error.filename or 'a file'}: {error.strerror or error}")
    except RuntimeError as error:  # Deadlock and Broken among them: the machine or a tool has failed
        _fail(1, str(error))
    raise SystemExit(status)


def _fail(status: int, message: str) -> None:
    print(f"bitfold: {message}", file=sys.stderr)
    raise SystemExit(status)
