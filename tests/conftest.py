"""A small project, played in this process: real Dagster, MLflow, DuckDB, git and files."""

from __future__ import annotations

import importlib
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
import yaml
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster.components.core import load_defs
from filelock import FileLock

from mlops_assets.batches.landing import Kind, land
from mlops_assets.cli.status import read_status
from mlops_assets.declaration import Declaration
from mlops_assets.home import Home
from mlops_assets.project import Project
from mlops_assets.records.store import Store
from mlops_assets.registry.connection import connect
from mlops_assets.registry.ledger import Ledger
from mlops_assets.replay.connections import kept_open
from mlops_assets.replay.player import SENSORS, Player, Sensor
from mlops_assets.resources import KIND_TAG, MODEL_TAG
from mlops_assets.sensors.runs import Kind as RunKind
from mlops_assets.sensors.runs import is_of, keys_of
from mlops_assets.versions import Repository, open_repository
from tests import tiny
from tests.forked import describe_components_once

PlayedTo = Callable[[int], "Played"]
HOME_VARIABLES = ("MLOPS_HOME", "DAGSTER_HOME", "MLOPS_MODULE", "MLFLOW_TRACKING_URI")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files first that play projects or run commands: they take longest.

    With many processes a long file that begins last keeps one at work while the others are done.
    """
    long = {item.path for item in items if _is_long(item)}
    items.sort(key=lambda item: item.path not in long)


def _is_long(item: pytest.Item) -> bool:
    module = item.getparent(pytest.Module)
    names = () if module is None else vars(module.obj)
    fixtures = getattr(item, "fixturenames", ())
    return "as_it_was" in fixtures or any(
        name in names for name in ("tiny", "forked", "subprocess")
    )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Make an empty repository of the test's own."""
    return open_repository(str(tmp_path / "repository"))


@dataclass
class Played:
    """A project of one tiny model, and the ways to play with it."""

    project: Project
    player: Player
    told: list[str]

    @property
    def repository(self) -> Repository:
        return open_repository(self.project.home.repository)

    @property
    def store(self) -> Store:
        return Store(self.project.home.store)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.project.home.ledger)

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.player.instance

    @property
    def status(self) -> dict[str, Any]:
        return read_status(tiny.MODEL)["models"][0]

    def land(self, number: int, kind: Kind = "batches", frame: pl.DataFrame | None = None) -> Any:
        """Land a window's file; its own history unless a frame is given."""
        key = tiny.window(number)
        file = self.project.root / "history" / kind / f"{key}.parquet"
        if frame is not None:
            file = self.project.root / f"handmade-{kind}-{key}.parquet"
            frame.write_parquet(file)
        return land(
            self.repository,
            self.player.declaration,
            file,
            kind=kind,
            window=key,
            replace=True,  # tests correct windows by fewer rows, as a person may who means it
        )

    def turn(self, *numbers: int) -> None:
        """Play whole turns: land batch and labels, then whatever is due."""
        for number in numbers:
            self.land(number, "batches")
            self.land(number, "labels")
            self.player.settle()

    @property
    def job(self) -> dg.JobDefinition:
        """The one job of the code location, of which each run takes what it selects."""
        return self.project.repository.get_implicit_global_asset_job_def()

    def tags(self, kind: RunKind) -> dict[str, str]:
        """Return the tags by which runs of a kind are told."""
        return {MODEL_TAG: tiny.MODEL, KIND_TAG: kind}

    def runs(self, kind: RunKind) -> list[dg.DagsterRun]:
        """Return the runs of a kind, the newest first."""
        return [run for run in self.instance.get_runs() if is_of(run, tiny.MODEL, kind)]

    def materialize(
        self, kind: RunKind, *stages: str, window: str | None = None, **tags: str
    ) -> dg.ExecuteInProcessResult:
        """Run some stages by hand, or all of a kind."""
        return self.job.execute_in_process(
            instance=self.instance,
            partition_key=window,
            asset_selection=keys_of(tiny.MODEL, kind, stages),
            tags=tags,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )

    def stop(self, sensor: Sensor) -> None:
        """Stop a sensor, as a person does in Dagster."""
        where = LoadableTargetOrigin(executable_path=sys.executable, module_name="tiny_project")
        location = ManagedGrpcPythonEnvCodeLocationOrigin(where, "tiny_project")
        origin = RemoteInstigatorOrigin(
            RemoteRepositoryOrigin(location, "__repository__"), SENSORS[sensor]
        )
        self.instance.add_instigator_state(
            InstigatorState(
                origin, InstigatorType.SENSOR, InstigatorStatus.STOPPED, SensorInstigatorData()
            )
        )

    def frame(self, stage: str, number: int) -> pl.DataFrame:
        """Read a stage's object of a window from main."""
        path = f"{tiny.MODEL}/{stage}/{tiny.window(number)}.parquet"
        location = self.repository.location("main", path)
        options = dict(location.storage_options) or None
        return pl.read_parquet(location.uri, storage_options=options)


