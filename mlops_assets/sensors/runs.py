"""What Dagster knows of our runs: whose they are, which go on, and how often a thing was tried.

A run is told by its tags, or, started from the asset graph without any, by what it selects. It may
end in any way, be deleted or never begin: what is asked for is counted in runs that ended without
bringing it about, and a fresh request never repeats the key of a run that is there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import dagster as dg
from dagster._core.events import DagsterEventType, RunFailureReason

from mlops_assets import clock
from mlops_assets.assets.request import CAUSE_TAG
from mlops_assets.monitoring.due import MEASURING, SCORING
from mlops_assets.monitoring.situation import Running
from mlops_assets.resources import KIND_TAG, MODEL_TAG

Kind = Literal["ingest", "retrain"]
# what each kind of run selects; the labels of a window come between the two halves of its work
STAGES: Mapping[Kind, tuple[str, ...]] = {
    "ingest": tuple(dict.fromkeys([*SCORING, "labels", *MEASURING])),
    "retrain": ("training_set", "model", "evaluation", "champion"),
}
WORK_TAG, REQUESTED_TAG = "mlops/work", "mlops/requested_at"
INTERRUPTED_TAG = "mlops/interrupted"  # its process was stopped or killed
# runs for one thing that may be stopped or killed and are no attempts: a machine that is restarted
# is not at fault, and work that takes the whole machine down each time must come to an end
INTERRUPTIONS = 10

QUEUED = dg.DagsterRunStatus.QUEUED
CANCELED = dg.DagsterRunStatus.CANCELED
SUCCESS = dg.DagsterRunStatus.SUCCESS
UNFINISHED = [
    QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
PARTITION_TAG = "dagster/partition"
_KEY, _REASON = "dagster/run_key", "dagster/failure_reason"
_AT_ONCE = 500  # values of one tag in one question to the database


def is_of(run: dg.DagsterRun, model: str, kind: Kind | None = None) -> bool:
    """Say whether a run works on a model, and is of a kind."""
    return any(model == one and kind in (None, found) for one, found in work_of(run))


def work_of(run: dg.DagsterRun) -> set[tuple[str, Kind]]:
    """Return (model, kind) of what a run works on; of several, if it was started so by hand."""
    for kind in STAGES:
        if MODEL_TAG in run.tags and run.tags.get(KIND_TAG) == kind:
            return {(run.tags[MODEL_TAG], kind)}
    checks = (one.asset_key for one in run.asset_check_selection or ())
    paths = [key.path for key in (*(run.asset_selection or ()), *checks)]
    return {
        (path[0], kind)
        for path in paths
        for kind, stages in STAGES.items()
        if len(path) == 2 and path[1] in stages
    }


def named(run: dg.DagsterRun) -> str:
    """Say what a run does, as Dagster has one job for all; of another's run, the job."""
    found = sorted(f"{kind} of {model}" for model, kind in work_of(run))
    return ", ".join(found) or run.job_name


def keys_of(model: str, kind: Kind, stages: Sequence[str] = ()) -> list[dg.AssetKey]:
    """Return what a run of a kind selects: all its stages, or some."""
    return [dg.AssetKey([model, stage]) for stage in stages or STAGES[kind]]


def unfinished(instance: dg.DagsterInstance, model: str, kind: Kind) -> list[dg.RunRecord]:
    """Return the runs of a kind that have not ended, the newest first."""
    records = instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED))
    return [record for record in records if is_of(record.dagster_run, model, kind)]


def age_minutes(record: dg.RunRecord) -> float:
    """Return for how long a run has been going on, in minutes; while it waits for its turn, 0.

    One that was made and neither queued nor launched waits for nobody: who made it was killed.
    """
    if record.dagster_run.status == QUEUED:  # it holds nothing yet, and a daemon launches it
        return 0.0
    return (time.time() - (record.start_time or record.create_timestamp.timestamp())) / 60


def is_interrupted(run: dg.DagsterRun) -> bool:
    """Say whether a run ended because its process was stopped or killed, not by its own fault."""
    # a run that is executed once more has the tags of the first one
    return run.tags.get(INTERRUPTED_TAG) == run.run_id or (
        run.status == dg.DagsterRunStatus.FAILURE
        and run.tags.get(_REASON) == RunFailureReason.UNEXPECTED_TERMINATION.value
    )


@dataclass(frozen=True)
class Tried:
    """What became of the runs for one thing that is still to be done.

    Attributes:
        ended: how many ended since a person last asked for it once more, in whatever way; of those
            whose process was stopped or killed only what goes beyond `INTERRUPTIONS`.
        cancelled: whether a person cancelled the newest.
        last: the newest that ended.
        number: of the next request; that of no run that is there.

    """

    ended: int = 0
    cancelled: bool = False
    last: dg.DagsterRun | None = None
    number: int = 0


