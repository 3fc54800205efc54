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
