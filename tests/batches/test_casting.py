"""Columns become of the contract's types where nothing is lost, and say why where something is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import dataframely as dy
import polars as pl
import pytest

from mlops_assets.batches.casting import conform
from mlops_assets.declaration.sections import Files

UTC_US = pl.Datetime("us", "UTC")
NOON = datetime(2026, 1, 22, 12, tzinfo=UTC)
BARE = NOON.replace(tzinfo=None)
MIDNIGHT = BARE.replace(hour=0)
NEW_YORK = ZoneInfo("America/New_York")


class Row(dy.Schema):
    whole = dy.Int64(nullable=True)
    small = dy.UInt8(nullable=True)
    number = dy.Float64(nullable=True)
    short = dy.Float32(nullable=True)
    money = dy.Decimal(12, 2, nullable=True)
    truth = dy.Bool(nullable=True)
    text = dy.String(nullable=True)
    at = dy.Datetime(time_zone="UTC", time_unit="us", nullable=True)
    local = dy.Datetime(time_zone="America/New_York", time_unit="us", nullable=True)
    bare = dy.Datetime(time_unit="us", nullable=True)
    day = dy.Date(nullable=True)
    clock = dy.Time(nullable=True)
    sizes = dy.List(dy.Int64(nullable=True), nullable=True)


def became(name: str, series: pl.Series, **files: Any) -> list[Any]:
    """Return the values of a column of that name when it is of the contract's type."""
    frame = pl.LazyFrame({name: series})
    found = conform(frame, Row, Files(**files), "America/New_York")
    assert found.problems == {}
    made = found.frame.collect()[name]
    assert made.dtype == Row.columns()[name].dtype
    assert found.notes
    return made.to_list()


def why(name: str, series: pl.Series, **files: Any) -> str:
    """Return why a column of that name stays as it is."""
    found = conform(pl.LazyFrame({name: series}), Row, Files(**files), "America/New_York")
    assert found.frame.collect()[name].equals(series.alias(name))
    return found.problems[name]


@pytest.mark.parametrize(
    ("name", "series", "values"),
    [
        *((name, pl.Series([None, None]), [None, None]) for name in Row.column_names()),
        ("whole", pl.Series([1, None], dtype=pl.Int8), [1, None]),
        ("whole", pl.Series([2**63 - 1], dtype=pl.UInt64), [2**63 - 1]),
        ("whole", pl.Series([1.0, None, -3.0]), [1, None, -3]),
        ("whole", pl.Series([Decimal("7.00")]), [7]),
        ("whole", pl.Series([True, False]), [1, 0]),
        ("whole", pl.Series(["1", "-2", "+3", "4.0", " 5 ", "", None, "007"]), [1, -2, 3, 4, 5, None, None, 7]),
        ("small", pl.Series([255], dtype=pl.Int64), [255]),
        ("number", pl.Series([1.5, None], dtype=pl.Float32), [1.5, None]),
        ("number", pl.Series([2**53], dtype=pl.Int64), [float(2**53)]),
        ("number", pl.Series([Decimal("1.25")]), [1.25]),
        ("number", pl.Series(["1e-3", "-0.5", "12"]), [0.001, -0.5, 12.0]),
        ("short", pl.Series([0.5, None]), [0.5, None]),
        ("money", pl.Series([1.25, 3.0]), [Decimal("1.25"), Decimal("3.00")]),
        ("money", pl.Series([1, None]), [Decimal("1.00"), None]),
        ("money", pl.Series(["1.2", "-3", "1.230"]), [Decimal("1.20"), Decimal("-3.00"), Decimal("1.23")]),
        ("money", pl.Series([Decimal("1.5")], dtype=pl.Decimal(38, 9)), [Decimal("1.50")]),
        ("truth", pl.Series([0, 1, None]), [False, True, None]),
        ("truth", pl.Series([0.0, 1.0]), [False, True]),
        ("truth", pl.Series(["TRUE", "false", "1", "0", "", "1.0"]), [True, False, True, False, None, True]),
        ("text", pl.Series(["a", "b", None], dtype=pl.Categorical), ["a", "b", None]),
        ("text", pl.Series(["a"], dtype=pl.Enum(["a", "b"])), ["a"]),
        ("text", pl.Series([b"caf\xc3\xa9"]), ["café"]),
        ("text", pl.Series([17]), ["17"]),
        ("at", pl.Series([BARE, None], dtype=pl.Datetime("ns")), [NOON, None]),
        ("at", pl.Series([NOON], dtype=pl.Datetime("ms", "Etc/UTC")), [NOON]),
        ("at", pl.Series([NOON], dtype=pl.Datetime("us", "Asia/Tokyo")), [NOON]),
        ("at", pl.Series([date(2026, 1, 22)]), [datetime(2026, 1, 22, tzinfo=UTC)]),
        ("at", pl.Series(["2026-01-22", "2026-01-22 12:00"]), [datetime(2026, 1, 22, tzinfo=UTC), NOON]),
        ("at", pl.Series(["2026-01-22T12:00:00.25Z"]), [NOON + timedelta(milliseconds=250)]),
        ("at", pl.Series(["2026-01-22 14:00:00+02:00", "2026-01-22T06:30-0530", "2026-01-22 12:00:00 UTC"]), [NOON] * 3),
        ("day", pl.Series([MIDNIGHT]), [date(2026, 1, 22)]),
        ("day", pl.Series(["2026-01-22", "2026-01-22 00:00:00"]), [date(2026, 1, 22)] * 2),
        ("sizes", pl.Series([[1, 2], None], dtype=pl.List(pl.Int16)), [[1, 2], None]),
    ],
)  # fmt: skip
def test_what_loses_nothing_becomes_of_the_contracts_type(
    name: str, series: pl.Series, values: list[Any]
) -> None:
    assert became(name, series) == values


