"""New data in the repository starts the ingest of a window, and so do labels that have matured.

What is due is derived from what lies in the repository and what the store says was done of it, never
from a cursor: a lost cursor, a killed run or a restored home ends in the same requests.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import dagster as dg

from mlops_assets.assets.commits import partitions
from mlops_assets.assets.source import SOURCES
from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.decision_log import note
from mlops_assets.monitoring.due import Work, agenda
from mlops_assets.monitoring.meaning import other_windows
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.resources import MODEL_TAG, RepositoryResource, StoreResource
from mlops_assets.sensors.location import DATA_SENSOR, Look, Marks, Models
from mlops_assets.sensors.reaching import reaching
from mlops_assets.sensors.recovery import end_dead_runs
from mlops_assets.sensors.runs import (
    PARTITION_TAG,
    SUCCESS,
    WORK_TAG,
    Tried,
    age_minutes,
    by_tag,
    request_tags,
    since_other_work,
    tried,
    unfinished,
    why_ended,
)
from mlops_assets.versions import Repository
from mlops_assets.words import counted

# runs of a model that are asked for and not done: a tick has to stay short, and the queue in order
AT_ONCE = 25


def build(declarations: Sequence[Declaration]) -> dg.SensorDefinition:
    """Return the sensor of a code location that asks for the ingest of its models' windows."""
    models = Models(declarations)

    @dg.sensor(
        name=DATA_SENSOR,
        asset_selection=models.selection,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A batch or labels that landed, or labels that have matured: ingest them.",
    )
    @reaching
    def data(
        context: dg.SensorEvaluationContext,
        mlops_repository: RepositoryResource,
        mlops_store: StoreResource,
    ) -> dg.SensorResult:
        versions, records = mlops_repository.get(), mlops_store.get()
        end_dead_runs(context.instance, [one.name for one in declarations])

        def look(declaration: Declaration, cursor: str | None) -> Look:
            until = mlops_repository.until
            return look_at(context, declaration, versions, records, until, cursor)

        return models.tick(context, Marks.read(versions, records).of, look)

    return data


def look_at(
    context: dg.SensorEvaluationContext,
    declaration: Declaration,
    versions: Repository,
    records: Store,
    until: str | None,
    cursor: str | None,
) -> Look:
    """Ask for the runs of what is due of one model; note what was given up and done after all."""
    if problem := other_windows(declaration, records):
        return Look(said=[problem], settled=True)
    found = agenda(versions, records, declaration, until)
    runs = RunsOfWork.read(context.instance, records, declaration, found.work)
    requests: list[dg.RunRequest] = []
    reported: list[Work] = []
    said = [one.reason for one in found.waiting]
    for place, work in enumerate(found.work):
        if len(requests) + len(runs.busy) >= AT_ONCE:
            said.append(f"{len(found.work) - place} more wait for their turn")
            break
        try:
            asked = request(runs, work)
        except Exception as error:
            # whatever is wrong with one window, the others go on; the next tick tries it again
            problem = f"{', '.join(work.stages)} of {work.window} can't be asked for: {error}"
            context.log.exception(problem)
            said.append(problem)
            continue
        reported.append(work)
        if isinstance(asked, str):
            said.append(asked)
        else:
            requests.append(asked)
    note_what_was_done(declaration, records, found.work, until)
    events, cursor = observations(declaration, reported, found.work, cursor)
    nothing = "nothing has landed or matured that was not worked on"
    return Look(requests, said or [nothing], events, cursor, settled=not found.work)


@dataclass(frozen=True)
class RunsOfWork:
    """What became of the runs for the work that is due: read once in a tick.

    Attributes:
        busy: window -> the run that works on it or waits for its turn, whoever started it.
        again: window -> when a person last asked for it once more.
        by_mark: the runs for each piece of work, the newest first.
        done: window -> the runs for work on it that succeeded, of windows whose work was tried.
        partitions: as Dagster knows them by its clock.

    """

    instance: dg.DagsterInstance
    store: Store
    declaration: Declaration
    busy: Mapping[str, str]
    again: Mapping[str, datetime]
    by_mark: Mapping[str, Sequence[dg.RunRecord]]
    done: Mapping[str, Sequence[dg.RunRecord]]
    partitions: dg.TimeWindowPartitionsDefinition

    @classmethod
    def read(
        cls,
        instance: dg.DagsterInstance,
        store: Store,
        declaration: Declaration,
        due: Sequence[Work],
    ) -> "RunsOfWork":
        """Ask Dagster and the store."""
        longest = declaration.retraining.in_flight_minutes
        busy = {
            record.dagster_run.tags[PARTITION_TAG]: record.dagster_run.run_id
            for record in (unfinished(instance, declaration.name, "ingest") if due else ())
            if PARTITION_TAG in record.dagster_run.tags and age_minutes(record) < longest
        }
        again = {
            row.reason: datetime.fromisoformat(row.requested_at)
            for row in store.rows(kinds.Control, model=declaration.name, action="retry")
        }
        by_mark = by_tag(instance, WORK_TAG, [work.mark for work in due])
        tried_before = [work.window for work in due if by_mark[work.mark]]
        done = by_tag(
            instance,
            PARTITION_TAG,
            tried_before,
            tags={MODEL_TAG: declaration.name},
            statuses=[SUCCESS],
        )
        known = partitions(declaration)
        return cls(instance, store, declaration, busy, again, by_mark, done, known)

    def tried(self, work: Work) -> Tried:
        """Sum up the runs for a piece of work since a person last asked for it."""
        every = self.by_mark[work.mark]
        counted = since_other_work(every, self.done[work.window]) if every else []
        return tried(counted, of_all=every, since=self.again.get(work.window))

    def is_given_up(self, work: Work) -> bool:
        """Say whether work was tried as often as declared, and none of its runs goes on."""
        if work.window in self.busy:
            return False
        return self.tried(work).ended >= self.declaration.retraining.attempts


