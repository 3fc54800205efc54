"""A home that was copied or moved uses its own files, and none of the original's."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mlops_assets.errors import RegistryError
from mlops_assets.home import Home
from mlops_assets.registry.connection import connect
from mlops_assets.registry.models import Registry
from mlops_assets.registry.relocation import follow
from mlops_assets.registry.tracking import Tracking
from tests.conftest import as_another_process


def tracked(home: Home) -> Tracking:
    return Tracking(connect(home.mlflow, home.mlflow_artifacts), "late", home.mlflow_artifacts)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def original(
    tmp_path: Path, fresh_mlflow: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> Home:
    """A home with one run, and the version that was registered from it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = Home(tmp_path / "a b" / "home")
    (home.root / "mlflow").mkdir(parents=True)
    shutil.copy(fresh_mlflow, home.root / "mlflow" / "mlflow.db")
    tracking = tracked(home)
    with tracking.run("f1", "model", "first") as run:
        run.log_model(saved)
    Registry(tracking.client).register("late", run.id, "f1")
    return home


def test_a_copy_reads_and_writes_its_own_files(original: Home, tmp_path: Path, saved: Path) -> None:
    copy = Home(Path(shutil.copytree(original.root, tmp_path / "copy")))
    before = contents(original.root)

    as_another_process()
    tracking = tracked(copy)
    (found,) = tracking.runs()
    with tracking.run("f2", "model", "second") as second:
        second.log_model(saved)
    found.log_folder(saved, "more")
    number = Registry(tracking.client).register("late", second.id, "f2")

    for run in (found, second):
        assert tracking.download(run.id, "model", tmp_path).is_relative_to(copy.root)
    assert tracking.download(found.id, "more", tmp_path).is_relative_to(copy.root)
    for version in (1, number):
        source = Registry(tracking.client).version("late", version).source
        assert source.startswith(f"{copy.mlflow_artifacts}/")
    assert contents(original.root) == before
    assert "a%20b" not in str(rows(copy.root / "mlflow" / "mlflow.db"))


def test_a_home_that_comes_back_to_its_place_is_as_it_was(original: Home, tmp_path: Path) -> None:
    before = rows(original.root / "mlflow" / "mlflow.db")
    moved = Home(original.root.rename(tmp_path / "moved"))
    follow(moved.root / "mlflow" / "mlflow.db", str(moved.mlflow_artifacts))
    assert rows(moved.root / "mlflow" / "mlflow.db") != before
    back = Home(moved.root.rename(original.root))
    follow(back.root / "mlflow" / "mlflow.db", str(back.mlflow_artifacts))
    assert rows(back.root / "mlflow" / "mlflow.db") == before


def rows(database: Path) -> list[object]:
    with closing(sqlite3.connect(database)) as opened:
        return [
            opened.execute(f"select * from {table}").fetchall()
            for table in ("experiments", "runs", "model_versions", "logged_models")
        ]


def test_places_that_are_not_a_homes_stay(original: Home) -> None:
    database = original.root / "mlflow" / "mlflow.db"
    with closing(sqlite3.connect(database)) as opened, opened:
        opened.execute("update experiments set artifact_location = 's3://bucket/mlflow/artifacts'")
    before = rows(database)
    follow(database, "file:///elsewhere/mlflow/artifacts")
    assert rows(database) == before


def test_a_copy_without_its_files_is_refused(original: Home, tmp_path: Path) -> None:
    copy = Home(tmp_path / "copy")
    (copy.root / "mlflow").mkdir(parents=True)
    shutil.copy(original.root / "mlflow" / "mlflow.db", copy.root / "mlflow")
    with pytest.raises(RegistryError, match=r"copied from .*home without MLflow's files: copy "):
        tracked(copy)


@pytest.mark.skipif(os.getuid() == 0, reason="nothing is read-only for root")
def test_a_copy_that_cant_be_written_says_so(original: Home, tmp_path: Path) -> None:
    copy = Home(Path(shutil.copytree(original.root, tmp_path / "copy")))
    (copy.root / "mlflow" / "mlflow.db").chmod(0o444)
    (copy.root / "mlflow").chmod(0o555)
    with pytest.raises(RegistryError, match="can't be told so: attempt to write a readonly"):
        tracked(copy)
