from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlops_assets.batches.reading import read, window_of
from mlops_assets.declaration.windows import Windows
from mlops_assets.defs.flight_delay.schema import Departures
from mlops_assets.errors import BatchRefusedError

FLIGHTS = Path(__file__).parents[2] / "data" / "flights" / "departures"
WEEKS = Windows(every="week", start="2024-01-01", end="2025-01-06", timezone="America/New_York")


class Visit(dy.Schema):
    id = dy.Int64()
    at = dy.Datetime(nullable=True, time_zone="America/New_York", time_unit="us")
    seen = dy.Datetime(nullable=True, time_unit="us")
    born = dy.Date(nullable=True)
    clock = dy.Time(nullable=True)
    paid = dy.Bool(nullable=True)
    name = dy.String(nullable=True)


def written(folder: Path, text: str, name: str = "visits.csv") -> Path:
    file = folder / name
    file.write_text(text)
    return file


# both weeks in which the clocks were changed
@pytest.mark.parametrize("window", ["2013-03-04", "2013-10-28"])
def test_a_batch_comes_back_from_csv_as_it_was(window: str, tmp_path: Path) -> None:
    batch = pl.read_parquet(FLIGHTS / f"{window}.parquet")
    batch.write_csv(tmp_path / "batch.csv")

    assert_frame_equal(read(tmp_path / "batch.csv", Departures).frame.collect(), batch)


def test_parquet_is_read_as_it_is(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": ["not a number"], "more": [[1]]})
    frame.write_parquet(tmp_path / "visits.parquet")

    assert_frame_equal(read(tmp_path / "visits.parquet", Visit).frame.collect(), frame)


def test_csv_is_of_the_contracts_types_and_text_where_it_says_nothing(tmp_path: Path) -> None:
    file = written(tmp_path, "id,born,clock,paid,extra\n1,2000-02-29,23:59:00,True,1\n2,,,,\n")

    frame = read(file, Visit).frame.collect()

    assert frame.schema == {
        "id": pl.Int64,
        "born": pl.Date,
        "clock": pl.Time,
        "paid": pl.Boolean,
        "extra": pl.String,
    }
    assert frame.row(1) == (2, None, None, None, None)
    assert (str(frame["born"][0]), str(frame["clock"][0])) == ("2000-02-29", "23:59:00")
    assert frame["paid"][0] is True


@pytest.mark.parametrize(
    ("text", "hour_in_utc"),
    [
        ("2024-01-01T05:00:00Z", 5),
        ("2024-01-01T05:00:00+02:00", 3),
        ("2024-01-01T05:00:00.000000-0500", 10),
        ("2024-01-01 05:00:00", 10),  # says no zone: the contract's
        ("2024-01-01T05:00", 10),
    ],
)
def test_a_time_is_moved_to_the_contracts_zone(text: str, hour_in_utc: int, tmp_path: Path) -> None:
    frame = read(written(tmp_path, f"id,at\n1,{text}\n"), Visit).frame.collect()

    assert frame.schema["at"] == pl.Datetime("us", "America/New_York")
    assert frame["at"][0].astimezone(UTC) == datetime(2024, 1, 1, hour_in_utc, tzinfo=UTC)


def test_a_time_without_a_zone_stays_without_one(tmp_path: Path) -> None:
    frame = read(written(tmp_path, "id,seen\n1,2024-01-01T05:00:00\n"), Visit).frame.collect()

    assert frame.schema["seen"] == pl.Datetime("us")
    assert frame["seen"].to_list() == [datetime(2024, 1, 1, 5)]  # noqa: DTZ001 that is the test


@pytest.mark.parametrize(
    ("text", "column", "why"),
    [
        ("id\n1.5\n", "id", "`1.5` is no Int64, or would lose digits"),
        ("id\nseven\n", "id", "`seven` is no Int64"),
        ("id,at\n1,yesterday\n", "at", "`yesterday` is no ISO 8601 of a day that exists"),
        # one with a zone, one without
        (
            "id,at\n1,2024-01-01T05:00:00Z\n2,2024-01-01T05:00:00\n",
            "at",
            "1 of its times name a zone and 1 name none",
        ),
        # the clocks skipped it, or showed it twice
        ("id,at\n1,2024-03-10T02:30:00\n", "at", "is no moment, or one of two, on the clocks of"),
        ("id,at\n1,2024-11-03T01:30:00\n", "at", "declare `files: {ambiguous: earliest}`"),
        ("id,seen\n1,2024-01-01T05:00:00Z\n", "seen", "is of a zone, and the contract's column"),
        ("id,born\n1,30.02.2000\n", "born", "declare how it is written, as `files: {times: {born"),
        ("id,born\n1,2000-02-30\n", "born", "no ISO 8601 of a day that exists"),
        ("id,paid\n1,yes\n", "paid", "`yes` is none of true, false, 1 and 0"),
    ],
)
def test_a_column_of_a_csv_that_does_not_fit_stays_text_and_says_why(
    text: str, column: str, why: str, tmp_path: Path
) -> None:
    opened = read(written(tmp_path, text), Visit)

    assert why in opened.problems[column]
    assert opened.frame.collect_schema()[column] == pl.String


@pytest.mark.parametrize(
    "text",
    [
        "id,name\n1,a,b\n",  # more fields than columns
        'id,name\n1,"a\n2,b\n',
        "",
    ],
)
def test_csv_that_can_not_be_read_is_refused_by_name(text: str, tmp_path: Path) -> None:
    with pytest.raises(BatchRefusedError, match=r"visits\.csv can't be read: ."):
        read(written(tmp_path, text), Visit)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_bytes("id,name,extra\n1,x,José\n".encode("latin-1"))

    with pytest.raises(BatchRefusedError, match=r"visits\.csv can't be read: .*utf-8.*encoding"):
        read(tmp_path / "visits.csv", Visit)


@pytest.mark.parametrize("name", ["visits", "visits.json", "visits.parquet.gz"])
def test_only_what_can_be_read_is_landed(name: str, tmp_path: Path) -> None:
    with pytest.raises(BatchRefusedError, match=r"only \.parquet and \.csv can be landed"):
        read(written(tmp_path, "id\n1\n", name), Visit)


def test_a_file_that_is_not_what_it_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BatchRefusedError, match=r"visits\.parquet can't be read: \w+"):
        read(written(tmp_path, "id\n1\n", "visits.parquet"), Visit)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["visits.parquet", "visits.csv"])
