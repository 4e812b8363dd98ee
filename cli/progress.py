"""Progress of long work, on a console."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def bar(console: Console, before: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar named `unit`, and `before` until it is first told; gives the function to call with (done, in all)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(before, total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, description=unit, completed=done, total=total)

        yield tell


@contextmanager
def steps(console: Console) -> Iterator[Callable[[str], None]]:
    """The step that runs, and for how long; gives the function to call with its name as it begins."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def begin(step: str) -> None:
            progress.reset(task, description=step)

        yield begin
