"""Landing ahead of time: what waits, what is refused, and how it is said."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mlops_assets.cli.land import documented, land_file, show
from mlops_assets.errors import BatchRefusedError
from mlops_assets.monitoring.landing import Landed
from tests import tiny
from tests.conftest import Played

FILE = Path("a.parquet")


def land(number: int, *, jump: bool = False) -> Landed:
    file = Path("history/batches") / f"{tiny.window(number)}.parquet"
    return land_file(tiny.MODEL, file, window=None, labels=None, jump=jump)


def at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Set the clock to the third day of a window."""
    monkeypatch.setenv("MLOPS_NOW", (tiny.FIRST + timedelta(weeks=number, days=2)).isoformat())


def test_a_window_that_is_not_over_lands_and_waits_for_its_end(
    played: Played, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at(monkeypatch, 1)
    outcome = land(1)
    show(tiny.MODEL, FILE, outcome)
    assert documented(tiny.MODEL, FILE, outcome)["waits_until"] == "2024-01-15T00:00:00+00:00"
    assert "is taken when the window ends, 2024-01-15 00:00 UTC" in capsys.readouterr().out
    # then the sensor says for what it waits, and takes the one before
    assert not played.player.tick("data")
    land(0)
    played.player.settle()
    assert [one["window"] for one in played.status["windows"]] == [tiny.window(0)]
    # and takes it when it is over
    at(monkeypatch, 2)
    played.player.settle()
    assert len(played.status["windows"]) == 2


def test_a_batch_far_ahead_is_refused_unless_it_is_meant(played: Played) -> None:
    land(3)  # the first one may be any
    land(7)  # four windows ahead
    with pytest.raises(
        BatchRefusedError, match=r"2024-03-25 is 5 windows after 2024-02-19.*--jump"
    ):
        land(12)
    assert land(12, jump=True).landing
    assert land(1).landing  # one that comes late moves no clock
