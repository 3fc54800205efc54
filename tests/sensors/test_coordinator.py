"""Runs that a person starts, and those of a backfill, wait for their model's turn too."""

from __future__ import annotations

from typing import cast

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.workspace.context import BaseWorkspaceRequestContext

from mlops_assets.resources import MODEL_TAG
from mlops_assets.sensors.coordinator import ModelRunCoordinator
from tests.conftest import Played


@pytest.mark.parametrize(
    ("selected", "tagged"),
    [(["tiny/model"], "tiny"), (["a/model", "b/labels"], None), (["warehouse/orders"], None)],
)
def test_a_run_from_the_graph_is_tagged_with_its_model(
    played: Played, selected: list[str], tagged: str | None
) -> None:
    # given a home's queue, which lets one run of each model begin
    coordinator = played.instance.run_coordinator
    assert isinstance(coordinator, ModelRunCoordinator)
    assert coordinator.get_run_queue_config().max_user_code_failure_retries == 8
    queue = played.instance.get_concurrency_config().run_queue_config
    assert queue is not None
    (limit,) = queue.tag_concurrency_limits
    assert limit["key"] == MODEL_TAG
    # when a run comes without tags, by what it selects
    keys = frozenset(dg.AssetKey(one.split("/")) for one in selected)
    location = GrpcServerCodeLocationOrigin("localhost", 1, location_name="theirs")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "__ASSET_JOB")
    run = dg.DagsterRun("__ASSET_JOB", asset_selection=keys, remote_job_origin=origin)
    played.instance.add_run(run)
    nobody = cast("BaseWorkspaceRequestContext", None)  # the queue asks nothing of it
    queued = coordinator.submit_run(SubmitRunContext(run, nobody))
    # then it waits as a run of that model
    assert queued.status == dg.DagsterRunStatus.QUEUED
    assert queued.tags.get(MODEL_TAG) == tagged
