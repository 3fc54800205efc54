from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from dataframely.exc import ValidationError

from mlops_assets.defs.flight_delay.schema import ZONE, Arrivals, Departures

FLIGHT = {
    "flight_id": "2013-01-01T0515-UA1545-EWR-IAH",
    "sched_dep": datetime(2013, 1, 1, 5, 15, tzinfo=ZoneInfo(ZONE)),
    "sched_arr": 819,
    "carrier": "UA",
    "flight": 1545,
    "origin": "EWR",
    "dest": "IAH",
    "distance": 1400,
    "origin_hour_departures": 2,
}


def departure(**changed: object) -> pl.DataFrame:
    row = dict.fromkeys(Departures.column_names()) | FLIGHT | changed
    return pl.DataFrame([row], schema=Departures.create_empty().schema)


def test_a_flight_without_any_weather_passes() -> None:
    assert Departures.is_valid(departure())


@pytest.mark.parametrize(
    "wrong",
    [
        {"flight_id": "UA1545"},
        {"sched_dep": None},
        {"sched_arr": 875},
        {"sched_arr": 2400},
        {"origin": "BOS"},
        {"dest": "EWR"},
        {"distance": 0},
        {"wind_speed": 1048.36},
        {"humid": float("nan")},
    ],
    ids=str,
)
def test_a_flight_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="validation"):
        Departures.validate(departure(**wrong))


def test_a_flight_twice_is_refused() -> None:
    twice = pl.concat([departure(), departure()])

    assert not Departures.is_valid(twice)


def test_a_cancelled_flight_has_no_delay_but_passes() -> None:
    cancelled = departure().select(
        "flight_id", "sched_dep", pl.lit(None, pl.Int16).alias("arr_delay")
    )

    assert Arrivals.is_valid(cancelled)
    assert not Arrivals.is_valid(cancelled.with_columns(pl.lit(5000, pl.Int16).alias("arr_delay")))
