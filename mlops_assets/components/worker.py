"""Which models the process of a run has to build: a run of one must not pay for a hundred."""

from __future__ import annotations

import os

import dagster as dg

# Dagster has no public name for what loads definitions, nor tells them for which run they are loaded
from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)

from mlops_assets.sensors.recovery import process_of
from mlops_assets.sensors.runs import UNFINISHED, work_of

_BEGUN = [status for status in UNFINISHED if status != dg.DagsterRunStatus.QUEUED]
_initialized: list[bool] = []  # whether this process told Dagster of all definitions


def models_of_run() -> set[str] | None:
    """Return the models that this process' run works on; None where all may be asked for.

    A run's process says its number in the run's log before it loads the definitions. A code
    server, a command and whatever else can't be told loads them all.
    """
    if DefinitionsLoadContext.get().load_type == DefinitionsLoadType.INITIALIZATION:
        _initialized.append(True)
    if _initialized or "DAGSTER_HOME" not in os.environ:
        return None
    with dg.DagsterInstance.get() as instance:
        for record in instance.get_run_records(dg.RunsFilter(statuses=_BEGUN)):
            process = process_of(instance, record.dagster_run)
            if process is not None and process[0] == os.getpid():
                return models_of(record.dagster_run)
    return None


def models_of(run: dg.DagsterRun) -> set[str] | None:
    """Return the models that a run selects; None where it selects anything else too, or all."""
    checks = (one.asset_key for one in run.asset_check_selection or ())
    keys = {*(run.asset_selection or ()), *checks}
    models = {model for model, _ in work_of(run)}
    ours = bool(keys) and all(len(key.path) == 2 and key.path[0] in models for key in keys)
    return models if ours else None