def test_a_file_that_may_not_be_read_is_refused(name: str, tmp_path: Path) -> None:
    written(tmp_path, "id\n1\n", name).chmod(0)

    with pytest.raises(BatchRefusedError, match="can't be read"):
        read(tmp_path / name, Visit)


def test_no_file_and_a_folder_are_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.parquet").mkdir()

    for name in ("absent.parquet", "folder.parquet"):
        with pytest.raises(BatchRefusedError, match=f"no file .*{name}"):
            read(tmp_path / name, Visit)


def test_a_time_without_a_zone_is_of_the_windows_clocks_and_a_day_is_its_midnight() -> None:
    late = pl.LazyFrame({"at": [datetime(2024, 1, 14, 23, 59)]})  # noqa: DTZ001 that is the test

    assert window_of(Path("a.csv"), late, WEEKS, "at") == "2024-01-08"
    assert window_of(Path("a.csv"), late.cast({"at": pl.Date}), WEEKS, "at") == "2024-01-08"


def at(*moments: str | None) -> pl.LazyFrame:
    times = [datetime.fromisoformat(moment) if moment else None for moment in moments]
    return pl.LazyFrame({"at": times}, schema={"at": pl.Datetime("us", "America/New_York")})


def test_a_files_name_says_its_window_whatever_is_in_it() -> None:
    frame = at("2024-01-02T00:00:00-05:00")

    assert window_of(Path("in/2024-03-04.parquet"), frame, WEEKS, "at") == "2024-03-04"
    assert window_of(Path("2024-03-04.csv"), pl.LazyFrame({"x": [1]}), WEEKS, "at") == "2024-03-04"


@pytest.mark.parametrize("name", ["march.csv", "2024-03-05.csv", "2030-01-07.csv"])
def test_else_most_of_its_rows_do_in_the_windows_zone(name: str) -> None:
    # Sunday evening in New York, Monday in UTC
    sunday, monday = "2024-01-14T23:00:00-05:00", "2024-01-15T12:00:00-05:00"

    assert window_of(Path(name), at(sunday, monday, sunday, None), WEEKS, "at") == "2024-01-08"
    assert window_of(Path(name), at(monday, sunday), WEEKS, "at") == "2024-01-08"


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (at(None, None), "no rows that say which window"),
        (at(), "no rows that say which window"),
        (pl.LazyFrame({"on": [1]}), "no time column `at`"),
        (at("2024-01-02T00:00:00-05:00").cast(pl.String), "no time column `at`"),
    ],
)
def test_where_neither_says_it_the_person_is_asked(frame: Any, words: str) -> None:
    with pytest.raises(
        BatchRefusedError, match=f"{words}.*name the file after its window, as 2024-01-01.csv"
    ):
        window_of(Path("march.csv"), frame, WEEKS, "at")
