"""New data in the repository starts `<model>__ingest`, and so do labels that have matured.

What is due is derived from what lies in the repository and what the store says was done of it, never
from a cursor: a lost cursor, a killed run or a restored home ends in the same requests.
"""

import json
from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from mlops_assets.assets.source import SOURCES
from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.due import Work, due
from mlops_assets.profiles.store import Store
from mlops_assets.resources import MODEL_TAG, RepositoryResource, StoreResource

WORK_TAG = "mlops/work"
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
        requests = []
        skipped = []
        waiting = due(versions, records, declaration, mlops_repository.until)
        for work in waiting:
            if given_up(context.instance, records, declaration, work):
                skipped.append(give_up(declaration, records, work))
                continue
            # a window corrected back is the same work once more, so success counts too
            attempt = context.instance.get_runs_count(
                dg.RunsFilter(tags={WORK_TAG: work.mark}, statuses=FINISHED)
            )
            requests.append(
                dg.RunRequest(
                    run_key=f"{declaration.name}:{work.window}:{work.mark}:{attempt}",
                    partition_key=work.window,
                    asset_selection=[dg.AssetKey([declaration.name, s]) for s in work.stages],
                    tags={MODEL_TAG: declaration.name, WORK_TAG: work.mark},
                )
            )
        events, cursor = observations(declaration, waiting, context.cursor)
        reason = "; ".join(skipped) or "nothing has landed or matured that was not worked on"
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else dg.SkipReason(reason),
            asset_events=events,
            cursor=cursor,
        )

    return data


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
    before = set(json.loads(cursor)) if cursor else set()
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
