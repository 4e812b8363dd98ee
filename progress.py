"""Progress of long work, on a console."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def frames_bar(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar of simulated frames; gives the function to call with (frames done, frames in all)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("compiling", total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, description="frames", completed=done, total=total)

        yield tell
