"""Earlier attempts to retrain, and what they say to the governor. Spans are of the data's time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

MONTH = timedelta(days=365.25 / 12)


@dataclass(frozen=True)
class Attempt:
    """One retraining that ended.

    Attributes:
        window: the newest window of data then.
        ended: the data's time then.
        promoted: whether the challenger was.
        minutes: of the run.
        newest_seen: the newest mature window that it had, to learn from or to compare on.

    """

    window: str
    ended: datetime
    promoted: bool
    minutes: float
    newest_seen: str


def refused_in_a_row(attempts: Sequence[Attempt]) -> int:
    """Count the challengers refused since the last promotion; attempts come oldest first."""
    count = 0
    for attempt in reversed(attempts):
        if attempt.promoted:
            break
        count += 1
    return count


def retrainings(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return the attempts after the first promotion: what came before is no retraining."""
    done = [attempt.promoted for attempt in attempts]
    return list(attempts[done.index(True) + 1 :]) if True in done else []


def within_a_month(attempts: Sequence[Attempt], now: datetime) -> list[Attempt]:
    """Return the attempts of the month before `now`."""
    return [attempt for attempt in attempts if now - MONTH < attempt.ended <= now]


def new_windows(attempts: Sequence[Attempt], mature: Sequence[str]) -> int | None:
    """Count the mature windows that the last attempt did not have; None before the first."""
    if not attempts:
        return None
    return sum(window > attempts[-1].newest_seen for window in mature)
