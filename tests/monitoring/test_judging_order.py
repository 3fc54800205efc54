"""A window's verdict is the same in whichever order windows were judged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlops_assets.drift.judgement import Reference
from mlops_assets.drift.past import Row
from mlops_assets.drift.segments import by_segment, largest
from mlops_assets.monitoring.due import SCORING, due, judged_otherwise
from mlops_assets.monitoring.judging import RecordedWindows, record, record_parts
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Entry
from mlops_assets.sketches.profile import Profile, profile, profile_segments
from tests import tiny
from tests.conftest import PlayedTo
from tests.drift.weeks import rows
from tests.monitoring.test_retention import declared, week

LEARNT = range(6)
SHIFTED = (7, 9, 10)  # windows that exceed
SHORT = 8  # has too few rows to be judged
LAST = 12


def made(number: int) -> pl.DataFrame:
    shift = 2.0 if number in SHIFTED else 0.0
    return rows(number, shift, 40 if number == SHORT else 400).drop("score", "month")


@cache
def profiled(number: int) -> Profile:
    return profile(made(number))


@cache
def parts_of(number: int, by: tuple[str, ...]) -> Mapping[str, Profile]:
    return profile_segments(made(number), by) if by else {}


class Judges:
    """Judges the windows of a model in any order, as the asset does."""

    def __init__(self, store: Store, **drift: Any) -> None:
        self.recorded = RecordedWindows(declared(**drift), store)
        self.by = tuple(self.recorded.declaration.drift.segments)
        segments = {week(number): parts_of(number, self.by) for number in LEARNT}
        built = Reference.build(
            {week(number): profiled(number) for number in LEARNT},
            {"wind": 3.0, "carrier": 1.0},
            by_segment(segments, largest(segments, 20)) if self.by else {},
        )
        reference = store.add_blob(built.to_bytes())
        window = week(max(LEARNT))
        self.entry = Entry.model_construct(version=1, window=window, reference=reference)

    def judge(self, number: int, frame: pl.DataFrame | None = None, commit: str = "c") -> None:
        store, parts = self.recorded.store, parts_of(number, self.by)
        taken = profiled(number) if frame is None else profile(frame)
        entry = self.entry if number > max(LEARNT) else None
        judged = self.recorded.judge(week(number), taken, parts, entry)
        common = {"model": "m", "window": week(number), "features_commit": commit}
        common["champion"] = entry.version if entry else None
        store.add_blob(self.recorded.policy.to_bytes())
        named = record_parts(store, common, judged, parts)
        record(store, common, judged, "b", store.add_blob(taken.to_bytes()), named)

    def outdated(self) -> list[str]:
        store = self.recorded.store
        newest = store.newest(kinds.Verdict, Row, model="m")
        found = judged_otherwise(store, self.recorded.declaration, newest, newest)
        return [window for window, *_ in found]

    def settle(self) -> int:
        """Judge again what is due, until nothing is; return how often."""
        numbers = {week(number): number for number in range(LAST + 1)}
        for again in itertools.count():
            due = self.outdated()
            if not due:
                return again
            assert again < 10, f"{due} are due for ever"
            for window in due:
                self.judge(numbers[window])
        raise AssertionError

    @property
    def said(self) -> dict[str, tuple[Any, ...]]:
        found = self.recorded.store.latest(kinds.Verdict, model="m")
        return {row.window: (row.verdict, row.sentence, row.exceeds, row.detail) for row in found}


POLICIES: list[dict[str, Any]] = [
    {},
    {"needed": 1, "of_last": 1},
    {"segments": ["carrier"], "min_segment_rows": 20, "segments_decide": True},
    {"reference": "trailing", "reference_windows": 4},
    {"reference": "fixed", "reference_from": week(0), "reference_until": week(6)},
]


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], Judges]:
    """Return what judges the windows of a policy as they come: nothing is ever due again."""
    kept: dict[str, Judges] = {}

    def judged(drift: dict[str, Any]) -> Judges:
        if str(drift) not in kept:
            judges = Judges(Store(tmp_path_factory.mktemp("in turn") / "store"), **drift)
            for number in range(LAST + 1):
                judges.judge(number)
                assert judges.outdated() == []
            assert len({verdict for verdict, *_ in judges.said.values()}) >= 3
            kept[str(drift)] = judges
        return kept[str(drift)]

    return judged


BACKWARDS = list(reversed(range(LAST + 1)))
ORDERS = [
    *((drift, BACKWARDS) for drift in POLICIES),
    ({}, [*range(7), 11, 12, 10, 7, 9, 8]),  # as a backfill may run
    ({}, [*range(7), *range(8, LAST + 1), 7]),  # one landed late
    (POLICIES[3], [*range(1, 7), *range(8, LAST + 1), 0, 7]),
]


@pytest.mark.parametrize(("drift", "order"), ORDERS)
def test_judged_in_any_order_all_verdicts_end_alike(
    tmp_path: Path,
    in_turn: Callable[[dict[str, Any]], Judges],
    drift: dict[str, Any],
    order: Sequence[int],
) -> None:
    # given what is said of windows that were judged as they came
    as_they_came = in_turn(drift).said
    # when they are judged in another order, and again what is due then
    otherwise = Judges(Store(tmp_path / "otherwise"), **drift)
    for number in order:
        otherwise.judge(number)
    assert otherwise.settle()
    # then every verdict is the same, and says the same
    assert otherwise.said == as_they_came


def test_a_corrected_window_is_felt_by_those_that_count_it_alone(tmp_path: Path) -> None:
    judges = Judges(Store(tmp_path / "store"))
    for number in range(LAST + 1):
        judges.judge(number)
    assert [judges.said[week(number)][0] for number in (9, 10, 11)] == ["drifted"] * 3
    # when a window that exceeded is corrected, then those that it counts for are judged again
    judges.judge(9, rows(9, 0.0, 400).drop("score", "month"), "c2")
    assert judges.outdated() == [week(10), week(11)]
    judges.settle()
    outcomes = [judges.said[week(number)][0] for number in (9, 10, 11)]
    assert outcomes == ["stable", "drifted", "stable"]  # 7 and 10 still exceed, 8 doesn't count
    # and where it exceeds as before, none
    judges.judge(10, rows(100, 2.0, 400).drop("score", "month"), "c3")
    assert judges.outdated() == []


def test_verdicts_from_before_a_past_was_recorded_stay(tmp_path: Path) -> None:
    # given an old home, whose rows say neither what was found nor of what they were made
    judges = Judges(Store(tmp_path / "store"))
    for number in range(11):
        judges.judge(number)
    store = judges.recorded.store
    before = judges.said[week(10)]
    for row in store.latest(kinds.Verdict, model="m"):
        store.add(replace(row, finding=None, past=None))
    # then nothing is due, and the next window counts them as they were
    assert judges.outdated() == []
    judges.judge(11)
    assert judges.outdated() == []
    assert judges.said[week(11)][0] == "drifted"  # 2 of the last 3: windows 9 and 10
    judges.judge(10)
    assert judges.said[week(10)] == before


def test_a_window_judged_out_of_turn_in_dagster_is_judged_again_by_itself(
    played_to: PlayedTo,
) -> None:
    # given two drifted windows, of which a person materializes the later one first
    played = played_to(9)
    for number in (9, 10):
        played.land(number)
    first = played.materialize("ingest", *SCORING[:-1], window=tiny.window(10))
    assert first.success

    def verdict() -> kinds.Verdict:
        (row,) = played.store.latest(kinds.Verdict, model=tiny.MODEL, window=tiny.window(10))
        return row

    assert verdict().verdict == "warning"
    assert f"{tiny.window(9)} never landed" in verdict().sentence
    # when the sensors have done what is due
    played.player.tick("data")
    played.player.tick("data")
    # then it counts the one before it, and nothing is due any more
    assert verdict().verdict == "drifted"
    assert "never landed" not in verdict().sentence
    assert due(played.repository, played.store, played.player.declaration) == []
