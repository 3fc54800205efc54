"""History played as a person plays it: twice, and killed at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.versions import open_repository
from tests import tiny

WINDOWS = 12
DRIFT_AT = 7


def left_over(project: Path) -> dict[str, int]:
    """Count what a dead process may have left in Dagster and MLflow."""
    home = project / ".mlops"
    with sqlite3.connect(home / "dagster/history/runs.db") as runs:
        unfinished = runs.execute(
            "select count(*) from runs where status not in ('SUCCESS', 'FAILURE', 'CANCELED')"
        ).fetchone()[0]
    with sqlite3.connect(home / "dagster/history/runs/index.db") as index:
        slots = index.execute(
            "select count(*) from concurrency_slots where run_id is not null"
        ).fetchone()[0]
        pending = index.execute("select count(*) from pending_steps").fetchone()[0]
    with sqlite3.connect(home / "mlflow/mlflow.db") as mlflow:
        running = mlflow.execute("select count(*) from runs where status = 'RUNNING'").fetchone()[0]
    return {"unfinished": unfinished, "slots": slots, "pending": pending, "running": running}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], float]:
    """Play the history once, with nothing in its way; also say how long it took."""
    project = tiny.make_project(
        tmp_path_factory.mktemp("undisturbed") / "project", WINDOWS, DRIFT_AT
    )
    begun = time.monotonic()
    summary = json.loads(tiny.mlops(project, "replay", tiny.MODEL, "--json").stdout)
    assert summary["played"] == WINDOWS
    return project, tiny.outcome(project), time.monotonic() - begun


def test_a_replay_retrains_on_drift_and_says_what_it_was_worth(
    undisturbed: tuple[Path, dict[str, Any], float],
) -> None:
    project, found, _ = undisturbed
    # given a history that drifts, then there are verdicts for every window
    assert len(found["windows"]) == WINDOWS
    assert {one["verdict"] for one in found["windows"]} == {
        "insufficient",
        "stable",
        "warning",
        "drifted",
    }
    # and a retraining on drift, with its reason
    assert any(one["trigger"] == "drift" and one["promoted"] for one in found["retrainings"])
    assert all(one["reason"] for one in found["retrainings"])
    # and the loop beside the frozen model, on the same rows
    again = tiny.mlops(project, "replay", tiny.MODEL, "--json")
    summary = json.loads(again.stdout)
    assert summary["windows"] > 0
    assert summary["rows"] == summary["windows"] * 300
    assert set(summary["loop"]) == set(summary["frozen"]) == {"auc"}
    assert left_over(project) == {"unfinished": 0, "slots": 0, "pending": 0, "running": 0}


def test_running_it_again_changes_nothing_and_says_so(
    undisturbed: tuple[Path, dict[str, Any], float],
) -> None:
    # given a home in which everything was played
    project, before, _ = undisturbed
    head = subprocess.run(
        ["git", "--git-dir", project / ".mlops/repository", "rev-parse", "main"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # when it is played again
    said = tiny.mlops(project, "replay", tiny.MODEL).stdout
    # then it says that nothing was left to do, and nothing is different
    assert "nothing was changed" in said
    assert tiny.outcome(project) == before
    repository = ["git", "--git-dir", project / ".mlops/repository", "rev-parse", "main"]
    assert subprocess.run(repository, capture_output=True, text=True, check=True).stdout == head


# shares of the undisturbed run's time, early and late
MOMENTS = [
    pytest.param([0.35, 0.3], id="early"),
    pytest.param([0.55, 0.45, 0.3], id="in the first training"),
    pytest.param([0.85, 0.5], id="late"),
    *(
        pytest.param([random.Random(n).uniform(0.1, 0.7) for _ in range(4)], id=f"random {n}")
        for n in range(6)
    ),
]


@pytest.mark.slow  # a minute each; killed writers, landings and imports have tests of their own
@pytest.mark.parametrize("moments", MOMENTS)
def test_killed_at_any_moment_it_ends_the_same(
    tmp_path: Path, undisturbed: tuple[Path, dict[str, Any], float], moments: list[float]
) -> None:
    # given the same history, played by processes that are killed outright again and again
    _, expected, seconds = undisturbed
    project = tiny.make_project(tmp_path / "project", WINDOWS, DRIFT_AT)
    killed = 0
    for moment in moments:
        playing = subprocess.Popen(
            [str(tiny.BIN / "mlops"), "replay", tiny.MODEL],
            cwd=project,
            env=tiny.environment(project),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            playing.wait(timeout=moment * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(playing.pid, signal.SIGKILL)
            playing.wait()
            killed += 1
    assert killed, "no process was killed: the test proves nothing"
    # when it is played to the end
    tiny.mlops(project, "replay", tiny.MODEL)
    # then champions, verdicts, decisions and the ledger are those of the undisturbed run
    assert tiny.outcome(project) == expected
    # and nothing of the dead is left: no run in progress, no slot held
    assert left_over(project) == {"unfinished": 0, "slots": 0, "pending": 0, "running": 0}


def test_told_to_stop_it_stops_and_goes_on_from_there(tmp_path: Path) -> None:
    # given a replay in the middle of its runs
    project = tiny.make_project(tmp_path / "project", windows=4)
    playing = subprocess.Popen(
        [str(tiny.BIN / "mlops"), "replay", tiny.MODEL],
        cwd=project,
        env=tiny.environment(project),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509  # pytest has no threads here
    )
    runs = project / ".mlops/dagster/history/runs.db"
    end = time.monotonic() + 60
    while not runs.exists() or not in_progress(runs):
        assert playing.poll() is None, "it was done before it could be told to stop"
        assert time.monotonic() < end
        time.sleep(0.01)
    # when a person presses Ctrl-C
    playing.send_signal(signal.SIGINT)
    _, said = playing.communicate(timeout=30)
    # then it stops, says how to go on, and no run counts as failed
    assert playing.returncode == 130, said
    assert "goes on where this one stopped" in said
    with sqlite3.connect(runs) as found:
        assert (
            found.execute("select count(*) from runs where status = 'FAILURE'").fetchone()[0] == 0
        )
    # and the same command ends what was begun
    summary = json.loads(tiny.mlops(project, "replay", tiny.MODEL, "--json").stdout)
    assert len(tiny.outcome(project)["windows"]) == 4
    assert summary["refused"] == []


def in_progress(runs: Path) -> bool:
    with sqlite3.connect(f"file:{runs}?mode=ro", uri=True) as found:
        try:
            count = found.execute("select count(*) from runs where status = 'STARTED'").fetchone()[
                0
            ]
        except sqlite3.OperationalError:  # not all tables are there yet
            return False
    return bool(count)


def test_time_does_not_go_back(tmp_path: Path) -> None:
    # given a later week that landed before the history was played
    project = tiny.make_project(tmp_path / "project", windows=4)
    tiny.mlops(project, "land", tiny.MODEL, f"history/batches/{tiny.window(3)}.parquet")
    # when the history is played, then it names what it would have to skip, and plays nothing
    done = tiny.mlops(project, "replay", tiny.MODEL, check=False)
    assert done.returncode == 1
    assert (
        f"3 windows of the history before it did not ({tiny.window(0)} to {tiny.window(2)})"
        in done.stderr
    )
    assert tiny.outcome(project)["windows"] == []


@pytest.mark.slow  # two replays; what an import leaves is in test_import.py
def test_an_imported_history_is_played_as_a_declared_one(
    tmp_path: Path, undisturbed: tuple[Path, dict[str, Any], float]
) -> None:
    # given the same history, not declared but imported
    _, expected, _ = undisturbed
    project = tiny.make_project(tmp_path / "project", WINDOWS, DRIFT_AT)
    (project / "history").rename(project / "elsewhere")
    declared = project / "tiny_project/defs/tiny/defs.yaml"
    lines = declared.read_text().splitlines()
    declared.write_text("\n".join(line for line in lines if "history:" not in line))
    assert (
        "`mlops import` brings one in" in tiny.mlops(project, "replay", "tiny", check=False).stderr
    )
    tiny.mlops(project, "import", tiny.MODEL, "elsewhere")
    # when it is played, in two goes
    half = json.loads(
        tiny.mlops(project, "replay", tiny.MODEL, "--until", tiny.window(5), "--json").stdout
    )
    assert half["played"] == 6
    assert len(tiny.outcome(project)["windows"]) == 6
    tiny.mlops(project, "replay", tiny.MODEL)
    # then champions, verdicts, decisions and the ledger are those of the declared history
    assert tiny.outcome(project) == expected
    # and playing or importing it again changes nothing
    assert "nothing was changed" in tiny.mlops(project, "replay", tiny.MODEL).stdout
    again = json.loads(tiny.mlops(project, "import", tiny.MODEL, "elsewhere", "--json").stdout)
    assert (again["imported"], again["unchanged"]) == (0, 2 * WINDOWS)


def test_what_others_put_on_main_is_gone_on_with(tmp_path: Path) -> None:
    # given windows that somebody committed straight to main
    project = tiny.make_project(tmp_path / "project", windows=4)
    repository = open_repository(str(project / ".mlops/repository"))
    with repository.transaction("main", "theirs") as transaction:
        for number in range(3):
            for kind in ("batches", "labels"):
                name = f"{kind}/{tiny.window(number)}.parquet"
                transaction.put(f"{tiny.MODEL}/{name}", project / "history" / name)
    # when the history is played
    tiny.mlops(project, "replay", tiny.MODEL)
    # then they count as landed
    assert [one["window"] for one in tiny.outcome(project)["windows"]] == [
        tiny.window(number) for number in range(4)
    ]
