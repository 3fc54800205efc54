from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dataframely as dy
import polars as pl
import pytest

from mlops_assets.batches.checks import Report, check
from mlops_assets.declaration.windows import Windows
from mlops_assets.errors import DeclarationError

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


class Payments(dy.Schema):
    id = dy.String(primary_key=True)
    part = dy.Int64()
    at = dy.Datetime(time_zone="UTC", time_unit="us")
    amount = dy.Float64(nullable=True, max=1000)
    other = dy.Float64()
    colour = dy.String()

    @dy.rule()
    def other_is_less(cls) -> pl.Expr:  # noqa: N805 dataframely makes it a classmethod
        return pl.col("other") < pl.col("amount") + 100


def rows(number: int = 10) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [f"p{row}" for row in range(number)],
            "part": list(range(number)),
            "at": [MONDAY + timedelta(hours=row) for row in range(number)],
            "amount": [float(row) for row in range(number)],
            "other": [0.5] * number,
            "colour": ["red"] * number,
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


def report(frame: pl.DataFrame, **rules: Any) -> Report:
    asked: dict[str, Any] = {
        "contract": Payments,
        "window": "2024-01-01",
        "windows": Windows(every="week", start="2024-01-01"),
        "time": "at",
        "key": ["id"],
        "min_rows": 5,
        "max_null_share": 0.2,
    }
    return check(frame.lazy(), **{**asked, **rules})


def test_a_good_batch_passes_and_says_what_it_is() -> None:
    found = report(rows().with_columns(amount=pl.when(pl.col("part") > 0).then(1.0)))

    assert found.passed
    assert (found.rows, found.problems) == (10, ())
    assert found.facts == {"null_shares": {"amount": 0.1}}


def test_columns_that_nobody_declared_are_no_problem() -> None:
    assert report(rows().with_columns(note=pl.lit([1]))).passed


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f: f.rename({"colour": "color"}), "no column `colour`; did you mean `color`?"),
        (lambda f: f.cast({"other": pl.String}), "`other` is String, not Float64"),
        (
            lambda f: f.with_columns(pl.col("at").dt.replace_time_zone(None)),
            "`at` is Datetime(time_unit='us', time_zone=None), not "
            "Datetime(time_unit='us', time_zone='UTC')",
        ),
        (lambda f: f.with_columns(part=None), "`part` is Null, not Int64"),
    ],
)
def test_columns_missing_or_of_a_wrong_type_are_the_schemas(
    change: Callable[[pl.DataFrame], pl.DataFrame], problem: str
) -> None:
    found = report(change(rows()))

    assert (found.schema, found.quality, found.rows) == ((problem,), (), 10)
    assert not found.passed


def test_every_wrong_column_is_named_at_once() -> None:
    assert len(report(rows().drop("colour", "other").cast({"part": pl.String})).schema) == 3


FIRST = pl.col("part") == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f: f.clear(), "no rows at all"),
        (lambda f: f.head(4), "4 rows, fewer than the 5 declared as the least"),
        (
            lambda f: f.with_columns(amount=pl.when(pl.col("part") > 2).then("amount")),
            "`amount` is null in 30.0% of the rows; at most 20.0% may be",
        ),
        (
            lambda f: f.with_columns(other=pl.when(~FIRST).then("other")),
            "`other` breaks `nullability` in 1 row",
        ),
        (
            lambda f: f.with_columns(amount=pl.when(FIRST).then(1001.0).otherwise("amount")),
            "`amount` breaks `max` in 1 row",
        ),
        (
            lambda f: f.with_columns(other=pl.when(FIRST).then(101.0).otherwise("other")),
            "the rule `other_is_less` is broken in 1 row",
        ),
        (lambda f: pl.concat([f, f.tail(2)]), "2 rows repeat the key `id`, as p8; p9"),
        (
            lambda f: f.with_columns(at=pl.col("at") - pl.duration(hours=2)),
            "2 rows are not of window 2024-01-01: 2 of 2023-12-25",
        ),
    ],
)
def test_each_fault_of_quality_is_one_sentence(
    change: Callable[[pl.DataFrame], pl.DataFrame], problem: str
) -> None:
    assert report(change(rows())).problems == (problem,)


def test_no_number_is_a_fault_though_it_is_no_null() -> None:
    strange = rows().with_columns(other=pl.when(FIRST).then(float("nan")).otherwise("other"))

    assert "`other` breaks `nan` in 1 row" in report(strange).problems


def test_a_nul_byte_is_a_fault() -> None:
    strange = rows().with_columns(colour=pl.when(FIRST).then(pl.lit("r\0d")).otherwise("colour"))

    assert report(strange).problems == ("`colour` has a NUL byte in 1 row",)


