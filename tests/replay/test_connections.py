"""A replay keeps Dagster's databases open, few of them, and leaves none open behind it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage

from mlops_assets.replay import connections
from mlops_assets.replay.connections import kept_open


@dg.job
def nothing() -> None:
    """Do nothing."""


def test_databases_stay_open_for_a_while_and_are_closed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given Dagster as it is outside of our tests
    for module in (sqlite_event_log, sqlite_run_storage):
        monkeypatch.setattr(module, "create_engine", sa.create_engine)
    monkeypatch.setattr(connections, "OPEN", 3)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        # when more runs are played than databases are kept open
        with kept_open():
            runs = [nothing.execute_in_process(instance=instance) for _ in range(3)]
            index = tmp_path / "history" / "runs" / "index.db-wal"
            # then SQLite's own file beside each database, which it removes with the last connection
            newest = tmp_path / "history" / "runs" / f"{runs[-1].run_id}.db-wal"
            oldest = tmp_path / "history" / "runs" / f"{runs[0].run_id}.db-wal"
            assert (index.exists(), newest.exists(), oldest.exists()) == (True, True, False)
        assert list(tmp_path.rglob("*-wal")) == []
        # and Dagster is as it was, with all that was played
        assert sqlite_event_log.create_engine is sqlite_run_storage.create_engine
        assert sqlite_event_log.create_engine is sa.create_engine
        assert instance.get_runs_count() == 3
        assert all(instance.all_logs(run.run_id) for run in runs)