@pytest.mark.parametrize(
    ("name", "series", "said"),
    [
        ("whole", pl.Series([1.5, 2.5, 1.0]), "2 values, as `1.5`, are not the same as Int64"),
        ("whole", pl.Series([float("nan")]), "`nan` is not the same as Int64"),
        ("whole", pl.Series([2**63], dtype=pl.UInt64), "`9223372036854775808` is not the same"),
        ("whole", pl.Series(["9223372036854775808"]), "`9223372036854775808` is no Int64"),
        ("whole", pl.Series(["1,234", "5"]), "if it groups digits, `files: {thousands: ','}`"),
        ("whole", pl.Series(["1e3"]), "`1e3` is no Int64"),
        ("small", pl.Series([256, -1]), "2 values, as `256`, are not the same as UInt8"),
        ("number", pl.Series([2**53 + 1]), "`9007199254740993` is not the same as Float64"),
        ("number", pl.Series(["9007199254740993"]), "`9007199254740993` is no Float64, or would"),
        ("number", pl.Series(["12,50", "1.5"]), "declare `files: {decimal: ','}`"),
        ("short", pl.Series([0.1]), "`0.1` is not the same as Float32"),
        ("money", pl.Series([1.005]), "`1.005` is not the same as Decimal"),
        ("money", pl.Series(["1.005"]), "`1.005` is no Decimal"),
        ("money", pl.Series(["12345678901234.00"]), "is no Decimal"),
        ("truth", pl.Series([2]), "`2` is none of true, false, 1 and 0"),
        ("truth", pl.Series(["ja"]), "`ja` is none of true, false, 1 and 0"),
        ("text", pl.Series([1.5]), "no way to make String of Float64"),
        ("text", pl.Series([b"\xff"]), "it does not become String: invalid utf8"),
        ("at", pl.Series([1]).cast(pl.Datetime("ns", "UTC")), "can hold, or finer than that"),
        ("at", pl.Series([1]).cast(pl.Datetime("ns")), "can hold, or finer than that"),
        ("at", pl.Series(["45/67/2020"]), "no ISO 8601 of a day that exists; if it is written otherwise"),
        ("number", pl.Series(["1e400"]), "`1e400` is no Float64, or would lose digits"),
        ("number", pl.Series(["1e400", "1"]), "`1e400` is no Float64, or would lose digits"),
        ("at", pl.Series(["2026-01-22T12:00:00.0000001Z"]), "finer than the contract's us"),
        ("at", pl.Series(["2026-02-30 12:00"]), "can hold, or finer than that"),
        ("at", pl.Series(["12:00"]), "no ISO 8601"),
        ("at", pl.Series([1769083200]), "no way to make Datetime"),
        ("bare", pl.Series([NOON]), "no way to make Datetime"),
        ("day", pl.Series([NOON]), "is not the same as Date"),
        ("sizes", pl.Series([[1.5]]), "is not the same as List(Int64)"),
        ("sizes", pl.Series(["1;2"]), "no way to make List(Int64) of String"),
    ],
)  # fmt: skip
def test_what_would_lose_stays_and_says_how_many_and_one_of_them(
    name: str, series: pl.Series, said: str
) -> None:
    assert said in why(name, series)


