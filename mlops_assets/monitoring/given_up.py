"""Work and retrainings that are tried no more, since their runs crashed: a person has to act."""

from __future__ import annotations

from mlops_assets.records import kinds
from mlops_assets.records.store import Store


def retraining_given_up(store: Store, model: str) -> kinds.Decision | None:
    """Return the newest decision to try a retraining no more; None where one has ended since."""
    decided = store.latest(kinds.Decision, model=model)
    failing = [row for row in decided if row.code == "failing" and row.trigger != "data"]
    newest = max(failing, key=lambda row: row.recorded_at, default=None)
    if newest is None:
        return None
    ended = store.latest(kinds.Outcome, model=model)
    return None if any(row.recorded_at > newest.recorded_at for row in ended) else newest


def windows_given_up(store: Store, model: str) -> set[str]:
    """Return the windows on which work was given up, since its runs had failed too often."""
    return {
        row.window
        for row in store.latest(kinds.Decision, model=model, trigger="data")
        if row.code == "failing"
    }
