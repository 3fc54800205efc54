"""A process of one variant of the retraining: `python -m tests.benchmarks.variants NAME FOLDER`.

The folder holds `plain/` (Parquet files and the champion's model) and `template/`, a home in which
the same data is committed and the same champion promoted. Every repetition gets a home of its own:
nothing that an earlier one trained can be reused.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from mlops_assets.home import Home
from mlops_assets.learning.training import FittedModel, load_lightgbm
from tests.benchmarks.measuring import ROOT, answer_questions, peak_memory
from tests.benchmarks.retraining import InMemory, Made, features_of, flights, retrain

if TYPE_CHECKING:
    from tests.benchmarks.recorded import Recorded

LANDED_SINCE = 3  # windows that landed since the champion was trained; two of them are held out
MAIN = "main"


def prepare(folder: Path, windows: int, every: int) -> None:
    """Commit the flights of the first windows (each nth row), with a champion of the earlier ones.

    The newest window's features are left to be made.
    """
    from tests.benchmarks.recorded import Recorded

    declaration = flights()
    plain = folder / "plain"
    keys = sorted(f.stem for f in (ROOT / "data/flights/departures").iterdir())[: windows + 1]
    for kind, source in (("batches", "departures"), ("labels", "arrivals")):
        (plain / kind).mkdir(parents=True)
        for window in keys:
            file = ROOT / "data/flights" / source / f"{window}.parquet"
            chosen = pl.col("flight_id").hash(seed=0) % every == 0
            pl.read_parquet(file).filter(chosen).write_parquet(plain / kind / f"{window}.parquet")
    (plain / "features").mkdir()
    home = Home(folder / "template").prepare()
    for name, value in home.environment().items():
        os.environ[name] = value
    keeping = Recorded(declaration, home, "initial")
    # the newest window's labels are not mature: with k + 1 landed, k can be learnt from
    first = len(keys) - LANDED_SINCE
    _commit(keeping, plain, keys[:first], keys[:first])
    retrain(keeping)
    champion = keeping.champion()
    assert champion is not None
    champion.model.save(plain / "champion")
    _commit(keeping, plain, keys[first:], keys[first:-1])


def _commit(keeping: Recorded, plain: Path, landed: list[str], ready: list[str]) -> None:
    """Commit batches and labels of windows in one go, then the features of those that have them."""
    path = keeping.declaration.path
    with keeping.repository.transaction(MAIN, "landed") as transaction:
        for window in landed:
            for kind in ("batches", "labels"):
                transaction.put(path(kind, window), plain / kind / f"{window}.parquet")
    for window in ready:
        features_of(keeping, window)
        made = keeping.repository.read(MAIN, path("features", window))
        (plain / "features" / f"{window}.parquet").write_bytes(made)


def pure(folder: Path, newest: str) -> Callable[[], tuple[float, float, dict[str, Any]]]:
    """Run the pure functions only."""
    keeping = InMemory(flights(), folder / "plain", newest)
    made: list[Made] = []

    def work() -> None:
        made.append(retrain(keeping))

    return lambda: (
        *_timed(lambda: features_of(keeping, newest), work),
        {"made": asdict(made[-1]), "rows": keeping.training_set.height},
    )


def recorded(folder: Path, newest: str) -> Callable[[], tuple[float, float, dict[str, Any]]]:
    """Run the same with versions, MLflow, store and ledger."""
    from tests.benchmarks.recorded import Recorded

    home = _fresh_home(folder)
    keeping = Recorded(flights(), home, "benchmark")

    def run() -> tuple[float, float, dict[str, Any]]:
        before = _counts(home)
        spent = _timed(lambda: features_of(keeping, newest), lambda: retrain(keeping))
        return (*spent, _left(home, before))

    return run


def dagster(folder: Path, newest: str) -> Callable[[], tuple[float, float, dict[str, Any]]]:
    """Run the jobs of the code location: the features of a window, then the retraining."""
    import dagster as dg

    from mlops_assets.assets.request import CAUSE_TAG, REASON_TAG, TRIGGER_TAG
    from mlops_assets.replay.player import Player
    from mlops_assets.resources import KIND_TAG, MODEL_TAG
    from mlops_assets.sensors.runs import keys_of

    home = _fresh_home(folder)
    project = _project()
    declaration = project.declaration("flight_delay")
    told: list[str] = []
    player = Player(project, declaration, told.append)
    name = declaration.name
    player.instance.get_runs(limit=1)
    stages = [dg.AssetKey([name, "features"])]
    checks = [dg.AssetCheckKey(stages[0], "matches_reference")]
    ingest = dg.RunRequest(
        partition_key=newest,
        asset_selection=stages,
        asset_check_keys=checks,
        tags={MODEL_TAG: name, KIND_TAG: "ingest"},
    )
    tags = {CAUSE_TAG: "benchmark", TRIGGER_TAG: "manual", REASON_TAG: "a benchmark"}
    request = dg.RunRequest(
        run_key="benchmark",
        asset_selection=keys_of(name, "retrain"),
        tags={MODEL_TAG: name, KIND_TAG: "retrain", **tags},
    )

    def run() -> tuple[float, float, dict[str, Any]]:
        before = _counts(home)
        spent = _timed(
            lambda: player.execute(ingest, "data"),
            lambda: player.execute(request, "decision"),
        )
        assert not any("failed" in line for line in told), told
        runs = player.instance.get_runs()
        events = sum(len(player.instance.all_logs(run.run_id)) for run in runs)
        return (*spent, {**_left(home, before), "events": events, "pictures": _pictures()})

    return run


VARIANTS = {"pure": pure, "recorded": recorded, "dagster": dagster}
_projects: list[Any] = []


def _project() -> Any:
    """Load the definitions once a process, as a code server does."""
    from mlops_assets.project import Project

    if not _projects:
        _projects.append(Project.find())
        _projects[0].repository.get_all_jobs()
    return _projects[0]


def _timed(features: Callable[[], object], rest: Callable[[], object]) -> tuple[float, float]:
    begun = time.perf_counter()
    features()
    between = time.perf_counter()
    rest()
    return between - begun, time.perf_counter() - between


def _fresh_home(folder: Path) -> Home:
    number = sum(1 for _ in folder.glob("home-*"))
    root = folder / f"home-{number}"
    # MLflow's database names the template's folder for files: the champion's stand there
    shutil.copytree(
        folder / "template", root, ignore=shutil.ignore_patterns("artifacts", "dagster")
    )
    home = Home(root)
    os.environ["MLOPS_HOME"] = str(root)
    os.environ["DAGSTER_HOME"] = str(root / "dagster")
    # dagster-mlflow's `set_tracking_uri` leaves it behind: the next home would use the last one's
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    home.prepare()
    from mlops_assets.registry.connection import connect

    connect(home.mlflow).search_experiments()
    return home


def _counts(home: Home) -> dict[str, int]:
    """Count what the rooms hold, to see that both sides wrote the same."""
    from mlops_assets.registry.connection import connect
    from mlops_assets.versions import open_repository

    client = connect(home.mlflow)
    experiment = client.get_experiment_by_name("flight_delay")
    return {
        "commits": sum(1 for _ in open_repository(home.repository).log(MAIN)),
        "runs": len(client.search_runs([experiment.experiment_id])),
    }


def _left(home: Home, before: dict[str, int]) -> dict[str, Any]:
    """Read back what a retraining left: the models' checksums, the reference, the gates."""
    from mlops_assets.registry.connection import connect
    from mlops_assets.registry.ledger import Ledger
    from mlops_assets.versions import open_repository

    entry = Ledger(home.ledger).champion("flight_delay")
    assert entry is not None
    assert entry.cause == "benchmark", "nothing was promoted"
    client = connect(home.mlflow)
    versions = open_repository(home.repository)
    path = "flight_delay/training_set.parquet"
    mark = versions.stat(MAIN, path).checksum
    experiment = client.get_experiment_by_name("flight_delay").experiment_id
    models: dict[str, list[str]] = {"challenger": [], "refit": [], "other_seed": []}
    for run in client.search_runs([experiment], f"tags.`mlops.training_set` = '{mark}'"):
        place = Path(run.info.artifact_uri.removeprefix("file://")) / "model"
        models[run.data.tags["mlops.stage"]].append(FittedModel.load(place).checksum)
    return {
        "made": asdict(
            Made(
                {stage: sorted(found) for stage, found in models.items()},
                str(entry.reference),
                [[gate.name, gate.passed, gate.value] for gate in entry.gates],
            )
        ),
        "wrote": {name: count - before[name] for name, count in _counts(home).items()},
        "rows": pl.scan_parquet(versions.location(MAIN, path).uri)
        .select(pl.len())
        .collect()
        .item(),
    }


