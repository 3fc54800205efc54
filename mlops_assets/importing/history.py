"""History brought in from a folder, or from a DVC project at a git revision, as windows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from mlops_assets.batches.checks import Report
from mlops_assets.batches.landing import Kind, Landing
from mlops_assets.declaration import Declaration
from mlops_assets.errors import HomeError
from mlops_assets.home import Home
from mlops_assets.importing.dvc import DvcProject
from mlops_assets.importing.sources import in_folder, in_project
from mlops_assets.importing.windows import Outcome, bring, plan
from mlops_assets.progress import Progress
from mlops_assets.versions import open_repository


@dataclass(frozen=True)
class Imported:
    """What an import did, or would do."""

    commit: str | None  # of git, if it was a DVC project
    outcomes: tuple[Outcome, ...]
    others: int  # files of other kinds, which were left alone


def import_history(
    home: Home,
    declaration: Declaration,
    folder: Path,
    *,
    revision: str | None,
    paths: Sequence[str],
    kind: Kind | None,
    dry_run: bool,
    replace: bool,
    progress: Progress,
    refused: Callable[[Landing, Report], None],
    brought: Callable[[str], None],
) -> Imported:
    """Land whatever files a folder holds, or DVC tracked at a revision, as windows, each checked where it landed.

    Args:
        home: whose repository they land in.
        declaration: of the model.
        folder: with the files, or of a DVC project.
        revision: of git, at which DVC tracked the files.
        paths: with a revision: only what is tracked below these.
        kind: what the files hold, where their columns don't say it.
        dry_run: read and check everything, land nothing.
        replace: whether rows that landed before and are not in a file may go.
        progress: is told of each file that is read, then of each window that lands.
        refused: is told of a landing that did not pass, with its report.
        brought: is told of each window of which something was brought.

    Raises:
        MlopsError: no such folder, project or revision, or nothing in it to import.

    """
    with _staging(home, declaration.name) as staging:
        commit = None
        metadata = {"mlops.imported_from": str(folder.resolve())}
        if revision is None:
            found, others = in_folder(folder)
            progress.begin(len(found))
            made = plan(declaration, found, staging, kind=kind, tell=progress.step)
        else:
            dvc = DvcProject.at(folder, revision)
            commit = dvc.commit
            metadata["mlops.imported_commit"] = commit
            tracked, count, others = in_project(dvc, paths, staging)
            progress.begin(count)
            made = plan(declaration, tracked, staging, kind=kind, tell=progress.step)
        repository = open_repository(home.repository, home.cache)
        progress.begin(len(made.pieces))
        outcomes = list(made.refused)
        for outcome in bring(
            repository, declaration, made.pieces, metadata, dry_run=dry_run, replaces=replace
        ):
            outcomes.append(outcome)
            progress.step(f"{outcome.kind} of {outcome.window} {outcome.result}")
            if outcome.landing is not None and outcome.report is not None:
                refused(outcome.landing, outcome.report)
            if not dry_run and outcome.window is not None:
                brought(outcome.window)
    return Imported(commit, tuple(outcomes), others)


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
