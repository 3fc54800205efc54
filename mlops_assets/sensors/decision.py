"""Evidence starts `<model>__retrain`, or is held back; either way a row says why."""

from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from mlops_assets.assets.request import CAUSE_TAG, REASON_TAG, TRIGGER_TAG
from mlops_assets.batches.landing import MAIN
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.decisions.governor import Decision
from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.decision_log import (
    keep_meaning,
    note_gaps,
    other_meaning,
    overtaken,
    record,
    seen_until,
)
from mlops_assets.monitoring.due import due
from mlops_assets.monitoring.loop import decide
from mlops_assets.monitoring.meaning import (
    other_windows,
)
from mlops_assets.monitoring.reconciliation import reconcile
from mlops_assets.monitoring.recorded import RecordedSituation
from mlops_assets.records.store import Store
from mlops_assets.resources import (
    LedgerResource,
    RegistryResource,
    RepositoryResource,
    StoreResource,
)
from mlops_assets.sensors.data import may_run
from mlops_assets.sensors.reaching import reaching
from mlops_assets.sensors.recovery import end_dead_runs, stopped_sensors
from mlops_assets.sensors.runs import Retrainings, request_tags, unfinished


def build(declaration: Declaration, job: dg.JobDefinition | str) -> dg.SensorDefinition:
    """Return the sensor `<model>__decision`."""

    @dg.sensor(
        name=f"{declaration.name}__decision",
        job_name=job if isinstance(job, str) else job.name,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Staleness, drift, a person's request, or whatever else is declared: retrain, "
        "or hold back and say why.",
    )
    @reaching
    def decision(
        context: dg.SensorEvaluationContext,
        mlops_repository: RepositoryResource,
        mlops_store: StoreResource,
        mlops_ledger: LedgerResource,
        mlops_registry: RegistryResource,
    ) -> dg.SensorResult:
        versions, records = mlops_repository.get(), mlops_store.get()
        end_dead_runs(context.instance, [declaration.name])
        if problem := other_windows(declaration, records):
            return dg.SensorResult(skip_reason=dg.SkipReason(problem), cursor=context.cursor)
        noted = other_meaning(declaration, records)
        work = due(versions, records, declaration, mlops_repository.until)
        ingesting = f"{declaration.name}__data"
        stopped = bool(work) and ingesting in stopped_sensors(context.instance)
        if may_run(context, records, declaration, work, stopped=stopped):
            return dg.SensorResult(
                skip_reason=dg.SkipReason("data is waiting to be ingested; decided after that"),
                asset_events=[observation(declaration, row) for row in noted],
            )
        landed = landed_windows(versions, declaration, MAIN)
        keep_meaning(declaration, landed, records)
        # before the ledger: what ends in between is in flight still, not gone without an answer
        running = unfinished(context.instance, declaration.name, "retrain")
        if not running:
            reconcile(declaration, mlops_ledger.get(), records, mlops_registry.registry)
        runs = Retrainings(context.instance, declaration.name, running)
        situation = RecordedSituation.read(declaration, landed, records, mlops_ledger.get(), runs)
        cursor = seen_until(context.cursor)
        noted += note_gaps(declaration, landed, records)
        cursor, passed = overtaken(declaration, landed, records, situation.in_force, cursor)
        noted += [row for one in passed for row in record(declaration, records, landed, one)]
        weighed = weigh(context, declaration, records, situation, runs)
        said = weighed.said or ["no evidence for a retraining"]
        if stopped:
            said.append(
                f"{ingesting} is stopped in Dagster: what landed or matured is not ingested"
            )
        return dg.SensorResult(
            run_requests=weighed.requests,
            skip_reason=None if weighed.requests else dg.SkipReason("; ".join(said)),
            asset_events=[observation(declaration, row) for row in noted + weighed.noted],
            cursor=str(cursor),
        )

    return decision


@dataclass(frozen=True)
class Weighed:
    """What came of the evidence: runs to request, sentences for the tick, and new rows."""

    requests: list[dg.RunRequest] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    noted: list[dict[str, Any]] = field(default_factory=list)


def weigh(
    context: dg.SensorEvaluationContext,
    declaration: Declaration,
    store: Store,
    situation: RecordedSituation,
    runs: Retrainings,
) -> Weighed:
    """Decide on each piece of evidence; one that can't be weighed is told, and stops no other."""
    weighed = Weighed()

    def failed(what: str, error: Exception) -> None:
        problem = f"{what} can't be weighed: {type(error).__name__}: {error}"
        context.log.error(problem, exc_info=error)
        weighed.said.append(problem)

    for one, decided in decide(situation, failed):
        if decided is None:
            weighed.said.append("a retraining for it is running")
            continue
        weighed.noted.extend(record(declaration, store, situation.landed, decided))
        weighed.said.append(decided.reason)
        if decided.retrain:
            number = runs.tried([one.cause])[one.cause].number
            weighed.requests.append(request(declaration, decided, number))
    return weighed


def observation(declaration: Declaration, row: dict[str, Any]) -> dg.AssetObservation:
    """Return a decision as the UI shows it, on the asset that it is about."""
    shown = ("decision", "reason", "trigger", "code", "window", "cause")
    return dg.AssetObservation(
        asset_key=[declaration.name, "champion"],
        description=row["reason"],
        metadata={name: row[name] for name in shown},
    )


def request(declaration: Declaration, decided: Decision, number: int) -> dg.RunRequest:
    """Return the run request of a decision to retrain."""
    one = decided.evidence
    return dg.RunRequest(
        run_key=f"{declaration.name}:{one.cause}:{number}",
        tags={
            **request_tags(declaration.name, "retrain"),
            CAUSE_TAG: one.cause,
            TRIGGER_TAG: one.trigger,
            REASON_TAG: one.reason,
        },
    )
