from __future__ import annotations

from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from mlops_assets.defs.flight_delay.features import FEATURES, TARGET

FLIGHTS = Path(__file__).parents[3] / "data" / "flights"


def batch(window: str) -> pl.DataFrame:
    return pl.read_parquet(FLIGHTS / "departures" / f"{window}.parquet")


def test_one_row_gets_what_it_gets_in_its_batch() -> None:
    whole = batch("2013-06-10")
    features = whole.select(**FEATURES)

    for row in (0, 4711, whole.height - 1):
        assert_frame_equal(whole[row].select(**FEATURES), features[row])


def test_the_order_of_a_batch_changes_nothing() -> None:
    whole = batch("2013-06-10")

    assert_frame_equal(whole.reverse().select(**FEATURES), whole.select(**FEATURES).reverse())


def test_the_clock_is_read_in_new_york_on_both_sides_of_the_change() -> None:
    both = pl.concat([batch("2013-03-04"), batch("2013-10-28")])

    seen = both.select("flight_id", **FEATURES)
    hhmm = seen["flight_id"].str.slice(11, 4).cast(pl.Int32)
    assert (seen["minute_of_day"] == hhmm // 100 * 60 + hhmm % 100).all()


def test_a_flight_past_midnight_keeps_its_clock_minutes() -> None:
    flight = batch("2013-06-10").head(1)
    late = flight.with_columns(
        pl.col("sched_dep").dt.replace(hour=23, minute=59),
        pl.lit(344, pl.Int16).alias("sched_arr"),
    )

    assert late.select(**FEATURES)["clock_minutes"].item() == 225


def test_late_is_fifteen_minutes_or_more_and_unknown_when_cancelled() -> None:
    arrivals = pl.DataFrame({"arr_delay": [-3, 14, 15, None]})

    assert arrivals.select(late=TARGET)["late"].to_list() == [False, False, True, None]
