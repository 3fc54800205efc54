"""What was recorded of a window that is withdrawn: it counts no more, and the rows say why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlops_assets.batches.landing import Kind
from mlops_assets.batches.withdrawing import Withdrawal, withdraw
from mlops_assets.declaration import Declaration
from mlops_assets.errors import HomeError
from mlops_assets.records import kinds
from mlops_assets.records.record import Record, fields_of
from mlops_assets.records.store import Store
from mlops_assets.sketches.profile import Profile
from mlops_assets.versions import Repository

#: of each kind of record, what is left of a window without rows
_NOTHING: Mapping[type[Record], Mapping[str, Any]] = {
    kinds.Batch: {"rows": 0},
    kinds.Labels: {"rows": 0, "unknown": 0},
    kinds.Performance: {"value": None, "base_rate": None, "rows": 0},
    kinds.Estimate: {"value": None, "measured": None, "error": None, "rows": 0},
    kinds.Staleness: {"fresh": None, "served": None, "gain": None, "rows": 0, "due": False},
    kinds.Verdict: {
        "rows": 0,
        "score": None,
        "score_limit": None,
        "exceeds": False,
        "verdict": "insufficient",
        "finding": None,
        "past": None,
    },
}
_NO_DETAIL: Mapping[str, Any] = {
    "prediction_exceeds": False,
    "segments": {},
    "segment_profiles": {},
    "warnings": [],
    "unjudged": {},
    "reference_windows": {},
}
_OF_BATCH: Sequence[type[Record]] = (
    kinds.Batch,
    kinds.Verdict,
    kinds.Performance,
    kinds.Estimate,
    kinds.Staleness,
)
_OF_LABELS: Sequence[type[Record]] = (kinds.Labels, kinds.Performance, kinds.Staleness)


def withdraw_window(
    repository: Repository,
    store: Store,
    declaration: Declaration,
    window: str,
    kind: Kind | None,
    *,
    by: str,
    reason: str,
    at_work: Callable[[], str | None],
    recorded: Callable[[Withdrawal, str], None],
) -> Withdrawal:
    """Take back what landed last for a window, and let nothing that was made of it count.

    Args:
        repository: where it landed.
        store: where it was recorded.
        declaration: of the model.
        window: whose data is withdrawn.
        kind: batch or labels; None: the batch if there is one.
        by: who withdraws it.
        reason: why.
        at_work: returns a run that works on the window, if any does.
        recorded: is told of an ingested window that is withdrawn, with a sentence.

    Raises:
        UnknownNameError: nothing has landed for the window.
        HomeError: a run works on the window just now.
        ConflictError: what waited was published at this very moment.

    """
    model = declaration.name
    if run := at_work():
        raise HomeError(
            f"run {run} works on {window} of {model}: withdraw it when that has ended, or end it "
            "in Dagster"
        )
    done = withdraw(repository, declaration, window, kind, by=by, reason=reason)
    if done.what == "ingested":
        record_withdrawal(store, model, done, by=by, reason=reason)
        recorded(done, sentence_of(by, reason))
    if run := at_work():  # it may publish what it had read, or record it once more
        raise HomeError(
            f"run {run} began to work on {window} of {model} at this very moment, and may use what "
            f"was withdrawn: when it has ended, see `mlops status {model}`, and withdraw {window} "
            "once more if it is there"
        )
    return done


def sentence_of(by: str, reason: str) -> str:
    """Say who withdrew a window, and why."""
    return f"withdrawn by {by}" + (f": {reason}" if reason else "")


def record_withdrawal(store: Store, model: str, done: Withdrawal, *, by: str, reason: str) -> None:
    """Let newer rows stand for what was recorded of a withdrawn window, so that no sum has it.

    Doing it twice changes nothing. What lands for the window afterwards is recorded anew.
    """
    sentence = sentence_of(by, reason)
    versions = {f"{'batch' if done.kind == 'batches' else 'labels'}_version": done.version}
    for kind in _OF_BATCH if done.kind == "batches" else _OF_LABELS:
        names = {field.name for field in fields_of(kind)}
        for record in store.latest(kind, model=model, window=done.window):
            said: dict[str, Any] = {"sentence": sentence, "reason": sentence, **versions}
            if done.kind == kind.KIND:
                said = {"version": done.version, "commit_id": done.commit}
            if isinstance(record, kinds.Verdict):
                said["profile"] = store.add_blob(Profile({}).to_bytes())
                said["detail"] = {**record.detail, **_NO_DETAIL}
            if isinstance(record, kinds.Labels) and record.positives is not None:
                said["positives"] = 0
            new = {name: value for name, value in said.items() if name in names}
            store.add(replace(record, **{**_NOTHING[kind], **new}))
