from __future__ import annotations

from collections.abc import Callable

import pytest

from mlops_assets.errors import (
    ConflictError,
    InvalidNameError,
    NothingToCommitError,
    RefNotFoundError,
    VersionsError,
)
from mlops_assets.versions import Repository


def test_the_log_is_newest_first(repository: Repository, commit: Callable[..., str]) -> None:
    made = [commit(repository, {"a": b"%d" % n}) for n in range(5)]

    assert [found.id for found in repository.log("main")][:5] == made[::-1]
    assert [found.id for found in repository.log("main", limit=2)] == made[:2:-1]
    assert [found.id for found in repository.log(made[0], limit=1)] == [made[0]]
    assert list(repository.log("main", limit=0)) == []


def test_the_log_of_an_unknown_ref_fails_at_the_call(repository: Repository) -> None:
    with pytest.raises(RefNotFoundError):
        repository.log("nowhere")


def test_the_log_of_a_path_has_what_changed_it(
    repository: Repository, commit: Callable[..., str]
) -> None:
    first = commit(repository, {"d/a": b"1"})
    commit(repository, {"e": b"1"})
    second = commit(repository, {"d/b": b"1"})
    third = commit(repository, {"d/a": None})

    assert [found.id for found in repository.log("main", path="d/a")] == [third, first]
    assert [found.id for found in repository.log("main", path="d/")] == [third, second, first]
    assert [found.id for found in repository.log("main", path="d/", limit=1)] == [third]
    assert list(repository.log("main", path="d")) == []
    with pytest.raises(InvalidNameError):
        repository.log("main", path="/")


def test_the_log_of_a_path_has_the_merges_that_changed_it(
    repository: Repository, commit: Callable[..., str]
) -> None:
    repository.create_branch("side")
    landed = commit(repository, {"d/a": b"side"}, "side")
    merged = repository.merge("side", "main", "brings it")
    theirs = commit(repository, {"d/a": b"theirs", "e": b"side"}, "side")
    ours = commit(repository, {"d/a": b"ours"})
    repository.merge("side", "main", "leaves it as it is", strategy="dest-wins")

    for path in ("d/a", "d/"):
        logged = [found.id for found in repository.log("main", path=path)]
        assert logged == [ours, theirs, merged, landed]


def test_no_parent_comes_before_its_child(
    repository: Repository, commit: Callable[..., str]
) -> None:
    # All within a second, and the oldest is a parent of the newest: whole seconds can't tell.
    repository.create_branch("side")
    for n in range(8):
        commit(repository, {f"side/{n}": b"1"}, "side")
    repository.merge("side", "main", "join")

    listed = list(repository.log("main"))
    place = {found.id: number for number, found in enumerate(listed)}
    assert len(place) == len(listed) == 10
    assert all(place[found.id] < place[parent] for found in listed for parent in found.parents)


def test_a_merge_brings_the_source_and_keeps_its_history(
    repository: Repository, commit: Callable[..., str]
) -> None:
    repository.create_branch("landing")
    landed = commit(repository, {"m/w1": b"1"}, "landing")
    ours = commit(repository, {"other": b"1"})

    merged = repository.merge("landing", "main", "land w1", {"window": "w1"})

    made = repository.commit("main")
    assert made.id == merged
    assert (made.message, made.metadata, made.parents) == (
        "land w1",
        {"window": "w1"},
        (ours, landed),
    )
    assert [found.path for found in repository.objects("main")] == ["m/w1", "other"]
    assert landed in {found.id for found in repository.log("main")}
    assert repository.resolve("landing") == landed


def test_merging_again_has_nothing_to_do(
    repository: Repository, commit: Callable[..., str]
) -> None:
    repository.create_branch("landing")
    with pytest.raises(NothingToCommitError):
        repository.merge("landing", "main", "x")
    commit(repository, {"a": b"1"}, "landing")
    head = repository.merge("landing", "main", "x")

    with pytest.raises(NothingToCommitError):
        repository.merge("landing", "main", "x")
    assert repository.resolve("main") == head


def test_what_both_sides_changed_alike_is_no_conflict(
    repository: Repository, commit: Callable[..., str]
) -> None:
    commit(repository, {"a": b"0", "b": b"0"})
    repository.create_branch("side")
    commit(repository, {"a": b"1", "b": None, "c": b"1"}, "side")
    commit(repository, {"a": b"1", "b": None})

    repository.merge("side", "main", "x")

    assert [found.path for found in repository.objects("main")] == ["a", "c"]


