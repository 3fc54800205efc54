"""The commands as a person meets them: no traceback, nothing half-written, a hint what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import tiny


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_project(tmp_path_factory.mktemp("commands") / "project", windows=2)


MISTAKES = [
    (["land", "tinny", "x.parquet"], "no declared model `tinny`; did you mean `tiny`?"),
    (["land", "tiny", "nowhere.parquet"], "no file nowhere.parquet"),
    (["land", "tiny", "pyproject.toml"], "only .parquet and .csv can be landed"),
    (
        ["land", "tiny", "history/batches/2024-01-01.parquet", "--window", "2024-01-02"],
        "`2024-01-02` is none of the declared windows",
    ),
    (["replay", "tiny", "--until", "soon"], "`soon` is no week"),
    (
        ["status", "tinny"],
        "no model, declared or with any state here, `tinny`; did you mean `tiny`?",
    ),
    (["log", "tinny"], "no model, declared or with any state here, `tinny`; did you mean `tiny`?"),
    (["pause", "nobody"], "no declared model `nobody`"),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_named_without_a_traceback(
    project: Path, arguments: list[str], said: str
) -> None:
    done = tiny.mlops(project, *arguments, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stdout == ""


def test_a_typo_in_the_declaration_is_named(tmp_path: Path) -> None:
    broken = tiny.make_project(tmp_path / "project", windows=1)
    file = broken / "tiny_project/defs/tiny/defs.yaml"
    file.write_text(file.read_text().replace("cooldown_windows", "cooldown_windoes"))
    done = tiny.mlops(broken, "replay", "tiny", check=False)
    assert done.returncode == 1
    assert "cooldown_windoes" in done.stderr
    assert "Traceback" not in done.stderr


def test_landing_says_at_once_whether_a_batch_is_good(tmp_path: Path) -> None:
    project = tiny.make_project(tmp_path / "project", windows=2)
    # given nothing yet, status says what to do
    assert "`mlops replay tiny` plays its history" in tiny.mlops(project, "status").stdout
    # when a broken batch lands
    bad = project / "bad.parquet"
    tiny.batch(0)[0].drop("amount").write_parquet(bad)
    done = tiny.mlops(project, "land", "tiny", str(bad), check=False)
    # then it is refused with the reason, and listed
    assert done.returncode == 1
    assert "no column `amount`" in done.stdout
    assert "Main is untouched" in done.stdout
    status = json.loads(tiny.mlops(project, "status", "--json").stdout)["models"][0]
    assert [one["window"] for one in status["refused"]] == ["2024-01-01"]
    assert status["champion"] is None
    # and the very same file is refused again, a good one waits for the daemon
    assert tiny.mlops(project, "land", "tiny", str(bad), check=False).returncode == 1
    good = "history/batches/2024-01-01.parquet"
    landed = json.loads(tiny.mlops(project, "land", "tiny", good, "--json").stdout)
    assert (landed["outcome"], landed["kind"], landed["rows"]) == ("landed", "batches", 300)
    labels = json.loads(
        tiny.mlops(project, "land", "tiny", "history/labels/2024-01-01.parquet", "--json").stdout
    )
    assert (labels["outcome"], labels["kind"]) == ("landed", "labels")
    status = json.loads(tiny.mlops(project, "status", "--json").stdout)["models"][0]
    assert [one["kind"] for one in status["waiting"]] == ["batches", "labels"]


def test_a_pause_and_a_request_are_written_down(tmp_path: Path) -> None:
    project = tiny.make_project(tmp_path / "project", windows=1)
    assert "is paused" in tiny.mlops(project, "pause", "tiny", "--reason", "an audit").stdout
    assert "paused already" in tiny.mlops(project, "pause", "tiny").stdout
    status = json.loads(tiny.mlops(project, "status", "--json").stdout)["models"][0]
    assert status["paused"]["reason"] == "an audit"
    assert "is resumed" in tiny.mlops(project, "resume", "tiny").stdout
    # nothing has landed: a request can only wait
    asked = json.loads(tiny.mlops(project, "retrain", "tiny", "--json").stdout)
    assert asked["outcome"] == "waiting"
