from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import mlops_assets
from mlops_assets.errors import SourceError
from mlops_assets.importing.dvc import Broken, DvcProject, Tracked
from mlops_assets.versions import open_repository
from tests.importing.dvc_project import HandLaid

DVC = Path(mlops_assets.__file__).parents[1] / ".venv-peers/bin/dvc"  # `make bench` installs it
CACHES = pytest.mark.parametrize("version", [2, 3])


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "settings"))


@pytest.fixture
def laid(tmp_path: Path) -> HandLaid:
    return HandLaid(tmp_path / "project")


def read(folder: Path, revision: str = "HEAD", *below: str) -> dict[str, bytes | str]:
    """Return the content of what is tracked, or the problem with it."""
    project = DvcProject.at(folder, revision)
    found: dict[str, bytes | str] = {}
    for one in project.tracked(below):
        file = project.file_of(one) if isinstance(one, Tracked) else one
        found[one.path] = file.problem if isinstance(file, Broken) else file.read_bytes()
    return found


@CACHES
def test_what_was_tracked_at_a_revision_is_read_from_the_cache(
    tmp_path: Path, version: int
) -> None:
    # given a project whose files changed since
    laid = HandLaid(tmp_path / "project", version)
    laid.add("data/one.csv", b"old")
    laid.add("data/days", {"mon.csv": b"m", "deep/tue.csv": b"t"})
    first = laid.commit()
    laid.add("data/one.csv", b"new")
    laid.commit()
    # when both revisions are read, then each has its own, and nothing need be checked out
    days = {"data/days/deep/tue.csv": b"t", "data/days/mon.csv": b"m"}
    assert read(laid.root, first) == {**days, "data/one.csv": b"old"}
    assert read(laid.root) == {**days, "data/one.csv": b"new"}
    # and a path chooses, as does a folder of the project
    assert read(laid.root, "HEAD", "data/days/deep") == {"data/days/deep/tue.csv": b"t"}
    assert read(laid.root / "data", "HEAD", "days") == days
    assert DvcProject.at(laid.root, "HEAD~1").commit == first


@pytest.mark.parametrize("schema", ["2.0", None])
def test_the_outputs_of_a_pipeline_are_found_where_they_lie(
    laid: HandLaid, schema: str | None
) -> None:
    # given stages whose paths are relative to their working folders
    stages = {
        "split": {"cmd": "x", "outs": [laid.out("a.csv", b"a")]},
        "each@1": {"cmd": "x", "outs": [laid.out("../b.csv", b"b")]},
        "away": {"cmd": "x", "outs": [{**laid.out("s3://bucket/c.csv", b"c")}]},
        "bare": {"cmd": "x"},
    }
    (laid.root / "pipe").mkdir()
    lock = {"schema": schema, "stages": stages} if schema else stages
    (laid.root / "pipe/dvc.lock").write_text(yaml.safe_dump(lock))
    declared = {
        "split": {"cmd": "x", "wdir": "inner"},
        "each": {"foreach": [1], "do": {"cmd": "x", "wdir": "inner/deep"}},
    }
    (laid.root / "pipe/dvc.yaml").write_text(yaml.safe_dump({"stages": declared}))
    laid.commit()
    # then they are named as they lie in the project, and what lies on a server is left alone
    assert read(laid.root) == {"pipe/inner/a.csv": b"a", "pipe/inner/b.csv": b"b"}


def test_a_project_in_a_folder_of_the_repository_knows_only_its_own(tmp_path: Path) -> None:
    outer = HandLaid(tmp_path / "outer")
    outer.add("x.csv", b"outer")
    inner = HandLaid(tmp_path / "outer/sub/inner")
    (inner.root / ".git").rename(tmp_path / "not-wanted")
    inner.add("x.csv", b"inner")
    (inner.root / ".dvc/.gitignore").write_text("/cache\n")
    outer.commit()
    assert read(inner.root) == {"x.csv": b"inner"}
    assert read(outer.root) == {"x.csv": b"outer"}


@pytest.mark.parametrize(
    ("file", "named"),
    [
        (".dvc/config", "../../shared"),
        (".dvc/config.local", "'{there}'"),
        ("../settings/config", "{there}"),
    ],
)
def test_the_cache_is_where_dvc_was_told_it_is(laid: HandLaid, file: str, named: str) -> None:
    # given a cache elsewhere, named as DVC writes it: with a section in quotes before it
    laid.add("x.csv", b"x")
    there = laid.root.parent / "shared"
    laid.cache.rename(there)
    settings = laid.root / file
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(
        "[core]\n    remote = far\n['remote \"far\"']\n    url = s3://b/%d\n"
        f"[cache]\n    dir = {named.format(there=there)}\n    type = hardlink,copy\n"
    )
    laid.commit()
    assert read(laid.root) == {"x.csv": b"x"}


def test_the_line_ends_of_a_text_did_not_count_in_dvc_2(tmp_path: Path) -> None:
    for version, well in ((2, True), (3, False)):
        # given a text with the line ends of Windows under the MD5 of one with those of Unix
        laid = HandLaid(tmp_path / f"{version}", version)
        laid.add("x.csv", b"a\nb\n")
        laid.commit()
        file = laid.file_of(laid.keep(b"a\nb\n"))
        file.chmod(0o644)
        file.write_bytes(b"a\r\nb\r\n")
        # then only DVC 2 would have put it there
        assert (read(laid.root)["x.csv"] == b"a\r\nb\r\n") is well


