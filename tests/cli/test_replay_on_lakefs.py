"""The same history on a lakeFS server: decided the same, through a bad network and after a move."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from lakefs_sdk.exceptions import NotFoundException

from mlops_assets.versions import open_repository
from tests import tiny
from tests.versions.lakefs.faulty_proxy import Fault, FaultyProxy
from tests.versions.lakefs.servers import ENDPOINT, PARAMETERS, Server
from tests.versions.lakefs.stand_in import StandIn

WINDOWS = 12
DRIFT_AT = 7


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is decided without a server."""
    project = tiny.make_project(tmp_path_factory.mktemp("embedded") / "project", WINDOWS, DRIFT_AT)
    tiny.mlops(project, "replay", tiny.MODEL)
    return tiny.outcome(project)


@pytest.fixture(params=PARAMETERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if "stand-in" not in request.param:
        yield Server.real()
        return
    with StandIn() as stand_in:
        yield Server.of(stand_in)


@pytest.fixture
def address(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A repository that is not there yet, on the server that the environment names from now on."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    with server.named_repository() as name:
        monkeypatch.setenv("MLOPS_LAKEFS_CREATE", name)
        yield f"lakefs://{name}"


@pytest.mark.slow  # what follows says the same, and more
def test_a_replay_on_lakefs_decides_as_an_embedded_one(
    address: str,
    server: Server,
    embedded: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given nothing but an address
    project = tiny.make_project(tmp_path / "project", WINDOWS, DRIFT_AT)
    monkeypatch.setenv("MLOPS_REPOSITORY", address)

    # when the history is played
    summary = json.loads(tiny.mlops(project, "replay", tiny.MODEL, "--json").stdout)

    # then champions, verdicts and ledger are the same, and nothing is left behind
    assert summary["played"] == WINDOWS
    assert tiny.outcome(project) == embedded
    assert not (project / ".mlops/repository").exists()
    branches = server.sdk.branches_api.list_branches(address[9:], show_hidden=True, amount=1000)
    assert [one.id for one in branches.results if one.id.startswith("mlops-tx-")] == []
    # and the whole chain holds
    assert tiny.mlops(project, "verify", tiny.MODEL, check=False).returncode == 0


@pytest.mark.slow  # four minutes; each fault by itself is tried in tests/versions/lakefs
def test_a_bad_network_changes_no_decision(
    address: str,
    server: Server,
    embedded: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a way to the server on which replies are lost now and then, before and after the deed
    project = tiny.make_project(tmp_path / "project", WINDOWS, DRIFT_AT)
    monkeypatch.setenv("MLOPS_REPOSITORY", address)
    with FaultyProxy(server.url, seed=7) as proxy:
        monkeypatch.setenv(ENDPOINT, proxy.url)
        proxy.faults += [
            Fault("drop before", probability=0.02),
            Fault("drop after", probability=0.02),
            Fault("cut", method="GET", probability=0.02),
            Fault("status", path="/api/v1/", probability=0.01, status=503),
            Fault("status", method="POST", path="/api/v1/", probability=0.01, status=429),
        ]
        # when the history is played, and the server goes away in the middle of it
        replay = subprocess.Popen(
            [str(tiny.BIN / "mlops"), "replay", tiny.MODEL, "--json"],
            cwd=project,
            env=tiny.environment(project),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with pytest.raises(subprocess.TimeoutExpired):
            replay.wait(10)
        proxy.refuse(5)
        said, complained = replay.communicate(timeout=400)

        # then it ends well, each commit was made once, and the same was decided
        assert replay.returncode == 0, complained
        assert json.loads(said)["played"] == WINDOWS
        assert sum(fault.happened for fault in proxy.faults) > 20
    monkeypatch.setenv(ENDPOINT, server.url)
    assert tiny.outcome(project) == embedded
    repository = open_repository(address)
    empty = [
        commit.message
        for commit in repository.log("main")
        if commit.parents and not repository.diff(commit.parents[0], commit.id)
    ]
    assert empty == []  # what is done a second time changes nothing: it would show so


@pytest.mark.slow  # four minutes; a migration is compared in tests/versions/lakefs
def test_a_home_moves_to_lakefs_in_the_middle(
    address: str,
    server: Server,
    embedded: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a home with an embedded repository and a champion
    project = tiny.make_project(tmp_path / "project", WINDOWS, DRIFT_AT)
    tiny.mlops(project, "replay", tiny.MODEL, "--until", tiny.window(8))
    before = json.loads(tiny.mlops(project, "log", tiny.MODEL, "--json").stdout)

    # when it moves, killed once when part of it is there, and goes on there
    killed = subprocess.Popen(
        [str(tiny.BIN / "mlops"), "migrate", address],
        cwd=project,
        env=tiny.environment(project),
        stderr=subprocess.DEVNULL,
    )
    while killed.poll() is None and not _has_begun(server, address):
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    moved = json.loads(tiny.mlops(project, "migrate", address, "--json").stdout)
    monkeypatch.setenv("MLOPS_REPOSITORY", address)
    old = open_repository(str((project / ".mlops/repository").rename(tmp_path / "before")))
    tiny.mlops(project, "replay", tiny.MODEL)

    # then the same is decided as if it had never moved
    assert moved["known"] > 0
    assert moved["commits"] > 0
    assert tiny.outcome(project) == embedded
    # and what named commits before still names them
    new = open_repository(address)
    for commit in old.log("main"):
        assert new.objects(commit.id) == old.objects(commit.id)
    for entry in before:
        assert (
            new.commit(entry["data_commit"]).metadata["mlops.migrated_from"] == entry["data_commit"]
        )
    assert tiny.mlops(project, "verify", tiny.MODEL, check=False).returncode == 0


def _has_begun(server: Server, address: str) -> bool:
    """Say whether it is written down which of the first commits became which."""
    with suppress(NotFoundException):
        server.sdk.objects_api.stat_object(address[9:], "mlops-migrated", "commits.txt")
        return True
    return False


def test_a_person_is_told_what_keeps_a_lakefs_repository_from_being_used(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tiny.make_project(tmp_path / "project", WINDOWS, DRIFT_AT)
    monkeypatch.setenv("MLOPS_REPOSITORY", address)
    for name, value, said in (
        ("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", "wrong", "does not know these credentials"),
        ("LAKECTL_SERVER_ENDPOINT_URL", "http://127.0.0.1:9", "does not answer"),
        ("LAKECTL_SERVER_ENDPOINT_URL", "", "LAKECTL_SERVER_ENDPOINT_URL"),
    ):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            changed.setenv("MLOPS_LAKEFS_PATIENCE", "1")
            changed.setenv("HOME", str(tmp_path))

            told = tiny.mlops(project, "status", check=False)

        assert told.returncode == 1
        assert said in told.stderr
        assert "Traceback" not in told.stderr
        assert "wrong" not in told.stderr
        assert len(told.stderr.strip().splitlines()) <= 2
