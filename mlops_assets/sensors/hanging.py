"""What does not go on by itself: runs that hang, and sensors that somebody stopped.

Dagster takes seconds to load, so it is asked only where its files say that there is anything to
tell, or where its state lies in another database than its own SQLite files.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mlops_assets.home import Home

if TYPE_CHECKING:
    import dagster as dg

    from mlops_assets.sensors.recovery import Life

STOPPING_MINUTES = 5  # Dagster itself marks a run as cancelled after three
# file, and what finds anything to tell in it
ASKED = {
    "history/runs.db": "select 1 from runs where status not in ('SUCCESS', 'FAILURE', 'CANCELED')",
    "schedules/schedules.db": "select 1 from instigators where status = 'STOPPED'",
}


@dataclass(frozen=True)
class Halted:
    """By model, in the documented form: runs that hang, and sensors that were stopped."""

    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    sensors: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def read_halted(home: Home, longest: Mapping[str, float]) -> Halted:
    """Return what of some models does not go on by itself.

    Args:
        home: whose Dagster is asked.
        longest: model -> minutes that a run of it may take, `retraining.in_flight_minutes`.

    """
    if not longest or not may_be_halted(home.dagster):
        return Halted()
    import dagster as dg

    os.environ.update(home.environment())
    served = "mlops dev" in (home.holder() or "")
    with dg.DagsterInstance.get() as instance:
        return Halted(
            hanging_runs(instance, longest, served=served), halted_sensors(instance, longest)
        )


def may_be_halted(folder: Path) -> bool:
    """Say whether Dagster has to be asked; its SQLite files know of most homes that it has not."""
    settings = folder / "dagster.yaml"
    if not settings.is_file():
        return False
    files = [folder / name for name in ASKED if (folder / name).is_file()]
    if len(files) < len(ASKED):
        elsewhere = {"storage", "run_storage", "schedule_storage"}
        return bool(files) or bool(elsewhere & set(yaml.safe_load(settings.read_text()) or ()))
    try:
        return any(_finds(folder / name, question) for name, question in ASKED.items())
    except sqlite3.Error:  # made by another version of Dagster, which knows how to read it
        return True


def _finds(file: Path, question: str) -> bool:
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
        return database.execute(f"{question} limit 1").fetchone() is not None


def hanging_runs(
    instance: dg.DagsterInstance, longest: Mapping[str, float], *, served: bool
) -> dict[str, list[dict[str, Any]]]:
    """Return the runs that do not end by themselves, the oldest first, each with what to do.

    `served`: whether `mlops dev` has the home, whose daemon starts what waits.
    """
    import dagster as dg

    from mlops_assets.assets.request import CAUSE_TAG
    from mlops_assets.sensors.recovery import life_of
    from mlops_assets.sensors.runs import PARTITION_TAG, UNFINISHED, age_minutes, named, work_of

    found: dict[str, list[dict[str, Any]]] = {}
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED), ascending=True):
        run = record.dagster_run
        of = sorted({model for model, _ in work_of(run)} & set(longest))
        if not of:
            continue
        status, minutes = run.status.value, age_minutes(record)
        life = "unknown" if status == "QUEUED" else life_of(instance, record)
        most = max(longest[model] for model in of)
        said = why_it_hangs(status, life, minutes, most, served=served)
        if said is None:
            continue
        if not minutes:
            minutes = (time.time() - record.create_timestamp.timestamp()) / 60
        one = {
            "run": run.run_id,
            "job": named(run),
            "about": run.tags.get(PARTITION_TAG) or run.tags.get(CAUSE_TAG) or "",
            "status": status,
            "minutes": round(minutes, 1),
            "why": said[0],
            "do": said[1],
        }
        for model in of:
            found.setdefault(model, []).append(one)
    return found


def why_it_hangs(
    status: str, life: Life, minutes: float, longest: float, *, served: bool
) -> tuple[str, str] | None:
    """Return why a run does not end by itself, and what to do; None where it may well."""
    terminate = "look at it in Dagster, and terminate it there"
    if life == "dead":
        ends_it = "a sensor's next tick ends it" if served else "`mlops dev` or a replay ends it"
        return "its process is gone", ends_it
    if status == "CANCELING" and minutes > STOPPING_MINUTES:
        return "it was told to stop and has not", terminate
    if status in ("QUEUED", "NOT_STARTED"):
        return None if served or life == "lives" else ("it waits for a daemon", "mlops dev")
    if minutes > longest:
        return f"it has been running for {minutes:.0f} minutes", terminate
    return None


def halted_sensors(
    instance: dg.DagsterInstance, models: Collection[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return the sensors that somebody stopped: what they would ask for is not done."""
    from mlops_assets.sensors.location import DATA_SENSOR, DECISION_SENSOR
    from mlops_assets.sensors.recovery import stopped_sensors

    what = {DATA_SENSOR: "nothing is ingested", DECISION_SENSOR: "no retraining is decided"}
    stopped = [
        {
            "sensor": name,
            "why": f"it was stopped in Dagster, so {what[name]}",
            "do": "start it in Dagster, under Automation",
        }
        for name in sorted(stopped_sensors(instance) & set(what))
    ]
    return {model: list(stopped) for model in models} if stopped else {}
