"""Why a retraining runs: the decision behind it, or the person who started it."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

from mlops_assets.registry.ledger import Entry, Ledger

CAUSE_TAG, TRIGGER_TAG, REASON_TAG = "mlops/cause", "mlops/trigger", "mlops/reason"


@dataclass(frozen=True)
class Request:
    """A retraining's cause, unique for the model, what triggered it, and the reason in words."""

    cause: str
    trigger: str
    reason: str
    by_hand: bool = False  # started in Dagster, without a decision

    @classmethod
    def of(cls, run: dg.DagsterRun) -> Request:
        """Read it from the run's tags."""
        return cls(
            cause=run.tags.get(CAUSE_TAG, f"run:{run.run_id}"),
            trigger=run.tags.get(TRIGGER_TAG, "manual"),
            reason=run.tags.get(REASON_TAG, "started by hand in Dagster"),
            by_hand=CAUSE_TAG not in run.tags,
        )

    def champion_before(self, ledger: Ledger, model: str) -> Entry | None:
        """Return the champion against which this request is decided.

        A run that was killed after it wrote the ledger is run again: it has to meet the champion
        of then, not the one that it made itself.
        """
        champion = None
        for entry in ledger.entries(model):
            if entry.cause == self.cause and entry.event in ("promoted", "refused"):
                break
            if entry.moves_champion:
                champion = entry if entry.version is not None else None
        return champion
