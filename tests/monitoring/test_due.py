"""What is due, and what waits for what: by what lies there and by the wall clock."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest

from mlops_assets.batches.landing import land
from mlops_assets.batches.maturity import landed_windows
from mlops_assets.declaration import Declaration
from mlops_assets.drift.past import Row
from mlops_assets.errors import BatchRefusedError
from mlops_assets.monitoring.due import agenda, unestimated, waiting
from mlops_assets.records.store import Store
from mlops_assets.versions import Repository, open_repository
from tests import tiny


class Yard:
    """A repository and a store with the tiny model's declaration, and a clock to be set."""

    def __init__(
        self, folder: Path, declaration: Declaration, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.folder, self.declaration, self._patch = folder, declaration, monkeypatch
        self.repository: Repository = open_repository(str(folder / "repository"))
        self.store = Store(folder / "store")

    def at(self, number: int, days: float = 0) -> None:
        """Set the clock to so many days after a window's begin."""
        now = tiny.FIRST + timedelta(weeks=number, days=days)
        self._patch.setenv("MLOPS_NOW", now.isoformat())

    def land(self, number: int) -> None:
        file = self.folder / f"{tiny.window(number)}.parquet"
        tiny.batch(number)[0].write_parquet(file)
        land(self.repository, self.declaration, file, kind="batches")

    def put(self, number: int) -> None:
        """Commit a window straight to main, as others do."""
        with self.repository.transaction("main", "theirs") as transaction:
            transaction.put(self.declaration.path("batches", tiny.window(number)), b"theirs")

    @property
    def due(self) -> list[str]:
        return [one.window for one in agenda(self.repository, self.store, self.declaration).work]

    @property
    def waits(self) -> list[str]:
        return [one.window for one in waiting(self.repository, self.store, self.declaration)]


@pytest.fixture
def yard(tmp_path: Path, declaration: Declaration, monkeypatch: pytest.MonkeyPatch) -> Yard:
    return Yard(tmp_path, declaration, monkeypatch)


@pytest.mark.parametrize("how", ["land", "put"])
def test_a_window_that_is_not_over_waits_and_holds_nobody_up(yard: Yard, how: str) -> None:
    # given the batch of the present week, and then a good one of last week
    yard.at(5, days=3)
    getattr(yard, how)(5)
    yard.land(4)
    # then that of last week is due, and that of the present one says for what it waits
    assert (yard.due, yard.waits) == ([tiny.window(4)], [tiny.window(5)])
    (row,) = waiting(yard.repository, yard.store, yard.declaration)
    assert "is not over: it is taken when it ends, 2024-02-12 00:00 UTC" in row.reason
    assert row.until == yard.declaration.windows.ends(tiny.window(5))
    # and it is taken when it ends
    yard.at(6)
    assert (yard.due, yard.waits) == ([tiny.window(4), tiny.window(5)], [])


def test_a_window_that_is_not_over_does_not_set_the_data_clock(yard: Yard) -> None:
    yard.at(5, days=3)
    yard.put(4)
    yard.put(5)
    assert landed_windows(yard.repository, yard.declaration, "main").newest == tiny.window(4)
    yard.at(6)
    assert landed_windows(yard.repository, yard.declaration, "main").newest == tiny.window(5)


def test_a_window_yet_to_begin_is_refused(yard: Yard) -> None:
    yard.at(5, days=3)
    with pytest.raises(BatchRefusedError, match="2024-02-12, which begins on 2024-02-12 00:00 UTC"):
        yard.land(6)
    assert yard.repository.branches("landing-") == []
    # one that others put on main waits, for nobody asked us
    yard.put(6)
    assert (yard.due, yard.waits) == ([], [tiny.window(6)])


def test_a_landing_of_a_window_that_is_declared_no_more_says_what_to_do(yard: Yard) -> None:
    yard.land(0)
    later = yard.declaration.windows.model_copy(update={"start": tiny.window(1)})
    changed = yard.declaration.model_copy(update={"windows": later})
    found = agenda(yard.repository, yard.store, changed)
    assert found.work == ()
    assert "`mlops withdraw tiny 2024-01-01`" in found.waiting[0].reason


def test_a_few_windows_are_asked_for_their_scores_without_listing_all_others(yard: Yard) -> None:
    # given a long history, of which two windows' labels nobody can trust yet; one has no scores
    windows = [tiny.window(number) for number in range(200)]
    repository = yard.repository
    with repository.transaction("main", "scores") as transaction:
        for window in windows[:-1]:
            transaction.put(yard.declaration.path("predictions", window), window.encode())
    commit = repository.resolve("main")
    told = {"champion": 1, "policy": "", "verdict": "stable", "exceeds": False}
    rest = {"finding": None, "profile": "", "past": None}
    judged = {
        window: Row(window=window, batch_version=f"of {window}", **told, **rest)
        for window in windows
    }

    with patch.object(repository, "objects", wraps=repository.objects) as listed:
        # when those are looked at, as after whatever lands
        found = unestimated(repository, yard.store, yard.declaration, judged, windows[-2:], commit)
        # then the one with scores is found, and nothing else was looked at
        assert found == [(windows[-2], ("performance",), f"of {windows[-2]}")]
        assert not listed.called
        # and of many the same is found by one list
        many = unestimated(repository, yard.store, yard.declaration, judged, windows, commit)
        assert [window for window, *_ in many] == windows[:-1]
        assert listed.call_count == 1