@pytest.mark.parametrize(
    ("text", "ways"),
    [
        ("01/02/2026 05:33:55", ["%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S"]),
        ("31.01.2026", ["%d.%m.%Y"]),
        ("1-31-26 7:05", ["%m-%d-%y %H:%M"]),
        ("1/31/2026 7:05 PM", ["%m/%d/%Y %I:%M %p"]),
    ],
)
def test_a_day_that_may_come_first_or_last_is_never_guessed(text: str, ways: list[str]) -> None:
    said = why("at", pl.Series([text]))

    assert [way for way in ways if f"`files: {{times: {{at: '{way}'}}}}`" in said] == ways
    assert said.count("%Y") + said.count("%y") == len(ways)
    assert ("the day may come first" in said) == (len(ways) > 1)
    # and what is told is the way out
    for way in ways:
        assert became("at", pl.Series([text]), times={"at": way})[0] is not None


def test_a_declared_way_to_write_times_is_the_only_one() -> None:
    files = {"times": {"at": "%m/%d/%Y %H:%M:%S", "day": "%d.%m.%y"}}

    assert became("at", pl.Series(["01/02/2026 05:33:55"]), **files) == [
        datetime(2026, 1, 2, 5, 33, 55, tzinfo=UTC)
    ]
    assert became("day", pl.Series(["31.01.26"]), **files) == [date(2026, 1, 31)]
    assert "not written as `%m/%d/%Y %H:%M:%S`" in why(
        "at", pl.Series(["2026-01-22 12:00:00"]), **files
    )
    assert became("at", pl.Series(["22.01.2026 14:00 +0200"]), times={"at": "%d.%m.%Y %H:%M %z"}) == [
        NOON
    ]  # fmt: skip


#: in New York the clocks skipped 2:30 on the first of these days, and showed 1:30 twice on the other
SKIPPED, TWICE = BARE.replace(2024, 3, 10, 2, 30), BARE.replace(2024, 11, 3, 1, 30)


@pytest.mark.parametrize(
    ("rule", "hours"), [("earliest", ["06:30", "05:30"]), ("latest", ["07:30", "06:30"])]
)
@pytest.mark.parametrize("text", [False, True])
def test_hours_that_clocks_skip_or_repeat_are_what_is_declared(
    rule: str, hours: list[str], text: bool
) -> None:
    times = pl.Series([SKIPPED, TWICE])
    series = times.dt.to_string("%Y-%m-%d %H:%M") if text else times

    found = became("local", series, ambiguous=rule)

    assert [one.astimezone(UTC).strftime("%H:%M") for one in found] == hours
    assert "2 values" in (said := why("local", series))
    assert (
        "on the clocks of America/New_York, or finer than us; declare `files: {ambiguous: earliest}`"
        in said
    )


def test_times_without_a_zone_are_of_the_declared_one_in_csv_and_parquet_alike() -> None:
    text, typed = pl.Series(["2026-01-22 12:00:00"]), pl.Series([BARE])

    for series in (text, typed):
        assert became("local", series) == [BARE.replace(tzinfo=NEW_YORK)]
        assert became("local", series, timezone="UTC") == [NOON]
    # a contract without a zone has no moments, but what a clock showed
    assert became("bare", text) == [BARE]
    assert became("bare", typed.cast(pl.Datetime("ns"))) == [BARE]


def test_a_comma_is_the_decimal_sign_where_nothing_else_fits() -> None:
    frame = pl.LazyFrame({"number": ["3,5", "1,234"], "whole": ["3,0", "4"], "money": ["0,5", "1"]})

    found = conform(frame, Row, Files(), "UTC", text=True)

    assert found.problems == {}
    assert found.notes == ("numbers are written with a decimal comma",)
    assert found.frame.collect().rows() == [
        (3.5, 3, Decimal("0.50")),
        (1.234, 4, Decimal("1.00")),
    ]


