"""What is due follows from what lies there and what was done of it, never from a cursor."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg

from mlops_assets.monitoring.due import due
from mlops_assets.records import kinds
from tests import tiny
from tests.conftest import Played, PlayedTo, reopen
from tests.sensors.test_runs import with_windows


def asked(played: Played) -> list[tuple[str, tuple[str, ...]]]:
    found = due(played.repository, played.store, played.player.declaration)
    return [(work.window, work.stages) for work in found]


def by_hand(played: Played, number: int, *stages: str) -> dg.ExecuteInProcessResult:
    """Run stages of a window as a person does in Dagster, without tags."""
    return played.materialize("ingest", *stages, window=tiny.window(number))


def test_each_thing_is_due_once_and_in_its_order(played: Played) -> None:
    # given nothing, nothing is due
    assert asked(played) == []
    # when a batch lands, it is to be scored and judged; its labels too, when they land
    played.land(0)
    scoring = ("batches", "features", "predictions", "drift_profile", "performance")
    assert asked(played) == [(tiny.window(0), scoring)]
    played.land(0, "labels")
    assert asked(played) == [(tiny.window(0), (*scoring, "labels"))]
    # then, once that is done, nothing is, whatever the cursor
    played.player.settle()
    played.player.cursors.clear()
    assert asked(played) == []
    assert not played.player.tick("data")


def test_labels_are_measured_when_they_are_mature_not_when_they_land(played_to: PlayedTo) -> None:
    # given a champion and a window that it scored, whose labels are there but not mature
    played = played_to(8)
    newest = tiny.window(7)
    assert [one["metric"] for one in played.status["windows"] if one["window"] == newest] == [None]
    # when the next window moves the data's clock on
    played.turn(8)
    # then they are measured
    measured = {one["window"]: one["metric"] for one in played.status["windows"]}
    assert measured[newest] > 0.6
    assert measured[tiny.window(8)] is None
    # and corrected labels are measured again
    outcomes = tiny.batch(7)[1]
    played.land(7, "labels", outcomes.with_columns(1 - outcomes["paid"]))
    played.player.settle()
    again = {one["window"]: one["metric"] for one in played.status["windows"]}
    assert again[newest] < 0.4


def test_a_fresh_window_ingested_by_hand_leaves_nothing_undone(played_to: PlayedTo) -> None:
    # given a champion and a batch whose labels have not landed yet
    played = played_to(8)
    played.land(8)
    # when the whole job is started for it in Dagster
    result = by_hand(played, 8)
    # then what can be done is done, and what can't yet says why
    assert result.success
    said = {
        event.asset_key.path[-1]: event.materialization.metadata["summary"].value
        for event in result.get_asset_materialization_events()
        if event.asset_key and "summary" in event.materialization.metadata
    }
    assert said["labels"].startswith(f"no labels of {tiny.window(8)} have landed")
    assert "is estimated at" in said["performance"]
    assert "labels are trusted 7 days after a window's end" in said["staleness"]
    # then only window 7, which it made mature, is left, and what comes later is done as ever
    assert [window for window, _ in asked(played)] == [tiny.window(7)]
    played.player.settle()
    played.land(8, "labels")
    played.turn(9)
    (row,) = played.store.latest(kinds.Performance, model=tiny.MODEL, window=tiny.window(8))
    assert row.value > 0.6


def test_an_estimate_that_was_not_made_is_due(played_to: PlayedTo) -> None:
    # given a window whose run ended when it was judged, before its metric was estimated
    played = played_to(8)
    played.land(8)
    assert by_hand(played, 8, "batches", "features", "predictions", "drift_profile").success
    # then its performance is due, and once that is done it is not
    assert (tiny.window(8), ("performance",)) in asked(played)
    played.player.settle()
    assert asked(played) == []
    assert played.store.latest(kinds.Estimate, model=tiny.MODEL, window=tiny.window(8))


def test_a_declaration_that_begins_later_goes_on(played_to: PlayedTo) -> None:
    # given a champion, and a declaration that begins after all that it learnt from
    played = played_to(9)
    file = played.project.root / "tiny_project/defs/tiny/defs.yaml"
    file.write_text(file.read_text().replace('"2024-01-01"', f'"{tiny.window(6)}"'))
    later = reopen(played)
    # when the next window lands
    later.turn(9)
    # then it is scored and estimated by what is still declared, and those before are let be
    (row,) = later.store.latest(kinds.Estimate, model=tiny.MODEL, window=tiny.window(9))
    assert row.value is not None
    assert min(row.made_of) >= tiny.window(6)
    assert not [run for run in later.instance.get_runs() if run.status.value == "FAILURE"]
    rows = later.store.latest(kinds.Decision, model=tiny.MODEL, trigger="missing")
    assert [one for one in rows if one.code == "arrived"] == []


def test_a_landing_of_an_undeclared_window_is_no_work(played: Played) -> None:
    with played.repository.transaction("main", "by hand", {}) as transaction:
        transaction.put("tiny/batches/1999-01-04.parquet", b"whatever")
        transaction.put("tiny/batches/notes.parquet", b"whatever")
    assert asked(played) == []


def test_a_window_corrected_back_is_requested_anew(played: Played) -> None:
    # given a window that was ingested, corrected, and corrected back: the same work once more
    for frame in (None, tiny.batch(0, rows=200)[0], None):
        played.land(0, frame=frame)
        work = due(played.repository, played.store, played.player.declaration)
        played.player.settle()
        assert work
    # then each was a request of its own, for the daemon serves a run key only once for ever
    keys = [run.tags["dagster/run_key"] for run in played.runs("ingest")]
    assert len(keys) == len(set(keys)) == 3
    assert played.frame("batches", 0).height == 300


def test_work_that_kept_failing_is_tried_again_when_a_person_asks(played: Played) -> None:
    # given features that can't be made of the rows that come
    broken = played.project.root / "tiny_project/defs/tiny/features.py"
    good = broken.read_text()
    broken.write_text(good.replace('pl.col("other")', 'pl.col("colour").cast(pl.Int8)'))
    played = reopen(played)
    played.turn(0)
    # once with the labels, which could be published, and three times for what was left
    assert [run.status.value for run in played.runs("ingest")] == ["FAILURE"] * 4
    assert "3 runs for it failed" in played.status["held_back"][-1]["reason"]
    # when they are mended, then nothing happens by itself, and once it is asked for, all does
    broken.write_text(good)
    played = reopen(played)
    assert not played.player.tick("data")
    played.store.add(
        kinds.Control(
            model="tiny",
            action="retry",
            reason=tiny.window(0),
            by="us",
            requested_at=datetime.now(UTC).isoformat(),
        ),
    )
    played.player.settle()
    assert [one["window"] for one in played.status["windows"]] == [tiny.window(0)]


def test_a_window_that_was_scored_and_never_estimated_is_due(played: Played) -> None:
    # given a champion's window whose run was killed between its verdict and its estimate
    with_windows(played, 2)
    newest = tiny.window(1)
    (verdict,) = played.store.latest(kinds.Verdict, model="tiny", window=newest)
    played.store.add(replace(verdict, champion=1))
    for scores in (b"scores", b"scores of a correction"):
        with played.repository.transaction("main", "scored", {}) as change:
            change.put(f"tiny/predictions/{newest}.parquet", scores)
        # then the estimate is due, and nothing else, until it is there
        assert asked(played) == [(newest, ("performance",))]
        version = played.repository.stat("main", f"tiny/predictions/{newest}.parquet").checksum
        row = {"champion": 1, "method": "cbpe", "metric": "auc", "reason": "", "rows": 300}
        made = {"made_of": [], "predictions_version": version}
        played.store.add(kinds.Estimate(**{"model": "tiny", "window": newest, **row, **made}))
        assert asked(played) == []
