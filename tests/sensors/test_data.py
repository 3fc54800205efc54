"""What is due follows from what lies there and what was done of it, never from a cursor."""

from __future__ import annotations

from mlops_assets.sensors.data import due
from tests import tiny
from tests.conftest import Played


def asked(played: Played) -> list[tuple[str, tuple[str, ...]]]:
    found = due(played.repository, played.store, played.player.declaration)
    return [(work.window, work.stages) for work in found]


def test_each_thing_is_due_once_and_in_its_order(played: Played) -> None:
    # given nothing, nothing is due
    assert asked(played) == []
    # when a batch lands, it is to be scored and judged; its labels too, when they land
    played.land(0)
    scoring = ("batches", "features", "predictions", "drift_profile")
    assert asked(played) == [(tiny.window(0), scoring)]
    played.land(0, "labels")
    assert asked(played) == [(tiny.window(0), (*scoring, "labels"))]
    # then, once that is done, nothing is, whatever the cursor
    played.player.settle()
    played.player.cursors.clear()
    assert asked(played) == []
    assert not played.player.tick("data")


def test_labels_are_measured_when_they_are_mature_not_when_they_land(played: Played) -> None:
    # given a champion and a window that it scored, whose labels are there but not mature
    played.turn(*range(8))
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
