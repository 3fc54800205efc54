"""What lands is checked before it reaches main; what stands on a corrected window goes stale."""

from __future__ import annotations

import json

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from mlops_assets.records import kinds
from mlops_assets.replay.player import definition_resources
from tests import tiny
from tests.conftest import Played

GOOD, _ = tiny.batch(0)
BROKEN = {
    "a missing column": (GOOD.drop("amount"), "no column `amount`"),
    "a wrong type": (GOOD.with_columns(other=pl.lit("x")), "`other` is String, not Float64: 300"),
    "too many nulls": (
        GOOD.with_columns(pl.when(pl.int_range(pl.len()) < 20).then("amount")),
        "`amount` is null in 93.3%",
    ),
    "repeated keys": (pl.concat([GOOD, GOOD.head(3)]), "3 rows repeat the key `id`"),
    "another window": (
        GOOD.with_columns(pl.col("at").dt.offset_by("7d")),
        "300 rows are not of window 2024-01-01",
    ),
    "no rows": (GOOD.clear(), "no rows at all"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_batch_stays_on_its_branch_and_a_mended_one_lands(
    played: Played, what: str
) -> None:
    # given a repository, and a batch that breaks the declaration
    frame, expected = BROKEN[what]
    before = played.repository.resolve("main")
    # when it lands
    played.land(0, frame=frame)
    played.player.settle()
    # then main is untouched, and the branch holds the file and the report that says why
    assert played.repository.resolve("main") == before
    refused = played.status["refused"]
    assert [(one["kind"], one["window"]) for one in refused] == [("batches", "2024-01-01")]
    assert expected in refused[0]["problems"][0]
    report = json.loads(
        played.repository.read(refused[0]["branch"], "tiny/reports/batches/2024-01-01.json")
    )
    assert report["passed"] is False
    assert any(expected in message for message in played.told)
    assert [run.status.value for run in played.runs("ingest")] == ["FAILURE"]
    # and a mended one for the same window goes through
    played.land(0)
    played.player.settle()
    assert played.status["refused"] == []
    assert [one["window"] for one in played.status["windows"]] == ["2024-01-01"]
    assert played.frame("batches", 0).height == GOOD.height


def test_a_corrected_week_is_a_new_version_and_what_stands_on_it_goes_stale(
    played: Played,
) -> None:
    # given a window that was ingested
    played.turn(0)
    old = played.repository.stat("main", "tiny/features/2024-01-01.parquet").checksum

    def stale(stage: str) -> StaleStatus:
        resolver = CachingStaleStatusResolver(
            played.instance,
            played.project.repository.asset_graph,
            LoadingContextForTest(played.instance),
        )
        return resolver.get_status(dg.AssetKey(["tiny", stage]), "2024-01-01")

    assert stale("features") == stale("batches") == StaleStatus.FRESH
    # when a corrected one lands, and is only seen
    played.land(0, frame=GOOD.with_columns(pl.col("amount") + 1))
    sensor = played.project.repository.get_sensor_def("mlops_data")
    context = dg.build_sensor_context(
        instance=played.instance,
        repository_def=played.project.repository,
        resources=definition_resources(sensor, played.project.repository, None),
    )
    for event in sensor.evaluate_tick(context).asset_events:
        played.instance.report_runless_asset_event(event)
    # then Dagster calls the batch stale, and what stands on it
    assert stale("batches") == StaleStatus.STALE
    # and once it is ingested everything of the window is of the new version
    played.player.settle()
    assert stale("batches") == stale("features") == StaleStatus.FRESH
    assert played.repository.stat("main", "tiny/features/2024-01-01.parquet").checksum != old
    assert played.frame("features", 0)["amount"].mean() == pytest.approx(
        float(GOOD["amount"].mean()) + 1  # type: ignore[arg-type]  # Polars types a mean as anything
    )


def test_a_window_corrected_and_corrected_back_ends_as_it_was(played: Played) -> None:
    # given a window ingested, then corrected
    played.turn(0)
    played.land(0, frame=GOOD.with_columns(pl.col("amount") + 1))
    played.player.settle()
    corrected = played.store.latest(kinds.Verdict, model="tiny")[0].batch_version
    # when the first file lands again
    played.land(0)
    played.player.settle()
    # then it is ingested a third time, once
    assert played.store.latest(kinds.Verdict, model="tiny")[0].batch_version != corrected
    assert played.frame("features", 0)["amount"].sum() == pytest.approx(GOOD["amount"].sum())
    assert not played.player.tick("data")


def test_what_somebody_puts_on_main_is_ingested_and_checked_too(played: Played) -> None:
    # given a batch committed to main by other tools, without landing
    with played.repository.transaction("main", "by hand", {}) as transaction:
        good = played.project.root / "history/batches/2024-01-01.parquet"
        transaction.put("tiny/batches/2024-01-01.parquet", good)
        bad = played.project.root / "bad.parquet"
        GOOD.drop("amount").write_parquet(bad)
        transaction.put("tiny/batches/2024-01-08.parquet", bad)
    # when what is due is done
    played.player.settle()
    # then the good one is judged, the bad one is refused by name
    assert [one["window"] for one in played.status["windows"]] == ["2024-01-01"]
    assert [one["window"] for one in played.status["refused"]] == ["2024-01-08"]
