from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.errors import (
    ConflictError,
    InvalidNameError,
    NothingToCommitError,
    ObjectNotFoundError,
    RefNotFoundError,
    VersionsError,
)
from mlops_assets.versions import Change, ObjectInfo, Repository, Transaction


def test_a_transaction_is_one_commit(repository: Repository) -> None:
    head = repository.resolve("main")

    with repository.transaction("main", "two files", {"run": "7", "ä": '"\n'}) as transaction:
        transaction.put("a/b.txt", b"b")
        transaction.put("c.txt", b"c")

    made = repository.commit("main")
    assert made.id == transaction.commit_id
    assert (made.message, made.metadata, made.parents) == (
        "two files",
        {"run": "7", "ä": '"\n'},
        (head,),
    )
    assert abs(datetime.now(UTC) - made.created_at) < timedelta(minutes=1)
    assert repository.read(made.id, "a/b.txt") == b"b"


def test_bytes_files_and_streams_can_be_put(repository: Repository, tmp_path: Path) -> None:
    file = tmp_path / "source"
    file.write_bytes(b"file")

    with repository.transaction("main", "x") as transaction:
        transaction.put("bytes", b"bytes")
        transaction.put("file", file)
        transaction.put("stream", io.BytesIO(b"stream"))
        transaction.put("empty", b"")

    for path in ("bytes", "file", "stream"):
        assert repository.read("main", path) == path.encode()
    assert repository.read("main", "empty") == b""
    assert file.read_bytes() == b"file"


def test_an_object_is_known_by_its_sha256_and_size(
    repository: Repository, commit: Callable[..., str]
) -> None:
    commit(repository, {"d/a": b"one", "d/b": b"", "e": b"x"})

    expected = ObjectInfo("d/a", hashlib.sha256(b"one").hexdigest(), 3)
    assert repository.stat("main", "d/a") == expected
    assert repository.objects("main", "d/")[0] == expected
    assert [found.path for found in repository.objects("main")] == ["d/a", "d/b", "e"]
    assert repository.stat("main", "d/b").size == 0


def test_a_prefix_is_the_beginning_of_a_path(
    repository: Repository, commit: Callable[..., str]
) -> None:
    commit(repository, dict.fromkeys(("ab/c", "ab/cd/e", "abc", "b"), b"1"))

    assert [found.path for found in repository.objects("main", "ab")] == ["ab/c", "ab/cd/e", "abc"]
    assert [found.path for found in repository.objects("main", "ab/c")] == ["ab/c", "ab/cd/e"]
    assert [found.path for found in repository.objects("main", "ab/cd/")] == ["ab/cd/e"]
    assert repository.objects("main", "zz/") == []


def test_parquet_is_sunk_in_and_scanned_in_place(repository: Repository) -> None:
    frame = pl.DataFrame({"x": range(1000)})

    with repository.transaction("main", "x") as transaction:
        for window in ("w1", "w2"):
            with transaction.file(f"m/{window}.parquet") as path:
                assert path.suffix == ".parquet"
                frame.lazy().sink_parquet(path)

    one = repository.location("main", "m/w1.parquet")
    both = repository.locations("main", ["m/w1.parquet", "m/w2.parquet"])
    options = dict(one.storage_options) or None
    assert pl.scan_parquet(one.uri, storage_options=options).collect().equals(frame)
    uris = [location.uri for location in both]
    assert pl.scan_parquet(uris, storage_options=options).collect().height == 2000


def test_open_gives_a_stream(repository: Repository, commit: Callable[..., str]) -> None:
    commit(repository, {"a": b"12345"})

    with repository.open("main", "a") as stream:
        assert stream.read(2) == b"12"
        assert stream.seek(4) == 4
        assert stream.read() == b"5"


def test_an_exception_leaves_nothing(repository: Repository) -> None:
    head = repository.resolve("main")

    transaction = None

    def fail() -> None:
        nonlocal transaction
        with repository.transaction("main", "x") as transaction:
            transaction.put("a", b"1")
            raise OSError("mine")

    with pytest.raises(OSError, match="mine"):
        fail()

    assert repository.resolve("main") == head
    with pytest.raises(VersionsError, match="failed"):
        _ = transaction.commit_id
    with pytest.raises(VersionsError, match="ended"):
        transaction.put("b", b"too late")


