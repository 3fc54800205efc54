"""What the model sees of a departure, and what it is asked.

Every expression works row by row, so a batch and a single flight get the same values. Nothing in
it names the week: a calendar feature that did would let the model learn last year's weeks by heart.
"""

from __future__ import annotations

import polars as pl


def _minutes(hhmm: str) -> pl.Expr:
    """Return minutes after midnight of a clock time such as 1359."""
    clock = pl.col(hhmm).cast(pl.Int32)
    return clock // 100 * 60 + clock % 100


_departure = pl.col("sched_dep").dt.hour().cast(pl.Int32) * 60 + pl.col("sched_dep").dt.minute()
_direction = pl.col("wind_dir").cast(pl.Float64).radians()

FEATURES: dict[str, pl.Expr] = {
    "carrier": pl.col("carrier"),
    "origin": pl.col("origin"),
    "dest": pl.col("dest"),
    "distance": pl.col("distance"),
    "minute_of_day": _departure,
    "weekday": pl.col("sched_dep").dt.weekday(),
    # by the clocks of both ends: with the destination, this is the time allowed for the flight
    "clock_minutes": (_minutes("sched_arr") - _departure) % 1440,
    "origin_hour_departures": pl.col("origin_hour_departures"),
    "temp": pl.col("temp"),
    "dewp": pl.col("dewp"),
    "humid": pl.col("humid"),
    # as a vector, so that 359 and 1 degrees are neighbours
    "wind_north": pl.col("wind_speed") * _direction.cos(),
    "wind_east": pl.col("wind_speed") * _direction.sin(),
    "wind_speed": pl.col("wind_speed"),
    "wind_gust": pl.col("wind_gust"),
    "precip": pl.col("precip"),
    "pressure": pl.col("pressure"),
    "visib": pl.col("visib"),
}

# 15 minutes is the airlines' own line between on time and late; cancelled or diverted: unknown
TARGET: pl.Expr = pl.col("arr_delay") >= 15
