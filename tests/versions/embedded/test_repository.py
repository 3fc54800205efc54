from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_assets.errors import (
    InvalidNameError,
    RepositoryCorruptError,
    VersionsError,
)
from mlops_assets.versions import Repository, open_repository


def git(*arguments: str, at: Path | str | None = None) -> str:
    ran = subprocess.run(
        ["git", *arguments], cwd=at, capture_output=True, text=True, check=True, stdin=None
    )
    return ran.stdout


def data_of(repository: Repository, path: str) -> Path:
    return Path(repository.location("main", path).uri)


def test_stock_git_reads_it(
    embedded: Repository, commit: Callable[..., str], tmp_path: Path
) -> None:
    commit(embedded, {"d/a": b"one"}, note="first")
    embedded.create_branch("side")
    commit(embedded, {"d/b": b"two"}, "side", note="second")
    embedded.merge("side", "main", "third", {"run": "7"})

    git("clone", "--quiet", embedded.url, str(tmp_path / "clone"))

    subjects = git("log", "--format=%s", "--author=mlops_assets <mlops@localhost>", at=embedded.url)
    assert {*subjects.split()} >= {"first", "second", "third"}
    trailers = git("log", "-1", "--format=%(trailers:key=Mlops-Assets,valueonly)", at=embedded.url)
    assert '"metadata": {"run": "7"}' in trailers
    assert git("fsck", "--strict", at=embedded.url) == ""
    assert git("config", "gc.auto", at=embedded.url) == "0\n"
    attribute = git("check-attr", "filter", "d/a", ".gitattributes", at=tmp_path / "clone")
    assert attribute == "d/a: filter: lfs\n.gitattributes: filter: unspecified\n"


def test_the_layout_is_that_of_git_lfs(embedded: Repository, commit: Callable[..., str]) -> None:
    commit(embedded, {"d/a": b"one", "empty": b""})
    checksum = embedded.stat("main", "d/a").checksum

    assert git("show", "main:d/a", at=embedded.url) == (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{checksum}\nsize 3\n"
    )
    assert git("show", "main:empty", at=embedded.url) == ""
    place = Path(embedded.url, "lfs", "objects", checksum[:2], checksum[2:4], checksum)
    assert place == data_of(embedded, "d/a")
    assert place.read_bytes() == b"one"
    assert place.stat().st_mode & 0o222 == 0


def test_what_stock_git_packs_and_tags_is_found(
    embedded: Repository, commit: Callable[..., str]
) -> None:
    made = commit(embedded, {"a": b"1"})
    git("-c", "user.name=x", "-c", "user.email=x@x", "tag", "-a", "v1", "-m", "x", at=embedded.url)
    git("pack-refs", "--all", at=embedded.url)
    git("repack", "-a", "-d", "--quiet", at=embedded.url)

    assert embedded.tags() == [("v1", made)]
    assert embedded.read("v1", "a") == b"1"
    embedded.delete_tag("v1")
    assert embedded.tags() == []
    assert open_repository(embedded.url).resolve("main") == made


def test_a_commit_pushed_from_a_clone_is_read(
    embedded: Repository, commit: Callable[..., str], tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    commit(embedded, {"a": b"1"})
    git("clone", "--quiet", embedded.url, str(clone))
    (clone / "b").write_text((clone / "a").read_text())  # a pointer, as git-lfs would commit it
    (clone / "plain").write_text("not through LFS")
    git("add", ".", at=clone)
    git("-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "-m", "by hand", at=clone)
    git("push", "--quiet", at=clone)

    assert embedded.commit("main").message == "by hand"
    assert embedded.read("main", "b") == b"1"
    with pytest.raises(RepositoryCorruptError, match="`plain`"):
        embedded.stat("main", "plain")
    commit(embedded, {"plain": None})
    assert [found.path for found in embedded.objects("main")] == ["a", "b"]


def test_verify_names_what_is_missing_or_damaged(
    embedded: Repository, commit: Callable[..., str]
) -> None:
    commit(embedded, {"sound": b"1", "gone": b"2", "short": b"345", "bent": b"678"})
    for path, content in (("short", b"3"), ("bent", b"670")):
        file = data_of(embedded, path)
        file.chmod(0o644)
        file.write_bytes(content)
    data_of(embedded, "gone").unlink()

    problems = embedded.verify()

    assert len(problems) == 3
    for path, problem in zip(("bent", "gone", "short"), problems, strict=True):
        assert f"`{path}`" in problem
        with pytest.raises(RepositoryCorruptError, match=f"`{path}`"):
            embedded.read("main", path)
    with pytest.raises(RepositoryCorruptError):
        embedded.location("main", "gone")


def test_putting_a_lost_object_again_heals_it(
    embedded: Repository, commit: Callable[..., str]
) -> None:
    commit(embedded, {"a": b"12"})
    data_of(embedded, "a").unlink()

    with embedded.transaction("main", "x", allow_unchanged=True) as transaction:
        transaction.put("a", b"12")

    assert embedded.verify() == []


def test_damaged_git_data_is_told_as_such(embedded: Repository, commit: Callable[..., str]) -> None:
    commit(embedded, {"d/a": b"1"})
    tree = git("rev-parse", "main:d", at=embedded.url).strip()
    (Path(embedded.url) / "objects" / tree[:2] / tree[2:]).unlink()
    fresh = open_repository(embedded.url)

    with pytest.raises(RepositoryCorruptError, match="git fsck"):
        fresh.stat("main", "d/a")
    assert [tree in problem for problem in fresh.verify()] == [True]


def test_a_failed_transaction_leaves_no_data(embedded: Repository) -> None:
    def fail() -> None:
        with embedded.transaction("main", "x") as transaction:
            transaction.put("a", b"1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert [found for found in Path(embedded.url, "lfs").rglob("*") if found.is_file()] == []


def test_a_file_system_without_links_is_good_enough(
    embedded: Repository, commit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)

    commit(embedded, {"a": b"1"})

    assert embedded.read("main", "a") == b"1"
    assert embedded.verify() == []


def test_what_a_killed_transaction_left_is_swept_after_a_week(
    embedded: Repository, commit: Callable[..., str]
) -> None:
    staged = Path(embedded.url, "lfs", "staging")
    for name in ("old", "young"):
        (staged / name).mkdir()
        (staged / name / "0").write_bytes(b"half")
    (staged / "stray").touch()
    week_ago = time.time() - 8 * 24 * 3600
    for path in (staged / "old" / "0", staged / "old"):
        os.utime(path, (week_ago, week_ago))

    commit(embedded, {"a": b"1"})

    assert {found.name for found in staged.iterdir()} == {"young", "stray"}


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(VersionsError, match="no repository of mlops_assets"):
        open_repository(str(tmp_path))
    with pytest.raises(VersionsError):
        open_repository(str(tmp_path / "notes.txt"))


def test_a_file_url_is_a_folder_and_other_kinds_are_refused(tmp_path: Path) -> None:
    assert open_repository(f"file://{tmp_path}/r").url == str(tmp_path / "r")
    with pytest.raises(InvalidNameError):
        open_repository("ftp://somewhere/r")
