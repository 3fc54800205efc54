"""The wall clock. `MLOPS_NOW` sets it, for tests alone: a moment, or one that runs fast."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime

from mlops_assets.errors import ClockError

VARIABLE = "MLOPS_NOW"
_FORM = re.compile(r"(?P<start>[^@]+)(@(?P<anchor>[^*]+)(\*(?P<speed>\d+(\.\d+)?))?)?")


def now() -> datetime:
    """Return the present moment, in UTC.

    `MLOPS_NOW=2026-01-05T00:00:00Z` makes it stand still. With the real moment at which it began
    and a speed, `2026-01-05T00:00:00Z@2026-11-26T13:00:00Z*3600`, it runs: here an hour a second,
    alike in every process that has the variable.

    Raises:
        ClockError: `MLOPS_NOW` is none of these forms.

    """
    real = datetime.now(UTC)
    said = os.environ.get(VARIABLE)
    if not said:
        return real
    try:
        return _set_by(said, real)
    except (ValueError, OverflowError) as error:
        raise ClockError(
            f"{VARIABLE}={said} is no moment; write 2026-01-05T00:00:00Z, or "
            "START@REAL_MOMENT*SPEED for a clock that runs, or unset it"
        ) from error


def _set_by(said: str, real: datetime) -> datetime:
    form = _FORM.fullmatch(said.strip())
    if form is None:
        raise ValueError(said)
    start = _moment(form["start"])
    if form["anchor"] is None:
        return start
    return start + (real - _moment(form["anchor"])) * float(form["speed"] or 1)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        raise ValueError(f"{text} names no zone")
    return moment.astimezone(UTC)
