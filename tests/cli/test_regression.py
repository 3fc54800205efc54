"""A model of a number, played as a person plays it: every command that knows of a task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from tests import tiny

pytestmark = pytest.mark.slow

WINDOWS, DRIFT_AT = 13, 7


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Return a project that was played to its end, what the replay said, and what was decided."""
    folder = tmp_path_factory.mktemp("regression") / "project"
    project = tiny.make_project(folder, WINDOWS, DRIFT_AT, regression=True)
    summary = json.loads(tiny.mlops(project, "replay", tiny.MODEL, "--json").stdout)
    return project, summary, tiny.outcome(project)


def test_it_is_played_from_the_first_training_to_a_retraining(
    played: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    _, summary, found = played
    # given a history that turns round, then it was retrained, in the metric of the task
    assert (summary["played"], summary["refused"]) == (WINDOWS, [])
    assert any(one["promoted"] for one in found["retrainings"])
    assert set(summary["loop"]) == set(summary["frozen"]) == {"rmse"}
    # and an error is a gain where it is smaller
    assert summary["loop"]["rmse"] < summary["frozen"]["rmse"]
    measured = [one["metric"] for one in found["windows"] if one["metric"] is not None]
    # the noise is 500, and a habit turned round is wrong by ten times that
    assert 500 < min(measured) < 1_000
    assert max(measured) > 3_000


def test_its_gates_are_in_shares_of_the_opponents_error(
    played: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    _, _, found = played
    (initial,) = [one for one in found["log"] if one["trigger"] == "initial"]
    gates = {gate["name"]: gate for gate in initial["gates"]}
    baseline = gates["better_than_baseline"]
    assert baseline["passed"]
    # a hundredth of always saying the mean, which is wrong by some 2,100
    assert baseline["limit"] == pytest.approx(21, abs=3)
    assert baseline["value"] > 500
    assert gates["refit_scores_agree"]["passed"]
    # scores are of thousands: what seeds differ by, or a share of their spread, is the limit
    assert gates["refit_scores_agree"]["limit"] > 1


def test_its_twins_say_in_its_unit_what_a_retraining_would_have_earned(
    played: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    project, _, _ = played
    rows = Store(project / ".mlops/store").latest(kinds.Staleness, model=tiny.MODEL)
    assert {row.measure for row in rows} == {"rmse"}
    # given a habit that turned in week 7, of which a retraining before week 9 would have known
    gains = {row.window: row.gain for row in rows}
    assert gains[tiny.window(7)] == 0.0
    assert gains[tiny.window(9)] > 3_000
    turned = next(row for row in rows if row.window == tiny.window(9))
    # then the sum is worth twice the cost, which is a share of the first error
    assert turned.cost == pytest.approx(0.03 * rows[0].served)
    assert turned.due
    assert turned.sentence.startswith("stale: not retraining has cost ")
    # and once another version serves, which knows it, nothing is to be earned any more
    last = rows[-1]
    assert last.champion > turned.champion
    assert abs(last.gain) < 300
    assert not last.due


def test_its_policies_are_judged_by_the_decisions_that_it_took(
    played: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    project, _, found = played
    (project / "never.yaml").write_text("retraining: {triggers: []}\n")
    told = tiny.mlops(project, "replay", tiny.MODEL, "--policy", "never.yaml", "--json").stdout
    declared, never = json.loads(told)["policies"]
    assert [(one["window"], one["trigger"], one["promoted"]) for one in declared["attempts"]] == [
        (one["window"], one["trigger"], one["event"] == "promoted") for one in found["log"]
    ]
    # an error that became smaller is a gain, in the target's unit times months
    assert (declared["gain"] > 100, never["gain"]) == (True, 0.0)


def test_it_is_explained_in_words_with_its_own_metric(
    played: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    project, summary, _ = played
    said = tiny.mlops(project, "replay", tiny.MODEL).stdout
    gain = summary["frozen"]["rmse"] - summary["loop"]["rmse"]
    assert "Mean rmse of a window" in said
    assert f"+{gain:,.4f}" in said


def test_it_can_be_rebuilt_bit_for_bit(
    played: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    project, _, found = played
    for version in {one["version"] for one in found["log"] if one["event"] == "promoted"}:
        rebuilt = json.loads(
            tiny.mlops(project, "rebuild", tiny.MODEL, str(version), "--json").stdout
        )
        assert rebuilt["identical"], rebuilt


def test_all_that_was_recorded_of_it_is_there(
    played: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    verified = json.loads(tiny.mlops(played[0], "verify", "--json").stdout)
    assert verified["problems"] == []
