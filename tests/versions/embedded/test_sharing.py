from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from mlops_assets.versions import Repository

MEMORY = Path("/dev/shm")


def stored(embedded: Repository, path: str) -> Path:
    return Path(embedded.location("main", path).uri)


def put(embedded: Repository, source: Path) -> Path:
    with embedded.transaction("main", "put") as transaction:
        transaction.put("a.bin", source, immutable=True)
    assert embedded.read("main", "a.bin") == source.read_bytes()
    assert embedded.verify() == []
    return stored(embedded, "a.bin")


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(1000))
    source.chmod(0o444)
    return source


def test_a_file_that_never_changes_is_linked(embedded: Repository, sealed: Path) -> None:
    assert sealed.samefile(put(embedded, sealed))
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o444


def test_it_is_linked_by_another_name_of_it_too(
    embedded: Repository, sealed: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.symlink_to(sealed)
    found = put(embedded, other)
    assert sealed.samefile(found)
    assert not found.is_symlink()


@pytest.mark.parametrize("mode", [0o644, 0o400, 0o464, 0o4444])
def test_a_file_of_another_mode_is_copied_and_stays_as_it_is(
    embedded: Repository, sealed: Path, mode: int
) -> None:
    sealed.chmod(mode)
    assert not sealed.samefile(put(embedded, sealed))
    assert stat.S_IMODE(sealed.stat().st_mode) == mode


@pytest.mark.skipif(not MEMORY.is_dir(), reason="no second file system at hand")
def test_a_file_on_another_file_system_is_copied(embedded: Repository, sealed: Path) -> None:
    there = MEMORY / f"sealed-{os.getpid()}"
    try:
        there.write_bytes(sealed.read_bytes())
        there.chmod(0o444)
        assert there.stat().st_dev != sealed.stat().st_dev
        assert not there.samefile(put(embedded, there))
    finally:
        there.unlink()


def test_without_the_promise_it_is_copied(embedded: Repository, sealed: Path) -> None:
    with embedded.transaction("main", "put") as transaction:
        transaction.put("a.bin", sealed)
    assert not sealed.samefile(stored(embedded, "a.bin"))


def test_what_is_given_up_or_there_already_leaves_the_file_alone(
    embedded: Repository, sealed: Path
) -> None:
    # given a transaction that fails after it linked the file
    with suppress(ZeroDivisionError), embedded.transaction("main", "put") as transaction:
        transaction.put("a.bin", sealed, immutable=True)
        _ = 1 / 0
    # then nothing of it is left
    assert sealed.stat().st_nlink == 1
    # and what the repository holds already is not linked twice
    with embedded.transaction("main", "put") as transaction:
        transaction.put("a.bin", sealed.read_bytes())
        transaction.put("b.bin", sealed, immutable=True)
    assert embedded.read("main", "b.bin") == sealed.read_bytes()
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o444
