"""A server that is away ends a tick with a reason, long before Dagster would end it without one."""

from __future__ import annotations

import dagster as dg
import pytest

from mlops_assets.errors import RepositoryUnreachableError
from mlops_assets.replay.player import definition_resources
from mlops_assets.sensors import reaching
from tests.conftest import Played


def test_a_repository_that_is_away_is_a_reason_and_no_failed_tick(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a repository on a server that does not answer
    for name, value in {
        "MLOPS_REPOSITORY": "lakefs://flights",
        "LAKECTL_SERVER_ENDPOINT_URL": "http://127.0.0.1:1",
        "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": "me",
        "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(reaching, "_SECONDS", 0.3)
    for name in ("mlops_data", "mlops_decision"):
        # when the daemon evaluates a sensor
        sensor = played.project.repository.get_sensor_def(name)
        resources = definition_resources(sensor, played.project.repository, None)
        context = dg.build_sensor_context(
            instance=played.instance,
            cursor="[]",
            repository_def=played.project.repository,
            resources=resources,
        )
        ticked = sensor.evaluate_tick(context)
        # then it says what it waits for, long before Dagster would end the tick
        assert "lakeFS server at http://127.0.0.1:1 does not answer" in str(ticked.skip_message)
        assert ticked.cursor == "[]"
        assert not ticked.run_requests
    # but who plays the ticks in order is told
    monkeypatch.setenv("MLOPS_LAKEFS_PATIENCE", "0.3")
    with pytest.raises(RepositoryUnreachableError):
        played.player.tick("data")