def test_a_failed_file_is_not_put(repository: Repository, commit: Callable[..., str]) -> None:
    def fail(transaction: Transaction) -> None:
        with transaction.file("a") as path:
            path.write_bytes(b"half")
            raise ZeroDivisionError

    with repository.transaction("main", "x") as transaction:
        transaction.put("b", b"1")
        with pytest.raises(ZeroDivisionError):
            fail(transaction)

    assert [found.path for found in repository.objects("main")] == ["b"]


def test_a_file_never_written_is_told(repository: Repository) -> None:
    with (
        pytest.raises(VersionsError, match="nothing was written for `a`"),
        repository.transaction("main", "x") as transaction,
        transaction.file("a"),
    ):
        pass


def test_a_source_that_is_not_there_is_told(repository: Repository, tmp_path: Path) -> None:
    with (
        pytest.raises(VersionsError, match="absent can't be read"),
        repository.transaction("main", "x") as transaction,
    ):
        transaction.put("a", tmp_path / "absent")


def test_nothing_to_commit_is_an_error_unless_allowed(
    repository: Repository, commit: Callable[..., str]
) -> None:
    head = commit(repository, {"a": b"1"})

    with pytest.raises(NothingToCommitError):
        commit(repository, {"a": b"1", "absent": None})
    with repository.transaction("main", "x", allow_unchanged=True) as transaction:
        transaction.put("a", b"1")

    assert transaction.commit_id == repository.resolve("main") == head


def test_removing(repository: Repository, commit: Callable[..., str]) -> None:
    commit(repository, {"a/b": b"1", "c": b"2"})
    commit(repository, {"a/b": None})

    assert [found.path for found in repository.objects("main")] == ["c"]
    with pytest.raises(ObjectNotFoundError):
        repository.stat("main", "a/b")


def test_a_missing_object_is_a_missing_file_with_a_hint(
    repository: Repository, commit: Callable[..., str]
) -> None:
    commit(repository, {"d/labels": b"1"})

    with pytest.raises(FileNotFoundError, match="did you mean `d/labels`"):
        repository.read("main", "d/label")
    for ask in (repository.stat, repository.open, repository.location):
        with pytest.raises(ObjectNotFoundError):
            ask("main", "d")


def test_a_commit_to_other_paths_meanwhile_is_built_upon(
    repository: Repository, commit: Callable[..., str]
) -> None:
    with repository.transaction("main", "mine") as transaction:
        transaction.put("mine", b"1")
        theirs = commit(repository, {"theirs": b"2"})

    assert repository.commit("main").parents == (theirs,)
    assert [found.path for found in repository.objects("main")] == ["mine", "theirs"]


@pytest.mark.parametrize("theirs", [{"a": b"theirs"}, {"a": None}, {"a": None, "a/b": b"2"}])
def test_the_same_path_changed_meanwhile_is_a_conflict(
    repository: Repository, commit: Callable[..., str], theirs: dict[str, bytes | None]
) -> None:
    commit(repository, {"a": b"before"})

    def both() -> None:
        with repository.transaction("main", "mine") as transaction:
            transaction.put("a", b"mine")
            commit(repository, theirs, note="theirs")

    with pytest.raises(ConflictError, match="`a`") as caught:
        both()

    assert caught.value.paths == ("a",)
    assert repository.commit("main").message == "theirs"


def test_a_folder_that_became_an_object_meanwhile_is_a_conflict(
    repository: Repository, commit: Callable[..., str]
) -> None:
    def both() -> None:
        with repository.transaction("main", "x") as transaction:
            transaction.put("a/b", b"mine")
            commit(repository, {"a": b"theirs"})

    with pytest.raises(ConflictError):
        both()


def test_the_same_change_made_by_two_is_no_conflict(
    repository: Repository, commit: Callable[..., str]
) -> None:
    with repository.transaction("main", "x", allow_unchanged=True) as transaction:
        transaction.put("a", b"1")
        head = commit(repository, {"a": b"1"})

    assert transaction.commit_id == head


