"""What `mlops store` does, and how it says so."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mlops_assets.cli.output import shown, stderr, stdout
from mlops_assets.home import Home
from mlops_assets.monitoring.retention import Compaction, compact
from mlops_assets.project import Project
from mlops_assets.records.store import Store
from mlops_assets.words import counted


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
    begun = time.perf_counter()
    store = Store(Home.find().store)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=stderr, transient=True) as progress:
        task = progress.add_task("reading files", total=None)
        files = store.rebuild(
            lambda done, of: progress.update(task, completed=done, total=of),
        )
        store.refresh()
    return Rebuilt(
        str(store.root), files, tuple(store.set_aside()), round(time.perf_counter() - begun, 2)
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
    project = Project.find()
    store = Store(project.home.store)
    for line in project.broken_lines() if model is None else ():
        stderr.print(f"[yellow]{shown(line)}[/yellow]")
    declared = project.declarations if model is None else {model: project.declaration(model)}
    found = {}
    for name, declaration in declared.items():
        stderr.print(f"{name}: looking through {store.root}", markup=False)
        found[name] = compact(store, declaration, timedelta(hours=grace), rehearse=dry_run)
    return Compacted(str(store.root), dry_run, found)
