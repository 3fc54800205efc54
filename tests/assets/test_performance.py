"""Each scored window is estimated at once, measured later, and the estimate judged by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlops_assets.learning.training import FittedModel
from mlops_assets.monitoring.estimation import Calibration
from mlops_assets.monitoring.estimators import Estimates
from mlops_assets.records import kinds
from mlops_assets.records.index import Index, State
from mlops_assets.records.record import R, Record
from mlops_assets.records.store import Store
from mlops_assets.replay.recovery import recover
from tests import tiny
from tests.conftest import Played, PlayedTo, open_project


def rows(played: Played, kind: type[R], number: int) -> list[R]:
    return played.store.latest(kind, model=tiny.MODEL, window=tiny.window(number))


def shown(played: Played, number: int) -> dict[str, Any]:
    """Return what Dagster's UI shows of the newest performance of a window."""
    wanted = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey([tiny.MODEL, "performance"]), asset_partitions=[tiny.window(number)]
    )
    (record,) = played.instance.fetch_materializations(wanted, limit=1).records
    materialization = record.asset_materialization
    assert materialization is not None
    return {name: value.value for name, value in materialization.metadata.items()}


def test_a_window_without_mature_labels_is_estimated(promoted: Played) -> None:
    # given the newest window that the champion scored
    (row,) = rows(promoted, kinds.Estimate, 8)
    assert (row.champion, row.method, row.metric) == (1, "cbpe", "auc")
    assert (row.measured, row.error) == (None, None)
    # then its estimate is of held-out rows, which the champion's challenger had not seen
    champion = promoted.ledger.champion(tiny.MODEL)
    assert champion is not None
    assert row.made_of == [champion.training_windows[-1]]
    assert Calibration.from_bytes(promoted.store.blob(row.estimator)).rows == 300
    # and it is shown, with when its labels can be trusted
    assert f"auc is estimated at {row.value:.4f} on 300 rows" in shown(promoted, 8)["summary"]
    assert "its labels are trusted from 2024-03-11 00:00 on" in shown(promoted, 8)["summary"]
    assert not rows(promoted, kinds.Performance, 8)


def test_once_labels_are_mature_the_error_stands_beside_the_estimate(promoted: Played) -> None:
    (row,) = rows(promoted, kinds.Estimate, 7)
    (measured,) = rows(promoted, kinds.Performance, 7)
    assert row.measured == measured.value
    assert row.error == pytest.approx(row.value - measured.value)
    # an auc of 300 rows is itself off by .03; one that guesses would be off by .25
    assert abs(row.error) < 0.12
    assert shown(promoted, 7)["estimate_off_by"] == row.error
    # and a person reads all three at once
    said = shown(promoted, 7)["summary"]
    assert f"auc is {row.measured:.4f} on 300 labelled rows; it had been estimated" in said
    assert f"at {row.value:.4f}, off by {row.error:+.4f}" in said
    listed = {one["window"]: one for one in promoted.status["windows"]}
    assert listed[tiny.window(7)]["estimate"] == row.value
    assert listed[tiny.window(8)]["metric"] is None
    assert listed[tiny.window(8)]["estimate"] == rows(promoted, kinds.Estimate, 8)[0].value
    assert listed[tiny.window(3)]["estimate"] is None


def test_what_the_event_log_keeps_of_a_window_is_small(promoted: Played) -> None:
    pictures, everything = 0, 0
    for stage in ("predictions", "drift_profile", "performance", "staleness"):
        wanted = dg.AssetRecordsFilter(
            asset_key=dg.AssetKey([tiny.MODEL, stage]), asset_partitions=[tiny.window(7)]
        )
        (record,) = promoted.instance.fetch_materializations(wanted, limit=1).records
        assert record.asset_materialization is not None
        texts = [str(value.value) for value in record.asset_materialization.metadata.values()]
        pictures += sum(len(text) for text in texts if "data:image" in text)
        everything += len(dg.serialize_value(record.event_log_entry))
    assert 0 < pictures < 20_000
    assert everything < 40_000


