"""`mlops import` as a person meets it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.batches.landing import landings
from mlops_assets.versions import Repository, open_repository
from tests import tiny
from tests.importing.dvc_project import HandLaid


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tiny.make_project(tmp_path / "project", windows=6)


def repository(project: Path) -> Repository:
    return open_repository(str(project / ".mlops/repository"))


def state(project: Path) -> list[tuple[str, str]]:
    found = repository(project)
    return [*found.branches(), *found.tags()]


def test_a_folder_is_imported_with_what_was_refused_named(project: Path) -> None:
    # given a history with one broken window
    broken = project / f"history/batches/{tiny.window(2)}.parquet"
    pl.read_parquet(broken).drop("amount").write_parquet(broken)
    (project / "history/notes.txt").write_text("x")
    # when it is rehearsed, then it is said what would happen, and nothing does
    done = tiny.mlops(project, "import", "tiny", "history", "--dry-run", check=False)
    assert done.returncode == 1
    assert f"Refused: batches of {tiny.window(2)} (batches/{tiny.window(2)}.parquet)" in done.stdout
    assert "no column `amount`" in done.stdout
    assert "1 file of other kinds: left alone" in done.stdout
    assert "Nothing was changed" in done.stdout
    assert landings(repository(project), "tiny") == []
    # when it is imported
    done = tiny.mlops(project, "import", "tiny", "history", "--json", check=False)
    # then the documented form says so, and the broken one is refused as one that landed by itself
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert (said["imported"], said["unchanged"], said["refused"], said["others"]) == (11, 0, 1, 1)
    assert said["commit"] is None
    assert said["dry_run"] is False
    (refused,) = (one for one in said["windows"] if one["outcome"] == "refused")
    assert (refused["kind"], refused["window"]) == ("batches", tiny.window(2))
    status = json.loads(tiny.mlops(project, "status", "--json").stdout)["models"][0]
    assert [one["window"] for one in status["refused"]] == [tiny.window(2)]
    assert len(status["waiting"]) == 11
    # and again changes nothing
    before = state(project)
    again = json.loads(
        tiny.mlops(project, "import", "tiny", "history", "--json", check=False).stdout
    )
    assert (again["imported"], again["unchanged"], again["refused"]) == (0, 11, 1)
    assert state(project) == before
    # and no draft is left
    assert [f.name for f in (project / ".mlops/importing").iterdir()] == ["tiny.lock"]


def test_a_dvc_project_is_imported_at_a_revision(project: Path, tmp_path: Path) -> None:
    # given a project that tracked two windows, then three
    laid = HandLaid(tmp_path / "theirs")

    def tracked(count: int) -> dict[str, bytes]:
        files = sorted((project / "history/batches").iterdir())[:count]
        return {file.name: file.read_bytes() for file in files}

    laid.add("data/batches", tracked(2))
    first = laid.commit()
    laid.add("data/batches", tracked(3))
    laid.commit()
    # when the first revision is imported
    command = ("import", "tiny", str(laid.root), "--path", "data", "--json", "--rev")
    said = json.loads(tiny.mlops(project, *command, "HEAD~1").stdout)
    # then it is what was tracked then, and where it came from is kept with it
    assert (said["imported"], said["commit"]) == (2, first)
    landing = landings(repository(project), "tiny")[0]
    kept = repository(project).commit(landing.commit).metadata
    assert kept["mlops.imported_commit"] == first
    assert kept["mlops.source"] == f"data/batches/{tiny.window(0)}.parquet"
    # and the next one adds what is new
    said = json.loads(tiny.mlops(project, *command, "HEAD").stdout)
    assert (said["imported"], said["unchanged"]) == (1, 2)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on(tmp_path: Path) -> None:
    # given an import that takes some time: what many windows hold, in one file
    project = tiny.make_project(tmp_path / "project", windows=0)
    rows = pl.concat([tiny.batch(number)[0] for number in range(40)])
    (project / "old").mkdir()
    rows.write_csv(project / "old/all.csv")
    command = [str(tiny.BIN / "mlops"), "import", "tiny", "old"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    killed = set()
    # when it is killed once some windows have landed, again and again
    for number in range(3):
        going = subprocess.Popen(
            command, cwd=project, env=tiny.environment(project), start_new_session=True, **quiet
        )
        before = len(repository(project).branches("landing-"))
        moment = before + random.Random(number).randint(1, 8)
        while len(repository(project).branches("landing-")) < moment and going.poll() is None:
            time.sleep(0.002)
        os.killpg(going.pid, signal.SIGKILL)
        going.wait()
        killed.add(len(landings(repository(project), "tiny")))
    # then it had not ended, and what landed is whole
    assert 0 < max(killed) < 40
    said = json.loads(tiny.mlops(project, "import", "tiny", "old", "--json").stdout)
    assert said["imported"] + said["unchanged"] == 40
    assert said["unchanged"] == max(killed)
    waiting = landings(repository(project), "tiny")
    assert [one.window for one in waiting] == [tiny.window(number) for number in range(40)]
    assert repository(project).verify(waiting[-1].commit) == []
    assert [f.name for f in (project / ".mlops/importing").iterdir()] == ["tiny.lock"]


def test_a_second_import_at_the_same_time_is_told_to_wait(project: Path) -> None:
    from filelock import FileLock

    (project / ".mlops/importing").mkdir(parents=True)
    with FileLock(project / ".mlops/importing/tiny.lock"):
        done = tiny.mlops(project, "import", "tiny", "history", check=False)
    assert done.returncode == 1
    assert "another import of tiny is going on" in done.stderr


MISTAKES = [
    (["nowhere"], "no folder nowhere"),
    (["tiny_project"], "tiny_project holds no .parquet or .csv file"),
    (["history", "--rev", "v1"], "history is in no DVC project"),
    (["theirs", "--rev", "v1"], "has no git revision `v1`"),
    (["theirs", "--rev", "HEAD", "--path", "x"], "DVC tracks nothing at x in"),
    (["theirs", "--rev", "HEAD"], "of 1 file that DVC tracks there none is .parquet or .csv"),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_named_without_a_traceback(
    project: Path, arguments: list[str], said: str
) -> None:
    laid = HandLaid(project / "theirs")
    laid.add("model.bin", b"x")
    laid.commit()
    done = tiny.mlops(project, "import", "tiny", *arguments, "--json", check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stdout == ""


def test_a_path_without_a_revision_is_a_wrong_call(project: Path) -> None:
    done = tiny.mlops(project, "import", "tiny", "history", "--path", "x", check=False)
    assert done.returncode == 2
    assert "goes with --rev only" in done.stderr
