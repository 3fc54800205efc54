"""Which models the process of a run has to build: a run of one must not pay for a hundred."""

from __future__ import annotations

import os

import dagster as dg

# Dagster has no public name for what loads definitions, nor tells them for which run they are loaded
from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)

from mlops_assets.assets.commits import partitions
from mlops_assets.declaration import Declaration
from mlops_assets.registry.owner import was_running
from mlops_assets.sensors.recovery import process_of
from mlops_assets.sensors.runs import UNFINISHED, keys_of, work_of

_BEGUN = [status for status in UNFINISHED if status != dg.DagsterRunStatus.QUEUED]
_initialized: list[bool] = []  # whether this process told Dagster of all definitions


def models_of_run() -> set[str] | None:
    """Return the models that this process' run works on; None where all may be asked for.

    A run's process says its number in the run's log before it loads the definitions. A number is
    given to another process in time, and containers have the same ones: only a run that began
    while this process lived is its own, and where several could be, all models are built. So does
    a code server, a command and whatever else can't be told.
    """
    if DefinitionsLoadContext.get().load_type == DefinitionsLoadType.INITIALIZATION:
        _initialized.append(True)
    if _initialized or "DAGSTER_HOME" not in os.environ:
        return None
    with dg.DagsterInstance.get() as instance:
        begun = [
            one.dagster_run for one in instance.get_run_records(dg.RunsFilter(statuses=_BEGUN))
        ]
        own = [run for run in begun if is_of_this_process(process_of(instance, run))]
    return models_of(own[0]) if len(own) == 1 else None


def is_of_this_process(process: tuple[int, float] | None) -> bool:
    """Tell whether a run's process, known by its number and a moment when it ran, is this one."""
    return process is not None and process[0] == os.getpid() and was_running(*process)


def stand_in(declaration: Declaration) -> dg.Definitions:
    """Return the stages of a model that this process never runs, by their keys alone.

    Jobs and schedules of the project's own may select them: Dagster resolves all of them before
    it runs any.
    """
    model, windows = declaration.name, partitions(declaration)
    by_window = [
        dg.AssetSpec(key, group_name=model, partitions_def=windows)
        for key in keys_of(model, "ingest")
    ]
    others = [dg.AssetSpec(key, group_name=model) for key in keys_of(model, "retrain")]

    @dg.multi_asset(name=f"{model}__not_built", specs=[*by_window, *others], can_subset=True)
    def not_built() -> None:
        raise dg.Failure(f"the process of a run of another model did not build {model}")

    return dg.Definitions(assets=[not_built])


def models_of(run: dg.DagsterRun) -> set[str] | None:
    """Return the models that a run selects; None where it selects anything else too, or all."""
    checks = (one.asset_key for one in run.asset_check_selection or ())
    keys = {*(run.asset_selection or ()), *checks}
    models = {model for model, _ in work_of(run)}
    ours = bool(keys) and all(len(key.path) == 2 and key.path[0] in models for key in keys)
    return models if ours else None
