"""What a batch of departures and the arrivals that answer it must look like."""

from __future__ import annotations

import dataframely as dy
import polars as pl

ZONE = "America/New_York"
ORIGINS = ("EWR", "JFK", "LGA")


class Departures(dy.Schema):
    """A week of departures from New York: what is known an hour before the scheduled time.

    The weather is the origin's, observed 69 minutes to six hours before the scheduled time; null
    where none was. data/README.md says how it was joined.
    """

    flight_id = dy.String(
        primary_key=True,
        regex=r"^\d{4}-\d{2}-\d{2}T\d{4}-[A-Z0-9]{2}\d{1,4}-[A-Z]{3}-[A-Z]{3}$",
        description="local date and clock time of the scheduled departure, flight, origin, dest",
    )
    sched_dep = dy.Datetime(time_zone=ZONE, time_unit="us", description="scheduled departure")
    sched_arr = dy.Int16(min=0, max=2359, description="scheduled arrival, hhmm, the dest's clock")
    carrier = dy.String(regex=r"^[A-Z0-9]{2}$", description="IATA code of the airline")
    flight = dy.Int16(min=1, max=9999, description="flight number")
    origin = dy.String(check=lambda origin: origin.is_in(ORIGINS), description="IATA airport code")
    dest = dy.String(regex=r"^[A-Z]{3}$", description="IATA airport code")
    distance = dy.Int16(min_exclusive=0, max=12_000, description="miles")
    origin_hour_departures = dy.Int16(
        min=1, max=200, description="departures scheduled from this origin in this clock hour"
    )
    temp = dy.Float32(nullable=True, min=-60, max=140, description="degrees Fahrenheit")
    dewp = dy.Float32(nullable=True, min=-80, max=100, description="dew point, degrees Fahrenheit")
    humid = dy.Float32(nullable=True, min=0, max=101, description="relative humidity, percent")
    wind_dir = dy.Float32(nullable=True, min=0, max=360, description="degrees; null when variable")
    wind_speed = dy.Float32(nullable=True, min=0, max=200, description="miles an hour")
    wind_gust = dy.Float32(nullable=True, min=0, max=200, description="miles an hour; null: none")
    precip = dy.Float32(nullable=True, min=0, max=20, description="inches in the hour")
    pressure = dy.Float32(nullable=True, min=850, max=1100, description="at sea level, millibars")
    visib = dy.Float32(nullable=True, min=0, max=100, description="miles")

    @dy.rule()
    def sched_arr_is_a_clock_time(cls) -> pl.Expr:  # noqa: N805 dataframely makes it a classmethod
        """The last two digits are minutes."""
        return pl.col("sched_arr") % 100 < 60

    @dy.rule()
    def origin_is_not_dest(cls) -> pl.Expr:  # noqa: N805 dataframely makes it a classmethod
        """A flight goes somewhere."""
        return pl.col("origin") != pl.col("dest")


class Arrivals(dy.Schema):
    """The answers to a week of departures, known once the last of them has landed."""

    flight_id = dy.String(primary_key=True, description="the key of the departure")
    sched_dep = dy.Datetime(time_zone=ZONE, time_unit="us", description="scheduled departure")
    arr_delay = dy.Int16(
        nullable=True,
        min=-240,
        max=2880,
        description="minutes after the scheduled arrival; null when cancelled or diverted",
    )
