"""New data in the repository starts `<model>__ingest`, and so do labels that have matured.

What is due is derived from what lies in the repository and what the store says was done of it, never
from a cursor: a lost cursor, a killed run or a restored home ends in the same requests.
"""

import hashlib
import json
from dataclasses import dataclass

import dagster as dg

from mlops_assets.assets.source import SOURCES
from mlops_assets.batches.landing import KINDS, MAIN, landed_versions, landings
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.declaration import Declaration
from mlops_assets.profiles.store import Store
from mlops_assets.resources import MODEL_TAG, RepositoryResource, StoreResource
from mlops_assets.versions import Repository

WORK_TAG = "mlops/work"
SCORING = ("batches", "features", "predictions", "drift_profile")


@dataclass(frozen=True)
class Work:
    """Stages of one window that are due, and of which data."""

    window: str
    stages: tuple[str, ...]
    versions: tuple[str, ...]

    @property
    def mark(self) -> str:
        """What makes it this piece of work and no other."""
        text = json.dumps([self.window, self.stages, self.versions])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def due(repository: Repository, store: Store, declaration: Declaration) -> list[Work]:
    """Return what has landed or matured and was not worked on, oldest window first."""
    model = declaration.name
    refused = {
        (landing.kind, landing.window, landing.version)
        for landing in landings(repository, model)
        if landing.refused
    }
    landed = {
        kind: {
            window: version
            for window, version in landed_versions(repository, declaration, kind).items()
            if (kind, window, version) not in refused and declaration.windows.declares(window)
        }
        for kind in KINDS
    }
    judged = {row["window"]: row for row in store.latest("verdicts", model=model)}
    labelled = {row["window"]: row["version"] for row in store.latest("labels", model=model)}
    measured = {row["window"]: row for row in store.latest("performance", model=model)}
    work: dict[str, tuple[list[str], list[str]]] = {}

    def add(window: str, stages: tuple[str, ...], version: str) -> None:
        known = work.setdefault(window, ([], []))
        known[0].extend(stages)
        known[1].append(version)

    for window, version in landed["batches"].items():
        if window not in judged or judged[window]["batch_version"] != version:
            add(window, SCORING, version)
    for window, version in landed["labels"].items():
        # labels that came before their batch wait for it
        if labelled.get(window) != version:
            add(window, ("labels",), version)
    for window in landed_windows(repository, declaration, MAIN).mature:
        row = judged.get(window)
        if window in work or row is None or row["champion"] is None:
            continue
        versions = (row["batch_version"], labelled.get(window, ""))
        known = measured.get(window)
        if known is None or (known["batch_version"], known["labels_version"]) != versions:
            add(window, ("performance",), "/".join(versions))
    return [Work(window, tuple(work[window][0]), tuple(work[window][1])) for window in sorted(work)]


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
        repository: RepositoryResource,
        store: StoreResource,
    ) -> dg.SensorResult:
        versions, records = repository.get(), store.get()
        requests = []
        skipped = []
        for work in due(versions, records, declaration):
            attempt = failures(context.instance, work)
            if attempt >= declaration.retraining.attempts:
                skipped.append(give_up(declaration, records, work, attempt))
                continue
            requests.append(
                dg.RunRequest(
                    run_key=f"{declaration.name}:{work.window}:{work.mark}:{attempt}",
                    partition_key=work.window,
                    asset_selection=[dg.AssetKey([declaration.name, s]) for s in work.stages],
                    tags={MODEL_TAG: declaration.name, WORK_TAG: work.mark},
                )
            )
        events, cursor = observations(versions, declaration, context.cursor)
        reason = "; ".join(skipped) or "nothing has landed or matured that was not worked on"
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else dg.SkipReason(reason),
            asset_events=events,
            cursor=cursor,
        )

    return data


def failures(instance: dg.DagsterInstance, work: Work) -> int:
    """Count the runs for this very work that failed."""
    failed = dg.RunsFilter(tags={WORK_TAG: work.mark}, statuses=[dg.DagsterRunStatus.FAILURE])
    return instance.get_runs_count(failed)


def give_up(declaration: Declaration, store: Store, work: Work, attempts: int) -> str:
    """Write down that a piece of work is not tried again; return the reason."""
    reason = (
        f"{', '.join(work.stages)} of {work.window} not done: {attempts} runs for it failed; see "
        "them in Dagster, mend the cause, then run the job for that window or land it again"
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
    repository: Repository, declaration: Declaration, cursor: str | None
) -> tuple[list[dg.AssetObservation], str]:
    """Report to Dagster what lies in the sources, where it is not what the last tick reported.

    The cursor only spares events; what is to be done never depends on it.
    """
    before = json.loads(cursor) if cursor else {}
    after = {}
    events = []
    for kind, name in SOURCES.items():
        versions = landed_versions(repository, declaration, kind)
        after[kind] = {window: version[:16] for window, version in versions.items()}
        for window, version in versions.items():
            if before.get(kind, {}).get(window) != version[:16] and declaration.windows.declares(
                window
            ):
                events.append(
                    dg.AssetObservation(
                        asset_key=[declaration.name, name],
                        partition=window,
                        tags={"dagster/data_version": version},
                    )
                )
    return events, json.dumps(after)
