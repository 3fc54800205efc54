"""`mlops import`: history brought in from a folder, or from a DVC project at a git revision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress as Bar
from rich.progress import TaskID
from rich.table import Table

from mlops_assets.batches.landing import KINDS, Kind
from mlops_assets.cli.output import shown, stderr, stdout
from mlops_assets.cli.person import who
from mlops_assets.cli.progress import counting
from mlops_assets.importing import history
from mlops_assets.importing.windows import RESULTS, Outcome
from mlops_assets.instance import report_checks
from mlops_assets.monitoring.controls import add_control
from mlops_assets.monitoring.given_up import windows_given_up
from mlops_assets.project import Project
from mlops_assets.records.store import Store
from mlops_assets.words import counted

SHOWN = 20  # refused files and windows; --json has all
EVERY = 50  # windows: how often a log, which shows no bar, says that the import lives


@dataclass(frozen=True)
class Summary:
    """What an import did, or would do."""

    model: str
    source: str
    commit: str | None  # of git, if it was a DVC project
    dry_run: bool
    outcomes: tuple[Outcome, ...]
    others: int  # files of other kinds, which were left alone
    daemon: str | None

    @property
    def refused(self) -> tuple[Outcome, ...]:
        """What was refused."""
        return tuple(one for one in self.outcomes if one.result == "refused")

    def as_json(self) -> dict[str, Any]:
        """Return the documented form."""
        counts = Counter(one.result for one in self.outcomes)
        return {
            "model": self.model,
            "source": self.source,
            "commit": self.commit,
            "dry_run": self.dry_run,
            **{result: counts[result] for result in RESULTS},
            "others": self.others,
            "windows": [
                {
                    "kind": one.kind,
                    "window": one.window,
                    "outcome": one.result,
                    "rows": one.rows,
                    "files": list(one.files),
                    "branch": one.landing.branch if one.landing else None,
                    "problems": list(one.problems),
                    "notes": list(one.notes),
                }
                for one in self.outcomes
            ],
        }

    def print(self) -> None:
        """Say it to a person, with the next command to try."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2))
        for column in ("", *RESULTS, "rows", "first", "last"):
            table.add_column(column, justify="right" if column in (*RESULTS, "rows") else "left")
        for kind in (*KINDS, None):
            of_kind = [one for one in self.outcomes if one.kind == kind]
            if not of_kind:
                continue
            counts = Counter(one.result for one in of_kind)
            windows = sorted(one.window for one in of_kind if one.window)
            table.add_row(
                kind or "unknown",
                *(str(counts[result]) for result in RESULTS),
                f"{sum(one.rows or 0 for one in of_kind):,}",
                *((windows[0], windows[-1]) if windows else ("", "")),
            )
        stdout.print(table)
        for one in self.refused[:SHOWN]:
            what = f"{one.kind} of {one.window}" if one.window else one.files[0]
            came = f" ({', '.join(one.files)})" if one.window else ""
            stdout.print(f"Refused: {what}{came}", style="red", markup=False)
            for problem in one.problems:
                stdout.print(f"  - {shown(problem)}")
        if len(self.refused) > SHOWN:
            stdout.print(f"... and {len(self.refused) - SHOWN} more; --json has them all")
        noted = Counter(note for one in self.outcomes for note in one.notes)
        for note, count in noted.most_common(SHOWN):
            stdout.print(f"In {count} of {len(self.outcomes)}: {shown(note)}")
        if self.others:
            stdout.print(f"{counted(self.others, 'file')} of other kinds: left alone.")
        stdout.print(self._next(), markup=False)

    def _next(self) -> str:
        imported = any(one.result == "imported" for one in self.outcomes)
        if self.dry_run:
            return "Nothing was changed; without --dry-run it is imported."
        if not imported:
            return "Nothing was imported."
        if self.daemon:
            return f"{self.daemon} picks it up within seconds."
        return (
            f"It waits on its branches: `mlops replay {self.model}` plays it window by window; "
            "`mlops dev` ingests it all, then decides."
        )


@dataclass
class ImportBar:
    """Shows how far an import is: first the files that are read, then the windows that land."""

    model: str
    bar: Bar
    task: TaskID
    phase: int = 0
    of: int = 0
    done: int = 0

    def begin(self, steps: int) -> None:
        """Count files, or windows, from nothing."""
        self.phase, self.of, self.done = self.phase + 1, steps, 0
        self.bar.update(self.task, completed=0, total=steps)

    def tell(self, what: str) -> None:
        """Say what is worked on now."""
        self.bar.update(self.task, description=f"{self.model}: {what}"[:70])

    def step(self, what: str) -> None:
        """Count a file or window as done."""
        self.tell(what)
        self.bar.advance(self.task)
        self.done += 1
        if self.phase > 1 and not stderr.is_terminal and self.done % EVERY == 0:
            self.note(f"{self.done} of {self.of}")

    def note(self, line: str) -> None:
        """Leave a line."""
        stderr.print(f"{self.model}: {line}", markup=False)


def import_history(
    model: str,
    source: Path,
    *,
    revision: str | None = None,
    paths: Sequence[str] = (),
    labels: bool | None = None,
    dry_run: bool = False,
    replace: bool = False,
) -> Summary:
    """Land whatever files a folder holds, or DVC tracked at a revision, as windows.

    Raises:
        MlopsError: no such model, folder, project or revision, or nothing in it to import.

    """
    project = Project.find()
    declaration = project.playable(model)
    home = project.home.prepare()
    store = Store(home.store)
    kind: Kind | None = None if labels is None else "labels" if labels else "batches"
    given_up = set() if dry_run else windows_given_up(store, model)

    def try_again(window: str) -> None:
        # its runs had failed too often: a person brings it again, so they may try again
        if window in given_up:
            add_control(store, model, "retry", window, by=who())
            given_up.discard(window)

    with counting(f"{model}: opening") as (bar, task):
        done = history.import_history(
            home,
            declaration,
            source,
            revision=revision,
            paths=paths,
            kind=kind,
            dry_run=dry_run,
            replace=replace,
            progress=ImportBar(model, bar, task),
            refused=partial(report_checks, declaration),
            brought=try_again,
        )
    return Summary(
        model, str(source), done.commit, dry_run, done.outcomes, done.others, home.holder()
    )
