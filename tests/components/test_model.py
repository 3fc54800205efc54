"""The graph that a declaration becomes, and what Dagster's own tools say of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.components import ModelComponent
from mlops_assets.declaration import Declaration
from tests import tiny

ROOT = Path(__file__).parents[2]

GRAPH = {
    "source": [],
    "labels_source": [],
    "batches": ["source"],
    "labels": ["labels_source"],
    "features": ["batches"],
    "training_set": ["features", "labels"],
    "model": ["training_set"],
    "evaluation": ["model", "training_set"],
    "champion": ["evaluation", "model"],
    "predictions": ["features"],
    "drift_profile": ["features", "predictions"],
    "performance": ["labels", "predictions"],
    "staleness": ["features", "labels", "performance"],
}
WINDOWED = {
    "source",
    "labels_source",
    "batches",
    "labels",
    "features",
    "predictions",
    "drift_profile",
    "performance",
    "staleness",
}


@pytest.fixture(scope="module")
def flights() -> dg.Definitions:
    from mlops_assets.definitions import defs

    return defs()


def test_the_graph_is_the_design(flights: dg.Definitions) -> None:
    graph = flights.resolve_asset_graph()
    found = {
        key.path[1]: sorted(parent.path[1] for parent in graph.get(key).parent_keys)
        for key in graph.get_all_asset_keys()
    }
    assert found == GRAPH
    partitioned = {
        key.path[1] for key in graph.get_all_asset_keys() if graph.get(key).is_partitioned
    }
    assert partitioned == WINDOWED
    assert {graph.get(key).group_name for key in graph.get_all_asset_keys()} == {"flight_delay"}


def test_our_resources_stand_beside_those_of_the_project_around_us(flights: dg.Definitions) -> None:
    usual = ("repository", "store", "ledger", "registry", "mlflow")
    others = dg.Definitions(
        resources={name: dg.ResourceDefinition.none_resource() for name in usual}
    )
    merged = dg.Definitions.merge(others, flights)
    assert all(key.startswith("mlops_") for key in set(merged.resources or {}) - set(usual))
    merged.get_repository_def()  # every asset and sensor finds its own


def test_sensors_and_checks(flights: dg.Definitions) -> None:
    repository = flights.get_repository_def()
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    assert set(sensors) == {"mlops_data", "mlops_decision"}
    assert {s.default_status for s in sensors.values()} == {dg.DefaultSensorStatus.RUNNING}
    checks = {(key.asset_key.path[1], key.name) for key in repository.asset_graph.asset_check_keys}
    assert checks == {
        ("batches", "schema"),
        ("batches", "quality"),
        ("labels", "schema"),
        ("labels", "quality"),
        ("features", "matches_reference"),
        ("evaluation", "better_than_baseline"),
        ("evaluation", "better_than_champion"),
    }


@pytest.mark.parametrize(
    ("every", "first"),
    [
        ("hour", "2024-01-01T00"),
        ("day", "2024-01-01"),
        ("week", "2024-01-01"),
        ("month", "2024-01-01"),
    ],
)
def test_windows_are_dagsters_partitions(every: str, first: str) -> None:
    from mlops_assets.assets.commits import partitions

    declared = Declaration.model_validate(
        {
            "name": "windows",
            "windows": {"every": every, "start": "2024-01-01", "end": "2024-04-01"},
            "batches": {"contract": "a:B", "time": "at", "key": ["id"]},
            "labels": {"contract": "a:B", "target": "a:B"},
            "features": "a:B",
        }
    )
    keys = partitions(declared).get_partition_keys()
    assert keys[0] == first
    assert len(keys) == {"hour": 91 * 24, "day": 91, "week": 13, "month": 3}[every]
    assert all(declared.windows.declares(key) for key in keys)


def test_a_model_can_be_declared_in_python(flights: dg.Definitions) -> None:
    carried = flights.metadata["mlops/declaration/flight_delay"]
    declared = Declaration.model_validate(carried.value)
    from mlops_assets.components.model import definitions

    again = definitions(declared.model_copy(update={"name": "twin"}))
    assert {key.path[0] for key in again.resolve_asset_graph().get_all_asset_keys()} == {"twin"}
    # and two models stand beside each other in one code location
    both = dg.Definitions.merge(again, definitions(declared))
    assert len(both.resolve_asset_graph().get_all_asset_keys()) == 2 * len(GRAPH)
    assert isinstance(ModelComponent(declared), dg.Component)


def test_dg_check_yaml_names_a_typo_with_its_line(tmp_path: Path) -> None:
    # given a declaration with a misspelt field, a bound that is broken and one that is missing
    project = tiny.make_project(tmp_path / "project", windows=0)
    file = project / "tiny_project/defs/tiny/defs.yaml"
    text = file.read_text().replace("rounds: 20", "rounds: 0").replace("min_rows", "min_rowz")
    file.write_text(text)
    lines = text.splitlines()
    # when Dagster's own tool checks it
    done = subprocess.run(
        [str(tiny.BIN / "dg"), "check", "yaml", "--no-validate-requirements"],
        cwd=project,
        env=tiny.environment(project) | {"VIRTUAL_ENV": str(tiny.BIN.parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout + done.stderr
    # then both stand there with their lines
    assert done.returncode != 0
    for wrong in ("min_rowz", "rounds: 0"):
        number = next(i for i, line in enumerate(lines, 1) if wrong in line)
        assert f"defs.yaml:{number}" in said, said


def test_opening_the_code_location_is_light_and_asks_no_network() -> None:
    # given a process in which every look-up and connection is an error
    program = """
import json, socket, sys
def refuse(*args, **kwargs):
    raise AssertionError(f"network: {args}")
socket.getaddrinfo = socket.create_connection = refuse
import mlops_assets.definitions
mlops_assets.definitions.defs().get_repository_def()
heavy = ["pandas", "mlflow", "lightgbm", "whylogs", "sklearn", "scipy", "matplotlib", "pygit2"]
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    # then nothing heavy was imported
    assert json.loads(done.stdout.splitlines()[-1]) == []
