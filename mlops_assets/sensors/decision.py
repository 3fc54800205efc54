"""Evidence starts `<model>__retrain`, or is held back; either way a row says why."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from mlops_assets.assets.reconciliation import reconcile
from mlops_assets.assets.request import CAUSE_TAG, REASON_TAG, TRIGGER_TAG
from mlops_assets.batches.landing import MAIN
from mlops_assets.batches.maturity import LandedWindows, landed_windows
from mlops_assets.decisions.governor import (
    Decision,
    Evidence,
    Facts,
    Rules,
    changed,
    first,
    govern,
)
from mlops_assets.declaration import Declaration
from mlops_assets.profiles.store import Store
from mlops_assets.registry.ledger import Entry, Ledger
from mlops_assets.resources import MODEL_TAG, LedgerResource, RepositoryResource, StoreResource
from mlops_assets.sensors.data import due, given_up

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build(declaration: Declaration, job: dg.JobDefinition | str) -> dg.SensorDefinition:
    """Return the sensor `<model>__decision`."""
    name = job if isinstance(job, str) else job.name

    @dg.sensor(
        name=f"{declaration.name}__decision",
        job_name=name,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Drift, a person's request, or enough labels for the first training: retrain, "
        "or hold back and say why.",
    )
    def decision(
        context: dg.SensorEvaluationContext,
        repository: RepositoryResource,
        store: StoreResource,
        ledger: LedgerResource,
    ) -> dg.SensorResult:
        versions, records = repository.get(), store.get()
        work = due(versions, records, declaration, repository.until)
        if any(not given_up(context.instance, records, declaration, one) for one in work):
            return dg.SensorResult(
                skip_reason=dg.SkipReason("data is waiting to be ingested; decided after that")
            )
        landed = landed_windows(versions, declaration, MAIN)
        entries = ledger.get()
        champion = entries.champion(declaration.name)
        if not context.instance.get_runs_count(dg.RunsFilter(job_name=name, statuses=UNFINISHED)):
            reconcile(declaration, entries, records)
        found = evidence(declaration, landed, records, champion)
        if not found:
            return dg.SensorResult(skip_reason=dg.SkipReason("no evidence for a retraining"))
        rules = Rules(
            first_after=declaration.training.first_after,
            cooldown_windows=declaration.retraining.cooldown_windows,
            holdout_windows=declaration.gates.holdout_windows,
            in_flight_minutes=declaration.retraining.in_flight_minutes,
            attempts=declaration.retraining.attempts,
        )
        requests: list[dg.RunRequest] = []
        said = []
        for one in first(found):
            facts = facts_for(
                context.instance, declaration, name, landed, records, entries, champion, one
            )
            if requests:  # one at a time, also within a tick
                facts = with_flight(facts, requests[0].tags[CAUSE_TAG])
            decided = govern(one, facts, rules)
            if decided is None:
                continue
            note(declaration, records, landed, decided)
            said.append(decided.reason)
            if decided.retrain:
                requests.append(request(declaration, decided, facts.failed_attempts))
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None
            if requests
            else dg.SkipReason("; ".join(said) or "a retraining for it is running"),
        )

    return decision


def evidence(
    declaration: Declaration, landed: LandedWindows, store: Store, champion: Entry | None
) -> list[Evidence]:
    """Return what speaks for a retraining now and was not answered yet."""
    model = declaration.name
    newest = landed.newest
    if newest is None:
        return []
    answered = {row["cause"] for row in store.latest("outcomes", model=model)}
    version = champion.version if champion else None
    found = []
    for row in store.rows("controls", model=model, action="retrain"):
        reason = f"{row['by']} asked for it" + (f": {row['reason']}" if row["reason"] else "")
        found.append(Evidence(f"manual:{row['requested_at']}", "manual", newest, reason, version))
    if champion is None and len(landed.mature) >= declaration.training.first_after:
        found.append(
            Evidence(
                f"initial:{landed.mature[-1]}",
                "initial",
                newest,
                f"no champion yet, and {len(landed.mature)} windows have mature labels",
                None,
            )
        )
    if champion is not None and "drift" in declaration.retraining.triggers:
        found += [
            Evidence(
                f"drift:{newest}:v{version}:{row['batch_version'][:8]}",
                "drift",
                newest,
                row["sentence"],
                version,
            )
            for row in store.latest("verdicts", model=model, window=newest)
            if row["verdict"] == "drifted" and row["champion"] == version
        ]
    return [one for one in found if one.cause not in answered]


def asked(row: Mapping[str, Any]) -> str:
    """Say who asked for a retraining, and why."""
    return f"{row['by']} asked for it" + (f": {row['reason']}" if row["reason"] else "")


def facts_for(
    instance: dg.DagsterInstance,
    declaration: Declaration,
    job: str,
    landed: LandedWindows,
    store: Store,
    ledger: Ledger,
    champion: Entry | None,
    one: Evidence,
) -> Facts:
    """Collect what the governor looks at."""
    running = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=UNFINISHED), limit=1)
    minutes = None
    cause = None
    if running:
        minutes = (time.time() - running[0].create_timestamp.timestamp()) / 60
        cause = running[0].dagster_run.tags.get(CAUSE_TAG, "a run started by hand")
    failed = instance.get_runs_count(
        dg.RunsFilter(
            job_name=job, tags={CAUSE_TAG: one.cause}, statuses=[dg.DagsterRunStatus.FAILURE]
        )
    )
    return Facts(
        paused=paused(store, declaration.name),
        in_flight_minutes=minutes,
        in_flight_cause=cause,
        windows_since_training=since_training(declaration, landed, ledger),
        mature_windows=len(landed.mature),
        unseen_windows=len(unseen(landed, champion)),
        failed_attempts=failed,
    )


def since_training(declaration: Declaration, landed: LandedWindows, ledger: Ledger) -> int | None:
    """Count windows since the last finished retraining of a model that has a champion."""
    # letting an old version go is no retraining
    entries = [e for e in ledger.entries(declaration.name) if e.event != "retired"]
    if not any(entry.event == "promoted" for entry in entries) or landed.newest is None:
        return None  # a refused first training may be tried again with the next labels
    return declaration.windows.distance(entries[-1].window, landed.newest)


def unseen(landed: LandedWindows, champion: Entry | None) -> list[str]:
    """Return the newest mature windows that the champion was not trained on."""
    seen = set(champion.training_windows) if champion else set()
    fresh: list[str] = []
    for window in reversed(landed.mature):
        if window in seen:
            break
        fresh.insert(0, window)
    return fresh


def paused(store: Store, model: str) -> str | None:
    """Say who paused the model and why, or None."""
    rows = [r for r in store.rows("controls", model=model) if r["action"] in ("pause", "resume")]
    if not rows or rows[-1]["action"] == "resume":
        return None
    row = rows[-1]
    return f"paused by {row['by']}" + (f" ({row['reason']})" if row["reason"] else "")


def with_flight(facts: Facts, cause: str) -> Facts:
    """Return the facts with a retraining that this very tick has requested."""
    return replace(facts, in_flight_minutes=0.0, in_flight_cause=cause)


def note(declaration: Declaration, store: Store, landed: LandedWindows, decided: Decision) -> None:
    """Write the decision down: one row for each cause and state, not one for each tick."""
    one = decided.evidence
    before: Sequence[dict[str, Any]] = store.latest(
        "decisions", model=declaration.name, cause=one.cause
    )
    if not changed(decided, before[-1]["code"] if before else None):
        return
    store.add(
        "decisions",
        {
            "model": declaration.name,
            "cause": one.cause,
            "window": one.window,
            "trigger": one.trigger,
            "decision": "retrain" if decided.retrain else "held_back",
            "code": decided.code,
            "reason": decided.reason,
            "champion": one.champion,
            "decided_at": landed.now.isoformat() if landed.now else "",
        },
    )


def request(declaration: Declaration, decided: Decision, attempt: int) -> dg.RunRequest:
    """Return the run request of a decision to retrain."""
    one = decided.evidence
    return dg.RunRequest(
        run_key=f"{declaration.name}:{one.cause}:{attempt}",
        tags={
            MODEL_TAG: declaration.name,
            CAUSE_TAG: one.cause,
            TRIGGER_TAG: one.trigger,
            REASON_TAG: one.reason,
        },
    )