def request(runs: RunsOfWork, work: Work) -> dg.RunRequest | str:
    """Return the run request of a piece of work, or why it is not asked for."""
    # Dagster looks at this when our tick is over, and then fails it with all its requests
    if not runs.partitions.has_partition_key(work.window):
        return f"{work.window} waits: Dagster, by its clock, knows no such partition yet"
    if work.window in runs.busy:
        return f"run {runs.busy[work.window][:8]} works on {work.window}"
    tries = runs.tried(work)
    if tries.ended >= runs.declaration.retraining.attempts:
        return give_up(runs, work, tries)
    return dg.RunRequest(
        run_key=f"{work.model}:{work.window}:{work.mark}:{tries.number}",
        partition_key=work.window,
        asset_selection=[dg.AssetKey([work.model, stage]) for stage in work.stages],
        tags={**request_tags(work.model, "ingest"), WORK_TAG: work.mark},
    )


def may_run(
    context: dg.SensorEvaluationContext,
    store: Store,
    declaration: Declaration,
    due: Sequence[Work],
    *,
    stopped: bool = False,
) -> bool:
    """Say whether a run is or will be asked for, so that what is decided waits for it.

    Where the sensor of the data is stopped, nothing will be: only what goes on is waited for.
    """
    runs = RunsOfWork.read(context.instance, store, declaration, due)
    for work in due:
        try:
            if work.window in runs.busy:
                return True
            if not stopped and isinstance(request(runs, work), dg.RunRequest):
                return True
        except Exception:
            # the sensor of the data says so, in each of its ticks; the decisions don't wait for it
            context.log.exception(f"{work.window} is not waited for")
    return False


def given_up(
    instance: dg.DagsterInstance, store: Store, declaration: Declaration, due: Sequence[Work]
) -> list[Work]:
    """Return the work that is not tried any more."""
    runs = RunsOfWork.read(instance, store, declaration, due)
    return [work for work in due if runs.is_given_up(work)]


class Said(NamedTuple):
    """What the newest decision about a cause says."""

    code: str
    reason: str


def give_up(runs: RunsOfWork, work: Work, tries: Tried) -> str:
    """Write down that a piece of work is not tried again, once; return the reason."""
    store = runs.store
    cause = f"ingest:{work.mark}"
    last = tries.last
    assert last is not None, "nothing is given up that was never tried"
    # remembered, where a question for each of a thousand would make every tick long
    before = store.newest(kinds.Decision, Said, model=work.model).get(cause)
    if before and before.code == "failing" and last.run_id[:8] in before.reason:
        return before.reason
    reason = (
        f"{', '.join(work.stages)} of {work.window} not done: {counted(tries.ended, 'run')} for it failed; "
        f"the last, run {last.run_id[:8]} in Dagster, {why_ended(runs.instance, last)}; mend the "
        "cause, then land it again"
    )
    note(
        runs.declaration,
        store,
        cause=cause,
        window=work.window,
        trigger="data",
        decision="held_back",
        code="failing",
        reason=reason,
    )
    return reason


def note_what_was_done(
    declaration: Declaration, store: Store, due: Sequence[Work], until: str | None
) -> None:
    """Write down that what was given up is no longer due: it was done after all, or replaced."""
    due_still = {f"ingest:{work.mark}" for work in due}
    for row in store.latest(kinds.Decision, model=declaration.name, trigger="data"):
        window = row.window
        if row.code != "failing" or row.cause in due_still or window > (until or window):
            continue
        reason = f"what was not done of {window} is done, or something newer has landed for it"
        note(
            declaration,
            store,
            cause=row.cause,
            window=window,
            trigger="data",
            decision="noted",
            code="done",
            reason=reason,
        )


def observations(
    declaration: Declaration,
    asked_for: Sequence[Work],
    due: Sequence[Work],
    cursor: str | None,
) -> tuple[list[dg.AssetObservation], str]:
    """Report to Dagster what new lies in the sources, so that what stands on it reads as stale.

    Of what is due, only what was asked for. The cursor, all of that which is still due, only spares
    repeating it; what is to be done never depends on it.
    """
    try:
        before = set(json.loads(cursor or "[]"))
    except (ValueError, TypeError):
        before = set()  # a person can set it to anything
    fresh = {
        mark: dg.AssetObservation(
            asset_key=[declaration.name, name],
            partition=window,
            tags={"dagster/data_version": version},
        )
        for mark, name, window, version in in_sources(asked_for)
        if mark not in before
    }
    still = {mark for mark, *_ in in_sources(due) if mark in before}
    return list(fresh.values()), json.dumps(sorted(still | fresh.keys()))


def in_sources(several: Sequence[Work]) -> Iterator[tuple[str, str, str, str]]:
    """Yield what lies in the sources of some work: a mark, the source, its window and version."""
    for work in several:
        for kind, name in SOURCES.items():
            if kind in work.stages:
                version = work.versions[work.kinds.index(kind)]
                yield f"{name}/{work.window}/{version[:16]}", name, work.window, version