def test_expected_is_compared_at_the_start_and_at_the_end(
    repository: Repository, commit: Callable[..., str]
) -> None:
    old = repository.resolve("main")
    head = commit(repository, {"a": b"1"})

    with pytest.raises(ConflictError), repository.transaction("main", "x", expected=old):
        pytest.fail("began on another head")

    def both() -> None:
        with repository.transaction("main", "x", expected=head) as transaction:
            transaction.put("b", b"1")
            commit(repository, {"c": b"1"})

    with pytest.raises(ConflictError):
        both()
    head = repository.resolve("main")
    with repository.transaction("main", "x", expected=head) as transaction:
        transaction.put("b", b"1")

    assert repository.commit("main").parents == (head,)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "a/../b",
        "./a",
        ".git",
        "a/.GIT/b",
        ".gitattributes",
        "a\\b",
        "a\nb",
        "a\x00b",
        "a\u200bb",
        "\ud800",
        "a" * 256,
        "a/" * 600 + "a",
    ],
)
def test_bad_paths_are_refused_everywhere(repository: Repository, path: str) -> None:
    with repository.transaction("main", "x") as transaction:
        transaction.put("good", b"1")
        with pytest.raises(InvalidNameError):
            transaction.put(path, b"1")
        with pytest.raises(InvalidNameError):
            transaction.remove(path)
        with pytest.raises(InvalidNameError), transaction.file(path):
            pass
    for ask in (repository.stat, repository.read, repository.open, repository.location):
        with pytest.raises(InvalidNameError):
            ask("main", path)


@pytest.mark.parametrize("path", ["a b", "ä/ö.parquet", "...", "a/b=1/c", "-x", "%2e", "日本"])
def test_unusual_but_good_paths_are_kept(
    repository: Repository, commit: Callable[..., str], path: str
) -> None:
    commit(repository, {path: b"1"})

    assert [found.path for found in repository.objects("main")] == [path]
    assert repository.read("main", path) == b"1"


def test_an_object_and_its_folder_cant_both_be(
    repository: Repository, commit: Callable[..., str]
) -> None:
    with pytest.raises(InvalidNameError, match="`a`"):
        commit(repository, {"a": b"1", "a/b": b"2"})
    commit(repository, {"a": b"1"})
    with pytest.raises(InvalidNameError, match="`a`"):
        commit(repository, {"a/b/c": b"2"})


def test_an_object_may_give_its_place_to_a_folder_and_back(
    repository: Repository, commit: Callable[..., str]
) -> None:
    commit(repository, {"a": b"1"})
    commit(repository, {"a": None, "a/b": b"2"})
    assert [found.path for found in repository.objects("main")] == ["a/b"]

    commit(repository, {"a/b": None, "a": b"3"})
    assert [found.path for found in repository.objects("main")] == ["a"]


def test_diff(repository: Repository, commit: Callable[..., str]) -> None:
    left = commit(repository, {"d/a": b"1", "d/b": b"1", "e": b"1", "same/x": b"1"})
    right = commit(repository, {"d/a": b"2", "d/b": None, "d/c": b"1", "e": None, "e/f": b"1"})

    assert repository.diff(left, right) == [
        Change("d/a", "changed"),
        Change("d/b", "removed"),
        Change("d/c", "added"),
        Change("e", "removed"),
        Change("e/f", "added"),
    ]
    assert repository.diff(left, right, "d/c") == [Change("d/c", "added")]
    assert repository.diff(right, left, "e") == [Change("e", "added"), Change("e/f", "removed")]
    assert repository.diff(left, left) == []


def test_a_transaction_needs_a_branch_a_message_and_text_for_metadata(
    repository: Repository,
) -> None:
    with pytest.raises(RefNotFoundError), repository.transaction("nowhere", "x"):
        pass
    with pytest.raises(InvalidNameError), repository.transaction("main", " \n"):
        pass
    with pytest.raises(InvalidNameError), repository.transaction("main", "x", {"n": 1}):
        pass


def test_threads_share_a_handle(repository: Repository, commit: Callable[..., str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: commit(repository, {f"p/{n}": b"%d" % n}), range(24)))

    assert len({*made}) == 24
    assert len(repository.objects("main", "p/")) == 24
    assert {found.id for found in repository.log("main")} >= {*made}


def test_a_handle_can_be_pickled(repository: Repository, commit: Callable[..., str]) -> None:
    commit(repository, {"a": b"1"})

    assert pickle.loads(pickle.dumps(repository)).read("main", "a") == b"1"
