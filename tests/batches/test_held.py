"""What a commit holds is remembered, and told of the next one by what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.batches import held as module
from mlops_assets.batches.held import held
from mlops_assets.versions import Repository, open_repository


def put(repository: Repository, *paths: str, remove: tuple[str, ...] = ()) -> str:
    with repository.transaction("main", "put") as transaction:
        for path in paths:
            transaction.put(path, path.encode())
        for path in remove:
            transaction.remove(path)
    return transaction.commit_id


def test_told_by_what_differs_it_is_what_listing_tells(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(repository, "m/batches/a.parquet", "m/labels/a.parquet", "m/batches/notes.txt")
    assert held(repository, "m", "main").files["batches"].keys() == {"a"}
    # when the history goes on, with a window more, one less, one changed, and another model's
    with repository.transaction("main", "changed") as transaction:
        transaction.put("m/labels/a.parquet", b"corrected")
    put(repository, "m/batches/b.parquet", "n/batches/c.parquet", remove=("m/batches/a.parquet",))
    told = held(repository, "m", "main")
    # then it is the same as for a process that knew nothing before
    monkeypatch.setattr(module, "_known", {})
    assert told == held(repository, "m", "main")
    assert told.files == held(repository, "m", "main").files
    assert told.files["batches"].keys() == {"b"}
    # and commits of before are still what they were, also where another repository was asked since
    other = open_repository(str(tmp_path / "other"))
    put(other, "m/batches/x.parquet")
    assert held(other, "m", "main").files["batches"].keys() == {"x"}
    assert held(repository, "m", first).files["batches"].keys() == {"a"}
