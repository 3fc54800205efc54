"""Evidence starts `<model>__retrain`, or is held back; either way a row says why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import dagster as dg

from mlops_assets.assets.request import CAUSE_TAG, REASON_TAG, TRIGGER_TAG
from mlops_assets.batches.landing import MAIN
from mlops_assets.batches.maturity import LandedWindows, landed_windows, missing_windows
from mlops_assets.decisions.governor import Code, Decision, Evidence, changed
from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.due import due
from mlops_assets.monitoring.loop import decide
from mlops_assets.monitoring.meaning import (
    Meaning,
    begin,
    differences,
    other_windows,
    recorded,
    remember,
)
from mlops_assets.monitoring.reconciliation import reconcile
from mlops_assets.monitoring.recorded import RecordedSituation
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry
from mlops_assets.resources import (
    LedgerResource,
    RegistryResource,
    RepositoryResource,
    StoreResource,
)
from mlops_assets.sensors.data import may_run
from mlops_assets.sensors.notes import note
from mlops_assets.sensors.reaching import reaching
from mlops_assets.sensors.recovery import end_dead_runs, stopped_sensors
from mlops_assets.sensors.runs import Retrainings, request_tags, unfinished

MOST_GAPS = 300  # that one tick notes, each shown in Dagster too: the next tick notes more

UNTIL = "drift:until:"  # begins the cause of a decision on all windows up to one


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


def seen_until(cursor: str | None) -> int:
    """Return the last event looked at; 0 where the cursor, which a person can set, says none."""
    return int(cursor) if cursor and cursor.isdecimal() else 0


def keep_meaning(declaration: Declaration, landed: LandedWindows, store: Store) -> None:
    """Write down what the figures mean, as soon as there can be any: before, all may change."""
    if landed.newest is not None:
        begin(declaration, store)


def other_meaning(declaration: Declaration, store: Store) -> list[dict[str, Any]]:
    """Write down that the figures mean something else than before; return the row, if it is new."""
    known = recorded(store, declaration.name)
    now = Meaning.declared(declaration)
    if not known or known[-1] == now:
        return []
    changes = "; ".join(differences(known[-1], now))
    row = note(
        declaration,
        store,
        cause=f"declaration:{len(known)}",
        window=max(store.newest("batches", "version", model=declaration.name), default=""),
        trigger="declaration",
        decision="noted",
        code="other_meaning",
        reason=f"{changes}: what was measured before is no longer compared with, and is measured again",
    )
    remember(declaration, store)
    return [row]


def note_gaps(
    declaration: Declaration, landed: LandedWindows, store: Store
) -> list[dict[str, Any]]:
    """Write down which windows are gone without, some hundred at a time; return the rows.

    In one file: each one that came in by itself would have the next read all decisions again.
    """
    gaps = islice(gone_without(declaration, landed, store), MOST_GAPS)
    rows = [row_of(declaration, landed, gap) for gap in gaps]
    store.add_many("decisions", rows)
    return rows


def gone_without(
    declaration: Declaration, landed: LandedWindows, store: Store
) -> Iterable[Decision]:
    """Yield a decision for each window whose batch or labels should be there and are not.

    Once for each, and once more when they came after all.
    """
    missing = missing_windows(landed, declaration)
    decided = store.newest("decisions", "trigger", "window", "code", model=declaration.name)
    said = {cause: row for cause, row in decided.items() if row["trigger"] == "missing"}
    now = {
        **{f"missing:batches:{window}": window for window in missing.batches},
        **{f"missing:labels:{window}": window for window in missing.labels},
    }
    for cause, window in now.items():
        if cause in said and said[cause]["code"] != "arrived":
            continue  # asked for each by itself, many gaps would make a tick long
        evidence = Evidence(cause, "missing", window, "", None)
        if cause.startswith("missing:batches"):
            code: Code = "missing_batch"
            reason = (
                f"no batch of {window} has landed, and {landed.newest} has: what follows is judged "
                "without it; `mlops land` brings it"
            )
        else:
            code = "missing_labels"
            reason = (
                f"the labels of {window} were due on {declaration.matures(window):%Y-%m-%d} and "
                "have not landed: the window is neither measured nor learnt from"
            )
        yield Decision(evidence, retrain=False, code=code, reason=reason)
    for cause in sorted(said.keys() - now.keys()):
        row = said[cause]
        # a declaration that begins later now misses what was before no more
        if row["code"] != "arrived" and declaration.windows.declares(row["window"]):
            what = cause.split(":")[1]
            yield Decision(
                Evidence(cause, "missing", row["window"], "", None),
                retrain=False,
                code="arrived",
                reason=f"the {what} of {row['window']} landed after all",
            )


def overtaken(
    declaration: Declaration,
    landed: LandedWindows,
    store: Store,
    champion: Entry | None,
    cursor: int,
) -> tuple[int, list[Decision]]:
    """Say of which windows nobody decided before a newer one landed, as after a night without us.

    Only the newest state is decided on. The cursor, the last verdict looked at, only spares looking
    again: what was decided is known from the decisions. A verdict may be made again, since one
    before it was: only the newest counts, and what was accounted for is not accounted for again.
    """
    rows = store.rows("verdicts", model=declaration.name, after_event=cursor, verdict="drifted")
    if not rows:
        return cursor, []
    cursor = max(row["event_id"] for row in rows)
    newest = store.newest("verdicts", "verdict", "batch_version", model=declaration.name)
    told = store.latest("decisions", model=declaration.name, trigger="drift")
    decided = {row["window"] for row in told if not row["cause"].startswith(UNTIL)}
    drifted = {
        window: str(newest[window]["batch_version"])
        for window in {row["window"] for row in rows} - decided - {landed.newest}
        if newest[window]["verdict"] == "drifted"
    }
    until = [row for row in told if row["cause"].startswith(UNTIL)]
    windows = sorted(drifted.keys() - accounted_for(store, declaration.name, drifted, until))
    version = champion.version if champion else None
    if not windows or "drift" not in declaration.retraining.triggers:
        return cursor, []
    several = f"{len(windows)} windows, {windows[0]} to {windows[-1]}, had drifted"
    which = f"{windows[0]} had drifted" if len(windows) == 1 else several
    evidence = Evidence(f"{UNTIL}{windows[-1]}", "drift", windows[-1], which, version)
    reason = f"{which} before anybody decided; {landed.newest} has landed since and is decided on"
    return cursor, [Decision(evidence, retrain=False, code="superseded", reason=reason)]


def accounted_for(
    store: Store, model: str, batches: Mapping[str, str], until: Sequence[Mapping[str, Any]]
) -> set[str]:
    """Return which windows a decision on all up to one spoke of; not those corrected after it.

    Args:
        store: with the verdicts.
        model: whose.
        batches: window -> version of its batch, as it is now.
        until: those decisions.

    """
    if not batches or not until:
        return set()
    first = store.query(
        'SELECT "window", batch_version, min(event_id) FROM verdicts WHERE model = ? GROUP BY 1, 2',
        [model],
    )
    return {
        window
        for window, batch, event in first.iter_rows()
        if batches.get(window) == batch
        and any(window <= row["window"] and event < row["event_id"] for row in until)
    }


def record(
    declaration: Declaration, store: Store, landed: LandedWindows, decided: Decision
) -> list[dict[str, Any]]:
    """Write the decision down: one row for each cause and state, not one for each tick.

    Returns:
        The row, if it is a new one.

    """
    before = store.newest("decisions", "code", model=declaration.name).get(decided.evidence.cause)
    if not changed(decided, before["code"] if before else None):
        return []
    row = row_of(declaration, landed, decided)
    store.add("decisions", row)
    return [row]


def row_of(declaration: Declaration, landed: LandedWindows, decided: Decision) -> dict[str, Any]:
    """Return what is written down of a decision."""
    one = decided.evidence
    return {
        "model": declaration.name,
        "cause": one.cause,
        "window": one.window,
        "trigger": one.trigger,
        "decision": "retrain"
        if decided.retrain
        else "noted"
        if one.trigger == "missing"
        else "held_back",
        "code": decided.code,
        "reason": decided.reason,
        "champion": one.champion,
        "decided_at": landed.now.isoformat() if landed.now else "",
    }


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
