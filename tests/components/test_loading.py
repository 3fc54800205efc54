"""One declaration that can't be kept or read stops no other, and is named with file and line."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import dagster as dg
import pytest
import yaml
from typer.testing import CliRunner

from mlops_assets.cli.app import app
from mlops_assets.components import load_models
from mlops_assets.components.model import VALIDATING
from mlops_assets.errors import DeclarationError
from mlops_assets.project import Project
from mlops_assets.sensors.location import DATA_SENSOR, DECISION_SENSOR
from tests import tiny

YAML = "tiny_project/defs/tiny/defs.yaml"
OURS = """\
from pathlib import Path

import dagster as dg

from mlops_assets.components import load_models


@dg.definitions
def defs():
    return load_models(Path(__file__).parent)
"""
Two = Callable[..., Project]


@pytest.fixture
def two(tmp_path: Path, as_it_was: None, monkeypatch: pytest.MonkeyPatch) -> Two:
    """Return what opens a project of two models, `tiny` with a change and `other` without."""
    root = tiny.make_project(tmp_path / "project", windows=0)
    other = root / "tiny_project/defs/other"
    shutil.copytree(root / "tiny_project/defs/tiny", other)
    text = (other / "defs.yaml").read_text()
    (other / "defs.yaml").write_text(text.replace("name: tiny", "name: other"))

    def opened(before: str, after: str, file: str = YAML, definitions: str = "") -> Project:
        text = (root / file).read_text()
        assert before in text
        (root / file).write_text(text.replace(before, after))
        if definitions:
            (root / "tiny_project/definitions.py").write_text(definitions)
        for name in [name for name in sys.modules if name.partition(".")[0] == "tiny_project"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        monkeypatch.chdir(root)
        monkeypatch.setenv("MLOPS_HOME", str(root / ".mlops"))
        monkeypatch.delenv("MLOPS_MODULE", raising=False)
        return Project.find()

    return opened


def test_models_of_one_file_are_processed_apart_and_share_the_sensors(two: Two) -> None:
    # given three models in a stock project, two of them in one file, one with a post-processing
    post = "\npost_processing:\n  assets:\n    - attributes: {tags: {cost: high}}\n"
    theirs = dedent(tiny.FILES["tiny_project/definitions.py"]).lstrip()
    project = two("name: tiny\n", "name: tiny\n", definitions=theirs)
    file = project.root / YAML
    text = file.read_text()
    file.write_text(f"{text}{post}---\n{text.replace('name: tiny', 'name: second')}")

    assert sorted(project.declarations) == ["other", "second", "tiny"]
    specs = project.definitions.resolve_all_asset_specs()
    tagged = {spec.key.path[0] for spec in specs if spec.tags.get("cost") == "high"}
    assert tagged == {"tiny"}
    # then the sensors may ask for runs of all of them
    graph = project.repository.asset_graph
    for sensor in project.repository.sensor_defs:
        assert sensor.asset_selection is not None
        keys = sensor.asset_selection.resolve(graph)
        assert {key.path[0] for key in keys} == {"other", "second", "tiny"}
    assert len(project.repository.sensor_defs) == 2


def test_a_folder_that_fails_late_takes_the_sensors_from_no_other(two: Two) -> None:
    # given a model, the last to be loaded, whose post-processing names no assets
    project = two("name: tiny\n", "name: tiny\n")
    file = project.root / YAML
    post = (
        "post_processing:\n  assets:\n    - {target: 'tag(((', attributes: {tags: {cost: high}}}\n"
    )
    file.write_text(f"{file.read_text()}\n{post}")
    # then the other one has its sensors
    assert list(project.declarations) == ["other"]
    assert {one.name for one in project.repository.sensor_defs} == {DATA_SENSOR, DECISION_SENSOR}


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("rounds: 20", "rouds: 20", 20, "no such field; did you mean `rounds`?"),
        ("num_leaves: 4", "num_leafs: 4", 21, "did you mean `num_leaves`?"),
        ("cooldown_windows: 2", "cooldown_windows: 1", 23, "must be above holdout_windows 1"),
        ("  windows:", "   windows:", 5, "no YAML: mapping values are not allowed here"),
        ("type: mlops_assets", "tipe: mlops_assets", 1, "`type`: Field required"),
        ("ModelComponent", "ModelComponet", 1, "no attribute `ModelComponet`"),
    ],
)
def test_the_other_model_goes_on(two: Two, before: str, after: str, line: int, words: str) -> None:
    project = two(before, after)

    assert list(project.declarations) == ["other"]
    assert list(project.broken) == ["tiny"]
    assert project.declaration("other").name == "other"
    with pytest.raises(DeclarationError) as told:
        project.declaration("tiny")
    assert str(told.value).startswith(f"{YAML}:{line}: ")
    assert words in str(told.value)
    assert project.broken_lines()[0].startswith(f"tiny is not loaded: {YAML}:{line}: ")


def test_a_module_that_raises_stops_no_other_and_is_named(two: Two) -> None:
    project = two("FEATURES = {", "1 / 0\nFEATURES = {", "tiny_project/defs/tiny/features.py")

    assert list(project.declarations) == ["other"]
    assert "defs/tiny/features.py:3: ZeroDivisionError" in str(project.broken["tiny"])


def test_of_two_models_of_one_name_neither_is_taken_for_the_other(two: Two) -> None:
    project = two("name: tiny\n", "name: other\n")

    assert list(project.declarations) == []
    assert str(project.broken["other"]).splitlines() == [
        "tiny_project/defs/other/defs.yaml:4: name: another model is called `other` too, in "
        f"{YAML}:4; rename one",
        f"{YAML}:4: name: another model is called `other` too, in "
        "tiny_project/defs/other/defs.yaml:4; rename one",
    ]


def test_dagster_shows_why_beside_the_model_that_it_loads(two: Two) -> None:
    # an indentation error: Dagster's own loader gives up on the whole folder
    project = two("  windows:", "   windows:", definitions=OURS)

    assert project.whole
    specs = {spec.key.path[0]: spec for spec in project.definitions.resolve_all_asset_specs()}
    assert "defs.yaml:5: no YAML" in (specs["tiny"].description or "")
    assert specs["tiny"].group_name == "tiny"
    assert dg.AssetKey(["other", "batches"]) in project.repository.asset_graph.get_all_asset_keys()
    assert {one.name for one in project.repository.sensor_defs} == {"mlops_data", "mlops_decision"}
    # under `load_from_defs_folder` the commands go on, and say that Dagster does not
    theirs = dedent(tiny.FILES["tiny_project/definitions.py"]).lstrip()
    theirs_too = two("name", "name", definitions=theirs)
    assert list(theirs_too.declarations) == ["other"]
    assert "loads no model in Dagster because of that" in theirs_too.broken_lines()[-1]


@pytest.mark.parametrize("before", ["rounds: 20", "  windows:"])
def test_validation_fails_with_a_line_for_each(
    two: Two, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    two(before, before.replace("rounds", "rouds").replace("  windows", "   windows"))
    two("min_rows: 50", "min_rows: 0", "tiny_project/defs/other/defs.yaml")
    monkeypatch.setenv(VALIDATING, "1")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 as `Project.make_importable` does

    with pytest.raises(DeclarationError) as told:
        load_models(Path.cwd())

    said = sorted(str(told.value).splitlines())
    assert len(said) == 2
    assert said[0].startswith("tiny_project/defs/other/defs.yaml:10: batches.min_rows: 0: ")
    assert said[1].startswith(f"{YAML}:")


def test_mlops_check_names_each_fault_on_a_line_and_goes_on(two: Two) -> None:
    two("key: [id]", "key: [id, version]")

    done = CliRunner().invoke(app, ["check"])

    assert done.exit_code == 1, done.output
    lines = done.output.splitlines()
    assert f"{YAML}:9: batches.key: a key can't be called `version`: " in done.output
    assert "other: as declared" in lines
    assert any("windows.end: nothing lands from 2025-01-06 on" in line for line in lines)
    # what goes over all models says so too, and goes on
    compacted = CliRunner().invoke(app, ["store", "compact"])
    assert compacted.exit_code == 0
    assert f"tiny is not loaded: {YAML}:9: batches.key: " in compacted.output


def test_a_python_declaration_that_cannot_be_kept_stops_no_other(two: Two) -> None:
    project = two("name: tiny", "name: tiny")
    (project.root / "tiny_project/defs/made.py").write_text(
        "import dagster as dg\n"
        "from mlops_assets.components import ModelComponent\n"
        "from mlops_assets.declaration import Declaration\n\n\n"
        "@dg.component_instance\n"
        "def made(context):\n"
        "    return ModelComponent(Declaration(name='made'))\n"
    )

    assert sorted(project.declarations) == ["other", "tiny"]
    assert "`windows`: Field required" in str(project.broken["made"])


def test_a_component_is_of_a_declaration_or_of_why_there_is_none() -> None:
    from mlops_assets.components import ModelComponent

    with pytest.raises(DeclarationError, match="why there is none"):
        ModelComponent(None)
    assert issubclass(ModelComponent, dg.Component)


@pytest.mark.parametrize(
    ("gates", "wrong"), [({}, True), ({"min_gain": 0.1}, True), ({"holdout_windows": 1}, False)]
)
def test_dg_check_yaml_knows_the_least_cooldown(gates: dict[str, float], wrong: bool) -> None:
    from jsonschema import Draft202012Validator

    from mlops_assets.components import ModelComponent

    declared = yaml.safe_load(dedent(tiny.FILES["tiny_project/defs/tiny/defs.yaml"]))["attributes"]
    declared["gates"] = gates
    schema = ModelComponent.get_model_cls().model_json_schema()

    problems = [one.message for one in Draft202012Validator(schema).iter_errors(declared)]

    assert problems == (["2 is less than the minimum of 3"] if wrong else [])


def test_a_project_file_that_cannot_be_read_is_named(two: Two) -> None:
    project = two('root_module = "tiny_project"', "root_module =", "pyproject.toml")

    with pytest.raises(DeclarationError, match=r"pyproject.toml can't be read: .*line 5"):
        _ = project.declarations
