"""What people and programs commit to a lakeFS repository with their own tools is worked on too."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from lakefs_sdk.models import CommitCreation

from mlops_assets.records import kinds
from mlops_assets.replay.player import definition_resources
from tests import tiny
from tests.conftest import Played, open_project
from tests.versions.lakefs.servers import PARAMETERS, Server
from tests.versions.lakefs.stand_in import StandIn

BATCH, LABELS = tiny.batch(0)


@pytest.fixture(params=PARAMETERS)
def server(request: pytest.FixtureRequest) -> Server:
    return request.getfixturevalue("stand_in") if "stand-in" in request.param else Server.real()


@pytest.fixture(scope="module")
def stand_in() -> Server:
    with StandIn() as stand_in:
        yield Server.of(stand_in)


@pytest.fixture
def somebody(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, pl.DataFrame], str]:
    """Upload a frame and commit it, as the UI, lakectl or Spark do; return the commit id."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    with server.named_repository() as repository:
        monkeypatch.setenv("MLOPS_REPOSITORY", f"lakefs://{repository}")
        monkeypatch.setenv("MLOPS_LAKEFS_CREATE", repository)

        def upload(path: str, frame: pl.DataFrame) -> str:
            buffer = io.BytesIO()
            frame.write_parquet(buffer)
            server.sdk.objects_api.upload_object(
                repository, "main", path, content=buffer.getvalue()
            )
            message = CommitCreation(message="by hand")
            return server.sdk.commits_api.commit(repository, "main", message).id

        yield upload


@pytest.fixture
def played(somebody: object, tmp_path: Path, fresh_home: Path, as_it_was: None) -> Played:
    opened = open_project(tiny.make_project(tmp_path / "project"), fresh_home)
    _ = opened.repository  # made by its first use
    return opened


def stale(played: Played, stage: str) -> StaleStatus:
    resolver = CachingStaleStatusResolver(
        played.instance,
        played.project.repository.asset_graph,
        LoadingContextForTest(played.instance),
    )
    return resolver.get_status(dg.AssetKey([tiny.MODEL, stage]), tiny.window(0))


def test_a_commit_made_outside_is_ingested(
    played: Played, somebody: Callable[[str, pl.DataFrame], str]
) -> None:
    # given a batch, its labels and the next batch, committed by somebody else
    key, following = tiny.window(0), tiny.window(1)
    somebody(f"tiny/batches/{key}.parquet", BATCH)
    somebody(f"tiny/labels/{key}.parquet", LABELS)
    somebody(f"tiny/batches/{following}.parquet", tiny.batch(1)[0])

    # when what is due is done
    played.player.settle()

    # then both are judged, by the checksum of what lies there, and nothing more is due
    assert [one["window"] for one in played.status["windows"]] == [key, following]
    data = played.repository.read("main", f"tiny/batches/{key}.parquet")
    rows = played.store.latest(kinds.Batch, model=tiny.MODEL)
    assert rows[0].version == hashlib.sha256(data).hexdigest()
    assert not played.player.tick("data")


def test_a_correction_made_outside_makes_stale_what_stands_on_it(
    played: Played, somebody: Callable[[str, pl.DataFrame], str]
) -> None:
    # given a window that landed through us
    played.turn(0)
    assert stale(played, "batches") == stale(played, "features") == StaleStatus.FRESH

    # when somebody else corrects it on main, and it is only seen
    commit = somebody(
        f"tiny/batches/{tiny.window(0)}.parquet", BATCH.with_columns(pl.col("amount") + 1)
    )
    sensor = played.project.repository.get_sensor_def("mlops_data")
    context = dg.build_sensor_context(
        instance=played.instance,
        repository_def=played.project.repository,
        resources=definition_resources(sensor, played.project.repository, None),
    )
    tick = sensor.evaluate_tick(context)
    for event in tick.asset_events:
        played.instance.report_runless_asset_event(event)

    # then the window is stale, and a run is asked for
    assert stale(played, "batches") == StaleStatus.STALE
    assert [request.partition_key for request in tick.run_requests] == [tiny.window(0)]
    # and once it ran, everything is of the new version, which names the commit to Dagster
    played.player.settle()
    assert stale(played, "batches") == stale(played, "features") == StaleStatus.FRESH
    assert played.frame("features", 0)["amount"].mean() == pytest.approx(
        float(BATCH["amount"].mean()) + 1  # type: ignore[arg-type]  # Polars types a mean as anything
    )
    newest = played.instance.get_latest_materialization_event(dg.AssetKey(["tiny", "batches"]))
    link = newest.asset_materialization.metadata["lakefs"].value
    assert f"/repositories/{played.repository.url[9:]}/object?ref={commit}" in link


def test_a_commit_of_ours_leads_to_the_run_that_made_it(
    played: Played, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given where the UI is
    monkeypatch.setenv("MLOPS_DAGSTER_URL", "https://dagster.example.com/")

    # when a window is worked on
    played.turn(0)

    # then lakeFS' UI shows a link to each run
    head = played.repository.resolve("main")
    commit = server.sdk.commits_api.get_commit(played.repository.url[9:], head)
    run = commit.metadata["dagster.run"]
    link = commit.metadata["::lakefs::Dagster::url[url:ui]"]
    assert link == f"https://dagster.example.com/runs/{run}"
    assert played.instance.get_run_by_id(run) is not None
