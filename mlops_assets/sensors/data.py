"""New data in the repository starts `<model>__ingest`, and so do labels that have matured.

What is due is derived from what lies in the repository and what the store says was done of it, never
from a cursor: a lost cursor, a killed run or a restored home ends in the same requests.
"""

import json
from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from mlops_assets.assets.commits import partitions
from mlops_assets.assets.source import SOURCES
from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.due import Work, agenda
from mlops_assets.monitoring.meaning import other_windows
from mlops_assets.profiles.store import Store
from mlops_assets.resources import MODEL_TAG, RepositoryResource, StoreResource

WORK_TAG = "mlops/work"
SHOWN = 5  # reasons in what a tick says of itself
FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]


def build(declaration: Declaration, job: dg.JobDefinition | str) -> dg.SensorDefinition:
    """Return the sensor `<model>__data`."""

    @dg.sensor(
        name=f"{declaration.name}__data",
        job_name=job if isinstance(job, str) else job.name,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A batch or labels that landed, or labels that have matured: ingest them.",
    )
    def data(
        context: dg.SensorEvaluationContext,
        mlops_repository: RepositoryResource,
        mlops_store: StoreResource,
    ) -> dg.SensorResult:
        versions, records = mlops_repository.get(), mlops_store.get()
        if problem := other_windows(declaration, records):
            return dg.SensorResult(skip_reason=dg.SkipReason(problem), cursor=context.cursor)
        found = agenda(versions, records, declaration, mlops_repository.until)
        requests, reported = [], []
        said = [one.reason for one in found.waiting]
        for work in found.work:
            try:
                asked = request(context, records, declaration, work)
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
        events, cursor = observations(declaration, reported, context.cursor)
        nothing = "nothing has landed or matured that was not worked on"
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else dg.SkipReason(summed_up(said) or nothing),
            asset_events=events,
            cursor=cursor,
        )

    return data


def request(
    context: dg.SensorEvaluationContext, store: Store, declaration: Declaration, work: Work
) -> dg.RunRequest | str:
    """Return the run request of a piece of work, or why it is not asked for."""
    # Dagster looks at this when our tick is over, and then fails it with all its requests
    if not partitions(declaration).has_partition_key(work.window):
        return f"{work.window} waits: Dagster, by its clock, knows no such partition yet"
    if given_up(context.instance, store, declaration, work):
        return give_up(declaration, store, work)
    # a window corrected back is the same work once more, so success counts too
    attempt = context.instance.get_runs_count(
        dg.RunsFilter(tags={WORK_TAG: work.mark}, statuses=FINISHED)
    )
    return dg.RunRequest(
        run_key=f"{declaration.name}:{work.window}:{work.mark}:{attempt}",
        partition_key=work.window,
        asset_selection=[dg.AssetKey([declaration.name, s]) for s in work.stages],
        tags={MODEL_TAG: declaration.name, WORK_TAG: work.mark},
    )


def may_run(
    context: dg.SensorEvaluationContext, store: Store, declaration: Declaration, work: Work
) -> bool:
    """Say whether a run is or will be asked for, so that what is decided waits for it."""
    try:
        asked = request(context, store, declaration, work)
    except Exception:
        # the sensor of the data says so, in each of its ticks; the decisions don't wait for it
        context.log.exception(f"{work.window} is not waited for")
        return False
    return not isinstance(asked, str)


def summed_up(reasons: Sequence[str]) -> str:
    """Join reasons; of many, name the first ones and count the others."""
    more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    return "; ".join(reasons[:SHOWN]) + more


def given_up(
    instance: dg.DagsterInstance, store: Store, declaration: Declaration, work: Work
) -> bool:
    """Say whether this very work failed as often as declared since a person last asked for it."""
    again = [
        row["requested_at"]
        for row in store.rows("controls", model=work.model, action="retry")
        if row["reason"] == work.window
    ]
    failed = dg.RunsFilter(
        tags={WORK_TAG: work.mark},
        statuses=[dg.DagsterRunStatus.FAILURE],
        created_after=datetime.fromisoformat(again[-1]) if again else None,
    )
    return instance.get_runs_count(failed) >= declaration.retraining.attempts


def give_up(declaration: Declaration, store: Store, work: Work) -> str:
    """Write down that a piece of work is not tried again; return the reason."""
    reason = (
        f"{', '.join(work.stages)} of {work.window} not done: {declaration.retraining.attempts} "
        "runs for it failed; see them in Dagster, mend the cause, then land it again"
    )
    store.add(
        "decisions",
        {
            "model": declaration.name,
            "cause": f"ingest:{work.mark}",
            "window": work.window,
            "trigger": "data",
            "decision": "held_back",
            "code": "failing",
            "reason": reason,
            "champion": None,
            "decided_at": declaration.windows.ends(work.window).isoformat(),
        },
    )
    return reason


def observations(
    declaration: Declaration, waiting: Sequence[Work], cursor: str | None
) -> tuple[list[dg.AssetObservation], str]:
    """Report to Dagster what new lies in the sources, so that what stands on it reads as stale.

    The cursor only spares repeating it; what is to be done never depends on it.
    """
    try:
        before = set(json.loads(cursor or "[]"))
    except (ValueError, TypeError):
        before = set()  # a person can set it to anything
    seen = {}
    for work in waiting:
        for kind, name in SOURCES.items():
            if kind in work.stages:
                version = work.versions[work.kinds.index(kind)]
                seen[f"{name}/{work.window}/{version[:16]}"] = dg.AssetObservation(
                    asset_key=[declaration.name, name],
                    partition=work.window,
                    tags={"dagster/data_version": version},
                )
    fresh = [event for mark, event in seen.items() if mark not in before]
    return fresh, json.dumps(sorted(seen))
