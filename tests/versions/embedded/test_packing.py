"""Git's own objects become packs: by themselves, by a collection, beside whoever reads and writes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mlops_assets.errors import RepositoryBusyError
from mlops_assets.versions import Collected, Repository, open_repository
from mlops_assets.versions.embedded import packing
from mlops_assets.versions.embedded.bare import BareRepository, kept_whole
from mlops_assets.versions.embedded.packing import Packing

Commit = Callable[..., str]
DAY = timedelta(days=1)


def loose(repository: Repository) -> list[Path]:
    return [*Path(repository.url, "objects").glob("??/*")]


def packs(repository: Repository) -> list[Path]:
    return [*Path(repository.url, "objects", "pack").glob("*.pack")]


def git(repository: Repository, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", repository.url, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def weeks(repository: Repository, commit: Commit, first: int, last: int) -> list[str]:
    return [
        commit(repository, {f"late/batches/{number:05d}": b"%d" % number})
        for number in range(first, last)
    ]


def state(repository: Repository) -> list[object]:
    return [
        [commit.id for commit in repository.log("main")],
        repository.objects("main"),
        repository.verify("main"),
    ]


def test_a_collection_packs_and_all_is_as_before(embedded: Repository, commit: Commit) -> None:
    weeks(embedded, commit, 0, 30)
    before, reader = state(embedded), open_repository(embedded.url)
    assert reader.objects("main") == before[1]

    collected = embedded.collect(grace=DAY)

    assert collected.packed > 120
    assert collected.saved > 0
    assert (loose(embedded), len(packs(embedded))) == ([], 1)
    # one that had it open before, and one that opens it now
    assert state(embedded) == state(reader) == state(open_repository(embedded.url)) == before
    assert "error" not in git(embedded, "fsck", "--full", "--strict")
    assert git(embedded, "rev-list", "--count", "main").strip() == "31"
    # again, nothing is left to pack
    assert embedded.collect(grace=DAY) == Collected()


def test_a_folder_that_grows_costs_what_it_grew(embedded: Repository, commit: Commit) -> None:
    weeks(embedded, commit, 0, 60)
    small = embedded.collect(grace=DAY)
    weeks(embedded, commit, 60, 120)
    large = embedded.collect(grace=DAY)
    # as many objects, of trees more than twice as large on average
    assert large.packed == pytest.approx(small.packed, abs=5)
    first, second = sorted(pack.stat().st_size for pack in packs(embedded))
    assert second - first < 60 * 60  # the new one's first tree is whole, the others are differences


def test_commits_pack_by_themselves(
    embedded: Repository, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_LOOSE", 50)
    monkeypatch.setattr(packing, "_LOOK", "")  # each commit looks
    made = weeks(embedded, commit, 0, 40)
    assert len(loose(embedded)) < 60
    assert len(packs(embedded)) >= 2
    assert [found.id for found in embedded.log("main")][:-1] == made[::-1]
    assert embedded.verify("main") == []


def test_an_old_repository_is_packed_piece_by_piece(
    embedded: Repository, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    weeks(embedded, commit, 0, 20)
    before = len(loose(embedded))
    monkeypatch.setattr(packing, "_LOOSE", 10)
    monkeypatch.setattr(packing, "_AT_ONCE", 30)
    packing_of(embedded).after_commit("0")
    assert len(loose(embedded)) == before - 30
    packing_of(embedded).after_commit("1")  # one of those that don't look
    assert len(loose(embedded)) == before - 30


def packing_of(repository: Repository) -> Packing:
    return Packing(BareRepository(Path(repository.url)))


def test_many_packs_become_one(
    embedded: Repository, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_LEAST", 1)
    for number in range(4):
        weeks(embedded, commit, number * 3, number * 3 + 3)
        embedded.collect(grace=DAY)
    reader = open_repository(embedded.url)
    before = state(reader)
    kept = packs(embedded)[0]
    kept.with_suffix(".keep").touch()
    monkeypatch.setattr(packing, "_PACKS", 2)
    weeks(embedded, commit, 12, 14)
    packing_of(embedded).everything()
    assert loose(embedded) == []
    assert len(packs(embedded)) == 2  # of all, and the one that somebody keeps
    assert kept in packs(embedded)
    assert [info.path for info in reader.objects("main")][:12] == [info.path for info in before[1]]
    assert len(state(embedded)[0]) == len(state(reader)[0]) == 15
    assert "error" not in git(embedded, "fsck", "--full", "--strict")


def test_nothing_is_lost_where_two_pack_or_one_is_killed(
    embedded: Repository, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    weeks(embedded, commit, 0, 30)
    before = state(embedded)
    with kept_whole(Path(embedded.url)):
        # a commit does without
        monkeypatch.setattr(packing, "_LOOSE", 1)
        packing_of(embedded).after_commit("0")
        assert packs(embedded) == []
        with (
            pytest.raises(RepositoryBusyError, match="collected, packed or backed up"),
            kept_whole(Path(embedded.url), patience=0.1),
        ):
            pass
    # killed between the pack and the removal of the loose ones
    monkeypatch.setattr(packing._Loose, "remove", lambda _: None)
    packing_of(embedded).everything()
    assert (bool(loose(embedded)), len(packs(embedded))) == (True, 1)
    monkeypatch.undo()
    packing_of(embedded).everything()
    assert (loose(embedded), len(packs(embedded))) == ([], 1)
    assert state(embedded) == before


def test_a_pack_that_cant_be_written_stops_no_commit(
    embedded: Repository, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_LOOSE", 1)
    monkeypatch.setattr(packing, "_LOOK", "")
    Path(embedded.url, "objects", "pack").rmdir()
    Path(embedded.url, "objects", "pack").write_text("in the way")
    weeks(embedded, commit, 0, 2)
    assert embedded.verify("main") == []
    assert packs(embedded) == []