def test_later_estimates_are_made_of_the_champions_own_matured_scores(
    promoted: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[tuple[str, tuple[str, ...], int]] = []
    select = Index.select

    def noted(
        index: Index,
        kind: type[Record],
        columns: Sequence[str],
        equals: Mapping[str, Any],
        after_event: int = 0,
        *,
        newest: bool = False,
    ) -> tuple[State, pl.DataFrame]:
        reads.append((kind.KIND, tuple(equals), after_event))
        return select(index, kind, columns, equals, after_event, newest=newest)

    promoted.turn(9)
    monkeypatch.setattr(Index, "select", noted)
    promoted.turn(10)
    # what was measured before is not read again for each window: only its own, or what is new
    of_figures = {"performance", "estimates", "estimators", "staleness"}
    measuring = [one for one in reads if one[0] in of_figures]
    assert {kind for kind, _, _ in measuring} == of_figures
    assert [one for one in measuring if "window" not in one[1] and not one[2]] == []
    (row,) = rows(promoted, kinds.Estimate, 10)
    assert row.champion == 1
    # the labels of 9 mature as 10 ends: too late to be known before
    assert row.made_of == [tiny.window(7), tiny.window(8)]
    assert "the 2 estimates before were off by" in shown(promoted, 10)["summary"]
    (before,) = rows(promoted, kinds.Estimate, 9)
    assert before.error is not None


def test_a_measurement_killed_right_after_its_record_has_left_an_estimator(
    played_to: PlayedTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a process that dies when a window's performance is recorded
    played = played_to(8)
    add = Store.add

    def add_and_die(self: Store, record: Record) -> str:
        made = add(self, record)
        if isinstance(record, kinds.Performance):
            raise KeyboardInterrupt
        return made

    with monkeypatch.context() as killed:
        killed.setattr(Store, "add", add_and_die)
        with pytest.raises(KeyboardInterrupt):
            played.turn(8)
    # when another goes on
    recover(played.project, played.told.append)
    played.player.settle()
    # then what that window tells of later scores is known, as if nothing had happened
    rows = played.store.latest(kinds.Estimator, model=tiny.MODEL, champion=1)
    assert [row.made_of for row in rows] == [[tiny.window(5)], [tiny.window(7)]]


def test_before_a_champion_there_is_nothing_to_estimate(promoted: Played) -> None:
    assert not rows(promoted, kinds.Estimate, 3)
    assert "no champion was in force" in shown(promoted, 3)["summary"]


@pytest.mark.parametrize(
    ("truths", "reason"),
    [
        ([], "0 rows that it did not learn from have a label, 30 are needed"),
        ([0, 1] * 10 + [None] * 50, "20 rows that it did not learn from have a label, 30 are"),
        (
            [0] * 291 + [1] * 9,
            "of the 300 rows that it did not learn from 9 are of the rarer class",
        ),
    ],
)
def test_too_few_rows_are_named_and_leave_the_estimator_before(
    promoted: Played, truths: list[int | None], reason: str
) -> None:
    # given a version of which nothing else is known
    estimates = Estimates(promoted.player.declaration, promoted.repository, promoted.store)
    version = 100 + len(truths)
    few = frame(truths)
    estimates.learn(version, few, [tiny.window(5)])
    # then no estimate is made of a window that it scored, and why is said
    commit = promoted.repository.resolve("main")
    found = estimates.of(tiny.window(8), version, commit)
    assert found.value is None
    assert reason in found.reason
    # and once there was an estimator, too few rows in newer windows don't take it away
    estimates.learn(version, frame([0, 0, 1] * 100), [tiny.window(4)])
    found = estimates.of(tiny.window(8), version, commit)
    assert found.value is not None
    assert found.made_of == (tiny.window(4),)


def test_scores_that_are_all_the_same_are_worth_what_they_are(promoted: Played) -> None:
    # given an estimator of rows that were all scored alike: by them nothing is told apart
    estimates = Estimates(promoted.player.declaration, promoted.repository, promoted.store)
    rows = frame([0, 1] * 50).with_columns(score=pl.lit(0.3))
    estimates.learn(98, rows, [tiny.window(5)])
    found = estimates.of(tiny.window(8), 98, promoted.repository.resolve("main"))
    assert found.value == pytest.approx(0.5)


def frame(truths: list[int | None]) -> pl.DataFrame:
    scores = [n / max(1, len(truths)) for n in range(len(truths))]
    rows = {"score": scores, "target": truths}
    return pl.DataFrame(rows, schema={"score": pl.Float64, "target": pl.Int64}).cast(
        {"target": pl.Boolean}
    )


@pytest.mark.slow
def test_a_number_is_estimated_by_the_losses_of_rows_alike(
    tmp_path: Path, fresh_home: Path, as_it_was: None
) -> None:
    # given a regression with a champion, and three windows that it scored
    project = tiny.make_project(tmp_path / "project", regression=True, drift_at=14)
    played = open_project(project, fresh_home)
    played.turn(*range(10))
    found = [rows(played, kinds.Estimate, number)[0] for number in (7, 8, 9)]
    # then the first is estimated by held-out rows, later ones by the champion's own
    assert {(row.champion, row.method, row.metric) for row in found} == {(1, "dle", "rmse")}
    assert found[0].made_of == found[1].made_of == [tiny.window(5)]
    assert found[2].made_of == [tiny.window(7)]
    FittedModel.from_bytes(played.store.blob(found[2].estimator))
    # and what matured shows that they are near
    for row in found[:2]:
        assert row.error == pytest.approx(row.value - row.measured)
        assert row.value == pytest.approx(row.measured, rel=0.2)
    assert found[2].measured is None
