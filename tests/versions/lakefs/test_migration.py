"""A history of every kind moves to a server, and back come the same answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_assets.errors import RepositoryCorruptError, VersionsError
from mlops_assets.versions import Repository
from mlops_assets.versions.lakefs.migration import Migration, migrate, oldest_first

FROM = "mlops.migrated_from"
Commit = Callable[..., str]


class InterruptedMigrationError(Exception):
    """What stops a migration in the middle."""


def moved(source: Repository, target: Repository, stop_at: int | None = None) -> Migration:
    def progress(done: int, total: int) -> None:
        if done == stop_at:
            raise InterruptedMigrationError

    return migrate(source, target, progress)


@pytest.fixture
def history(embedded: Repository, commit: Commit) -> Repository:
    """Merges of each strategy, a clash, a revert, an empty folder left, tags and branches."""
    for number, strategy in enumerate([None, "source-wins", "dest-wins"] * 2):
        commit(embedded, {f"m/{number}": b"%d" % number, "x": b"%d" % number}, note=f"{number}")
        embedded.create_branch(f"side-{number}")
        edits = {f"s/{number}": b"side", **({"x": b"side %d" % number} if strategy else {})}
        with embedded.transaction(f"side-{number}", "side", {"ä": '"\n', "run": "7"}) as changes:
            for path, content in edits.items():
                changes.put(path, content)
            changes.remove(f"m/{number}")
        commit(embedded, {"x": b"main %d" % number}, note="meanwhile")
        embedded.merge(f"side-{number}", "main", f"merge {number}", strategy=strategy)
        if number % 2:
            embedded.delete_branch(f"side-{number}")
        embedded.create_tag(f"tag-{number}", "main")
    embedded.create_branch("clash")
    commit(embedded, {"c": b"1"}, "clash")
    commit(embedded, {"c/d": b"1"})
    embedded.merge("clash", "main", "clash", strategy="source-wins")
    embedded.revert("main", embedded.resolve("main"))
    return embedded


def check(source: Repository, target: Repository) -> None:
    """See that every commit, branch and tag of the source is there, by its old id too."""
    heads = {head for _, head in [*source.branches(), *source.tags()]}
    for old in oldest_first(source, heads):
        new = target.commit(old.id)
        assert target.objects(old.id) == source.objects(old.id)
        if old.parents:
            assert (new.message, new.created_at) == (old.message, old.created_at)
            assert new.metadata == {**old.metadata, FROM: old.id}
            assert new.parents == tuple(target.resolve(parent) for parent in old.parents)
    for names in ("branches", "tags"):
        expected = [(name, target.resolve(head)) for name, head in getattr(source, names)()]
        assert getattr(target, names)() == expected
    ids = [target.resolve(one.id) for one in source.log("main")]
    assert {one.id for one in target.log("main")} == {*ids}


def test_a_whole_history_moves(history: Repository, direct: Repository) -> None:
    found = moved(history, direct)

    check(history, direct)
    heads = {head for _, head in [*history.branches(), *history.tags()]}
    assert found.commits == len(oldest_first(history, heads)) - 1  # both began with nothing
    assert (found.branches, found.tags, found.known) == (5, 6, 0)
    assert direct.verify("main", "side-0") == []


def test_an_interrupted_one_goes_on_and_shows_nothing_before(
    history: Repository, direct: Repository
) -> None:
    before = direct.resolve("main")
    with pytest.raises(InterruptedMigrationError):
        moved(history, direct, stop_at=12)
    assert direct.branches() == [("main", before)]

    found = moved(history, direct)

    assert found.known == 12
    check(history, direct)


def test_again_it_moves_what_is_new_and_drops_what_is_gone(
    history: Repository, direct: Repository, commit: Commit
) -> None:
    moved(history, direct)
    commit(history, {"new": b"1"})
    history.delete_branch("side-0")

    assert moved(history, direct).commits == 1
    check(history, direct)
    assert moved(history, direct).commits == 0


def test_the_beginning_of_an_old_id_is_enough(history: Repository, direct: Repository) -> None:
    moved(history, direct)

    old = history.resolve("main")
    assert direct.resolve(old[:12]) == direct.resolve(old) == direct.resolve("main")
    assert direct.diff(history.commit(old).parents[0], old) == history.diff(
        history.commit(old).parents[0], old
    )


def test_work_goes_on_upon_it_and_it_is_not_moved_over(
    history: Repository, direct: Repository, commit: Commit
) -> None:
    moved(history, direct)
    head = commit(direct, {"own": b"1"})

    with pytest.raises(VersionsError, match=r"`main`.*name a new repository"):
        moved(history, direct)
    assert direct.resolve("main") == head
    assert direct.read(history.resolve("main"), "x") == history.read("main", "x")


def test_damaged_data_is_not_moved(
    embedded: Repository, direct: Repository, commit: Commit
) -> None:
    commit(embedded, {"a": b"good"})
    place = Path(embedded.location("main", "a").uri)
    place.chmod(0o644)
    place.write_bytes(b"bad!")

    with pytest.raises(RepositoryCorruptError, match="`a`"):
        moved(embedded, direct)
    assert direct.objects("main") == []
