"""What a person asks of a model: a pause and its end, a retraining, failed work tried again."""

from __future__ import annotations

from mlops_assets import clock
from mlops_assets.records import kinds
from mlops_assets.records.store import Store

PAUSES = ("pause", "resume")


def add_control(store: Store, model: str, action: str, reason: str, *, by: str) -> str:
    """Write down what a person asked for, and when; return when."""
    at = clock.now().isoformat(timespec="milliseconds")
    store.add(kinds.Control(model=model, action=action, reason=reason, by=by, requested_at=at))
    return at


def newest_pause(store: Store, model: str) -> kinds.Control | None:
    """Return the newest pause, or end of one; None where nobody asked for either."""
    rows = [row for row in store.rows(kinds.Control, model=model) if row.action in PAUSES]
    # not by event, which a rebuild numbers anew
    return max(rows, key=lambda row: (row.requested_at, row.event_id), default=None)


def set_paused(store: Store, model: str, reason: str, *, paused: bool, by: str) -> bool:
    """Pause a model or end its pause; say whether that changed anything."""
    newest = newest_pause(store, model)
    if (newest is not None and newest.action == "pause") == paused:
        return False
    add_control(store, model, "pause" if paused else "resume", reason, by=by)
    return True