@pytest.fixture
def divided(repository: Repository, commit: Callable[..., str]) -> Repository:
    """Main and side: `a` changed by both, `b` removed by side and changed by main, one more each."""
    commit(repository, {"a": b"0", "b": b"0", "p": b"0"})
    repository.create_branch("side")
    commit(repository, {"a": b"side", "b": None, "s": b"side", "p": None, "p/q": b"side"}, "side")
    commit(repository, {"a": b"main", "b": b"main", "m": b"main", "p": b"main"})
    return repository


def test_a_conflict_names_its_paths_and_commits_nothing(divided: Repository) -> None:
    head = divided.resolve("main")

    with pytest.raises(ConflictError) as caught:
        divided.merge("side", "main", "x")

    assert caught.value.paths == ("a", "b", "p", "p/q")
    assert divided.resolve("main") == head


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("source-wins", {"a": b"side", "m": b"main", "p/q": b"side", "s": b"side"}),
        ("dest-wins", {"a": b"main", "b": b"main", "m": b"main", "p": b"main", "s": b"side"}),
    ],
)
def test_a_strategy_decides_conflicts_and_nothing_else(
    divided: Repository, strategy: str, expected: dict[str, bytes]
) -> None:
    divided.merge("side", "main", "x", strategy=strategy)

    found = {info.path: divided.read("main", info.path) for info in divided.objects("main")}
    assert found == expected


def test_an_unknown_strategy_is_refused(divided: Repository) -> None:
    with pytest.raises(InvalidNameError, match="source-wins"):
        divided.merge("side", "main", "x", strategy="ours")


def test_a_folder_over_an_object_is_a_conflict(
    repository: Repository, commit: Callable[..., str]
) -> None:
    repository.create_branch("side")
    commit(repository, {"x": b"1"}, "side")
    commit(repository, {"x/y": b"1", "x/z": b"1"})

    with pytest.raises(ConflictError) as caught:
        repository.merge("side", "main", "x")
    assert caught.value.paths == ("x",)
    repository.merge("side", "main", "x", strategy="source-wins")
    assert [found.path for found in repository.objects("main")] == ["x"]


def test_a_later_merge_takes_only_what_is_new(
    repository: Repository, commit: Callable[..., str]
) -> None:
    repository.create_branch("side")
    commit(repository, {"a": b"side"}, "side")
    repository.merge("side", "main", "first")
    commit(repository, {"a": b"main"})
    commit(repository, {"b": b"side"}, "side")

    repository.merge("side", "main", "second")

    assert repository.read("main", "a") == b"main"
    assert repository.read("main", "b") == b"side"


def test_a_revert_takes_back_one_commit(repository: Repository, commit: Callable[..., str]) -> None:
    commit(repository, {"a": b"1", "b": b"1"})
    bad = commit(repository, {"a": b"2", "b": None, "c": b"2"}, note="bad")
    head = commit(repository, {"d": b"1"})

    made = repository.revert("main", bad)

    found = {info.path: repository.read(made, info.path) for info in repository.objects(made)}
    assert found == {"a": b"1", "b": b"1", "d": b"1"}
    assert repository.commit(made).parents == (head,)
    assert repository.commit(made).message.startswith('Revert "bad"')
    with pytest.raises(NothingToCommitError):
        repository.revert("main", bad)


def test_a_merge_is_reverted_against_what_it_went_into(
    repository: Repository, commit: Callable[..., str]
) -> None:
    repository.create_branch("side")
    commit(repository, {"s": b"1"}, "side")
    commit(repository, {"m": b"1"})
    merged = repository.merge("side", "main", "x")

    repository.revert("main", merged, "back")

    assert [found.path for found in repository.objects("main")] == ["m"]
    assert repository.commit("main").message == "back"


def test_what_was_changed_since_cant_be_reverted(
    repository: Repository, commit: Callable[..., str]
) -> None:
    bad = commit(repository, {"a": b"1"})
    head = commit(repository, {"a": b"2"})

    with pytest.raises(ConflictError) as caught:
        repository.revert("main", bad)

    assert caught.value.paths == ("a",)
    assert repository.resolve("main") == head


def test_the_first_commit_cant_be_reverted(repository: Repository) -> None:
    with pytest.raises(VersionsError, match="first"):
        repository.revert("main", "main")


def test_a_sound_repository_verifies(repository: Repository, commit: Callable[..., str]) -> None:
    commit(repository, {"a": b"1", "b": b""})

    assert repository.verify() == []
