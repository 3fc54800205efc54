"""What does not go on by itself is said, with what to do."""

from __future__ import annotations

import os
import subprocess
import sys

import dagster as dg
import pytest

from mlops_assets.cli.status import show_model
from mlops_assets.sensors import runs
from mlops_assets.sensors.hanging import Halted, may_be_halted, read_halted, why_it_hangs
from tests.conftest import Played, reopen
from tests.sensors.test_runs import left_behind


@pytest.mark.parametrize(
    ("status", "life", "minutes", "served", "why"),
    [
        ("STARTED", "lives", 599.0, True, None),
        ("STARTED", "lives", 601.0, True, "running for 601 minutes"),
        ("STARTED", "dead", 0.1, True, "process is gone"),
        ("CANCELING", "lives", 30.0, True, "told to stop"),
        ("QUEUED", "unknown", 0.0, True, None),
        ("QUEUED", "unknown", 0.0, False, "waits for a daemon"),
        ("STARTING", "unknown", 0.2, True, None),
    ],
)
def test_a_run_hangs_where_it_does_not_end_by_itself(
    status: str, life: str, minutes: float, served: bool, why: str | None
) -> None:
    found = why_it_hangs(status, life, minutes, 600.0, served=served)  # type: ignore[arg-type]  # one of three
    assert (found is None) == (why is None)
    assert found is None or (why in found[0] and found[1])  # type: ignore[operator]  # not None then


def test_dead_runs_and_stopped_sensors_are_in_the_status(
    played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    # given a home in which nothing hangs, Dagster is not even asked
    home = played.project.home
    played.land(0)
    assert not may_be_halted(home.dagster)
    # when a daemon was killed during a run, and somebody stopped a sensor
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    run = left_behind(played, gone.pid)
    played.stop("data")
    # then the status says both, and what to do
    found = played.status
    assert len(found["needs"]) >= 2
    (hanging,), (stopped,) = found["hanging"], found["stopped_sensors"]
    assert hanging["run"] == run.run_id
    assert (hanging["why"], hanging["do"]) == (
        "its process is gone",
        "`mlops dev` or a replay ends it",
    )
    assert stopped["sensor"] == "mlops_data"
    show_model(found)
    said = " ".join(capsys.readouterr().out.split())
    assert "its process is gone" in said
    assert "nothing is ingested start it in Dagster" in said
    # the run not of another model, but all wait for the sensor
    assert read_halted(home, {"other": 120.0}) == Halted({}, {"other": [stopped]})
    # and nothing hangs once it was ended
    played.player.evaluate("decision")
    assert played.status["hanging"] == []
    assert played.instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.CANCELED  # type: ignore[union-attr]  # it is there


def test_a_run_may_take_as_long_as_is_declared(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run that has been going on for three hours, and lives
    left_behind(played, os.getpid())
    monkeypatch.setattr(runs, "age_minutes", lambda _record: 180.0)
    assert "running for 180 minutes" in played.status["hanging"][0]["why"]
    # when the declaration lets it take ten hours
    file = played.project.root / "tiny_project/defs/tiny/defs.yaml"
    file.write_text(file.read_text().replace("{triggers", "{in_flight_minutes: 600, triggers"))
    # then nobody is told to terminate it
    assert reopen(played).status["hanging"] == []
