"""Real sensor ticks and real runs of one model, in this process.

The daemon does the same with a process for each run; here one process plays what is due, in order,
until nothing is.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from mlops_assets.assets.request import CAUSE_TAG, TRIGGER_TAG
from mlops_assets.cli.project import Project
from mlops_assets.declaration import Declaration
from mlops_assets.errors import MlopsError
from mlops_assets.registry.owner import owner_is_alive
from mlops_assets.resources import RegistryResource
from mlops_assets.sensors.decision import UNFINISHED

PROCESS_TAG = "mlops/process"


@dataclass
class Player:
    """Plays the sensors of one model on the project's Dagster instance."""

    project: Project
    declaration: Declaration
    tell: Callable[[str], None]
    instance: dg.DagsterInstance = field(init=False)
    cursors: dict[str, str | None] = field(default_factory=dict)
    served: set[str | None] = field(default_factory=set)
    runs: int = 0

    def __post_init__(self) -> None:
        """Open the instance, quietly: Dagster's own log is in its event log."""
        for name in ("dagster", "mlflow", "alembic", "dagster.builtin"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self.instance = dg.DagsterInstance.get()

    def settle(self) -> None:
        """Tick and run until nothing is due any more."""
        while self.tick("data") or self.tick("decision"):
            pass

    def tick(self, sensor: str) -> int:
        """Evaluate one sensor as the daemon does, execute what it requests; return how much."""
        name = f"{self.declaration.name}__{sensor}"
        repository = self.project.repository
        definition = repository.get_sensor_def(name)
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(name),
            repository_def=repository,
            sensor_name=name,
            resources=definition_resources(definition, repository),
        )
        result = definition.evaluate_tick(context)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        self.cursors[name] = result.cursor
        # as the daemon: a run key is served once
        fresh = [one for one in result.run_requests or [] if one.run_key not in self.served]
        for request in fresh:
            self.execute(str(definition.job_name), request, name)
            self.served.add(request.run_key)
        return len(fresh)

    def execute(self, job: str, request: dg.RunRequest, sensor: str) -> None:
        """Execute one requested run to its end, here."""
        definition = self.project.repository.get_job(job)
        about = request.partition_key or request.tags.get(CAUSE_TAG, "")
        trigger = request.tags.get(TRIGGER_TAG)
        self.tell(f"{'retraining' if trigger else 'window'} {about}")
        result = definition.execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            asset_selection=list(request.asset_selection) if request.asset_selection else None,
            tags={
                **request.tags,
                "dagster/run_key": request.run_key or "",
                "dagster/sensor_name": sensor,
                PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}",
            },
            # its own console log would drown the progress; the event log has every line
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        self.runs += 1
        if not result.success:
            self.tell(f"run {result.run_id[:8]} of {job} {about} failed: {failure(result)}")


def definition_resources(
    sensor: dg.SensorDefinition, repository: dg.RepositoryDefinition
) -> dict[str, Any]:
    """Return the resources that a sensor asks for."""
    known = repository.get_top_level_resources()
    return {key: known[key] for key in sensor.required_resource_keys}


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Say why a run failed, in the words of the step that did."""
    for event in result.all_events:
        data = event.event_specific_data
        if event.is_step_failure:
            said = event.step_failure_data.user_failure_data
            if said and said.description:
                return said.description
        error = getattr(data, "error", None)  # of a step, a resource, or the run as a whole
        if error is not None:
            while error.cause is not None:
                error = error.cause
            return str(error.message).strip()
    return "see the run in Dagster"


def recover(project: Project, tell: Callable[[str], None]) -> None:
    """Clear away what a killed process left: unfinished runs, held slots, open MLflow runs.

    The caller holds the home, so nobody else plays or serves it: a run that is not finished is
    dead. A run of a killed replay is deleted (what it finished stays materialized) and what it was
    for is due again; a run that the daemon launched is marked as failed, and the daemon tries again.
    """
    instance = dg.DagsterInstance.get()
    storage = instance.event_log_storage
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED)):
        run = record.dagster_run
        if instance.event_log_storage.supports_global_concurrency_limits:
            storage.free_concurrency_slots_for_run(run.run_id)
        if PROCESS_TAG in run.tags:
            instance.delete_run(run.run_id)
            tell(
                f"cleared run {run.run_id[:8]} of {run.job_name}, killed half-way; it is due again"
            )
        else:
            instance.report_run_failed(run, "its process was gone when the home was opened again")
            tell(f"marked run {run.run_id[:8]} of {run.job_name} as failed: its process is gone")
    if project.home.mlflow.startswith("sqlite:///"):
        from pathlib import Path

        if not Path(project.home.mlflow.removeprefix("sqlite:///")).exists():
            return  # MLflow was never used: don't import it
    for model in models_with_runs(project):
        for run_id in RegistryResource().tracking(model).close_abandoned(owner_is_alive):
            tell(f"closed MLflow run {run_id[:8]}, left open by a killed process")


def models_with_runs(project: Project) -> Iterator[str]:
    """Yield the models that are declared, those of a broken declaration left out."""
    try:
        yield from project.declarations
    except MlopsError:
        return
