from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from mlops_assets.defs.flight_delay.schema import ZONE, Arrivals, Departures

FLIGHTS = Path(__file__).parents[3] / "data" / "flights"
WINDOWS = sorted(path.stem for path in (FLIGHTS / "departures").glob("*.parquet"))


@pytest.mark.parametrize("window", WINDOWS)
def test_each_file_holds_its_week_and_passes_its_schema(window: str) -> None:
    departures = Departures.validate(pl.read_parquet(FLIGHTS / "departures" / f"{window}.parquet"))
    arrivals = Arrivals.validate(pl.read_parquet(FLIGHTS / "arrivals" / f"{window}.parquet"))

    mondays = departures["sched_dep"].dt.truncate("1w").dt.date().cast(pl.String)
    assert mondays.unique().to_list() == [window]
    key = ["flight_id", "sched_dep"]
    assert departures.select(key).equals(arrivals.select(key))


def test_the_files_hold_every_flight_of_2013_once() -> None:
    flights = pl.read_parquet(FLIGHTS / "arrivals" / "*.parquet")

    assert flights.height == flights["flight_id"].n_unique() == 336_776
    assert flights["arr_delay"].null_count() == 9_430
    assert round((flights["arr_delay"] >= 15).mean() or 0, 3) == 0.245
    assert len(WINDOWS) == 53


def test_a_key_tells_the_local_clock_of_its_departure() -> None:
    flights = pl.read_parquet(FLIGHTS / "departures" / "*.parquet")

    clock = flights["sched_dep"].dt.convert_time_zone(ZONE).dt.strftime("%Y-%m-%dT%H%M")
    assert (flights["flight_id"].str.slice(0, 15) == clock).all()


def test_an_hour_s_departures_are_counted_over_every_airline() -> None:
    flights = pl.read_parquet(FLIGHTS / "departures" / "2013-06-10.parquet")

    hour = pl.col("sched_dep").dt.truncate("1h")
    counted = flights.select(pl.len().over("origin", hour), "origin_hour_departures")
    assert (counted["len"] == counted["origin_hour_departures"]).all()
