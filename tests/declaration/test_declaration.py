from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from mlops_assets.declaration import Declaration, load
from mlops_assets.declaration.windows import Windows
from mlops_assets.errors import DeclarationError, UnknownNameError

NEW_YORK = "America/New_York"
STARTS = {"hour": "2013-01-01", "day": "2013-01-01", "week": "2012-12-31", "month": "2013-01-01"}


def windows(every: str, end: str | None = None, zone: str = NEW_YORK) -> Windows:
    zone = "UTC" if every == "hour" else zone
    return Windows.model_validate(
        {"every": every, "start": STARTS[every], "end": end, "timezone": zone}
    )


def declaration(**changes: Any) -> Declaration:
    """The smallest declaration; a part given as a mapping is merged into it."""
    parts: dict[str, Any] = {
        "name": "late",
        "windows": {
            "every": "week",
            "start": "2012-12-31",
            "end": "2014-02-03",
            "timezone": NEW_YORK,
        },
        "batches": {"contract": ".schema:Batch", "time": "at", "key": ["id"]},
        "labels": {"contract": ".schema:Outcome", "target": ".features:TARGET"},
        "features": ".features:FEATURES",
    }
    for name, change in changes.items():
        whole = {**parts.get(name, {}), **change} if isinstance(change, Mapping) else change
        parts[name] = whole
    return Declaration.model_validate(parts)


@pytest.mark.parametrize(
    ("every", "key", "hours"),
    [
        ("day", "2013-03-09", 24),
        ("day", "2013-03-10", 23),
        ("day", "2013-11-03", 25),
        ("week", "2013-03-04", 167),
        ("week", "2013-10-28", 169),
        ("month", "2013-02-01", 28 * 24),
        ("month", "2013-03-01", 31 * 24 - 1),
        ("month", "2013-12-01", 31 * 24),
        ("hour", "2013-11-03T01", 1),
    ],
)
def test_a_window_is_as_long_as_the_clocks_make_it(every: str, key: str, hours: int) -> None:
    declared = windows(every)

    begin, end = declared.begins(key).astimezone(UTC), declared.ends(key).astimezone(UTC)

    assert (end - begin) / timedelta(hours=1) == hours


# in São Paulo the clocks were changed at midnight: the 4th of November 2018 began at one
@pytest.mark.parametrize("zone", ["UTC", NEW_YORK, "America/Sao_Paulo"])
@pytest.mark.parametrize("every", ["hour", "day", "week", "month"])
def test_every_moment_is_in_one_window_for_polars_as_for_python(every: str, zone: str) -> None:
    declared = windows(every, zone=zone)
    changes = [datetime(2013, 3, 10, tzinfo=UTC), datetime(2013, 11, 3, tzinfo=UTC)]
    changes.append(datetime(2018, 11, 4, tzinfo=UTC))
    quarters = [day + timedelta(minutes=15 * n) for day in changes for n in range(-96, 192)]

    keys = [declared.key(moment) for moment in quarters]

    rows = pl.DataFrame({"at": quarters}, schema={"at": pl.Datetime("us", "UTC")})
    assert rows.select(declared.expression("at")).to_series().to_list() == keys
    for moment, key in zip(quarters, keys, strict=True):
        begin, end = declared.begins(key).astimezone(UTC), declared.ends(key).astimezone(UTC)
        assert begin <= moment < end


@pytest.mark.parametrize(
    ("every", "key"),
    [
        ("week", "2012-12-24"),  # before the first
        ("week", "2013-12-30"),  # the end is no window's any more
        ("week", "2013-04-02"),  # no Monday
        ("week", "2013-4-1"),
        ("week", "2013-04-01T00"),
        ("week", ""),
        ("month", "2013-04-02"),
        ("day", "2013-02-29"),
        ("hour", "2013-04-01"),
        ("hour", "2013-04-01T24"),
        ("hour", "2012-12-31T23"),
        ("hour", "2013-12-30T00"),
    ],
)
def test_what_is_no_declared_window_is_refused(every: str, key: str) -> None:
    declared = windows(every, end=None if every == "month" else "2013-12-30")

    with pytest.raises(UnknownNameError, match=f"`{key}` is n"):
        declared.begins(key)


@pytest.mark.parametrize(
    ("every", "first", "last"),
    [
        ("hour", "2013-01-01T00", "2013-12-29T23"),
        ("day", "2013-01-01", "2013-12-29"),
        ("week", "2012-12-31", "2013-12-23"),
    ],
)
def test_the_first_and_the_last_window_are_declared(every: str, first: str, last: str) -> None:
    declared = windows(every, end="2013-12-30")

    assert declared.begins(first) == datetime.strptime(STARTS[every], "%Y-%m-%d").replace(
        tzinfo=declared.begins(last).tzinfo
    )
    assert declared.ends(last).strftime("%Y-%m-%dT%H") == "2013-12-30T00"


@pytest.mark.parametrize("every", ["day", "week", "month"])
def test_windows_touch_and_are_counted_by_the_calendar(every: str) -> None:
    declared = windows(every)
    first = key = STARTS[every]

    for number in range(60):
        assert declared.distance(first, key) == number
        assert declared.distance(key, first) == -number
        following = declared.key(declared.ends(key))
        assert declared.begins(following) == declared.ends(key)
        key = following


def test_hours_begin_in_utc_only() -> None:
    # a local hour comes twice, or not at all, where clocks change
    with pytest.raises(ValidationError, match="hours begin in UTC"):
        Windows(every="hour", start="2013-01-01", timezone=NEW_YORK)
    assert Windows(every="hour", start="2013-01-01", timezone="Etc/UTC").timezone == "UTC"