@pytest.fixture(scope="session")
def declaration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Declaration]:
    """Return the tiny model's declaration, read from its project as the component reads it."""
    project = tiny.make_project(tmp_path_factory.mktemp("tiny"), windows=0)
    declared = yaml.safe_load((project / "tiny_project/defs/tiny/defs.yaml").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(project)
        yield Declaration.model_validate(declared["attributes"]).within("tiny_project.defs.tiny")


@pytest.fixture(scope="session", autouse=True)
def _kept_open() -> Iterator[None]:
    """Keep Dagster's databases open, as a replay does: most of a test's time goes into them."""
    with kept_open():
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_the_disk() -> Iterator[None]:
    """Let SQLite hand its writes to the system and go on: no test ends by a loss of power."""

    def unsynced(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous=OFF")

    sa.event.listen(sa.Engine, "connect", unsynced)
    yield
    sa.event.remove(sa.Engine, "connect", unsynced)


@pytest.fixture(scope="session", autouse=True)
def _components_described_once() -> Iterator[None]:
    """Let Dagster describe the installed components once, and not each time a project is loaded."""
    with pytest.MonkeyPatch.context() as patch:
        described = "get_library_json_enriched_defs"
        patch.setattr(load_defs, described, getattr(load_defs, described))  # put back at the end
        describe_components_once()
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of what all of pytest's processes share; whoever makes something locks."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def fresh_home(shared: Path) -> Path:
    """Make a home in which nothing has happened: its empty databases take seconds to make."""
    home = shared / "fresh" / ".mlops"
    with FileLock(shared / "fresh.lock"):
        if not home.exists():
            draft = Home(home.with_name("draft"))
            with pytest.MonkeyPatch.context() as patch:
                patch.delenv("DAGSTER_HOME", raising=False)
                draft.prepare()
                with dg.DagsterInstance.from_config(str(draft.dagster)) as instance:
                    instance.get_runs_count()
            connect(f"sqlite:///{draft.root / 'mlflow' / 'mlflow.db'}").search_experiments()
            shutil.copytree(draft.root, home)
    return home


@pytest.fixture(scope="session")
def fresh_mlflow(fresh_home: Path) -> Path:
    """Return an empty MLflow database, to be copied."""
    return fresh_home / "mlflow" / "mlflow.db"


def as_another_process() -> None:
    """Let MLflow forget where runs keep their files: two copies of a home have runs in common."""
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()


def open_project(folder: Path, fresh_home: Path) -> Played:
    """Open a tiny project in this process, with a home that no other has."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tiny_project"]:
        del sys.modules[name]
    as_another_process()
    os.environ["MLOPS_HOME"] = str(folder / ".mlops")
    for name in HOME_VARIABLES[1:]:
        os.environ.pop(name, None)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    if not (folder / ".mlops").exists():
        shutil.copytree(fresh_home, folder / ".mlops")
    project = Project.find()
    project.home.prepare()
    told: list[str] = []
    return Played(project, Player(project, project.declaration(tiny.MODEL), told.append), told)


def reopen(played: Played) -> Played:
    """Open the same project again, as another process would: its code may have changed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tiny_project"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    project = Project.find()
    player = Player(project, project.declaration(tiny.MODEL), played.told.append)
    return Played(project, player, played.told)


@pytest.fixture(scope="session")
def as_it_was() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in HOME_VARIABLES}
    folder, path = Path.cwd(), list(sys.path)
    yield
    os.chdir(folder)
    sys.path[:] = path
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture
def played(tmp_path: Path, fresh_home: Path, as_it_was: None) -> Played:
    """Return a tiny project in which nothing has landed yet."""
    return open_project(tiny.make_project(tmp_path / "project"), fresh_home)


@pytest.fixture(scope="session")
def begun(shared: Path, fresh_home: Path, as_it_was: None) -> Callable[[int, Path], Played]:
    """Return what opens, in a new folder, the tiny project as it was after so many turns.

    The turns are played once, by whichever of pytest's processes needs them first: most tests begin
    with the same ones, and they take half a minute.
    """
    template = shared / "begun" / "project"

    def opened_after(turns: int, folder: Path) -> Played:
        kept = template.with_name(f"after {turns}")
        with FileLock(shared / "begun.lock"):
            if not template.exists():
                tiny.make_project(template)
            played = None
            while not kept.exists():
                played = played or open_project(template, fresh_home)
                number = sum(1 for _ in template.parent.glob("after *"))
                played.turn(number)
                shutil.copytree(template, template.with_name(f"after {number + 1}"))
        return open_project(copied(kept, folder), fresh_home)

    return opened_after


def copied(project: Path, folder: Path) -> Path:
    """Copy a project with its home to another folder, and return that: a home can be copied."""
    return Path(shutil.copytree(project, folder))


@pytest.fixture
def played_to(tmp_path: Path, begun: Callable[[int, Path], Played]) -> PlayedTo:
    """Return what opens a tiny project after so many turns."""
    return lambda turns: begun(turns, tmp_path / "project")


@pytest.fixture(scope="module")
def promoted(
    tmp_path_factory: pytest.TempPathFactory, begun: Callable[[int, Path], Played]
) -> Played:
    """Return a project with a first champion and two windows that it scored; shared by a module."""
    return begun(9, tmp_path_factory.mktemp("promoted") / "project")


@pytest.fixture(autouse=True)
def _in_its_own_home(request: pytest.FixtureRequest) -> None:
    """Point the environment at the project of the test, also where another was opened since."""
    if "promoted" in request.fixturenames:
        opened: Played = request.getfixturevalue("promoted")
        os.environ["MLOPS_HOME"] = str(opened.project.home.root)
        os.environ["DAGSTER_HOME"] = str(opened.project.home.root / "dagster")
        os.chdir(opened.project.root)
