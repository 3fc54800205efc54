from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.events import DagsterEvent
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

import mlops_assets
from mlops_assets.errors import HomeError, StoreError
from mlops_assets.home import INSTANCE_SETTINGS, Home, plain, project_root
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.connection import connect
from mlops_assets.registry.tracking import Tracking

HOLDING = """
import sys, time
from pathlib import Path
from mlops_assets.home import Home
with Home(Path(sys.argv[1])).held("mlops replay late"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "MLOPS_HOME",
        "DAGSTER_HOME",
        "MLOPS_REPOSITORY",
        "MLOPS_STORE",
        "MLOPS_LEDGER",
        "MLFLOW_TRACKING_URI",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.mark.parametrize("marker", ["pyproject.toml", "workspace.yaml"])
def test_the_home_is_in_the_projects_folder(
    marker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / marker).touch()
    (tmp_path / "data" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "data" / "deep")

    assert Home.find() == Home(tmp_path.resolve() / ".mlops")


def test_the_nearest_project_counts(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    for folder in (tmp_path, inner):
        (folder / "pyproject.toml").touch()

    assert project_root(inner) == inner.resolve()


def test_without_a_project_it_is_the_folder_itself() -> None:
    assert project_root(Path("/")) == Path("/")


def test_everything_is_in_the_home(home: Home) -> None:
    root = home.root

    assert home.dagster == root / "dagster"
    assert home.repository == str(root / "repository")
    assert home.store == root / "store"
    assert home.ledger == root / "ledger"
    assert home.mlflow == f"sqlite:///{root}/mlflow/mlflow.db"
    assert home.mlflow_artifacts == f"file://{root}/mlflow/artifacts"
    assert home.environment() == {"MLOPS_HOME": str(root), "DAGSTER_HOME": str(root / "dagster")}


def test_a_variable_points_each_part_elsewhere(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLOPS_HOME", "~/mine")
    monkeypatch.setenv("DAGSTER_HOME", "~/dagster")
    monkeypatch.setenv("MLOPS_STORE", "~/store")
    monkeypatch.setenv("MLOPS_LEDGER", "~/ledger")
    monkeypatch.setenv("MLOPS_REPOSITORY", "lakefs://data")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")

    assert Home.find() == Home(tmp_path.resolve() / "mine")
    assert home.dagster == tmp_path.resolve() / "dagster"
    assert home.store == tmp_path.resolve() / "store"
    assert home.ledger == tmp_path.resolve() / "ledger"
    assert home.repository == "lakefs://data"
    assert home.mlflow == "http://mlflow:5000"
    assert home.mlflow_artifacts is None


def test_a_variable_that_is_empty_is_none(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def parts() -> tuple[object, ...]:
        local = (home.dagster, home.store, home.ledger)
        return (*local, home.repository, home.mlflow, home.mlflow_artifacts)

    before = parts()
    for name in ("DAGSTER_HOME", "MLOPS_STORE", "MLOPS_LEDGER", "MLOPS_REPOSITORY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")

    assert parts() == before


def test_artifacts_of_a_home_with_a_space_are_a_url() -> None:
    home = Home(Path("/a b/#1"))

    assert home.mlflow_artifacts == "file:///a%20b/%231/mlflow/artifacts"


@pytest.mark.parametrize("name", ["a?b", "100%41", "[prod]", "#1", "it's ü", "*"])
def test_a_home_of_any_name_holds_all_its_databases(
    name: str, tmp_path: Path, fresh_mlflow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / name / "home"))
    home = Home.find().prepare()
    shutil.copy(fresh_mlflow, home.root / "mlflow" / "mlflow.db")
    # Dagster's, at the place that its own commands are told
    with dg.DagsterInstance.from_ref(
        InstanceRef.from_dir(home.environment()["DAGSTER_HOME"])
    ) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("mine"))
    # MLflow's, and its files
    tracking = Tracking(connect(home.mlflow, home.mlflow_artifacts), "late", home.mlflow_artifacts)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "note").write_text("mine")
    with tracking.run("f1", "model", "first") as run:
        run.log_folder(tmp_path / "files")
    assert tracking.download(run.id, "note", home.cache).is_relative_to(home.root)
    # the store's, but for what DuckDB can't
    if "?" in name:
        with pytest.raises(StoreError, match=r"DuckDB can keep no index in .*MLOPS_STORE"):
            Store(home.store)
    else:
        store = Store(home.store)
        store.add_blob(b"a profile")
        assert store.rows(kinds.Batch, model="late") == []
    # are in the home, and nothing is beside it
    databases = {file.name for file in home.root.rglob("*.db")} | {
        file.name for file in home.root.rglob("*.duckdb")
    }
    assert {"runs.db", "index.db", "mlflow.db"} <= databases
    assert ("index.duckdb" in databases) == ("?" not in name)
    assert {path.name for path in tmp_path.iterdir()} == {name, "files"}
    assert [path.name for path in (tmp_path / name).iterdir()] == ["home"]


def test_a_link_that_somebody_else_made_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    odd, elsewhere = tmp_path / "a?b", tmp_path / "elsewhere"
    link = plain(odd)
    assert link.readlink() == odd
    assert plain(odd) == link
    link.unlink()
    link.symlink_to(elsewhere)
    with pytest.raises(HomeError, match="it leads elsewhere; set TMPDIR"):
        plain(odd)


@pytest.mark.parametrize("variable", ["MLOPS_HOME", "DAGSTER_HOME", "MLOPS_STORE", "MLOPS_LEDGER"])
def test_a_name_that_is_no_folder_is_refused(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for named in (tmp_path / "loop", Path("~nobody-of-this-name/x")):
        monkeypatch.setenv(variable, str(named))
        with pytest.raises(HomeError, match=f"{variable} is .*, which can't be a folder"):
            _ = (Home.find().dagster, Home.find().store, Home.find().ledger)


def test_a_run_waits_for_a_code_server_that_is_loaded_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run in the queue of an instance with our settings, and a server that can't be reached
    def launch(*_: object) -> None:
        raise DagsterUserCodeUnreachableError("nobody is there")

    home.prepare()
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        monkeypatch.setattr(type(instance.run_launcher), "launch_run", launch)
        place = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("ours"), "all")
        run = dg.DagsterRun(
            "some_job",
            run_id=str(uuid.uuid4()),
            status=dg.DagsterRunStatus.QUEUED,
            remote_job_origin=RemoteJobOrigin(place, "some_job"),
        )
        instance.add_run(run)
        instance.report_dagster_event(DagsterEvent.job_enqueue(run), run_id=run.run_id)
        # when Dagster's daemon takes its turn, again and again
        workspace: Any = None
        limits = instance.get_concurrency_config()
        daemon = QueuedRunCoordinatorDaemon(interval_seconds=5)
        known: list[dg.DagsterRunStatus] = []
        for turn in range(1, 20):
            daemon._dequeue_run(instance, workspace, run, limits, 60.0 * turn)
            found = instance.get_run_by_id(run.run_id)
            assert found is not None
            known.append(found.status)
    # then the run waits for some of them, and fails at last
    waited = known.index(dg.DagsterRunStatus.FAILURE)
    assert waited == 8
    assert set(known[:waited]) == {dg.DagsterRunStatus.QUEUED}


def test_it_is_prepared_once_and_settings_are_never_overwritten(home: Home) -> None:
    settings, ignore = home.dagster / "dagster.yaml", home.root / ".gitignore"
    assert home.prepare() == home
    assert settings.read_text() == INSTANCE_SETTINGS
    assert ignore.read_text() == "*\n"

    # what an earlier version wrote is written anew, unless somebody changed it
    own = settings.read_text().partition("run_coordinator:")
    earlier = (
        own[0]
        + "# while the code server is loaded again a run waits, some two minutes, where it would fail "
        "at once\nrun_queue: {max_user_code_failure_retries: 8, user_code_failure_retry_delay: 15}\n"
        + own[2].partition("}\n")[2]
    )
    before_that = own[0] + own[2].partition("}\n")[2]
    for written, then in (
        (earlier, INSTANCE_SETTINGS),
        (before_that, INSTANCE_SETTINGS),
        (earlier + "# mine", earlier + "# mine"),
    ):
        settings.write_text(written)
        home.prepare()
        assert settings.read_text() == then

    settings.write_text("# mine\n")
    ignore.write_text("# mine\n")
    home.prepare()

    assert (settings.read_text(), ignore.read_text()) == ("# mine\n", "# mine\n")
    assert [found.name for found in home.dagster.iterdir()] == ["dagster.yaml"]


@pytest.mark.parametrize("root", ["file", "file/below"])
def test_a_home_that_is_a_file_is_refused(root: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")

    with pytest.raises(HomeError, match=r"can't be used: .*; name another folder in MLOPS_HOME"):
        Home(tmp_path / root).prepare()
    assert (tmp_path / "file").read_text() == "precious"


def test_only_one_holds_it_and_the_other_is_told_who(home: Home) -> None:
    assert home.holder() is None

    with home.held("mlops dev"):
        assert "`mlops dev`" in str(home.holder())
        with pytest.raises(HomeError, match="in use by `mlops dev` "), home.held("mlops replay"):
            pass
        assert "`mlops dev`" in str(home.holder())

    assert home.holder() is None
    with home.held("mlops replay"):
        assert "`mlops replay`" in str(home.holder())


def test_another_home_is_another_matter(home: Home, tmp_path: Path) -> None:
    with home.held("mlops dev"), Home(tmp_path / "second").held("mlops replay"):
        assert "`mlops dev`" in str(home.holder())


def test_a_failure_frees_it(home: Home) -> None:
    with pytest.raises(ZeroDivisionError), home.held("mlops replay"):
        raise ZeroDivisionError

    assert home.holder() is None


def test_a_killed_holder_frees_it(home: Home) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(home.root)],
        cwd=Path(mlops_assets.__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    expected = f"`mlops replay late` (process {process.pid})"
    assert home.holder() == expected
    with pytest.raises(HomeError) as refused, home.held("mlops dev"):
        pass
    assert expected in str(refused.value)

    process.kill()
    process.wait()
    process.stdout.close()

    assert home.holder() is None
    with home.held("mlops dev"):
        assert "`mlops dev`" in str(home.holder())
