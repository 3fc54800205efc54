"""A retraining that a person asks for where no daemon is at work: decided and run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.controls import add_control
from mlops_assets.project import Project
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.replay.connections import kept_open
from mlops_assets.replay.player import Player
from mlops_assets.replay.recovery import recover


@dataclass(frozen=True)
class Answer:
    """What became of a person's request: `outcome` as documented, and why."""

    cause: str
    outcome: str  # promoted, refused, waiting, or the decision
    reason: str | None = None
    version: int | None = None


def retrain_now(
    project: Project,
    declaration: Declaration,
    reason: str,
    *,
    by: str,
    tell: Callable[[str], None],
) -> Answer:
    """Write the request down, let the decision sensor answer it, and run what it asks for.

    Raises:
        HomeError: another process holds the home.

    """
    model, store = declaration.name, Store(project.home.store)
    with project.home.held(f"mlops retrain {model}"), kept_open():
        cause = f"manual:{add_control(store, model, 'retrain', reason, by=by)}"
        recover(project, tell)
        Player(project, declaration, tell).settle()
        decided = store.latest(kinds.Decision, model=model, cause=cause)
        waits = any(row.decision == "held_back" for row in decided)
        for row in [] if waits else store.latest(kinds.Outcome, model=model, cause=cause):
            outcome = "promoted" if row.promoted else "refused"
            return Answer(cause, outcome, row.reason, row.version)
        for told in decided:
            return Answer(cause, told.decision, told.reason)
    return Answer(cause, "waiting")
