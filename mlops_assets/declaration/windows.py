"""Windows: the spans of time in which data lands, and the arithmetic of their keys."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal, Self
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mlops_assets.errors import UnknownNameError

# other names of one zone: a declaration that writes another of them declares the same windows
_UTC = {"Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu"}


class Value(BaseModel):
    """A part of a declaration: never changed once made, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


def known_zone(name: str) -> str:
    """Return the name of a time zone; that of UTC, which has many, is always this one.

    Raises:
        ValueError: there is none of that name.

    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"no time zone `{name}`; names are as in America/New_York") from error
    return "UTC" if name in _UTC else name


class Windows(Value):
    """The spans of time in which data lands; each is a Dagster partition."""

    every: Literal["hour", "day", "week", "month"] = Field(
        description="Length of a window; weeks begin on Monday."
    )
    start: str = Field(
        description="First day of the first window, as 2012-12-31.", pattern=r"^\d{4}-\d\d-\d\d$"
    )
    end: str | None = Field(
        default=None,
        description="First day that is no window's any more. Leave headroom: nothing lands after.",
        pattern=r"^\d{4}-\d\d-\d\d$",
    )
    timezone: str = Field(default="UTC", description="The time zone in which windows begin.")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return known_zone(value)

    @model_validator(mode="after")
    def _in_step(self) -> Self:
        first = date.fromisoformat(self.start)
        if self.every == "hour" and self.timezone != "UTC":
            raise ValueError(
                f"hours begin in UTC, not in {self.timezone}: where clocks change, a local hour "
                "comes twice or not at all"
            )
        if self.every == "week" and first.weekday() != 0:
            monday = first - timedelta(days=first.weekday())
            raise ValueError(f"start {self.start} is no Monday; weeks begin on one, as {monday}")
        if self.every == "month" and first.day != 1:
            raise ValueError(f"start {self.start} is not the first of a month")
        if self.end is None:
            return self
        end = date.fromisoformat(self.end)
        if end <= first:
            raise ValueError(f"end {self.end} is not after start {self.start}")
        # Dagster would leave out the window that holds it
        if (self.every == "week" and end.weekday() != 0) or (
            self.every == "month" and end.day != 1
        ):
            raise ValueError(f"end {self.end} is in the middle of a {self.every}")
        return self

    @property
    def format(self) -> str:
        """The strftime format of a window's key."""
        return "%Y-%m-%dT%H" if self.every == "hour" else "%Y-%m-%d"

    @property
    def per_year(self) -> float:
        """How many windows a year has."""
        return {"hour": 8766.0, "day": 365.25, "week": 365.25 / 7, "month": 12.0}[self.every]

    def begins(self, key: str) -> datetime:
        """Return the first moment of window `key`.

        Raises:
            UnknownNameError: it is no window of this declaration.

        """
        return _begins(self, key)

    def declares(self, key: str) -> bool:
        """Say whether `key` names a window of this declaration."""
        try:
            self.begins(key)
        except UnknownNameError:
            return False
        return True

    def ends(self, key: str) -> datetime:
        """Return the first moment after window `key`."""
        return self._step(self.begins(key), 1)

    def key(self, moment: datetime) -> str:
        """Return the key of the window that holds `moment` (a time with a zone)."""
        local = moment.astimezone(ZoneInfo(self.timezone))
        if self.every == "week":
            local -= timedelta(days=local.weekday())
        if self.every == "month":
            local = local.replace(day=1)
        return local.strftime(self.format)

    def has_begun(self, key: str, now: datetime) -> bool:
        """Say whether window `key` began by `now` (a time with a zone)."""
        return key <= self.key(now)

    def has_ended(self, key: str, now: datetime) -> bool:
        """Say whether window `key` is over at `now` (a time with a zone): its rows are all there."""
        return key < self.key(now)

    def distance(self, earlier: str, later: str) -> int:
        """Count the windows from `earlier` to `later` (negative if it is the other way)."""
        if earlier > later:
            return -self.distance(later, earlier)
        if self.every == "month":
            start, end = date.fromisoformat(earlier), date.fromisoformat(later)
            return (end.year - start.year) * 12 + end.month - start.month
        # naive on purpose: a day of 23 hours is still a day
        first, last = (datetime.strptime(key, self.format) for key in (earlier, later))  # noqa: DTZ007 both are of one zone
        span = last - first
        return round(
            span
            / {"hour": timedelta(hours=1), "day": timedelta(days=1)}.get(
                self.every, timedelta(weeks=1)
            )
        )

    def expression(self, column: str, dtype: pl.DataType | None = None) -> pl.Expr:
        """Return the key of each row's window, from its time column (String).

        The column is a Datetime with a zone, unless `dtype` says otherwise: one without a zone is
        local time of the windows' zone, a Date the midnight there that begins it.
        """
        return self._local(column, dtype).dt.strftime(self.format)

    def counted(self, frame: pl.LazyFrame, column: str) -> pl.DataFrame:
        """Count a frame's rows by window, as `window` (null: without a time) and `len`, sorted."""
        local = self._local(column, frame.collect_schema()[column])
        counted = frame.select(local.alias("window")).group_by("window").len()
        # named only then: to name 20 million rows takes 20 seconds
        named = counted.with_columns(pl.col("window").dt.strftime(self.format))
        return named.group_by("window").sum().collect(engine="streaming").sort("window")

    def _local(self, column: str, dtype: pl.DataType | None) -> pl.Expr:
        """Return when each row's window begins, on the clocks of the windows' zone."""
        unit = {"hour": "1h", "day": "1d", "week": "1w", "month": "1mo"}[self.every]
        local = pl.col(column)
        if isinstance(dtype, pl.Date):
            local = local.cast(pl.Datetime("us"))
        elif not isinstance(dtype, pl.Datetime) or dtype.time_zone is not None:
            # the zone is left then, or the midnights that clocks skip could not be truncated to
            local = local.dt.convert_time_zone(self.timezone).dt.replace_time_zone(None)
        return local.dt.truncate(unit)

    def _step(self, begin: datetime, by: int) -> datetime:
        if self.every == "month":
            months = begin.year * 12 + begin.month - 1 + by
            return begin.replace(year=months // 12, month=months % 12 + 1)
        unit = {"hour": timedelta(hours=1), "day": timedelta(days=1)}.get(
            self.every, timedelta(weeks=1)
        )
        return begin + by * unit


@lru_cache(maxsize=100_000)  # a sensor asks for every landed window in each tick
def _begins(windows: Windows, key: str) -> datetime:
    try:
        begin = datetime.strptime(key, windows.format).replace(tzinfo=ZoneInfo(windows.timezone))
    except ValueError as error:
        raise UnknownNameError(
            f"`{key}` is no {windows.every}; keys are as {windows.start}"
        ) from error
    outside = key < windows.start or (windows.end is not None and key >= windows.end)
    # by way of UTC, or an hour that the clocks skip would pass
    if outside or windows.key(begin.astimezone(UTC)) != key:
        until = f" to before {windows.end}" if windows.end else ""
        raise UnknownNameError(
            f"`{key}` is none of the declared windows: every {windows.every} from "
            f"{windows.start}{until}"
        )
    return begin
