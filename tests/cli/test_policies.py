"""`mlops replay MODEL --policy FILE`: policies side by side, and nothing that serves is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import tiny

OFTEN = "name: often\nretraining: {triggers: [schedule], every_windows: 2}\n"
NEVER = "retraining: {triggers: []}\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tiny.make_project(tmp_path_factory.mktemp("judging") / "project", windows=18)
    (root / "often.yaml").write_text(OFTEN)
    (root / "never.yaml").write_text(NEVER)
    return root


def test_policies_are_played_side_by_side_and_nothing_is_changed(project: Path) -> None:
    # given a project with a history and no state at all, when two policies are judged
    told = tiny.mlops(project, "replay", "tiny", "--policy", "often.yaml", "never.yaml", "--json")

    # then each stands beside the declared one, valued at one cost
    judged = json.loads(told.stdout)
    by_name = {one["name"]: one for one in judged["policies"]}
    assert list(by_name) == ["declared", "often", "never"]
    assert by_name["never"]["retrainings"] == 0
    assert by_name["never"]["net"] == 0.0
    assert by_name["never"]["value"] == pytest.approx(judged["frozen"])
    assert by_name["often"]["retrainings"] > by_name["declared"]["retrainings"] > 0
    for one in by_name.values():
        assert one["net"] == pytest.approx(one["gain"] - judged["cost"] * one["retrainings"])
        assert one["share"] == pytest.approx(one["net"] / judged["hindsight"]["net"])
        assert one["attempts"][0]["trigger"] == "initial"
    assert by_name["declared"]["attempts"][1]["trigger"] == "drift"
    # and only the picture was written
    home = project / ".mlops"
    assert Path(judged["plot"]).read_text().startswith("<?xml")
    assert {file.relative_to(home).as_posix() for file in home.rglob("*") if file.is_file()} == {
        "backtests/tiny.svg"
    }


def test_a_person_reads_a_table(project: Path) -> None:
    # given a policy whose name would be a formula, and a wrong one
    picture = project / "picture.png"
    (project / "odd.yaml").write_text(f"name: $a_$\n{NEVER}")

    told = tiny.mlops(project, "replay", "tiny", "--policy", "odd.yaml", "--plot", str(picture))

    assert "hindsight" in told.stdout
    assert "$a_$" in told.stdout
    assert "Nothing that serves was changed" in told.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--policy", "nowhere.yaml"], "nowhere.yaml can't be read"),
        (["--policy", "pyproject.toml"], "pyproject.toml is no"),
        (["--policy", "often.yaml", "often.yaml"], "two policies are called `often`"),
        (["--policy", "often.yaml", "--until", "2024-02-05"], "no champion in the whole history"),
        (["--policy", "often.yaml", "--plot", "x.tiff3"], "x.tiff3"),
        (["--plot", "x.png"], "goes with --policy only"),
    ],
)
def test_a_mistake_is_named_without_a_traceback(
    project: Path, arguments: list[str], said: str
) -> None:
    done = tiny.mlops(project, "replay", "tiny", *arguments, check=False)

    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stdout == ""
