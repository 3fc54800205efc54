"""What was recorded of a window that is withdrawn: it counts no more, and the rows say why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_assets.batches.withdrawing import Withdrawal
from mlops_assets.records.kinds import fields_of
from mlops_assets.records.store import Store
from mlops_assets.sketches.profile import Profile

#: of each kind of record, what is left of a window without rows
_NOTHING: Mapping[str, Mapping[str, Any]] = {
    "batches": {"rows": 0},
    "labels": {"rows": 0, "unknown": 0},
    "performance": {"value": None, "base_rate": None, "rows": 0},
    "estimates": {"value": None, "measured": None, "error": None, "rows": 0},
    "staleness": {"fresh": None, "served": None, "gain": None, "rows": 0, "due": False},
    "verdicts": {
        "rows": 0,
        "score": None,
        "score_limit": None,
        "exceeds": False,
        "verdict": "insufficient",
        "finding": None,
        "past": None,
        "detail": {
            "prediction_exceeds": False,
            "segments": {},
            "segment_profiles": {},
            "warnings": [],
            "unjudged": {},
            "reference_windows": {},
        },
    },
}
_OF_BATCH = ("batches", "verdicts", "performance", "estimates", "staleness")
_OF_LABELS = ("labels", "performance", "staleness")


def record_withdrawal(store: Store, model: str, done: Withdrawal, *, by: str, reason: str) -> None:
    """Let newer rows stand for what was recorded of a withdrawn window, so that no sum has it.

    Doing it twice changes nothing. What lands for the window afterwards is recorded anew.
    """
    sentence = f"withdrawn by {by}" + (f": {reason}" if reason else "")
    versions = {f"{'batch' if done.kind == 'batches' else 'labels'}_version": done.version}
    for kind in _OF_BATCH if done.kind == "batches" else _OF_LABELS:
        for row in store.latest(kind, model=model, window=done.window):
            names = {field.name for field in fields_of(kind)}
            said: dict[str, Any] = {"sentence": sentence, "reason": sentence, **versions}
            if kind == done.kind:
                said = {"version": done.version, "commit_id": done.commit}
            if kind == "verdicts":
                said["profile"] = store.add_blob(Profile({}).to_bytes())
                said["detail"] = {**row["detail"], **_NOTHING[kind]["detail"]}
            if row.get("positives") is not None:
                said["positives"] = 0
            kept = {name: value for name, value in row.items() if name in names}
            new = {name: value for name, value in said.items() if name in names}
            store.add(kind, {**kept, **_NOTHING[kind], **new})
