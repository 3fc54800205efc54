"""Ending runs whose process is gone: they would hold back whatever waits behind them.

Dagster itself sees a worker die while the code server that started it lives, and marks its run as
failed: that is an attempt, of one that takes all memory too. What a killed server left behind is
found here: at each tick, so that a daemon that goes on clears it away, and before a
process of ours begins. And which sensors were stopped, by which nothing goes on either.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.events import DagsterEventType
from dagster._core.scheduler.instigation import InstigatorStatus
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.tags import GRPC_INFO_TAG

from mlops_assets.registry.owner import HOST, PID, PROCESS_START, owner_is_alive, was_running
from mlops_assets.sensors.runs import INTERRUPTED_TAG, QUEUED, UNFINISHED, named, work_of

# of a run that is executed in a process of ours: which one, as the registry tags MLflow's runs
PROCESS_TAGS = {HOST: "mlops/host", PID: "mlops/pid", PROCESS_START: "mlops/process_start"}
LAUNCH_SECONDS = 300  # for a server that lives: Dagster's own limit is 180, where it watches
BEGIN_SECONDS = 60  # for a worker that outlived its server to say that it began; most need 5
Life = Literal["lives", "dead", "unknown"]


@dataclass(frozen=True)
class Unfinished:
    """A run that has not ended, and what is known of its process."""

    run: dg.DagsterRun
    life: Life

    @property
    def about(self) -> str:
        """Name it."""
        return f"run {self.run.run_id[:8]}, {named(self.run)}"


def unfinished_runs(instance: dg.DagsterInstance, models: Collection[str]) -> list[Unfinished]:
    """Return the runs of some models that began and did not end, the oldest first."""
    # what is queued holds nothing, and a daemon will launch it
    begun = [status for status in UNFINISHED if status != QUEUED]
    records = instance.get_run_records(dg.RunsFilter(statuses=begun), ascending=True)
    return [
        Unfinished(record.dagster_run, life_of(instance, record))
        for record in records
        if any(model in models for model, _ in work_of(record.dagster_run))
    ]


def end_dead_runs(instance: dg.DagsterInstance, models: Collection[str]) -> list[Unfinished]:
    """End the runs of some models whose process is gone; return them.

    What they finished stays. They are marked as cancelled, not as failed, and as interrupted, which
    is no attempt the first times: what they were for is due again. A run that a person had told to
    stop has stopped. Slots of runs that ended or were deleted are freed too.
    """
    dead = []
    for one in unfinished_runs(instance, models):
        if one.life != "dead":
            continue
        run = instance.get_run_by_id(one.run.run_id)
        if run is None or run.is_finished:
            continue  # it ended, and then its process did, since the runs were read
        dead.append(one)
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(one.run, "its process is gone")
        else:
            end_interrupted(instance, one.run, "its process was killed half-way; it is due again")
    free_slots(instance)
    return dead


def end_interrupted(instance: dg.DagsterInstance, run: dg.DagsterRun, why: str) -> None:
    """Mark a run as stopped from outside. Its events stay: deleted, they take what they made."""
    # first the tag: who sees that it ended sees that it was interrupted
    instance.add_run_tags(run.run_id, {INTERRUPTED_TAG: run.run_id})
    instance.report_run_canceled(run, why)
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def free_slots(instance: dg.DagsterInstance) -> None:
    """Free the slots of runs that have ended or were deleted, for which others wait in vain."""
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    for run_id in storage.get_concurrency_run_ids():
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            storage.free_concurrency_slots_for_run(run_id)


def life_of(instance: dg.DagsterInstance, record: dg.RunRecord) -> Life:
    """Say whether the process of a run lives; unknown where it is no process of this machine."""
    run = record.dagster_run
    owner = {name: run.tags[tag] for name, tag in PROCESS_TAGS.items() if tag in run.tags}
    if owner and run.parent_run_id is None:  # else it has the tags of the run that it repeats
        return "lives" if owner_is_alive(owner) else "dead"
    if not _is_local(instance, run):
        return "unknown"
    process = process_of(instance, run)
    if process is not None and was_running(*process):
        return "lives"
    # its server, which starts it and sees it die, is about to do so or to mark it as failed; without
    # one it may be just about to begin, and Dagster lets none begin whose run was ended
    patience = LAUNCH_SECONDS if _server_lives(run) else BEGIN_SECONDS if process is None else 0
    silent = time.time() - record.update_timestamp.timestamp()
    return "unknown" if silent < patience else "dead"


def _is_local(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Say whether a run was started on this machine, where its process number means something."""
    server = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
    if server:
        return "socket" in server or server.get("host") in ("localhost", "127.0.0.1")
    # started by a command: whoever writes the same SQLite file does so here
    return isinstance(instance.run_storage, SqliteRunStorage)


def _server_lives(run: dg.DagsterRun) -> bool:
    """Say whether the code server that started a run on this machine still takes calls."""
    server = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
    local = server.get("socket")
    try:
        if local:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(local)
        elif server.get("port"):
            socket.create_connection((server["host"], server["port"]), timeout=1).close()
        else:
            return False
    except OSError:
        return False
    return True


def process_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[int, float] | None:
    """Return the number of a run's process, and a moment (in s) when it ran."""
    records = instance.get_records_for_run(
        run.run_id, of_type=DagsterEventType.ENGINE_EVENT, limit=50
    ).records
    for record in records:  # the first is of the run itself, others may be of its steps
        event = record.event_log_entry.dagster_event
        if event is not None and "pid" in event.engine_event_data.metadata:
            number = str(event.engine_event_data.metadata["pid"].value)
            if number.isdecimal():
                return int(number), record.event_log_entry.timestamp
    return None


def stopped_sensors(instance: dg.DagsterInstance) -> set[str]:
    """Return the names of the sensors that somebody stopped in Dagster."""
    statuses: dict[str, set[InstigatorStatus]] = {}
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        statuses.setdefault(state.instigator_name, set()).add(state.status)
    # a home that was moved keeps the states of where its code lay before
    return {name for name, known in statuses.items() if known == {InstigatorStatus.STOPPED}}
