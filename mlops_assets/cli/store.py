"""`mlops store`: the index made again from the files, and old profiles merged down."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops_assets.cli.output import (
    AsJson,
    finite,
    interruptible,
    print_json,
    shown,
    stderr,
    stdout,
)
from mlops_assets.words import counted

if TYPE_CHECKING:
    from mlops_assets.monitoring.retention import Compaction

store = typer.Typer(
    name="store",
    help="The store of profiles, verdicts and decisions.",
    no_args_is_help=True,
)


@store.command()
def rebuild(*, as_json: AsJson = False) -> None:
    """Make the index again from the files; nothing else is touched, and every answer is the same."""
    with interruptible():
        rebuilt = rebuild_index()
    if as_json:
        print_json(rebuilt.as_json())
    else:
        rebuilt.print()


@store.command()
def compact(
    model: Annotated[str | None, typer.Argument(help="One declared model only.")] = None,
    *,
    grace: Annotated[
        float,
        typer.Option(
            help="Hours for which profiles stay that were just added.",
            min=0,
            max=876_000,
            callback=finite,
        ),
    ] = 24,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Merge the profiles of old windows into one for each month, as the retention is declared."""
    with interruptible():
        compacted = compact_profiles(model, grace, dry_run=dry_run)
    if as_json:
        print_json(compacted.as_json())
    else:
        compacted.print()


@dataclass(frozen=True)
class Rebuilt:
    """An index made again from so many files; ``set_aside`` are names of what was no record."""

    store: str
    files: int
    set_aside: tuple[str, ...]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the documented form."""
        return vars(self) | {"set_aside": list(self.set_aside)}

    def print(self) -> None:
        """Say it to a person."""
        stdout.print(
            f"{self.store}: the index is rebuilt from {counted(self.files, 'file')} in {self.seconds:.1f} s.",
            markup=False,
        )
        for name in self.set_aside:
            stdout.print(f"  aside/{name} is no record and was left out", markup=False)


def rebuild_index() -> Rebuilt:
    """Make the index of the home's store again; progress goes to stderr.

    Raises:
        StoreBusyError: another process does the same.

    """
    from mlops_assets.cli.progress import counting
    from mlops_assets.home import Home
    from mlops_assets.records.store import Store

    begun = time.perf_counter()
    found = Store(Home.find().store)
    with counting("reading files") as (bar, task):
        files = found.rebuild(lambda done, of: bar.update(task, completed=done, total=of))
        found.refresh()
    return Rebuilt(
        str(found.root), files, tuple(found.set_aside()), round(time.perf_counter() - begun, 2)
    )


@dataclass(frozen=True)
class Compacted:
    """What was done, or would be, for each model."""

    store: str
    dry_run: bool
    models: Mapping[str, Compaction]

    def as_json(self) -> dict[str, Any]:
        """Return the documented form."""
        return {
            "store": self.store,
            "dry_run": self.dry_run,
            "models": [
                {
                    "model": name,
                    "before": found.before,
                    "merged": [
                        vars(month) | {"windows": list(month.windows)} for month in found.merged
                    ],
                    "kept": [{"window": w, "reason": why} for w, why in found.kept.items()],
                    "profiles": found.removed,
                    "bytes": found.size,
                }
                for name, found in self.models.items()
            ],
        }

    def print(self) -> None:
        """Say it to a person."""
        from rich.filesize import decimal

        would = "would be " if self.dry_run else ""
        for name, found in self.models.items():
            if found.before is None:
                stdout.print(f"{name}: nothing is merged, by its retention.", markup=False)
                continue
            windows = sum(len(month.windows) for month in found.merged)
            stdout.print(
                f"{name}: before {found.before}, {counted(windows, 'window')} {would}merged into "
                f"{counted(len(found.merged), 'month')}; {counted(found.removed, 'profile')}, {decimal(found.size)} "
                f"{would}removed.",
                markup=False,
            )
            for window, why in found.kept.items():
                stdout.print(f"  {window} stays: {why}", markup=False)


def compact_profiles(model: str | None, grace: float, *, dry_run: bool) -> Compacted:
    """Merge down the profiles of all declared models, or of one; ``grace`` is in hours.

    Raises:
        UnknownNameError: no such model is declared.
        StoreBusyError: another process does the same.

    """
    from mlops_assets.monitoring.retention import compact as merge_down
    from mlops_assets.project import Project
    from mlops_assets.records.store import Store

    project = Project.find()
    records = Store(project.home.store)
    for line in project.broken_lines() if model is None else ():
        stderr.print(f"[yellow]{shown(line)}[/yellow]")
    declared = project.declarations if model is None else {model: project.declaration(model)}
    found = {}
    for name, declaration in declared.items():
        stderr.print(f"{name}: looking through {records.root}", markup=False)
        found[name] = merge_down(records, declaration, timedelta(hours=grace), rehearse=dry_run)
    return Compacted(str(records.root), dry_run, found)
