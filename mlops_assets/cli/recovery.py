"""Clearing away what killed processes left, before a process of ours goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from mlops_assets.assets.reconciliation import reconcile
from mlops_assets.cli.playing import PROCESS_TAGS, open_instance
from mlops_assets.cli.project import Project
from mlops_assets.home import Home
from mlops_assets.profiles.store import Store
from mlops_assets.registry.ledger import Ledger
from mlops_assets.registry.owner import owner_is_alive
from mlops_assets.resources import MODEL_TAG, RegistryResource
from mlops_assets.sensors.facts import UNFINISHED

DAEMON_SILENCE_SECONDS = 60  # it reports every 30


def recover(project: Project, tell: Callable[[str], None]) -> None:
    """Clear away unfinished runs, held slots, half-made promotions and open MLflow runs.

    Only of this project's models, and only what is dead. The caller holds the home.
    """
    clear_runs(project, tell)
    store, ledger = Store(project.home.store), Ledger(project.home.ledger)
    for declaration in project.declarations.values():
        for cause in reconcile(declaration, ledger, store):
            tell(f"finished {cause}, killed between the ledger and the alias")
    if not mlflow_was_used(project.home):
        return  # don't import it
    for model in project.declarations:
        for run_id in RegistryResource().tracking(model).close_abandoned(owner_is_alive):
            tell(f"closed MLflow run {run_id[:8]}, left open by a killed process")


def mlflow_was_used(home: Home) -> bool:
    """Say whether there is an MLflow to ask: a server, or a database that is there already."""
    database = home.mlflow.removeprefix("sqlite:///")
    return "://" in database or Path(database).exists()


def clear_runs(project: Project, tell: Callable[[str], None]) -> None:
    """Clear the Dagster runs of dead processes, and the slots that they hold.

    A run of a process of ours is deleted (what it finished stays materialized), and what it was
    for is due again. One that a daemon launched is marked as failed, unless a daemon reported
    within the last minute; it tries again itself.
    """
    instance = open_instance(project)
    heartbeats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
    silence = time.time() - max(heartbeats, default=0.0)
    # what is queued holds nothing, and a daemon will launch it
    started = [status for status in UNFINISHED if status != dg.DagsterRunStatus.QUEUED]
    for record in instance.get_run_records(dg.RunsFilter(statuses=started)):
        run = record.dagster_run
        if run.tags.get(MODEL_TAG) not in project.declarations:
            continue
        about = f"run {run.run_id[:8]} of {run.job_name}"
        owner = {name: run.tags[tag] for name, tag in PROCESS_TAGS.items() if tag in run.tags}
        if owner and owner_is_alive(owner):
            tell(f"left {about} alone: its process lives")
        elif owner:
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            instance.delete_run(run.run_id)
            tell(f"cleared {about}, killed half-way; it is due again")
        elif silence < DAEMON_SILENCE_SECONDS:
            tell(
                f"left {about} alone: a daemon reported {silence:.0f} s ago; if it was killed, "
                "try again in a minute"
            )
        else:
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            instance.report_run_failed(run, "its process was gone when the home was opened again")
            tell(f"marked {about} as failed: its process is gone")
