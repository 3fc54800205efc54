"""The clock is the real one, unless a test sets it."""

from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets import clock
from mlops_assets.errors import ClockError


def test_it_is_the_real_one_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLOPS_NOW", raising=False)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_moment_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_NOW", "2026-01-05T01:00:00+01:00")
    assert clock.now() == clock.now() == datetime(2026, 1, 5, tzinfo=UTC)


def test_it_runs_fast_from_a_real_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten real seconds ago it was midnight, and an hour passes in each second."""
    begun = datetime.now(UTC) - timedelta(seconds=10)
    monkeypatch.setenv("MLOPS_NOW", f"2026-01-05T00:00:00Z@{begun.isoformat()}*3600")
    passed = clock.now() - datetime(2026, 1, 5, tzinfo=UTC)
    assert timedelta(hours=10) <= passed < timedelta(hours=15)


@pytest.mark.parametrize("said", ["today", "2026-01-05", "2026-01-05T00:00:00Z@x*2", "@", "a@b*c"])
def test_what_is_no_moment_is_named(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_NOW", said)
    with pytest.raises(ClockError, match="MLOPS_NOW"):
        clock.now()
