"""The real daemon, once: a week that lands goes through with no other hand."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import tiny
from tests.conftest import PlayedTo


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def status(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tiny.mlops(project, "status", "--json").stdout)["models"][0]
    return found


def until(condition: Callable[[], bool], seconds: float, what: str, log: Path) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, (
            f"{what} did not happen in {seconds} s:\n{log.read_text()[-6000:]}"
        )
        time.sleep(1)


def test_a_landed_week_goes_through_to_a_retraining_by_itself(
    tmp_path: Path, played_to: PlayedTo
) -> None:
    # given a history played up to the first drifted window, whose next will be the second
    project = played_to(10).project.root
    before = status(project)
    assert before["windows"][-1]["verdict"] == "warning"
    log = tmp_path / "dev.log"
    with log.open("w") as out:
        dev = subprocess.Popen(
            [str(tiny.BIN / "mlops"), "dev", "--port", str(free_port())],
            cwd=project,
            env=tiny.environment(project),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        ticks = project / ".mlops/dagster"
        until(
            lambda: (
                "Launching sensor" in log.read_text()
                or "No run requests" in log.read_text()
                or "mlops_data" in log.read_text()
            ),
            120,
            "a first tick",
            log,
        )
        # then opening it requests nothing
        time.sleep(15)
        assert status(project)["windows"] == before["windows"]
        assert ticks.exists()
        # and a second one is kept out, as is a replay
        second = tiny.mlops(project, "replay", tiny.MODEL, check=False)
        assert second.returncode == 1
        assert "in use by `mlops dev`" in second.stderr
        # when one more week lands
        landed = tiny.mlops(
            project, "land", tiny.MODEL, f"history/batches/{tiny.window(10)}.parquet"
        )
        assert "picks it up" in landed.stdout
        # then it is scored, profiled and judged, and drift starts a retraining
        until(
            lambda: status(project)["windows"][-1]["window"] == tiny.window(10),
            120,
            "a verdict",
            log,
        )
        assert status(project)["windows"][-1]["verdict"] == "drifted"
        until(lambda: bool(status(project)["retrainings"]), 120, "a retraining", log)
        assert status(project)["retrainings"][-1]["trigger"] == "drift"
    finally:
        dev.send_signal(signal.SIGTERM)
        try:
            dev.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(dev.pid, signal.SIGKILL)
            raise
    # and told to stop, it stops, and leaves the home free
    assert json.loads(tiny.mlops(project, "status", "--json").stdout)["in_use_by"] is None
