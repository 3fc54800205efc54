"""What a collection takes, what it never takes, and what it says of what it took."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mlops_assets.errors import RepositoryCorruptError
from mlops_assets.versions import Collected, Repository, open_repository

NOW = timedelta(0)
DAY = timedelta(days=1)

Commit = Callable[..., str]


def data(repository: Repository) -> dict[bytes, Path]:
    """Return every object's content, and where it stands."""
    files = Path(repository.url, "lfs", "objects").glob("*/*/*")
    return {file.read_bytes(): file for file in files}


def age(repository: Repository, *contents: bytes, days: float = 2) -> None:
    """Let objects have been written so many days ago."""
    then = time.time() - days * 24 * 3600
    for content in contents:
        os.utime(data(repository)[content], (then, then))


def given_up(repository: Repository, content: bytes) -> None:
    """Let a transaction publish its data, but not come to its commit."""

    def fail() -> None:
        with repository.transaction("main", "x") as transaction:
            transaction.put("x", content)
            transaction.staging.publish()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def fsck(repository: Repository) -> str:
    done = subprocess.run(
        ["git", "-C", repository.url, "fsck", "--full", "--strict", "--no-dangling"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_what_no_ref_reaches_goes_and_all_else_stays(embedded: Repository, commit: Commit) -> None:
    commit(embedded, {"a": b"old", "b": b"main"})
    commit(embedded, {"a": b"new"})
    for name, how in (("kept", embedded.create_branch), ("gone", embedded.create_branch)):
        how(name)
        commit(embedded, {"c": name.encode()}, name)
    commit(embedded, {"c": b"tagged"}, "gone")
    embedded.create_tag("t", "gone")
    embedded.create_branch("lost")
    commit(embedded, {"c": b"lost", "d": b"also lost", "b": b"old"}, "lost")
    embedded.delete_branch("gone")
    embedded.delete_branch("lost")

    rehearsed = embedded.collect(grace=NOW, dry_run=True)
    before = data(embedded)
    collected = embedded.collect(grace=NOW)

    # what history holds stays, also by a tag alone; an old content under another path too
    assert before.keys() - data(embedded).keys() == {b"lost", b"also lost"}
    assert collected == rehearsed == Collected(objects=2, size=13)
    assert embedded.collect(grace=NOW) == Collected()
    assert embedded.verify("main") == embedded.verify("kept") == embedded.verify("t") == []
    assert fsck(embedded) == ""


def test_what_was_touched_within_the_grace_stays(embedded: Repository, commit: Commit) -> None:
    embedded.create_branch("side")
    commit(embedded, {"young": b"1", "old": b"2", "again": b"3"}, "side")
    embedded.delete_branch("side")
    age(embedded, b"2", b"3")
    # given one that a transaction puts again
    given_up(embedded, b"3")

    embedded.collect(grace=DAY)

    assert data(embedded).keys() == {b"1", b"3"}


def test_what_was_staged_long_ago_is_young_when_it_is_published(
    embedded: Repository, commit: Commit
) -> None:
    long_ago = time.time() - 10 * 24 * 3600
    with embedded.transaction("main", "x") as transaction, transaction.file("a") as file:
        file.write_bytes(b"1")
        os.utime(file, (long_ago, long_ago))

    assert time.time() - data(embedded)[b"1"].stat().st_mtime < 60


def test_history_lets_go_of_what_was_replaced_long_enough_ago(
    embedded: Repository, commit: Commit
) -> None:
    commits = []
    for number in range(3):
        commits.append(commit(embedded, {"a": b"%d" % number, "b": b"always"}))
        time.sleep(0.3)
    embedded.create_branch("pinned", commits[0])
    commit(embedded, {"a": b"3"})
    commit(embedded, {"a": b"4"})
    last = commit(embedded, {"a": b"5"})
    time.sleep(0.2)

    # 1 was replaced more than .5 s ago, 2 less, though it was written before; 0 is pinned
    assert embedded.collect(grace=NOW, history=timedelta(seconds=0.4)).objects == 1
    assert data(embedded).keys() == {b"0", b"2", b"3", b"4", b"5", b"always"}
    # with no history at all the heads stay
    assert embedded.collect(grace=NOW, history=NOW).objects == 3
    assert data(embedded).keys() == {b"0", b"5", b"always"}
    # and every commit is there to be read of
    assert [found.id for found in embedded.log("main")][:-1] == [
        last,
        *[found.id for found in embedded.log("main")][1:3],
        *commits[::-1],
    ]
    assert embedded.stat(commits[1], "a").size == 1
    assert embedded.verify("main") == embedded.verify("pinned") == []


def test_reading_what_was_collected_says_so_and_when(embedded: Repository, commit: Commit) -> None:
    old = commit(embedded, {"a": b"old"})
    newer = commit(embedded, {"a": b"new"})
    embedded.collect(grace=NOW, history=NOW)

    for read in (embedded.read, embedded.open, embedded.location):
        with pytest.raises(RepositoryCorruptError, match=r"`a` was collected by `mlops gc` on 20"):
            read(old, "a")
    assert "was collected" in embedded.verify(old)[0]
    # what is missing for another reason is no collection
    data(embedded)[b"new"].unlink()
    with pytest.raises(RepositoryCorruptError, match="is missing"):
        embedded.read(newer, "a")


def test_what_was_collected_is_never_brought_back_without_its_data(
    embedded: Repository, commit: Commit
) -> None:
    commit(embedded, {"a": b"old"})
    replaced = commit(embedded, {"a": b"new"})
    embedded.create_branch("side")
    lost = commit(embedded, {"b": b"lost"}, "side")
    embedded.delete_branch("side")
    embedded.collect(grace=NOW, history=NOW)
    head = embedded.resolve("main")

    with pytest.raises(RepositoryCorruptError, match="`a` was collected"):
        embedded.revert("main", replaced)
    with pytest.raises(RepositoryCorruptError, match="`b` was collected"):
        embedded.merge(lost, "main", "x")
    assert embedded.resolve("main") == head
    # put again, it is whole again
    commit(embedded, {"b": b"lost"})
    assert embedded.verify() == []


def test_what_is_collected_just_before_the_commit_is_put_back(
    embedded: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an object that nothing reaches, and a transaction that finds it there
    given_up(embedded, b"shared")
    with embedded.transaction("main", "x") as transaction:
        transaction.put("a", b"shared")
        transaction.put("b", b"own")
        publish = transaction.staging.publish

        # when both are collected after it published them, and before it has the lock
        def publish_late() -> None:
            publish()
            time.sleep(0.01)
            assert embedded.collect(grace=NOW).objects == 2

        monkeypatch.setattr(transaction.staging, "publish", publish_late)

    # then they are on the branch all the same
    assert embedded.read("main", "a") == b"shared"
    assert embedded.verify() == []


def test_a_branch_made_at_an_old_commit_while_it_sweeps_keeps_its_data(
    embedded: Repository, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given data that is garbage when the collection begins, in more than one slice
    embedded.create_branch("side")
    lost = commit(embedded, {f"{n}": b"%d" % n for n in range(300)}, "side")
    embedded.delete_branch("side")
    pauses = []

    def back(seconds: float) -> None:
        pauses.append(seconds)
        embedded.create_branch("back", lost)

    # when somebody makes a branch there between the first slice and the second
    monkeypatch.setattr("mlops_assets.versions.embedded.collecting.time.sleep", back)
    collected = embedded.collect(grace=NOW)

    # then the second slice is left alone
    assert len(pauses) == 1
    assert collected.objects == 256
    assert len(embedded.verify("back")) == 256


def test_refs_that_only_stock_git_makes_keep_their_data(
    embedded: Repository, commit: Commit
) -> None:
    embedded.create_branch("side")
    made = commit(embedded, {"a": b"1"}, "side")
    embedded.delete_branch("side")
    git = ["git", "-C", embedded.url]
    subprocess.run([*git, "update-ref", "refs/heads/feature/x.y", made], check=True)
    subprocess.run([*git, "symbolic-ref", "refs/remotes/o/HEAD", "refs/remotes/o/x"], check=True)

    assert embedded.collect(grace=NOW, history=NOW) == Collected()


def test_nothing_is_removed_where_git_is_damaged(embedded: Repository, commit: Commit) -> None:
    commit(embedded, {"d/a": b"1"})
    tree = subprocess.run(
        ["git", "-C", embedded.url, "rev-parse", "main:d"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (Path(embedded.url) / "objects" / tree[:2] / tree[2:]).unlink()

    with pytest.raises(RepositoryCorruptError, match="git fsck"):
        open_repository(embedded.url).collect(grace=NOW)
    assert data(embedded).keys() == {b"1"}


def test_a_branch_whose_commit_is_lost_is_told_as_damage(embedded: Repository) -> None:
    Path(embedded.url, "refs", "heads", "bad").write_text("1" * 40 + "\n")

    for ask in (embedded.commit, embedded.objects, embedded.log):
        with pytest.raises(RepositoryCorruptError, match="git fsck"):
            list(ask("bad"))
    with pytest.raises(RepositoryCorruptError):
        embedded.collect(grace=NOW)
