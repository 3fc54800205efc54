"""What several processes do to one MLflow at once, or leave behind when they are killed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.registry.models import Registry
from mlops_assets.registry.owner import owner_is_alive
from mlops_assets.registry.tracking import Tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

# One program, so that MLflow is imported once; every child opens its own connection. The
# client of the two that race waits for the other just before it writes.
_PROGRAM = """
import json, multiprocessing, os, signal, sys
from mlops_assets.registry.connection import quieten
quieten()
from mlflow import MlflowClient
import mlflow.tracking.client, mlflow.store.tracking.sqlalchemy_store
from mlops_assets.registry.models import Registry
from mlops_assets.registry.tracking import Tracking

uri, root, experiment, source_run, model = sys.argv[1:]
fork = multiprocessing.get_context("fork")
meet, results = fork.Barrier(2), fork.SimpleQueue()

class Meeting(MlflowClient):
    def create_experiment(self, *args, **kwargs):
        meet.wait(60)
        return super().create_experiment(*args, **kwargs)
    def create_registered_model(self, *args, **kwargs):
        meet.wait(60)
        return super().create_registered_model(*args, **kwargs)
    def create_model_version(self, *args, **kwargs):
        meet.wait(60)
        return super().create_model_version(*args, **kwargs)

def race():
    client = Meeting(uri, uri)
    opened = Tracking(client, experiment, root).experiment_id
    results.put((opened, Registry(client).register(model, source_run, "f1")))

def die():
    client = MlflowClient(uri, uri)
    with Tracking(client, experiment, root).run("f1", "model", "train") as run:
        results.put(run.id)
        os.kill(os.getpid(), signal.SIGKILL)

both = [fork.Process(target=race) for _ in range(2)]
[each.start() for each in both]
told = [results.get() for _ in both]
[each.join() for each in both]
killed = fork.Process(target=die)
killed.start()
run_id = results.get()
killed.join()
print(json.dumps({"told": told, "killed": run_id, "exit": killed.exitcode}))
"""


@pytest.fixture(scope="module")
def names() -> tuple[str, str]:
    """Name an experiment and a model."""
    return uuid.uuid4().hex, f"model_{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def outcome(
    client: MlflowClient,
    mlflow_home: Path,
    saved: Path,
    names: tuple[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    folder = tmp_path_factory.mktemp("processes")
    with Tracking(client, uuid.uuid4().hex, str(folder)).run("f1", "model", "train") as run:
        run.log_model(Path(shutil.copytree(saved, folder / "saved")))
    uri = f"sqlite:///{mlflow_home}/mlflow.db"
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, uri, str(folder), names[0], run.id, names[1]],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_two_that_register_one_fingerprint_at_once_make_one_version(
    outcome: Any, client: MlflowClient, names: tuple[str, str]
) -> None:
    versions = client.search_model_versions(f"name = '{names[1]}'")
    assert [int(each.version) for each in versions] == [1]
    assert [version for _, version in outcome["told"]] == [1, 1]
    assert Registry(client).register(names[1], "unused", "f1") == 1


def test_two_that_open_a_new_experiment_at_once_open_the_same(outcome: Any) -> None:
    (first, _), (second, _) = outcome["told"]
    assert first == second


def test_the_run_of_a_killed_process_is_closed_and_not_found(
    outcome: Any, client: MlflowClient, names: tuple[str, str]
) -> None:
    assert outcome["exit"] == -signal.SIGKILL
    tracking = Tracking(client, names[0])
    assert tracking.get(outcome["killed"]).status == "RUNNING"
    assert tracking.find("f1", "model") is None
    assert tracking.close_abandoned(owner_is_alive) == [outcome["killed"]]
    assert tracking.get(outcome["killed"]).status == "KILLED"
    assert tracking.close_abandoned(owner_is_alive) == []


def test_a_database_whose_making_was_killed_is_made_anew(tmp_path: Path) -> None:
    # given a process that is killed outright while it makes MLflow's tables
    database = tmp_path / "mlflow.db"
    program = f"from mlops_assets.registry.connection import connect; connect({f'sqlite:///{database}'!r})"
    making = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program])
    end = time.monotonic() + 60
    while not any(draft.stat().st_size > 8192 for draft in tmp_path.glob(".mlflow.db.draft-*")):
        assert making.poll() is None, "it was done before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.005)
    making.kill()
    making.wait()
    assert not database.exists()
    # when the next one opens it, then it is whole, and nothing of the first is left
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program + ".search_experiments()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert database.exists()
    assert list(tmp_path.glob(".mlflow.db.draft-*")) == []