def _pictures() -> float:
    """Time the pictures that a retraining draws for the Dagster UI."""
    from mlops_assets.assets import plots

    names = [f"feature {number}" for number in range(18)]
    begun = time.perf_counter()
    for _ in range(2):
        plots.bars(names, list(range(18)), "share of the gain")
    plots.pairs(["one", "two"], [0.7, 0.7], [0.6, 0.6], ("challenger", "champion"), "auc")
    return time.perf_counter() - begun


def main(variant: str, place: str, *numbers: str) -> None:
    folder = Path(place)
    if variant == "prepare":
        prepare(folder, *map(int, numbers))
        answer_questions({}, dict)
        return
    load_lightgbm()
    declaration = flights()
    declaration.windows.begins(declaration.windows.start)
    newest = max(file.stem for file in (folder / "plain" / "batches").iterdir())
    if variant != "pure":
        from mlops_assets.registry.connection import quieten

        quieten()
        import mlflow  # noqa: F401  # the start of the process, not of a retraining
    if variant == "dagster":
        os.environ["MLOPS_HOME"] = str(folder / "template")
        _project()

    def answer(**_: Any) -> dict[str, Any]:
        features, rest, left = VARIANTS[variant](folder, newest)()
        return {"features": features, "retrain": rest, "peak": peak_memory(), **left}

    answer_questions({"peak": peak_memory()}, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
