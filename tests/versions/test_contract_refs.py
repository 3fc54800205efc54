from __future__ import annotations

from collections.abc import Callable

import pytest

from mlops_assets.errors import (
    InvalidNameError,
    RefExistsError,
    RefNotFoundError,
    VersionsError,
)
from mlops_assets.versions import Repository, open_repository


def test_a_new_repository_is_main_at_one_commit(repository: Repository) -> None:
    commit = repository.commit("main")

    assert repository.branches() == [("main", commit.id)]
    assert commit.message.lower() == "repository created"
    assert commit.parents == ()
    assert repository.objects("main") == []


def test_a_ref_is_a_branch_a_tag_an_id_or_its_beginning(
    repository: Repository, commit: Callable[..., str]
) -> None:
    first = commit(repository, {"a": b"1"})
    repository.create_tag("v1", "main")
    second = commit(repository, {"a": b"2"})

    assert repository.resolve("main") == second
    assert repository.resolve("v1") == first
    assert repository.resolve(first) == first
    assert repository.resolve(first[:12]) == first


@pytest.mark.parametrize("ref", ["nowhere", "main~1", "../main", "", "abc", "0" * 40, "0" * 9])
def test_what_nothing_answers_to_is_told(repository: Repository, ref: str) -> None:
    with pytest.raises(RefNotFoundError):
        repository.resolve(ref)


def test_a_misspelt_branch_gets_a_hint(repository: Repository) -> None:
    repository.create_branch("landing")

    with pytest.raises(RefNotFoundError, match="did you mean `landing`"):
        repository.objects("landign")


def test_branches_are_listed_by_prefix_and_sorted(repository: Repository) -> None:
    head = repository.resolve("main")
    for name in ("run-2", "run-1", "other"):
        assert repository.create_branch(name) == head

    assert repository.branches("run-") == [("run-1", head), ("run-2", head)]


def test_creating_a_branch_again_changes_nothing_but_elsewhere_is_refused(
    repository: Repository, commit: Callable[..., str]
) -> None:
    first = repository.create_branch("b")
    commit(repository, {"a": b"1"})

    assert repository.create_branch("b", first) == first
    with pytest.raises(RefExistsError):
        repository.create_branch("b", "main")


def test_a_deleted_branch_is_gone(repository: Repository) -> None:
    repository.create_branch("b")
    repository.delete_branch("b")

    assert [name for name, _ in repository.branches()] == ["main"]
    with pytest.raises(RefNotFoundError):
        repository.delete_branch("b")


def test_main_stays(repository: Repository) -> None:
    with pytest.raises(VersionsError, match="main"):
        repository.delete_branch("main")


def test_a_tag_never_moves(repository: Repository, commit: Callable[..., str]) -> None:
    first = commit(repository, {"a": b"1"})
    repository.create_tag("v1", first)
    commit(repository, {"a": b"2"})

    assert repository.create_tag("v1", first) == first
    with pytest.raises(RefExistsError):
        repository.create_tag("v1", "main")
    assert repository.tags() == [("v1", first)]
    assert repository.read("v1", "a") == b"1"


def test_a_deleted_tag_is_gone(repository: Repository) -> None:
    repository.create_tag("v1", "main")
    repository.delete_tag("v1")

    assert repository.tags("v") == []
    with pytest.raises(RefNotFoundError):
        repository.delete_tag("v1")


def test_a_name_is_a_branch_or_a_tag_never_both(repository: Repository) -> None:
    repository.create_branch("b")
    repository.create_tag("t", "main")

    with pytest.raises(RefExistsError):
        repository.create_branch("t")
    with pytest.raises(RefExistsError):
        repository.create_tag("b", "main")


@pytest.mark.parametrize(
    "name", ["", "a/b", "-a", "a b", "ä", "a.b", "HEAD", "a\n", "f" * 40, "x" * 129, "../x"]
)
def test_bad_names_are_refused(repository: Repository, name: str) -> None:
    with pytest.raises(InvalidNameError):
        repository.create_branch(name)
    with pytest.raises(InvalidNameError):
        repository.create_tag(name, "main")


def test_another_handle_sees_what_was_committed(
    repository: Repository, commit: Callable[..., str]
) -> None:
    other = open_repository(repository.url)
    before = other.resolve("main")

    made = commit(repository, {"a": b"1"})

    assert before != made
    assert other.resolve("main") == made
    assert other.read("main", "a") == b"1"
