"""The process of a run builds its run's model; every other process builds all."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)
from dagster._core.events import EngineEventData

from mlops_assets.components import worker
from mlops_assets.components.worker import is_of_this_process, models_of
from mlops_assets.project import Project
from tests.conftest import Played

MODELS = {"tiny", "a", "b", "c", "d"}


@pytest.fixture
def of_a_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Load definitions as the process of a run does: for the first time, to reconstruct them."""
    monkeypatch.setattr(worker, "_initialized", [])
    context = DefinitionsLoadContext(load_type=DefinitionsLoadType.RECONSTRUCTION)
    with DefinitionsLoadContext.scoped(context):
        yield


def built() -> set[str]:
    """Return the models of which the project's definitions have assets that can run."""
    graph = Project.find().repository.asset_graph
    nodes = [graph.get(key).assets_def.node_def.name for key in graph.executable_asset_keys]
    return {name.partition("__")[0] for name in nodes if not name.endswith("__not_built")}


def begin(played: Played, *stages: str, pid: int) -> dg.DagsterRun:
    """Let a process say that it began with a run of some stages."""
    keys = frozenset(dg.AssetKey(stage.split("/")) for stage in stages)
    status = dg.DagsterRunStatus.STARTING
    run = dg.DagsterRun("__ASSET_JOB", asset_selection=keys, status=status)
    played.instance.add_run(run)
    played.instance.report_engine_event("began", run, EngineEventData.in_process(pid))
    return run


def test_the_process_of_a_run_builds_its_model_alone(played: Played, of_a_run: None) -> None:
    # given five models, and runs of this process and of another
    folder = played.project.root / "tiny_project/defs"
    for name in MODELS - {"tiny"}:
        shutil.copytree(folder / "tiny", folder / name)
        text = (folder / name / "defs.yaml").read_text()
        (folder / name / "defs.yaml").write_text(text.replace("name: tiny", f"name: {name}"))
    # a command, which no run names, needs them all
    assert built() == MODELS
    begin(played, "b/model", pid=os.getppid())
    assert built() == MODELS
    # when it is this process that runs one, it is built alone, with all its stages
    begin(played, "a/batches", "a/features", pid=os.getpid())
    assert built() == {"a"}
    # and a job of the project's own, of another model too, stops it not
    (folder / "jobs.py").write_text(
        "import dagster as dg\n\n"
        'both = dg.AssetSelection.assets(["b", "champion"], ["a", "champion"])\n'
        'refit = dg.define_asset_job("refit", selection=both)\n'
    )
    assert built() == {"a"}
    assert Project.find().repository.has_job("refit")
    # but not where another's run has its number too, as each container has a process 1
    other = begin(played, "b/model", pid=os.getpid())
    assert built() == MODELS
    played.instance.report_run_canceled(other)
    assert built() == {"a"}
    # and a code server, which tells Dagster what there is, is never without one
    with DefinitionsLoadContext.scoped(
        DefinitionsLoadContext(load_type=DefinitionsLoadType.INITIALIZATION)
    ):
        assert built() == MODELS
    assert built() == MODELS


def test_a_number_that_another_process_had_names_no_run_of_this_one() -> None:
    # given runs of now, and one left behind by a process of long ago that had the same number
    assert is_of_this_process((os.getpid(), time.time()))
    assert not is_of_this_process((os.getpid(), 0.0))
    assert not is_of_this_process(None)


@pytest.mark.parametrize(
    ("selected", "expected"),
    [
        (["tiny/model"], {"tiny"}),
        (["tiny/model", "a/labels"], {"tiny", "a"}),
        (["tiny/model", "warehouse/orders"], None),
        (["tiny/model", "orders"], None),
        ([], None),
    ],
)
def test_a_run_of_anything_else_needs_all(selected: list[str], expected: set[str] | None) -> None:
    keys = frozenset(dg.AssetKey(one.split("/")) for one in selected)
    assert models_of(dg.DagsterRun("__ASSET_JOB", asset_selection=keys)) == expected
