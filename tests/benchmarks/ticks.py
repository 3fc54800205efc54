"""A tick of the sensors over histories of 100, 1,000 and 10,000 windows, and over waiting ones.

Each window is on main, labelled, judged and measured: nothing is due. `first` is the first look of a
process, `idle` each later one while nothing comes in, `a commit` one after main has moved. Then as
many windows wait on landing branches at once, as after an import, and the sensor asks for the first
of them.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.batches.maturity import landed_windows, missing_windows
from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.due import agenda
from mlops_assets.records.index import Index
from mlops_assets.records.store import Store
from mlops_assets.resources import RepositoryResource, StoreResource
from mlops_assets.sensors import data
from mlops_assets.versions import Repository, open_repository
from tests.benchmarks.measuring import measured, table
from tests.benchmarks.store import state_table

SIZES = (100, 1_000, 10_000)
WAITING = (100, 1_200)
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
TARGET = pl.col("came_true")
DECLARED: dict[str, Any] = {
    "name": "m",
    "windows": {"every": "hour", "start": "2020-01-01"},
    "batches": {"contract": "tests.benchmarks.ticks:SIZES", "time": "at", "key": ["id"]},
    "labels": {
        "contract": "tests.benchmarks.ticks:SIZES",
        "target": "tests.benchmarks.ticks:TARGET",
        "mature_after_days": 1,
    },
    "features": "tests.benchmarks.ticks:SIZES",
}


def run() -> None:
    """Print both."""
    idle()
    waiting()


def idle(sizes: tuple[int, ...] = SIZES) -> None:
    """Print what an idle tick asks, over histories of several lengths."""
    declaration = Declaration.model_validate(DECLARED)
    lines: list[list[object]] = []
    for windows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            repository = open_repository(f"{folder}/repository")
            fill(repository, windows)
            store = judged(Path(folder) / "store", repository, windows)

            def look(_: int, repository: Repository = repository, store: Store = store) -> None:
                assert not agenda(repository, store, declaration).work

            def move(
                number: int, repository: Repository = repository, store: Store = store
            ) -> None:
                with repository.transaction("main", "another model's") as transaction:
                    transaction.put(f"other/{number}", f"{number}".encode())
                look(number, repository, store)

            def clock(_: int, repository: Repository = repository) -> None:
                missing_windows(landed_windows(repository, declaration, "main"), declaration)

            first = measured(look, 1, warm=False)
            lines.append(
                [f"{windows:,}", first, measured(look, 20), measured(move, 3), measured(clock, 5)]
            )
    table(
        "What is due, where nothing is: windows on main, judged and measured",
        ["", "first", "idle", "a commit", "the data's clock"],
        lines,
    )


def waiting(sizes: tuple[int, ...] = WAITING) -> None:
    """Print a tick of the data sensor while so many windows wait."""
    declaration = Declaration.model_validate(DECLARED)
    lines: list[list[object]] = []
    for windows in sizes:
        with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance:
            location = f"{folder}/repository"
            repository = open_repository(location)
            for number in range(windows):
                wait(repository, number)
            sensor = data.build([declaration])
            asked: list[int] = []

            def tick(
                _: int,
                instance: dg.DagsterInstance = instance,
                location: str = location,
                folder: str = folder,
                sensor: dg.SensorDefinition = sensor,
                asked: list[int] = asked,
            ) -> None:
                context = dg.build_sensor_context(
                    instance=instance,
                    resources={
                        "mlops_repository": RepositoryResource(url=location),
                        "mlops_store": StoreResource(root=f"{folder}/store"),
                    },
                )
                result = sensor(context)
                assert isinstance(result, dg.SensorResult)
                asked.append(len(result.run_requests or ()))

            first = measured(tick, 1, warm=False)
            lines.append([f"{windows:,}", first, measured(tick, 3), asked[-1]])
    table(
        "A tick of the data sensor: windows that wait on landing branches",
        ["", "first", "again", "requests"],
        lines,
    )


def key(number: int) -> str:
    """Return the key of the window of that number."""
    return (BEGIN + timedelta(hours=number)).strftime("%Y-%m-%dT%H")


def fill(repository: Repository, windows: int) -> None:
    """Put batches and labels of so many windows on main, the same ones."""
    with repository.transaction("main", "history") as transaction:
        for number in range(windows):
            for kind in ("batches", "labels"):
                transaction.put(f"m/{kind}/{key(number)}.parquet", kind.encode())


def wait(repository: Repository, number: int) -> None:
    """Let a window's batch wait on its landing branch."""
    window = key(number)
    branch = f"landing-m-batches-{window}-{number:012}"
    repository.create_branch(branch, "main")
    details = {
        "mlops.model": "m",
        "mlops.kind": "batches",
        "mlops.window": window,
        "mlops.version": f"{number:064}",
        "mlops.landing": "landed",
    }
    with repository.transaction(branch, "landed", details) as transaction:
        transaction.put(f"m/batches/{window}.parquet", f"{number}".encode())


def judged(root: Path, repository: Repository, windows: int) -> Store:
    """Return a store in which each of the windows is labelled, judged and measured."""
    root.mkdir(parents=True)
    index = Index(root / "index.duckdb")
    index.create()
    batch, labels = (
        repository.stat("main", f"m/{kind}/{key(0)}.parquet").checksum
        for kind in ("batches", "labels")
    )
    window = "strftime(TIMESTAMP '2020-01-01' + to_hours(i::BIGINT), '%Y-%m-%dT%H')"
    own = f"sha256(i || '!'), TIMESTAMP '2020-01-01' + to_seconds(i), 'm', {window}"
    with index._attached(read_only=False) as engine:
        for number, (kind, values) in enumerate(
            {
                "verdicts": {"batch_version": batch, "champion": 1},
                "labels": {"version": labels},
                "performance": {
                    "batch_version": batch,
                    "labels_version": labels,
                    "metric": "auc",
                },
                "staleness": {"batch_version": batch, "labels_version": labels, "measure": "auc"},
            }.items()
        ):
            names = ", ".join(values)
            told = ", ".join(f"'{value}'" for value in values.values())
            engine.execute(
                f'INSERT INTO store."{kind}" (event_id, record_id, recorded_at, model, "window", '
                f"{names}) SELECT i * 4 + {number + 1}, {own}, {told} FROM range({windows}) t(i)"
            )
        engine.execute(f"UPDATE store.{state_table(engine)} SET last = {windows * 4 + 4}")
    return Store(root)
