"""`mlops withdraw`: what landed is taken back."""

from __future__ import annotations

from typing import Any

from mlops_assets.batches.landing import Kind
from mlops_assets.batches.withdrawing import Withdrawal, withdraw
from mlops_assets.cli.retrain import who
from mlops_assets.errors import HomeError, UnknownNameError
from mlops_assets.instance import report_withdrawn, run_at_work
from mlops_assets.monitoring.withdrawal import record_withdrawal
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
    if run := run_at_work(model, window):
        raise HomeError(
            f"run {run} works on {window} of {model}: withdraw it when that has ended, or end it "
            "in Dagster"
        )
    done = withdraw(repository, declaration, window, kind, by=who(), reason=reason)
    if done.what == "ingested":
        record_withdrawal(Store(home.store), model, done, by=who(), reason=reason)
        summary = f"withdrawn by {who()}" + (f": {reason}" if reason else "")
        report_withdrawn(declaration, done, summary)
    if run := run_at_work(model, window):  # it may publish what it had read, or record it once more
        raise HomeError(
            f"run {run} began to work on {window} of {model} at this very moment, and may use what "
            f"was withdrawn: when it has ended, see `mlops status {model}`, and withdraw {window} "
            "once more if it is there"
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