def test_what_can_not_be_had_is_said_and_the_rest_goes_on(laid: HandLaid) -> None:
    # given one file that was never fetched, one that rotted, a folder without its list, and others
    laid.add("gone.csv", b"gone")
    laid.add("rotten.csv", b"good")
    laid.add("folder", {"a.csv": b"a"})
    laid.add("bad-list", {"../../etc/passwd": b"x", "/abs": b"x", "fine.csv": b"fine"})
    laid.add("well.csv", b"well")
    (laid.root / "odd.csv.dvc").write_text("outs: [")
    (laid.root / "open.csv.dvc").write_text("outs:\n- path: open.csv\n")
    (laid.root / "wild.csv.dvc").write_text("outs:\n- path: wild.csv\n  md5: ../../secret\n")
    (laid.root / "up.csv.dvc").write_text(f"outs:\n- path: ../up.csv\n  md5: {'0' * 32}\n")
    laid.commit()
    laid.file_of(laid.keep(b"gone")).unlink()
    rotten = laid.file_of(laid.keep(b"good"))
    rotten.chmod(0o644)
    rotten.write_bytes(b"evil")
    (entry,) = yaml.safe_load((laid.root / "folder.dvc").read_text())["outs"]
    laid.file_of(entry["md5"]).unlink()
    # when it is read
    found = read(laid.root)
    # then each is named with what to do, nothing is read from outside, the others are there
    assert "`dvc fetch` it" in str(found.pop("gone.csv"))
    assert "does not match its MD5" in str(found.pop("rotten.csv"))
    assert "`dvc fetch` it" in str(found.pop("folder"))
    assert "which is no file in it" in str(found.pop("bad-list"))
    assert "can't be read" in str(found.pop("odd.csv.dvc"))
    assert "has no MD5" in str(found.pop("open.csv"))
    assert "has no MD5" in str(found.pop("wild.csv"))
    assert found == {"bad-list/fine.csv": b"fine", "well.csv": b"well"}


def test_what_is_no_project_or_no_revision_is_said(laid: HandLaid, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is in no DVC project"):
        DvcProject.at(tmp_path, "HEAD")
    with pytest.raises(SourceError, match="no git revision `HEAD`"):
        DvcProject.at(laid.root, "HEAD")
    laid.commit()
    with pytest.raises(SourceError, match="no git revision `v1`"):
        DvcProject.at(laid.root, "v1")
    laid.add("data/x.csv", b"x")
    laid.commit()
    for path in ("dat", "../other", "/data"):
        with pytest.raises(
            SourceError, match=r"DVC tracks nothing at .*; at the top it tracks data"
        ):
            DvcProject.at(laid.root, "HEAD").tracked([path])
    (laid.root / ".git").rename(tmp_path / "git")
    with pytest.raises(SourceError, match="is not under git"):
        DvcProject.at(laid.root, "HEAD")


@pytest.mark.skipif(not DVC.exists(), reason="DVC itself is not installed")
def test_what_dvc_itself_writes_is_read(laid: HandLaid, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a project that DVC made: a file, a folder, and a pipeline in a folder of its own
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")

    def dvc(*arguments: str) -> str:
        done = subprocess.run(
            [DVC, *arguments], cwd=laid.root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    shutil.rmtree(laid.root / ".dvc")
    dvc("init", "--quiet")
    dvc("config", "cache.dir", "../their cache")
    for name, content in (("one.csv", b"one"), ("days/mon.csv", b"mon"), ("days/t/ue.csv", b"tue")):
        file = laid.root / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (laid.root / "pipe/deep").mkdir(parents=True)
    stage = {"cmd": "echo made > made.csv", "wdir": "deep", "outs": ["made.csv"]}
    (laid.root / "pipe/dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": stage}}))
    dvc("add", "--quiet", "data/one.csv", "data/days")
    dvc("repro", "--quiet", "pipe/dvc.yaml")
    laid.git("add", "--all")
    laid.git("commit", "--quiet", "--message", "tracked")
    # when it is read, then all is found
    expected = {
        "data/days/mon.csv": b"mon",
        "data/days/t/ue.csv": b"tue",
        "data/one.csv": b"one",
        "pipe/deep/made.csv": b"made\n",
    }
    assert read(laid.root) == expected
    # and what is put into a repository is DVC's own file, with which DVC goes on
    project = DvcProject.at(laid.root, "HEAD")
    repository = open_repository(str(laid.root.parent / "repository"))
    with repository.transaction("main", "imported") as transaction:
        for one in project.tracked():
            assert isinstance(one, Tracked)
            file = project.file_of(one)
            assert isinstance(file, Path)
            transaction.put(one.path, file, immutable=True)
    for one in project.tracked():
        location = repository.location("main", one.path).uri
        assert project.file_of(one).samefile(location)  # type: ignore[union-attr, arg-type]  # each of them has a file
    (laid.root / "data/one.csv").unlink()
    dvc("checkout", "--quiet")
    assert (laid.root / "data/one.csv").read_bytes() == b"one"
    assert "up to date" in dvc("status")
    dvc("gc", "--quiet", "--force", "--workspace")
    assert repository.verify() == []