@pytest.mark.parametrize("others", [[], ["2.5"]])
def test_a_comma_that_may_group_digits_is_not_guessed(others: list[str]) -> None:
    said = why("number", pl.Series(["1,234", *others]))

    assert "if the comma is the decimal sign, declare `files: {decimal: ','}`" in said
    assert became("number", pl.Series(["1,234", *others]), thousands=",") == [
        1234.0,
        *(float(one) for one in others),
    ]


def test_a_declared_decimal_comma_leaves_points_no_meaning_but_the_declared_one() -> None:
    assert became("number", pl.Series(["1.234,5", "7"]), decimal=",", thousands=".") == [1234.5, 7]
    assert "`1.5` is no Float64" in why("number", pl.Series(["1.5"]), decimal=",")


def test_declared_words_stand_for_no_value() -> None:
    frame = pl.LazyFrame({"whole": ["1", "NA"], "text": [" NA", "Nan"], "more": ["NA", "-"]})

    found = conform(frame, Row, Files(nulls=["NA"]), "UTC", text=True)

    assert found.frame.collect().rows() == [(1, None, None), (None, "Nan", "-")]


def test_names_of_columns_may_differ_in_case_and_blanks() -> None:
    found = conform(pl.LazyFrame({"WHOLE": [1], " Text": ["a"]}), Row, Files(), "UTC")

    assert found.frame.collect_schema().names() == ["whole", "text"]
    assert found.notes == ("column `WHOLE` taken for `whole`", "column ` Text` taken for `text`")
    # of two alike none is meant
    twice = conform(pl.LazyFrame({"WHOLE": [1], "Whole": [2]}), Row, Files(), "UTC")
    assert twice.frame.collect_schema().names() == ["WHOLE", "Whole"]


def test_what_is_of_the_contract_stays_as_it_is() -> None:
    frame = pl.LazyFrame({"whole": [1], "text": [""], "other": [b"x"]})

    found = conform(frame, Row, Files(nulls=["", "x"]), "UTC")

    assert (found.notes, found.problems) == ((), {})
    assert found.frame.collect().rows() == [(1, "", b"x")]


# a column of which each value is written in one plain way is converted faster than any other
UNIFORM = [
    ("at", ["2026-01-22T12:30:15.123456+00:00", "2026-01-22T12:30:15+05:30", None]),
    ("at", ["2026-01-22 12:30:15.1-0330", "2026-03-29 01:30:00+0200"]),
    ("at", ["2026-01-22T12:30:15Z", "2026-01-22T12:30:15.5Z", ""]),
    ("at", ["2026-01-22 12:30:15 UTC", "2026-12-31 23:59:60 UTC"]),
    ("at", ["2026-01-22T12:30", "2026-01-22T00:00"]),
    ("at", ["2026-01-22", "2026-02-28"]),
    ("local", ["2026-03-08T03:00:00", "2026-07-01T12:00:00.250"]),
    ("local", ["2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00"]),
    ("bare", ["2026-01-22T12:30:15.25", "2026-01-22T12:30:15"]),
    ("day", ["2026-01-22", "2026-02-28", ""]),
    ("whole", ["-3", "0", "9223372036854775807", "007", None]),
    ("small", ["0", "255"]),
    ("number", ["0.1", "-1e300", "9007199254740992", "NaN", "inf", "12345678", ""]),
    ("short", ["0.1", "16777216", "1e-9"]),
    ("truth", ["true", "False", "TRUE", ""]),
    ("truth", ["1", "0"]),
]


@pytest.mark.parametrize(("name", "texts"), UNIFORM)
def test_a_value_means_the_same_however_its_neighbours_are_written(
    name: str, texts: list[str | None]
) -> None:
    def values(column: list[str | None]) -> pl.Series:
        found = conform(
            pl.LazyFrame({name: pl.Series(column, dtype=pl.String)}), Row, Files(), "UTC", text=True
        )
        assert found.problems == {}
        return found.frame.collect()[name]

    alone, together = values(texts), values([*texts, f" {texts[0]} "])
    assert alone.dtype == Row.columns()[name].dtype
    assert alone.equals(together[:-1])
    assert together[-1] == together[0]
    assert alone.null_count() == sum(not text for text in texts)
