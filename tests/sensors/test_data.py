"""What is due follows from what lies there and what was done of it, never from a cursor."""

from __future__ import annotations

from datetime import UTC, datetime

from mlops_assets.monitoring.due import due
from tests import tiny
from tests.conftest import Played, PlayedTo, reopen


def asked(played: Played) -> list[tuple[str, tuple[str, ...]]]:
    found = due(played.repository, played.store, played.player.declaration)
    return [(work.window, work.stages) for work in found]


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
    keys = played.player.served
    assert len(keys) == len(set(keys)) == 3
    assert played.frame("batches", 0).height == 300


def test_work_that_kept_failing_is_tried_again_when_a_person_asks(played: Played) -> None:
    # given features that can't be made
    broken = played.project.root / "tiny_project/defs/tiny/features.py"
    good = broken.read_text()
    broken.write_text(good.replace('pl.col("other")', 'pl.col("nowhere")'))
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
        "controls",
        {
            "model": "tiny",
            "action": "retry",
            "reason": tiny.window(0),
            "by": "us",
            "requested_at": datetime.now(UTC).isoformat(),
        },
    )
    played.player.settle()
    assert [one["window"] for one in played.status["windows"]] == [tiny.window(0)]
