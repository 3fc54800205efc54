from __future__ import annotations

import pytest

from mlops_assets.batches.maturity import (
    LandedWindows,
    Missing,
    landed_windows,
    missing_windows,
)
from mlops_assets.declaration import Declaration
from mlops_assets.versions import Repository
from tests.tiny import window

KINDS = ("batches", "labels")


@pytest.fixture
def put(repository: Repository, declaration: Declaration) -> Put:
    return Put(repository, declaration)


class Put:
    """Put windows on main, whatever is in them: the clock reads names alone."""

    def __init__(self, repository: Repository, declaration: Declaration) -> None:
        self.repository, self.declaration = repository, declaration

    def __call__(self, *, batches: list[int], labels: list[int]) -> LandedWindows:
        paths = [self.declaration.path("batches", window(number)) for number in batches]
        paths += [self.declaration.path("labels", window(number)) for number in labels]
        return self.paths(*paths)

    def paths(self, *paths: str) -> LandedWindows:
        with self.repository.transaction("main", "put") as transaction:
            for path in paths:
                transaction.put(path, path.encode())
        return self.now()

    def now(self) -> LandedWindows:
        return landed_windows(self.repository, self.declaration, "main")


def keys(*numbers: int) -> tuple[str, ...]:
    return tuple(window(number) for number in numbers)


def test_before_the_first_batch_there_is_no_now(put: Put) -> None:
    assert put.now() == LandedWindows((), (), (), None)
    assert put.now().newest is None


def test_the_newest_batch_ends_now_and_a_weeks_labels_mature_a_week_later(put: Put) -> None:
    landed = put(batches=[0, 1, 2], labels=[0, 1, 2])

    assert landed.now == put.declaration.windows.begins(window(3))
    assert landed.newest == window(2)
    assert landed.mature == keys(0, 1)
    assert put(batches=[3], labels=[]).mature == keys(0, 1, 2)


def test_labels_before_batches_are_held_and_not_mature(put: Put) -> None:
    landed = put(batches=[], labels=[0, 1])
    assert landed == LandedWindows((), keys(0, 1), (), None)

    landed = put(batches=[2], labels=[])
    assert (landed.labels, landed.mature) == (keys(0, 1), ())

    assert put(batches=[1], labels=[]).mature == keys(1)


def test_labels_tell_no_time(put: Put) -> None:
    landed = put(batches=[0], labels=[0, 5])

    assert landed.now == put.declaration.windows.begins(window(1))
    assert landed.mature == ()


def test_a_window_that_never_came_holds_the_others_not_back(put: Put) -> None:
    landed = put(batches=[0, 3, 4], labels=[0, 1, 3])

    assert landed.batches == keys(0, 3, 4)
    assert landed.mature == keys(0, 3)


def test_a_window_that_comes_late_joins_in_order(put: Put) -> None:
    put(batches=[0, 2, 3], labels=[0, 2])

    assert put(batches=[1], labels=[1]).mature == keys(0, 1, 2)


def test_a_commit_is_read_as_it_was(put: Put) -> None:
    before = put(batches=[0, 1], labels=[0])
    commit = put.repository.resolve("main")

    put(batches=[2], labels=[1])

    assert landed_windows(put.repository, put.declaration, commit) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["README.md", "2023-12-25.parquet", "2024-01-02.parquet", "old/2024-01-01.parquet"]
)
def test_what_is_no_declared_window_counts_for_nothing(put: Put, kind: str, name: str) -> None:
    before = put(batches=[0, 1], labels=[0])

    assert put.paths(f"tiny/{kind}/{name}") == before


def test_another_models_windows_are_not_ours(put: Put) -> None:
    assert put.paths(f"tiny_two/batches/{window(0)}.parquet").batches == ()


def test_what_later_data_went_past_is_missing(put: Put) -> None:
    landed = put(batches=[1, 3, 4, 6], labels=[1, 4])

    missing = missing_windows(landed, put.declaration)

    # the labels of window 6 are not due: it ends now
    assert missing == Missing(batches=keys(2, 5), labels=keys(3))


def test_nothing_is_missing_of_what_has_not_begun(put: Put) -> None:
    assert missing_windows(put.now(), put.declaration) == Missing((), ())
    assert missing_windows(put(batches=[2], labels=[]), put.declaration) == Missing((), ())
