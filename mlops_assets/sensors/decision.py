"""Evidence starts a retraining, or is held back; either way a row says why."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

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
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Ledger
from mlops_assets.resources import (
    LedgerResource,
    RegistryResource,
    RepositoryResource,
    StoreResource,
)
from mlops_assets.sensors.data import may_run
from mlops_assets.sensors.location import DATA_SENSOR, DECISION_SENSOR, Look, Marks, Models
from mlops_assets.sensors.reaching import reaching
from mlops_assets.sensors.recovery import end_dead_runs, stopped_sensors
from mlops_assets.sensors.runs import Retrainings, keys_of, request_tags, unfinished
from mlops_assets.versions import Repository


def build(declarations: Sequence[Declaration]) -> dg.SensorDefinition:
    """Return the sensor of a code location that decides on its models' retrainings."""
    models = Models(declarations)

    @dg.sensor(
        name=DECISION_SENSOR,
        asset_selection=models.selection,
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
        places = Places(
            mlops_repository.get(),
            mlops_store.get(),
            mlops_ledger.get(),
            mlops_registry,
            mlops_repository.until,
        )
        end_dead_runs(context.instance, [one.name for one in declarations])
        marks = Marks.read(places.repository, places.store)

        def mark(declaration: Declaration) -> Hashable:
            return marks.of(declaration), len(places.ledger.entries(declaration.name))

        def look(declaration: Declaration, cursor: str | None) -> Look:
            return look_at(context, declaration, places, cursor)

        return models.tick(context, mark, look)

    return decision


@dataclass(frozen=True)
class Places:
    """Where everything is that a decision goes by; windows after `until` have yet to come."""

    repository: Repository
    store: Store
    ledger: Ledger
    registry: RegistryResource
    until: str | None


def look_at(
    context: dg.SensorEvaluationContext,
    declaration: Declaration,
    places: Places,
    cursor: str | None,
) -> Look:
    """Decide on what speaks for a retraining of one model, once its data is ingested."""
    versions, records, ledger = places.repository, places.store, places.ledger
    if problem := other_windows(declaration, records):
        return Look(said=[problem], settled=True)
    noted = other_meaning(declaration, records)
    work = due(versions, records, declaration, places.until)
    stopped = bool(work) and DATA_SENSOR in stopped_sensors(context.instance)
    if may_run(context, records, declaration, work, stopped=stopped):
        return Look(
            said=["data is waiting to be ingested; decided after that"],
            events=[observation(declaration, row) for row in noted],
        )
    landed = landed_windows(versions, declaration, MAIN)
    keep_meaning(declaration, landed, records)
    # before the ledger: what ends in between is in flight still, not gone without an answer
    running = unfinished(context.instance, declaration.name, "retrain")
    if not running:
        reconcile(declaration, ledger, records, places.registry.registry)
    runs = Retrainings(context.instance, declaration.name, running)
    situation = RecordedSituation.read(declaration, landed, records, ledger, runs)
    noted += note_gaps(declaration, landed, records)
    seen, passed = overtaken(declaration, landed, records, situation.in_force, seen_until(cursor))
    noted += [row for one in passed for row in record(declaration, records, landed, one)]
    weighed = weigh(context, declaration, records, situation, runs)
    said = weighed.said or ["no evidence for a retraining"]
    if stopped:
        said.append(f"{DATA_SENSOR} is stopped in Dagster: what landed or matured is not ingested")
    return Look(
        weighed.requests,
        said,
        [observation(declaration, row) for row in noted + weighed.noted],
        str(seen),
        settled=not (work or running or runs.were_tried or weighed.requests or weighed.failed),
    )


@dataclass
class Weighed:
    """What came of the evidence: runs to request, sentences for the tick, and new rows."""

    requests: list[dg.RunRequest] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    noted: list[kinds.Decision] = field(default_factory=list)
    failed: bool = False  # whether anything could not be weighed


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
        weighed.failed = True
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


def observation(declaration: Declaration, row: kinds.Decision) -> dg.AssetObservation:
    """Return a decision as the UI shows it, on the asset that it is about."""
    shown = ("decision", "reason", "trigger", "code", "window", "cause")
    return dg.AssetObservation(
        asset_key=[declaration.name, "champion"],
        description=row.reason,
        metadata={name: getattr(row, name) for name in shown},
    )


def request(declaration: Declaration, decided: Decision, number: int) -> dg.RunRequest:
    """Return the run request of a decision to retrain."""
    one = decided.evidence
    return dg.RunRequest(
        run_key=f"{declaration.name}:{one.cause}:{number}",
        asset_selection=keys_of(declaration.name, "retrain"),
        tags={
            **request_tags(declaration.name, "retrain"),
            CAUSE_TAG: one.cause,
            TRIGGER_TAG: one.trigger,
            REASON_TAG: one.reason,
        },
    )