def test_keys_that_would_steer_a_terminal_are_written_out() -> None:
    strange = rows().with_columns(id=pl.lit("a\x1b[2K\nLanded: all"))

    (problem,) = report(strange).problems
    assert problem.endswith(r"repeat the key `id`, as a\x1b[2K\nLanded: all")


def test_keys_are_counted_in_parts_that_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = pl.concat([rows(), rows(3)])
    whole = report(twice).problems

    monkeypatch.setattr("mlops_assets.batches.checks._KEYS_AT_ONCE", 4)

    assert report(twice).problems == whole == ("3 rows repeat the key `id`, as p0; p1; p2",)


@pytest.mark.parametrize("known", [0, 8])
def test_rows_without_a_time_are_of_no_window(known: int) -> None:
    found = report(rows().with_columns(at=pl.when(pl.col("part") < known).then("at")))

    missing = 10 - known
    assert found.problems == (
        f"{missing} rows are not of window 2024-01-01: {missing} without a time",
        f"`at` breaks `nullability` in {missing} rows",
    )


def test_a_week_begins_at_midnight_of_its_zone() -> None:
    # the Sunday's last hour in New York is the Monday's fifth in UTC
    late = rows().with_columns(at=pl.lit(MONDAY + timedelta(days=7, hours=4, minutes=59)))
    late = late.cast({"at": pl.Datetime("us", "UTC")})
    local = Windows(every="week", start="2024-01-01", timezone="America/New_York")

    assert report(late, windows=local).passed
    assert not report(late).passed


def test_the_strangest_windows_are_named_the_most_first_and_no_more_than_five() -> None:
    weeks = [1, 1, 2, 3, 4, 5, 6, 0, 0, 0]
    frame = rows().with_columns(
        at=pl.lit(MONDAY) + pl.duration(weeks=pl.Series(weeks)),
    )
    frame = frame.cast({"at": pl.Datetime("us", "UTC")})

    assert report(frame).problems == (
        "7 rows are not of window 2024-01-01: 2 of 2024-01-08, 1 of 2024-01-15, "
        "1 of 2024-01-22, 1 of 2024-01-29, 1 of 2024-02-05",
    )


def test_the_least_number_of_rows_is_enough() -> None:
    assert report(rows(5)).passed


def test_the_limit_itself_is_allowed_and_a_column_may_have_its_own() -> None:
    empty = rows().with_columns(amount=pl.when(pl.col("part") > 1).then("amount"))

    assert report(empty, max_null_share=0.2).passed
    assert report(empty, max_null_share=0.0, null_shares={"amount": 0.2}).passed
    assert not report(empty, max_null_share=1.0, null_shares={"amount": 0.1}).passed


def test_a_key_of_several_columns() -> None:
    twice = rows().with_columns(id=pl.lit("p"))

    assert report(twice, contract=ByPart, key=["id", "part"]).passed
    repeated = pl.concat([twice, twice.head(1)])
    assert report(repeated, contract=ByPart, key=["id", "part"]).problems == (
        "1 row repeats the key `id`, `part`, as p/0",
    )


class ByPart(dy.Schema):
    id = dy.String(primary_key=True)
    part = dy.Int64(primary_key=True)
    at = dy.Datetime(time_zone="UTC", time_unit="us")


def test_the_contracts_own_key_counts_where_the_declared_one_is_another() -> None:
    found = report(rows().with_columns(id=pl.lit("p")), key=["part"])

    assert found.problems == ("the rule `primary_key` is broken in 10 rows",)


@pytest.mark.parametrize("named", [{"time": "when"}, {"key": ["id", "when"]}])
def test_a_contract_without_the_declared_columns_is_the_declarations_fault(
    named: dict[str, Any],
) -> None:
    with pytest.raises(DeclarationError, match="Payments has no column `when`"):
        report(rows(), **named)


def test_a_report_is_json_and_the_same_each_time() -> None:
    bad = rows().with_columns(other=None, at=pl.lit(None, pl.Datetime("us", "UTC")))
    frame = pl.concat(
        [bad.cast({"other": pl.Float64}), rows().with_columns(part=pl.lit(7, pl.Int64))]
    )

    once = json.dumps(report(frame).as_json())

    assert json.loads(once)["passed"] is False
    assert json.loads(once)["quality"]
    assert json.dumps(report(frame).as_json()) == once


@pytest.mark.parametrize("name", ["len", "count", "rows", "unique", "literal", "null len"])
def test_a_key_may_be_called_as_a_column_that_counting_makes(name: str) -> None:
    named = type("Named", (dy.Schema,), {name: dy.String(), "at": dy.Datetime(time_zone="UTC")})
    frame = pl.concat([rows(), rows(2)]).select(pl.col("id").alias(name), "at")

    assert report(frame, contract=named, key=[name]).problems == (
        f"2 rows repeat the key `{name}`, as p0; p1",
    )
