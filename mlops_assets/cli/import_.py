"""`mlops import`: history brought in from a folder, or from a DVC project at a git revision."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mlops_assets.batches.landing import KINDS, Kind
from mlops_assets.cli.output import shown, stderr, stdout
from mlops_assets.errors import HomeError
from mlops_assets.importing.dvc import DvcProject
from mlops_assets.importing.sources import in_folder, in_project
from mlops_assets.importing.windows import RESULTS, Outcome, bring, plan
from mlops_assets.project import Project
from mlops_assets.words import counted

if TYPE_CHECKING:
    from mlops_assets.home import Home

SHOWN = 20  # refused files and windows; --json has all


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
    from mlops_assets.cli.land import failing
    from mlops_assets.cli.retrain import write_control
    from mlops_assets.instance import report_checks
    from mlops_assets.records.store import Store
    from mlops_assets.versions import open_repository

    project = Project.find()
    declaration = project.playable(model)
    home = project.home.prepare()
    kind: Kind | None = None if labels is None else "labels" if labels else "batches"
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with (
        _staging(home, model) as staging,
        Progress(*columns, TimeElapsedColumn(), console=stderr, transient=True) as progress,
    ):
        task = progress.add_task(f"{model}: opening", total=None)

        def tell(message: str) -> None:
            progress.update(task, description=f"{model}: {message}"[:70], advance=1)

        commit = None
        metadata = {"mlops.imported_from": str(source.resolve())}
        if revision is None:
            found, others = in_folder(source)
            progress.update(task, total=len(found))
            made = plan(declaration, found, staging, kind=kind, tell=tell)
        else:
            dvc = DvcProject.at(source, revision)
            commit = dvc.commit
            metadata["mlops.imported_commit"] = commit
            tracked, count, others = in_project(dvc, paths, staging)
            progress.update(task, total=count)
            made = plan(declaration, tracked, staging, kind=kind, tell=tell)
        repository = open_repository(home.repository, home.cache)
        store = Store(home.store)
        stuck = set() if dry_run else failing(store, model)
        progress.update(task, completed=0, total=len(made.pieces))
        outcomes = list(made.refused)
        for outcome in bring(
            repository, declaration, made.pieces, metadata, dry_run=dry_run, replaces=replace
        ):
            outcomes.append(outcome)
            tell(f"{outcome.kind} of {outcome.window} {outcome.result}")
            done = len(outcomes) - len(made.refused)
            if not stderr.is_terminal and done % 50 == 0:
                # a log shows no bar; a line now and then says that it lives
                stderr.print(f"{model}: {done} of {len(made.pieces)}", markup=False)
            if outcome.landing is not None and outcome.report is not None:
                report_checks(declaration, outcome.landing, outcome.report)
            if outcome.window in stuck:
                # its runs had failed too often: a person brings it again, so they may try again
                write_control(store, model, "retry", str(outcome.window))
                stuck.discard(outcome.window)
    return Summary(
        model, str(source), commit, dry_run, tuple(outcomes), others, project.home.holder()
    )


@contextmanager
def _staging(home: Home, model: str) -> Iterator[Path]:
    """Give an empty folder of the home, and remove it with what a killed import left in it."""
    folder = home.root / "importing" / model
    folder.parent.mkdir(exist_ok=True)
    try:
        with FileLock(folder.with_name(f"{model}.lock"), timeout=1):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except Timeout as error:
        raise HomeError(
            f"another import of {model} is going on; wait until it has ended"
        ) from error