def tried(
    records: Sequence[dg.RunRecord],
    *,
    of_all: Sequence[dg.RunRecord] | None = None,
    since: datetime | None = None,
) -> Tried:
    """Sum up the runs for one thing; they come newest first.

    Args:
        records: those that count.
        of_all: these and such as count no more; their keys are taken too.
        since: only requests from then on count, on our clock.

    """
    there = [record.dagster_run for record in of_all or records]
    done = [
        record
        for record in records
        if record.dagster_run.status not in UNFINISHED
        and (since is None or _requested(record) >= since)
    ]
    interrupted = [record.storage_id for record in done if is_interrupted(record.dagster_run)]
    excused = set(interrupted[-INTERRUPTIONS:])  # the first ones
    counted = [record for record in done if record.storage_id not in excused]
    last = counted[0].dagster_run if counted else None
    return Tried(
        len(counted),
        last is not None and last.status == CANCELED and not is_interrupted(last),
        last,
        max((_number(run) for run in there), default=-1) + 1,
    )


def by_tag(
    instance: dg.DagsterInstance,
    tag: str,
    values: Iterable[str],
    *,
    tags: Mapping[str, str] | None = None,
    statuses: Sequence[dg.DagsterRunStatus] = (),
) -> dict[str, list[dg.RunRecord]]:
    """Return the runs that carry a tag, by its value, the newest first.

    Of thousands of values in a few questions; with `tags` and `statuses`, only runs of these.
    """
    wanted = list(dict.fromkeys(values))
    found: dict[str, list[dg.RunRecord]] = {value: [] for value in wanted}
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        asked = dg.RunsFilter(tags={**(tags or {}), tag: some}, statuses=statuses)
        for record in instance.get_run_records(asked):
            found[record.dagster_run.tags[tag]].append(record)
    return found


@dataclass(frozen=True)
class Retrainings:
    """What Dagster knows of one model's retrainings: a situation's `Runs`.

    Attributes:
        instance: is asked for the runs of a cause, once.
        model: whose.
        unfinished: those that have not ended, as they were read when the tick began.

    """

    instance: dg.DagsterInstance
    model: str
    unfinished: Sequence[dg.RunRecord]
    _tried: dict[str, Tried] = field(default_factory=dict, repr=False)

    @property
    def running(self) -> list[Running]:
        """Those that have not ended."""
        return [
            Running(
                record.dagster_run.tags.get(CAUSE_TAG) or "a run started by hand",
                age_minutes(record),
            )
            for record in self.unfinished
        ]

    @property
    def were_tried(self) -> bool:
        """Whether any cause that was asked for had a run: what is decided may hang on that."""
        return any(one != Tried() for one in self._tried.values())

    def tried(self, causes: Sequence[str]) -> dict[str, Tried]:
        """Return what became of the runs for each cause."""
        unknown = [cause for cause in causes if cause not in self._tried]
        for cause, records in by_tag(self.instance, CAUSE_TAG, unknown).items():
            own = [record for record in records if is_of(record.dagster_run, self.model)]
            self._tried[cause] = tried(own)
        return {cause: self._tried[cause] for cause in causes}


def since_other_work(
    records: Sequence[dg.RunRecord], of_window: Sequence[dg.RunRecord]
) -> list[dg.RunRecord]:
    """Return the runs for a piece of work since other work, of those `of_window`, last succeeded.

    A window that was corrected and corrected back is the same work once more, from the start; one
    whose runs succeed again and again, and change nothing, is not.
    """
    marks = {record.dagster_run.tags[WORK_TAG] for record in records}
    others = [
        record.storage_id
        for record in of_window
        if record.dagster_run.tags.get(WORK_TAG) not in {None, *marks}
    ]
    newest = max(others, default=-1)
    return [record for record in records if record.storage_id > newest]


def why_ended(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Say in words how a run ended that did not bring about what it was for."""
    if is_interrupted(run):
        return "was stopped or killed, as others before it"
    if run.status == CANCELED:
        return "was cancelled"
    if run.status == SUCCESS:
        return "succeeded and changed nothing"
    records = instance.get_records_for_run(
        run.run_id, of_type={DagsterEventType.STEP_FAILURE, DagsterEventType.PIPELINE_FAILURE}
    ).records
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        said = event.step_failure_data.user_failure_data if event.is_step_failure else None
        if said and said.description:
            return f"failed: {said.description}"
        error = getattr(event.event_specific_data, "error", None)
        while error is not None and error.cause is not None:
            error = error.cause
        text = str(error.message if error else event.message or "").strip()
        if text:
            return f"failed: {text.splitlines()[0]}"
    return "failed"


def _number(run: dg.DagsterRun) -> int:
    number = run.tags.get(_KEY, "").rpartition(":")[2]
    return int(number) if number.isdecimal() else 0


def _requested(record: dg.RunRecord) -> datetime:
    """Return when a run was asked for, on our clock; of an older run, when it was made."""
    said = record.dagster_run.tags.get(REQUESTED_TAG)
    return datetime.fromisoformat(said) if said else record.create_timestamp.astimezone(UTC)


def request_tags(model: str, kind: Kind) -> dict[str, str]:
    """Return the tags of every run that our sensors ask for."""
    return {
        MODEL_TAG: model,
        KIND_TAG: kind,
        REQUESTED_TAG: clock.now().isoformat(),
        # the sensors ask again themselves, and count; a second hand would double the runs
        "dagster/max_retries": "0",
    }
