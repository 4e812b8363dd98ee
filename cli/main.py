"""The command line: 0 on success, 1 when a check fails, 2 on bad input with one line about it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ..model import zoo
from ..model.card import SUFFIX
from ..model.error import BadInput, printable, suggest
from .boards import list_boards
from .build import build
from .check import check
from .classify import classify
from .demo import demo
from .export import export
from .import_net import import_net
from .info import info
from .plan import plan
from .program import program
from .prove import prove
from .regress import regress
from .report import report
from .simulate import simulate
from .synth import synth
from .train import train
from .verilog import verilog
from .weights import weights
from .zoo import list_zoo

USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""What typer raises for a wrong command line; it has no public name for it."""

STOPPED = 130
"""The status of what Ctrl-C has ended, as shells have it."""

app = typer.Typer(
    help="1-bit networks to Verilog, proven bit for bit.",
    pretty_exceptions_enable=False,
)

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "info": info,
    "plan": plan,
    "verilog": verilog,
    "weights": weights,
    "simulate": simulate,
    "regress": regress,
    "prove": prove,
    "report": report,
    "synth": synth,
    "build": build,
    "boards": list_boards,
    "program": program,
    "classify": classify,
    "train": train,
    "import": import_net,
    "check": check,
    "export": export,
    "zoo": list_zoo,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"bitfold {version('bitfold')}")
        raise typer.Exit


@app.callback()
def bitfold(
    about: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """1-bit networks to Verilog, proven bit for bit."""


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, or these words of one, and exit with its status."""
    words = list(sys.argv[1:] if words is None else words)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what a locale cannot say is escaped, not an error
            stream.reconfigure(errors="backslashreplace")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is signal.SIG_DFL:
            signal.signal(ending, lambda number, frame: sys.exit(128 + number))  # so that all are left in order
    try:
        status = _run(words)
        if sys.stdout is not None:
            sys.stdout.flush()
    except USAGE_ERROR as error:
        _fail(2, " ".join(error.format_message().split()).rstrip(".") + "; see bitfold --help")
    except (typer.Abort, KeyboardInterrupt):
        raise SystemExit(STOPPED) from None
    except BrokenPipeError:  # who reads our output has seen enough
        _leave_stdout()
        raise SystemExit(1) from None
    except BadInput as error:
        _fail(2, str(error))
    except OSError as error:
        _leave_stdout()
        _fail(2, f"{error.filename or 'a file cannot be read or written'}: {error.strerror or error}")
    except MemoryError:
        _fail(2, "this takes more memory than there is")
    except RuntimeError as error:  # Deadlock and Broken among them: the machine or a tool has failed
        _fail(1, *str(error).expandtabs().splitlines())
    raise SystemExit(status)


def _run(words: list[str]) -> int | None:
    """The status of a command line."""
    if not words:
        words = ["--help"]
    if not words[0].startswith("-") and words[0] not in COMMANDS:
        raise BadInput(_no_command(words[0]))
    return app(args=words, prog_name="bitfold", standalone_mode=False)  # type: ignore[no-any-return]


def _no_command(word: str) -> str:
    if word in zoo.names() or word.endswith(SUFFIX) or Path(word).is_file():
        return f"{word} is no command: begin with what to do, as in bitfold report {word}; see bitfold --help"
    near = suggest(word, COMMANDS)
    return f"there is no command {word}; {near}there are {', '.join(COMMANDS)}; see bitfold --help"


def _leave_stdout() -> None:
    """Where nothing more can be written there, what is left to write must not fail again when Python ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(status: int, *lines: str) -> NoReturn:
    print(f"bitfold: {chr(10).join(map(printable, lines))}", file=sys.stderr)
    raise SystemExit(status)
