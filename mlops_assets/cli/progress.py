"""How far a long command is: a line on stderr that goes away when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from mlops_assets.cli.output import stderr
from mlops_assets.words import counted


@contextmanager
def spinning(first: str) -> Iterator[Callable[[str], None]]:
    """Show what is done, as it is told, where nobody knows how much there is."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=stderr, transient=True) as progress:
        task = progress.add_task(first, total=None)
        yield lambda what: progress.update(task, description=what)


@contextmanager
def counting(first: str, total: int | None = None) -> Iterator[tuple[Progress, TaskID]]:
    """Show a bar with how much of how many is done."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=stderr, transient=True) as progress:
        yield progress, progress.add_task(first, total=total)


@contextmanager
def counting_files(what: str) -> Iterator[Callable[[int], None]]:
    """Show how many files are done, where nobody knows how many there are."""
    with spinning(what) as tell:

        def count(files: int) -> None:
            if files % 100 == 0:
                tell(f"{what}: {counted(files, 'file')}")

        yield count
