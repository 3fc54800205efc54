"""Real sensor ticks and real runs of one model, in this process.

The daemon does the same with a process for each run; here one process plays what is due, in order,
until nothing is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import dagster as dg
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.execution.plan.objects import ErrorSource, StepFailureData

from mlops_assets.assets.batches import REFUSED
from mlops_assets.assets.request import CAUSE_TAG, TRIGGER_TAG
from mlops_assets.declaration import Declaration
from mlops_assets.instance import open_instance
from mlops_assets.project import Project
from mlops_assets.registry.owner import owner_tags
from mlops_assets.resources import KIND_TAG, RepositoryResource
from mlops_assets.sensors.location import DATA_SENSOR, DECISION_SENSOR
from mlops_assets.sensors.reaching import played
from mlops_assets.sensors.recovery import PROCESS_TAGS, end_interrupted

Sensor = Literal["data", "decision"]
SENSORS: dict[Sensor, str] = {"data": DATA_SENSOR, "decision": DECISION_SENSOR}


@dataclass
class Player:
    """Plays the sensors of one model on the project's Dagster instance."""

    project: Project
    declaration: Declaration
    tell: Callable[[str], None]
    instance: dg.DagsterInstance = field(init=False)
    cursors: dict[str, str | None] = field(default_factory=dict)
    runs: int = 0
    failed: list[str] = field(default_factory=list)  # runs that failed, but not by a refusal

    def __post_init__(self) -> None:
        """Open the instance, quietly: Dagster's own log is in its event log."""
        for name in ("dagster", "mlflow", "alembic", "dagster.builtin"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self.instance = open_instance(self.project.home)

    def settle(self, until: str | None = None) -> None:
        """Tick and run until nothing is due any more; windows after `until` have yet to come."""
        while self.tick("data", until) or self.tick("decision", until):
            pass

    def tick(self, sensor: Sensor, until: str | None = None) -> int:
        """Evaluate one sensor as the daemon does, execute what it requests; return how much."""
        result = self.evaluate(sensor, until)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        self.cursors[sensor] = result.cursor
        # as the daemon: a run key is served once
        fresh = [one for one in result.run_requests or [] if not self.was_served(one)]
        for request in fresh:
            self.execute(request, sensor)
        return len(fresh)

    def was_served(self, request: dg.RunRequest) -> bool:
        """Say whether there is a run with the request's key."""
        served = dg.RunsFilter(tags={"dagster/run_key": request.run_key or ""})
        return self.instance.get_runs_count(served) > 0

    def evaluate(self, sensor: Sensor, until: str | None = None) -> SensorExecutionData:
        """Evaluate one sensor as the daemon does; return what it asks for."""
        name = SENSORS[sensor]
        repository = self.project.repository
        definition = repository.get_sensor_def(name)
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(sensor),
            repository_def=repository,
            sensor_name=name,
            resources=definition_resources(definition, repository, until),
        )
        with played(self.declaration.name):
            return definition.evaluate_tick(context)

    def execute(self, request: dg.RunRequest, sensor: Sensor) -> None:
        """Execute one requested run to its end, here."""
        definition = self.project.repository.get_implicit_global_asset_job_def()
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
                "dagster/sensor_name": SENSORS[sensor],
                **{PROCESS_TAGS[name]: value for name, value in owner_tags().items()},
            },
            # its own console log would drown the progress; the event log has every line
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        if was_interrupted(result):
            # a person's Ctrl-C is no failed attempt, and no red run
            end_interrupted(
                self.instance, result.dagster_run, "a person stopped it; it is due again"
            )
            raise KeyboardInterrupt
        self.runs += 1
        if not result.success:
            reason = failure(result)
            kind = request.tags[KIND_TAG]
            self.tell(f"run {result.run_id[:8]}, {kind} {about}, failed: {reason}")
            if REFUSED not in reason:  # that is told with the landing, and may be the only failure
                self.failed.append(f"{kind} {about}: {reason}")


def definition_resources(
    sensor: dg.SensorDefinition, repository: dg.RepositoryDefinition, until: str | None
) -> dict[str, Any]:
    """Return the resources that a sensor asks for; the repository's landings end with `until`."""
    known = repository.get_top_level_resources()
    return {
        key: RepositoryResource(until=until) if until and key == "mlops_repository" else known[key]
        for key in sensor.required_resource_keys
    }


def was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Say whether a run ended because this process was told to stop."""
    for event in result.all_events:
        data = event.event_specific_data
        if isinstance(data, StepFailureData) and data.error_source == ErrorSource.INTERRUPT:
            return True
        if (
            isinstance(data, JobFailureData)
            and data.failure_reason == RunFailureReason.UNEXPECTED_TERMINATION
        ):
            return True
    return False


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
