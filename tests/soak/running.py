"""The product as a person has it: the command line, `mlops dev` in a shell, and Dagster's UI."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
LOCATION = {
    "repositoryLocationName": "tiny_project.definitions",
    "repositoryName": "__repository__",
}

RUNS = """query Runs($statuses: [RunStatus!]) {
  runsOrError(filter: {statuses: $statuses}) { ... on Runs { results {
    runId status pipelineName tags { key value } } } } }"""
TERMINATE = """mutation Terminate($run: String!) { terminateRun(runId: $run) { __typename } }"""
DELETE = """mutation Delete($run: String!) { deleteRun(runId: $run) { __typename } }"""
WIPE = """mutation Wipe($ranges: [PartitionsByAssetSelector!]!) {
  wipeAssets(assetPartitionRanges: $ranges) { __typename } }"""
SENSORS = """query Sensors($of: RepositorySelector!) {
  sensorsOrError(repositorySelector: $of) { ... on Sensors { results {
    id name sensorState { selectorId status } } } } }"""
STOP = """mutation Stop($id: String!) { stopSensor(id: $id) { __typename } }"""
START = (
    """mutation Start($of: SensorSelector!) { startSensor(sensorSelector: $of) { __typename } }"""
)


@dataclass
class Product:
    """One project, its home, and the `mlops dev` that may be running on it."""

    project: Path
    environment: dict[str, str]
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.project.parent / "dev.log"
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = int(listener.getsockname()[1])

    def mlops(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command in the project's folder and return how it ended."""
        return subprocess.run(
            [str(BIN / "mlops"), *arguments],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """Return what a command prints with `--json`."""
        done = self.mlops(*arguments, "--json")
        return json.loads(done.stdout)

    def start(self) -> None:
        """Start `mlops dev`; it may have to wait until the one before has let the home go."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [str(BIN / "mlops"), "dev", "--port", str(self.port)],
                cwd=self.project,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Say whether `mlops dev` runs."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End `mlops dev` and all that it started, at once, as a power cut does."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            for worker in self.workers():
                os.kill(worker, signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()

    def workers(self) -> list[int]:
        """Return the processes that execute a run of this home now."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes()
                home = (entry / "environ").read_bytes()
            except OSError:
                continue  # it has ended
            if b"execute_run" in command and self.environment["MLOPS_HOME"].encode() in home:
                found.append(int(entry.name))
        return found

    def ask(self, query: str, **variables: Any) -> Any:
        """Ask Dagster's webserver as its UI does; None while there is none to ask."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                found = json.load(answer)
        except (urllib.error.URLError, OSError, TimeoutError):
            return None
        if "errors" in found:
            raise RuntimeError(f"Dagster did not understand the soak: {found['errors']}")
        return found["data"]

    def runs(self, *statuses: str) -> list[dict[str, Any]]:
        """Return Dagster's runs in these states, the newest first."""
        found = self.ask(RUNS, statuses=list(statuses))
        return found["runsOrError"]["results"] if found else []

    def sensors(self) -> list[dict[str, Any]]:
        """Return the sensors of the code location."""
        found = self.ask(SENSORS, of=LOCATION)
        return found["sensorsOrError"].get("results", []) if found else []

    def ready(self, seconds: float = 120) -> bool:
        """Wait until the UI answers and knows the sensors."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.sensors():
                return True
            if not self.alive:
                return False
            time.sleep(1)
        return False
