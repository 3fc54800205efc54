"""`mlops withdraw`: what landed is taken back."""

from __future__ import annotations

from functools import partial
from typing import Any

from mlops_assets.batches.landing import Kind
from mlops_assets.batches.withdrawing import Withdrawal
from mlops_assets.cli.person import who
from mlops_assets.errors import UnknownNameError
from mlops_assets.instance import report_withdrawn, run_at_work
from mlops_assets.monitoring import withdrawal
from mlops_assets.project import Project
from mlops_assets.records.store import Store
from mlops_assets.versions import existing_repository


def withdraw_window(model: str, window: str, *, labels: bool | None, reason: str) -> dict[str, Any]:
    """Take back what landed last for a window; return the documented form.

    Raises:
        UnknownNameError: no such model or window, or nothing has landed for it.
        HomeError: a run works on the window just now.
        ConflictError: what waited was published at this very moment.

    """
    project = Project.find()
    declaration = project.declaration(model)
    home = project.home
    repository = existing_repository(home.repository, home.cache)
    if repository is None:
        raise UnknownNameError(f"nothing has landed yet: there is no repository in {home.root}")
    kind: Kind | None = None if labels is None else "labels" if labels else "batches"
    home.prepare()
    done = withdrawal.withdraw_window(
        repository,
        Store(home.store),
        declaration,
        window,
        kind,
        by=who(),
        reason=reason,
        at_work=partial(run_at_work, model, window),
        recorded=partial(report_withdrawn, declaration),
    )
    return {
        "model": model,
        "window": window,
        "kind": done.kind,
        "withdrawn": done.what,
        "tags": list(done.tags),
        "commit": done.commit,
        "reason": reason,
        "message": said_of(model, done),
    }


def said_of(model: str, done: Withdrawal) -> str:
    """Say to a person what was taken back, and what is left."""
    what = f"{done.kind} of {done.window}"
    if done.what == "ingested":
        return (
            f"{model}: {what} are withdrawn. Main holds a version without rows; what was made of "
            "the window counts no more, and Dagster shows it as stale. `mlops land` brings a "
            "mended file, or the same one."
        )
    return (
        f"{model}: {what}, which {'waited' if done.what == 'waiting' else 'were refused'}, are "
        f"taken back; {', '.join(done.tags)} keeps them. What main holds of the window stays."
    )
