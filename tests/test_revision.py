from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlops_assets.errors import RevisionError
from mlops_assets.revision import Revision, checked_out, revision_of


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    return subprocess.run(
        ["git", *settings, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a work tree whose project lies in a folder of it, with two commits."""
    top = tmp_path / "tree"
    (top / "models/code").mkdir(parents=True)
    (top / "models/pyproject.toml").touch()
    (top / ".gitignore").write_text("*.log\n")
    for text in ("first", "second"):
        (top / "models/code/features.py").write_text(text)
        if text == "first":
            git(top, "init", "--quiet")
        git(top, "add", ".")
        git(top, "commit", "--quiet", "-m", text)
    return top


def test_the_revision_is_the_commit_and_the_projects_folder(tree: Path) -> None:
    head = git(tree, "rev-parse", "HEAD")
    expected = Revision(head, dirty=False, folder="models")
    assert revision_of(tree / "models/code/features.py") == expected
    assert revision_of(tree / "models") == expected


@pytest.mark.parametrize(
    ("file", "dirty"), [("models/code/features.py", True), ("new.py", True), ("a.log", False)]
)
def test_changed_and_added_files_make_it_dirty_but_ignored_ones_do_not(
    tree: Path, file: str, dirty: bool
) -> None:
    (tree / file).write_text("changed")
    found = revision_of(tree)
    assert found is not None
    assert found.dirty is dirty


def test_without_a_commit_or_a_readable_repository_there_is_no_revision(tmp_path: Path) -> None:
    assert revision_of(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert revision_of(tmp_path) is None
    (tmp_path / ".git/HEAD").write_text("damaged")
    assert revision_of(tmp_path) is None


def test_another_commit_is_given_beside_the_work_tree_which_stays(tree: Path) -> None:
    # given a work tree with a change that is not committed
    (tree / "models/code/features.py").write_text("changed")
    before = git(tree, "status", "--porcelain"), git(tree, "rev-parse", "HEAD")
    first = Revision(git(tree, "rev-parse", "HEAD~1"), dirty=False, folder="models")
    # when an earlier commit is asked for
    with checked_out(tree, first) as folder:
        assert (folder / "code/features.py").read_text() == "first"
        assert folder.name == "models"
    # then it was there for as long as it was needed, and nothing else moved
    assert not folder.parent.exists()
    assert (git(tree, "status", "--porcelain"), git(tree, "rev-parse", "HEAD")) == before
    assert (tree / "models/code/features.py").read_text() == "changed"


def test_a_commit_that_can_not_be_had_is_named(tree: Path, tmp_path: Path) -> None:
    unknown = Revision("1" * 40, dirty=False, folder=".")
    with (
        pytest.raises(RevisionError, match=r"no commit 111111111111 .*fetch it"),
        checked_out(tree, unknown),
    ):
        pass
    with pytest.raises(RevisionError, match="in no git work tree"), checked_out(tmp_path, unknown):
        pass
