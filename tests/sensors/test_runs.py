"""However a run ends, or is deleted, or never begins: what it was for is not lost, nor asked for ever."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import dagster as dg
import pytest
from dagster._core.events import EngineEventData, RunFailureReason
from dagster._core.storage.tags import GRPC_INFO_TAG

from mlops_assets.assets.commits import read_commit
from mlops_assets.assets.request import CAUSE_TAG
from mlops_assets.records import kinds
from mlops_assets.registry.owner import PID, owner_tags, was_running
from mlops_assets.resources import KIND_TAG, MODEL_TAG
from mlops_assets.sensors import recovery
from mlops_assets.sensors.recovery import PROCESS_TAGS, end_dead_runs
from mlops_assets.sensors.runs import (
    INTERRUPTED_TAG,
    INTERRUPTIONS,
    WORK_TAG,
    is_interrupted,
    why_ended,
    work_of,
)
from tests import tiny
from tests.conftest import Played

CANCELED, FAILURE, SUCCESS, STARTED, STARTING, NOT_STARTED = (
    dg.DagsterRunStatus[name]
    for name in ("CANCELED", "FAILURE", "SUCCESS", "STARTED", "STARTING", "NOT_STARTED")
)


def asked(played: Played, sensor: str) -> Sequence[dg.RunRequest]:
    """Return what a tick asks for, without doing it."""
    return played.player.evaluate(sensor).run_requests or []


def made(
    played: Played, kind: str, request: dg.RunRequest, status: dg.DagsterRunStatus
) -> dg.DagsterRun:
    """Make the run of a request as it would stand there, without its work."""
    window = {"dagster/partition": request.partition_key} if request.partition_key else {}
    tags = {**request.tags, "dagster/run_key": request.run_key or "", **window}
    assert tags[KIND_TAG] == kind
    return played.instance.create_run_for_job(played.job, tags=tags, status=status)


def ask(played: Played, reason: str) -> None:
    at = datetime.now(UTC).isoformat()
    row = {"model": "tiny", "action": "retrain", "reason": reason, "by": "us", "requested_at": at}
    played.store.add(kinds.Control(**row))


def with_windows(played: Played, count: int) -> Played:
    """Let so many windows stand there as ingested, with mature labels and no champion."""
    with played.repository.transaction("main", "a history", {}, allow_unchanged=True) as change:
        for number in range(count):
            for kind in ("batches", "labels"):
                name = f"{kind}/{tiny.window(number)}.parquet"
                change.put(f"tiny/{name}", played.project.root / "history" / name)
    for number in range(count):
        common = {"model": "tiny", "window": tiny.window(number)}
        versions = {
            kind: played.repository.stat("main", f"tiny/{kind}/{tiny.window(number)}.parquet")
            for kind in ("batches", "labels")
        }
        landed = {**common, "commit_id": change.commit_id, "rows": 300}
        batch, labels = (versions[kind].checksum for kind in ("batches", "labels"))
        played.store.add(kinds.Batch(**{**landed, "version": batch}))
        counts = {"version": labels, "positives": 150, "unknown": 0}
        played.store.add(kinds.Labels(**{**landed, **counts}))
        verdict = {"profile": "", "rows": 300, "exceeds": False, "verdict": "insufficient"}
        said = {"sentence": "", "policy": "", "detail": {}, "features_commit": change.commit_id}
        version = {"batch_version": versions["batches"].checksum}
        played.store.add(kinds.Verdict(**{**common, **verdict, **said, **version}))
    return played


def codes(played: Played) -> list[tuple[str, str]]:
    return [(r.trigger, r.code) for r in played.store.rows(kinds.Decision, model="tiny")]


def test_a_cancelled_retraining_is_a_persons_answer(played: Played) -> None:
    # given a retraining that was asked for, and whose run a person cancels
    with_windows(played, 7)
    ask(played, "first")
    (request,) = asked(played, "decision")
    run = made(played, "retrain", request, CANCELED)
    # then neither that cause nor another asks again, and why is said
    for _ in range(2):
        assert asked(played, "decision") == []
    assert codes(played)[-2:] == [("manual", "cancelled"), ("initial", "declined")]
    assert "its run was cancelled in Dagster" in played.status["held_back"][-2]["reason"]
    # also when its run is deleted
    played.instance.delete_run(run.run_id)
    assert asked(played, "decision") == []
    # but a person may, by a new cause
    ask(played, "second")
    (again,) = asked(played, "decision")
    assert again.tags[CAUSE_TAG].startswith("manual:")
    assert again.tags[CAUSE_TAG] != request.tags[CAUSE_TAG]


def test_a_request_that_came_too_early_is_answered_and_says_to_ask_again(played: Played) -> None:
    # given windows without features, and a person who asks for a retraining
    with_windows(played, 7)
    ask(played, "first")
    # when their runs find nothing to learn from
    while played.player.tick("decision"):
        pass
    # then each cause is answered, and the person is told that nothing asks again for the request
    answers = {row.cause: row for row in played.store.latest(kinds.Outcome, model="tiny")}
    assert [cause.partition(":")[0] for cause in sorted(answers)] == ["initial", "manual"]
    initial, manual = (answers[cause].reason for cause in sorted(answers))
    assert (
        manual
        == f"{initial}; this answers the request: when that has changed, `mlops retrain tiny` again"
    )
    assert manual in [row["reason"] for row in played.status["held_back"]]


def test_what_else_speaks_for_a_cancelled_retraining_waits_for_the_next_window(
    played: Played,
) -> None:
    # given a first training that a person cancelled
    with_windows(played, 7)
    (request,) = asked(played, "decision")
    made(played, "retrain", request, CANCELED)
    assert asked(played, "decision") == []
    # when the next window has landed, then it is asked for again
    with_windows(played, 8)
    (again,) = asked(played, "decision")
    assert again.tags[CAUSE_TAG].startswith("initial:")
    assert again.tags[CAUSE_TAG] != request.tags[CAUSE_TAG]


def test_a_retraining_goes_on_whatever_becomes_of_its_runs(played: Played) -> None:
    # given a retraining that was asked for
    with_windows(played, 7)
    (request,) = asked(played, "decision")
    cause = request.tags[CAUSE_TAG]
    # while its run waits or goes on, nothing more is asked for
    run = made(played, "retrain", request, NOT_STARTED)
    assert asked(played, "decision") == []
    # when the run is deleted, it is asked for anew
    played.instance.delete_run(run.run_id)
    (again,) = asked(played, "decision")
    # when it failed before it began, or came to nothing, then again, and no key is used twice
    keys = []
    for status in (FAILURE, SUCCESS):
        keys.append(again.run_key)
        made(played, "retrain", again, status)
        (again,) = asked(played, "decision")
        assert again.tags[CAUSE_TAG] == cause
    assert len({*keys, again.run_key}) == 3
    # also when an earlier one is deleted
    played.instance.delete_run(played.runs("retrain")[-1].run_id)
    (after,) = asked(played, "decision")
    assert after.run_key == again.run_key
    # and after as many as declared it is given up
    made(played, "retrain", after, FAILURE)
    (last,) = asked(played, "decision")
    made(played, "retrain", last, FAILURE)
    assert asked(played, "decision") == []
    assert codes(played)[-1] == ("initial", "failing")


@pytest.mark.parametrize(
    ("job", "tags", "selected", "expected"),
    [
        ("tiny__retrain", {MODEL_TAG: "tiny", KIND_TAG: "retrain"}, None, {("tiny", "retrain")}),
        ("__ASSET_JOB", {}, ["tiny/champion"], {("tiny", "retrain")}),
        ("__ASSET_JOB", {}, ["tiny/batches", "tiny/labels"], {("tiny", "ingest")}),
        ("__ASSET_JOB", {}, ["a/model", "b/labels"], {("a", "retrain"), ("b", "ingest")}),
        ("__ASSET_JOB", {}, ["other_team", "tiny/source", "x/y/model"], set()),
        ("their__own__job", {}, None, set()),
    ],
)
def test_a_run_is_told_by_its_tags_or_by_what_it_selects(
    job: str, tags: dict[str, str], selected: list[str] | None, expected: set[tuple[str, str]]
) -> None:
    keys = selected and frozenset(dg.AssetKey(one.split("/")) for one in selected)
    run = dg.DagsterRun(job_name=job, run_id="x", tags=tags, asset_selection=keys)
    assert work_of(run) == expected


def test_much_evidence_asks_dagster_no_more_than_one_piece(played: Played) -> None:
    with_windows(played, 7)

    def questions() -> int:
        """Return how often a tick asks Dagster for runs."""
        instance = played.instance
        with patch.object(instance, "get_run_records", wraps=instance.get_run_records) as asking:
            assert len(asked(played, "decision")) == 1
        return asking.call_count

    # given a first training that is due
    alone = questions()
    # when persons ask for it too, then that costs no further question
    for reason in ("first", "second", "third"):
        ask(played, reason)
    assert questions() == alone


def test_a_retraining_from_the_graph_without_tags_is_in_flight(played: Played) -> None:
    # given a model that somebody materializes from the asset graph
    with_windows(played, 7)
    only = frozenset([dg.AssetKey(["tiny", "model"])])
    played.instance.create_run_for_job(played.job, asset_selection=only, status=STARTED)
    # when a person asks for a retraining, then it waits for that one
    ask(played, "now")
    assert asked(played, "decision") == []
    assert ("manual", "in_flight") in codes(played)


def test_an_ingest_is_tried_a_few_times_however_its_runs_end(played: Played) -> None:
    # given a batch that landed
    played.land(0)
    keys = set()
    # when its runs are cancelled, fail to start, or succeed and change nothing
    for status in (CANCELED, FAILURE, SUCCESS):
        (request,) = asked(played, "data")
        keys.add(request.run_key)
        run = made(played, "ingest", request, status)
        # and those that go on or were interrupted are no attempts
        assert why_ended(played.instance, run).split()[0] in ("was", "failed", "succeeded")
    assert len(keys) == 3
    # then it is given up, with the reason and what to do, and the decisions go on
    assert asked(played, "data") == []
    (held,) = played.status["held_back"]
    assert "3 runs for it failed" in held["reason"]
    assert "succeeded and changed nothing; mend the cause, then land it again" in held["reason"]
    assert "waiting" not in str(played.player.evaluate("decision").skip_message)
    # and once a person has asked for it once more and it is done, nothing says that it is not
    row = {"model": "tiny", "action": "retry", "reason": tiny.window(0), "by": "us"}
    played.store.add(kinds.Control(**{**row, "requested_at": datetime.now(UTC).isoformat()}))
    played.player.settle()
    assert [one["window"] for one in played.status["windows"]] == [tiny.window(0)]
    assert played.status["held_back"] == []


@pytest.mark.parametrize("kind", ["ingest", "retrain"])
@pytest.mark.parametrize("how", ["by a signal", "with its server"])
def test_work_whose_runs_are_killed_again_and_again_comes_to_an_end(
    played: Played, kind: str, how: str
) -> None:
    # given something to do, whose run is killed each time
    sensor = "data" if kind == "ingest" else "decision"
    if kind == "ingest":
        played.land(0)
    else:
        with_windows(played, 7)
    killed = 0
    while request := next(iter(asked(played, sensor)), None):
        run = made(played, kind, request, FAILURE if how == "by a signal" else CANCELED)
        tag = {INTERRUPTED_TAG: run.run_id}
        if how == "by a signal":
            tag = {"dagster/failure_reason": RunFailureReason.UNEXPECTED_TERMINATION.value}
        played.instance.add_run_tags(run.run_id, tag)
        killed += 1
        assert killed < 100
    # then that is no attempt at first, and at last it is given up, which is no person's answer
    assert killed == INTERRUPTIONS + played.player.declaration.retraining.attempts
    assert [code for _, code in codes(played)][-1] == "failing"
    if kind == "ingest":
        assert "was stopped or killed" in played.store.rows(kinds.Decision, model="tiny")[-1].reason


def test_work_that_is_going_on_is_not_asked_for_by_another_key(played: Played) -> None:
    # given a batch whose run waits for its turn
    played.land(0)
    (request,) = asked(played, "data")
    run = made(played, "ingest", request, NOT_STARTED)
    # then nothing is asked for, nor when its labels land, until it has ended
    assert asked(played, "data") == []
    played.land(0, "labels")
    assert asked(played, "data") == []
    assert "waiting to be ingested" in str(played.player.evaluate("decision").skip_message)
    # and when it is deleted, all of it is
    played.instance.delete_run(run.run_id)
    (again,) = asked(played, "data")
    assert again.tags[WORK_TAG] != request.tags[WORK_TAG]


def test_nothing_waits_for_a_sensor_of_the_data_that_is_stopped(played: Played) -> None:
    # given a first training that is due, and beside it a window that landed
    with_windows(played, 7)
    played.land(7)
    (window,) = asked(played, "data")
    assert "waiting to be ingested" in str(played.player.evaluate("decision").skip_message)
    # when somebody stops the sensor that would ask for its run
    played.stop("data")
    # then it is decided, as long as no run is there that works on it
    run = made(played, "ingest", window, NOT_STARTED)
    assert "waiting to be ingested" in str(played.player.evaluate("decision").skip_message)
    played.instance.delete_run(run.run_id)
    (request,) = asked(played, "decision")
    # and said what is not done
    made(played, "retrain", request, CANCELED)
    said = str(played.player.evaluate("decision").skip_message)
    assert "its run was cancelled" in said
    assert "mlops_data is stopped in Dagster: what landed or matured is not ingested" in said


def left_behind(played: Played, pid: int, **tags: str) -> dg.DagsterRun:
    """Make a run as a daemon left it that was killed, with the pid of its worker."""
    local = {**played.tags("ingest"), GRPC_INFO_TAG: '{"host": "localhost", "socket": "/nowhere"}'}
    run = played.instance.create_run_for_job(played.job, tags={**local, **tags}, status=STARTED)
    data = EngineEventData.in_process(pid)
    message = f"Started process for run (pid: {pid})."
    played.instance.report_engine_event(message, run, data)
    return run


def test_what_a_killed_daemon_left_is_ended_by_the_next_tick(played: Played) -> None:
    # given runs of a daemon that was killed: one whose worker is gone, one whose worker lives
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    played.land(0)
    (request,) = asked(played, "data")
    tags = {**request.tags, "dagster/run_key": str(request.run_key)}
    dead = left_behind(played, gone.pid, **tags)
    living = left_behind(played, worker.pid)
    # and one of another project, and one that waits for a daemon
    foreign = left_behind(played, gone.pid, **{MODEL_TAG: "theirs"})
    queued = played.instance.create_run_for_job(
        played.job, tags=played.tags("ingest"), status=NOT_STARTED
    )
    try:
        # when the daemon of today ticks
        (again,) = asked(played, "data")
        # then the dead one is ended, as no attempt, and what it was for is asked for anew
        runs = {run.run_id: run for run in played.instance.get_runs()}
        assert runs[dead.run_id].status == CANCELED
        assert is_interrupted(runs[dead.run_id])
        assert again.run_key != request.run_key
        assert again.tags[WORK_TAG] == request.tags[WORK_TAG]
        # and the others are left alone
        assert runs[living.run_id].status == runs[foreign.run_id].status == STARTED
        assert runs[queued.run_id].status == NOT_STARTED
    finally:
        worker.communicate(b"\n")
    # until the worker has ended, or its number is that of a younger process
    (found,) = end_dead_runs(played.instance, ["tiny"])
    assert found.run.run_id == living.run_id


def test_a_run_that_repeats_another_is_judged_by_itself(played: Played) -> None:
    # given a run of a replay that was killed, and was ended
    process = {PROCESS_TAGS[name]: value for name, value in owner_tags().items()}
    tags = {**played.tags("ingest"), **process, PROCESS_TAGS[PID]: "999999999"}
    first = played.instance.create_run_for_job(played.job, tags=tags, status=STARTED)
    assert [one.run.run_id for one in end_dead_runs(played.instance, ["tiny"])] == [first.run_id]
    ended = played.instance.get_run_by_id(first.run_id)
    assert ended is not None
    # when a person executes it once more in Dagster, which hands its tags on
    again = played.instance.create_run_for_job(
        played.job,
        tags=ended.tags,
        status=STARTED,
        parent_run_id=first.run_id,
        root_run_id=first.run_id,
    )
    data = EngineEventData.in_process(os.getpid())
    played.instance.report_engine_event("Started process for run.", again, data)
    # then it lives, whatever became of the first one, and what it comes to counts
    assert end_dead_runs(played.instance, ["tiny"]) == []
    assert is_interrupted(ended)
    assert not is_interrupted(again)


def test_a_worker_that_died_alone_is_left_to_its_server(played: Played, tmp_path: Path) -> None:
    # given a run whose worker is gone, while the server that started it lives
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "server"))
        server.listen()
        at = json.dumps({"host": "localhost", "socket": str(tmp_path / "server")})
        run = left_behind(played, gone.pid, **{GRPC_INFO_TAG: at})
        # then Dagster marks it as failed, which counts, where ours would not
        assert end_dead_runs(played.instance, ["tiny"]) == []
    # and once the server is gone too, nobody else would
    assert [one.run.run_id for one in end_dead_runs(played.instance, ["tiny"])] == [run.run_id]


def test_a_worker_killed_before_it_began_holds_its_model_for_a_minute_at_most(
    played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run that no worker has said to have begun, and the server that is to start it
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "server"))
        server.listen()
        at = json.dumps({"host": "localhost", "socket": str(tmp_path / "server")})
        tags = {**played.tags("ingest"), GRPC_INFO_TAG: at}
        run = played.instance.create_run_for_job(played.job, tags=tags, status=STARTING)
        # when the minute is over, the server may still start it
        monkeypatch.setattr(recovery, "BEGIN_SECONDS", 0)
        assert end_dead_runs(played.instance, ["tiny"]) == []
        # and with the server gone, a worker has a minute to say so
        monkeypatch.undo()
    assert end_dead_runs(played.instance, ["tiny"]) == []
    monkeypatch.setattr(recovery, "BEGIN_SECONDS", 0)
    assert [one.run.run_id for one in end_dead_runs(played.instance, ["tiny"])] == [run.run_id]


def test_a_process_number_that_was_given_away_is_no_life() -> None:
    # given a process, and a moment before it began, when another had its number
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert was_running(worker.pid, time.time())
        assert not was_running(worker.pid, time.time() - 3600)
    finally:
        worker.communicate(b"\n")
    assert not was_running(worker.pid, time.time())


def test_slots_of_deleted_runs_are_freed(played: Played) -> None:
    # given a run that held the place of a retraining, and was deleted
    run = played.instance.create_run_for_job(played.job, status=STARTED)
    slots = played.instance.event_log_storage
    slots.initialize_concurrency_limit_to_default("tiny__retrain")
    assert slots.claim_concurrency_slot("tiny__retrain", run.run_id, "champion").is_claimed
    played.instance.delete_run(run.run_id)
    # when a sensor ticks, then the next may have it
    asked(played, "decision")
    other = played.instance.create_run_for_job(played.job)
    assert slots.claim_concurrency_slot("tiny__retrain", other.run_id, "champion").is_claimed


def test_what_landed_is_read_as_our_own_record_says(played: Played) -> None:
    # given corrected labels and a corrected batch that were published
    played.turn(0)
    outcomes = tiny.batch(0)[1]
    played.land(0, "labels", outcomes.with_columns(1 - outcomes["paid"]))
    played.land(0, "batches", tiny.batch(0, rows=400)[0])
    played.player.settle()
    # when Dagster's record of that is lost: it was killed in between, or the runs were deleted
    for run in played.runs("ingest")[:-1]:
        played.instance.delete_run(run.run_id)
    # then what is read is what is recorded as done, not what was there before
    context = dg.build_asset_context(partition_key=tiny.window(0), instance=played.instance)
    rows: list[kinds.Batch | kinds.Labels] = [
        *played.store.latest(kinds.Batch, model="tiny"),
        *played.store.latest(kinds.Labels, model="tiny"),
    ]
    for kind, row in zip(("batches", "labels"), rows, strict=True):
        found = read_commit(
            context, played.repository, played.store, played.player.declaration, kind, row.window
        )
        path = f"tiny/{kind}/{row.window}.parquet"
        assert played.repository.stat(found, path).checksum == row.version
        assert row.rows == (400 if kind == "batches" else 300)
    # and what is made of it is made of the newest
    result = played.materialize("ingest", "drift_profile", window=tiny.window(0))
    assert result.success
    assert played.store.latest(kinds.Verdict, model="tiny")[0].rows == 400


def test_a_run_that_ends_while_it_is_looked_at_stays_as_it_ended(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run that ends, and its process with it, after a tick has read the runs
    run = left_behind(played, os.getpid())

    def ends(instance: dg.DagsterInstance, record: dg.RunRecord) -> str:
        instance.report_run_failed(record.dagster_run)
        return "dead"

    monkeypatch.setattr("mlops_assets.sensors.recovery.life_of", ends)
    # then its end is what it says, and counts
    assert end_dead_runs(played.instance, ["tiny"]) == []
    ended = played.instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == FAILURE
    assert not is_interrupted(ended)


def test_a_run_that_nobody_will_launch_is_not_waited_for_for_ever(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run whose maker was killed before it could launch it, and whose process none can see
    played.land(0)
    (request,) = asked(played, "data")
    made(played, "ingest", request, NOT_STARTED)
    monkeypatch.setattr("mlops_assets.sensors.recovery.life_of", lambda *_: "unknown")
    assert asked(played, "data") == []
    # when it is older than any run may get
    now = time.time() + 60 * played.player.declaration.retraining.in_flight_minutes
    monkeypatch.setattr("mlops_assets.sensors.runs.time", SimpleNamespace(time=lambda: now + 1))
    # then its work is asked for by another key
    (again,) = asked(played, "data")
    assert again.run_key != request.run_key