def test_hours_are_counted_over_midnight() -> None:
    assert windows("hour").distance("2013-01-01T22", "2013-01-03T01") == 27


def test_an_offset_or_another_zone_names_the_same_window() -> None:
    sunday_night = datetime.fromisoformat("2013-04-07T23:30:00-04:00")

    assert windows("week").key(sunday_night) == "2013-04-01"
    assert windows("week", zone="UTC").key(sunday_night) == "2013-04-08"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"windows": {"start": "2013-01-01"}}, "no Monday; weeks begin on one, as 2012-12-31"),
        ({"windows": {"every": "month"}}, "not the first of a month"),
        ({"windows": {"end": "2012-12-31"}}, "is not after start"),
        ({"windows": {"end": "2014-02-05"}}, "end 2014-02-05 is in the middle of a week"),
        ({"windows": {"start": "2013-02-30"}}, "day"),
        ({"windows": {"timezone": "New_York"}}, "names are as in America/New_York"),
        ({"windows": {"every": "year"}}, "windows.every"),
        ({"windows": {"evry": "week"}}, "windows.evry"),
        ({"name": "Late"}, "name"),
        ({"features": "features.FEATURES"}, "features"),
        ({"batches": {"key": []}}, "batches.key"),
        ({"batches": {"max_null_share": 20}}, "batches.max_null_share"),
        ({"batches": {"null_shares": {"wind": 20}}}, "batches.null_shares.wind"),
        ({"batches": {"history_until": "2014-02-03"}}, "history_until: .* none of the declared"),
        ({"training": {"frame": "rolling"}}, "a rolling frame needs frame_windows"),
        ({"training": {"frame_windows": 4}}, "an expanding one has none"),
        ({"training": {"first_after": 2}}, "first_after 2 leaves nothing"),
        ({"retraining": {"cooldown_windows": 2}}, "must be above holdout_windows 2"),
        ({"task": "ranking"}, "task"),
        ({"gates": {"metric": "rmse"}}, "rmse can't judge the task binary; it can be auc or"),
        ({"task": "regression", "gates": {"metric": "auc"}}, "it can be rmse or mae"),
        ({"gates": {"metric": "r2"}}, "gates.metric"),
        ({"retraining": {"cost": 0}}, "retraining.cost"),
        ({"retraining": {"cost": float("nan")}}, "retraining.cost"),
        ({"retraining": {"kpi": ".features:KPI"}}, "a kpi is in money, .* declare cost"),
    ],
)
def test_a_declaration_that_cannot_be_kept_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        declaration(**change)


def test_the_bounds_themselves_are_allowed() -> None:
    declared = declaration(
        training={"first_after": 3, "frame": "rolling", "frame_windows": 2},
        retraining={"cooldown_windows": 3},
        batches={"history_until": "2014-01-27", "null_shares": {"wind": 1.0}},
    )

    assert declared.training.frame_windows == 2


@pytest.mark.parametrize(
    ("changes", "metric"),
    [
        ({}, "auc"),
        ({"task": "regression"}, "rmse"),
        ({"gates": {"metric": "brier"}}, "brier"),
        ({"task": "regression", "gates": {"metric": "mae"}}, "mae"),
    ],
)
def test_the_metric_is_the_declared_one_or_the_tasks(changes: dict[str, Any], metric: str) -> None:
    assert declaration(**changes).metric == metric


def test_a_declaration_never_changes() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        declaration().windows.start = "2013-01-07"  # type: ignore[misc]  # that is the test


def test_references_are_made_absolute_and_absolute_ones_left() -> None:
    declared = declaration(
        features="other.module:F", retraining={"cost": 100, "kpi": ".features:KPI"}
    ).within("project.defs.late")

    assert declared.batches.contract == "project.defs.late.schema:Batch"
    assert declared.labels.contract == "project.defs.late.schema:Outcome"
    assert declared.labels.target == "project.defs.late.features:TARGET"
    assert declared.features == "other.module:F"
    assert declared.retraining.kpi == "project.defs.late.features:KPI"
    assert declaration().within("project.defs.late").retraining.kpi is None


def test_labels_mature_by_the_clock_of_the_windows() -> None:
    declared = declaration(labels={"mature_after_days": 7})

    assert declared.matures("2013-02-25") == declared.windows.begins("2013-03-11")
    assert declared.matures("2013-02-25").utcoffset() == timedelta(hours=-4)


def test_paths_are_folders_of_the_model() -> None:
    assert declaration().path("batches", "2013-04-01") == "late/batches/2013-04-01.parquet"
    assert declaration().path("training_set") == "late/training_set.parquet"


def test_a_digest_is_of_the_named_parts_alone() -> None:
    before, after = declaration(), declaration(gates={"min_gain": 0.1})

    assert before.digest("windows", "batches") == after.digest("windows", "batches")
    assert before.digest("gates") != after.digest("gates")
    assert before.digest() != after.digest()


def test_what_is_declared_is_found() -> None:
    assert load("pathlib:Path") is Path


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("pathlib:Pat", "no name in pathlib `Pat`; did you mean `Path`"),
        ("mlops_assets.defs.nothing:X", "no module `mlops_assets.defs.nothing`"),
        (".schema:X", "is no reference of the form package.module:NAME"),
        ("pathlib.Path", "is no reference of the form package.module:NAME"),
    ],
)
def test_what_is_not_there_is_said(reference: str, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        load(reference)


def test_a_module_that_misses_another_names_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "declared_by_a_test.py").write_text("import not_installed_here\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(DeclarationError, match="no module `not_installed_here`"):
        load("declared_by_a_test:X")
