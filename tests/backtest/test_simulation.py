"""A backtest decides as production does, and shares what policies have in common."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.backtest.comparison import Backtest, compared
from mlops_assets.backtest.history import gathered
from mlops_assets.backtest.policies import declared, replaced
from mlops_assets.batches.landing import Kind
from mlops_assets.declaration import Declaration
from mlops_assets.records import kinds
from mlops_assets.registry.tracking import load_model
from mlops_assets.resources import RegistryResource
from tests import tiny
from tests.conftest import Played, PlayedTo, open_project

WINDOWS = 14


def files(project: Path) -> dict[str, dict[Kind, Path]]:
    kinds: tuple[Kind, ...] = ("batches", "labels")
    return {
        file.stem: {kind: project / "history" / kind / file.name for kind in kinds}
        for file in (project / "history/batches").iterdir()
    }


@pytest.fixture
def declaration(played: Played) -> Declaration:
    return played.player.declaration


@pytest.fixture
def backtest(tmp_path: Path, declaration: Declaration) -> Iterator[Backtest]:
    """A longer history than the project's own, so that what was promoted is measured too."""
    with gathered(declaration, None, files(tiny.make_project(tmp_path / "long", 20))) as history:
        yield Backtest(history, declaration)


def course_of(backtest: Backtest, **retraining: object) -> list[tuple[str, str, bool]]:
    policy = replaced("a policy", backtest.declaration, {"retraining": retraining})
    simulation = backtest.simulation(policy.declaration).play()
    return [(one.window, one.trigger, one.promoted) for one in simulation.retrainings]


@pytest.mark.parametrize(
    ("retraining", "trigger"),
    [
        pytest.param("triggers: [drift]", "drift", marks=pytest.mark.slow),
        ("triggers: [staleness, drift]", "staleness"),
        pytest.param(
            "triggers: [schedule, new_data], every_windows: 3, new_windows: 4",
            "schedule",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_it_retrains_when_and_why_production_did(
    tmp_path: Path, fresh_home: Path, as_it_was: None, retraining: str, trigger: str
) -> None:
    # given a history that Dagster played, with its drift and its refusals
    root = tiny.make_project(tmp_path / "project", WINDOWS)
    file = root / "tiny_project/defs/tiny/defs.yaml"
    file.write_text(file.read_text().replace("triggers: [drift]", retraining))
    played = open_project(root, fresh_home)
    declaration = played.player.declaration
    played.turn(*range(WINDOWS))
    entries = played.ledger.entries("tiny")
    assert trigger in {entry.trigger for entry in entries}

    # when what landed is played again by the backtest
    with gathered(declaration, played.repository, {}) as history:
        simulation = Backtest(history, declaration).simulation(declaration).play()

    # then each attempt is the same: its window, its reason, its models, its end
    assert [
        (one.window, one.trigger, one.promoted, one.reason) for one in simulation.retrainings
    ] == [(e.window, e.trigger, e.event == "promoted", e.reason) for e in entries]
    assert [served.training_windows for served in simulation.champions] == [
        e.training_windows for e in entries if e.event == "promoted"
    ]
    for served, entry in zip(
        simulation.champions, [e for e in entries if e.event == "promoted"], strict=True
    ):
        assert served.version == entry.version
    # and so is each decision that was held back
    held = [
        (row.window, row.trigger, row.code)
        for row in played.store.rows(kinds.Decision, model="tiny")
        if row.decision == "held_back"
    ]
    assert [
        (one.evidence.window, one.evidence.trigger, one.code)
        for one in simulation.decisions
        if not one.retrain
    ] == held


def test_its_models_are_those_of_production(played_to: PlayedTo) -> None:
    played = played_to(7)
    declaration = played.player.declaration
    entry = played.ledger.entries("tiny")[0]
    with gathered(declaration, None, files(played.project.root)) as history:
        backtest = Backtest(history, declaration)
        made = backtest.models.fitted(backtest.first)

    kept = load_model(RegistryResource().tracking("tiny"), str(entry.mlflow_run_id))
    assert made.checksum == kept.checksum


def test_a_calendar_keeps_its_period_and_its_phase(backtest: Backtest) -> None:
    calendar = {"triggers": ["schedule"], "every_windows": 3}
    first, *others = [window for window, *_ in course_of(backtest, **calendar)]

    apart = [backtest.declaration.windows.distance(first, other) for other in others]
    assert apart == [3, 6, 9, 12]

    policy = replaced("earlier", backtest.declaration, {"retraining": calendar})
    simulation = backtest.simulation(policy.declaration, head_start=1).play()
    earlier = [one.window for one in simulation.retrainings][1]
    assert backtest.declaration.windows.distance(first, earlier) == 2


def test_no_trigger_is_the_frozen_model(backtest: Backtest) -> None:
    assert [what for _, what, _ in course_of(backtest, triggers=[])] == ["initial"]


def test_a_budget_holds_back_and_says_so(backtest: Backtest) -> None:
    often = {"triggers": ["schedule"], "every_windows": 2}
    free = course_of(backtest, **often)
    policy = replaced(
        "thrifty", backtest.declaration, {"retraining": {**often, "runs_per_month": 1}}
    )

    simulation = backtest.simulation(policy.declaration).play()

    assert 1 < len(simulation.retrainings) < len(free)
    assert "budget" in {one.code for one in simulation.decisions}


def test_policies_share_their_models_and_are_valued_alike(backtest: Backtest) -> None:
    base = backtest.declaration
    policies = [
        declared(base),
        replaced("frozen", base, {"retraining": {"triggers": []}}),
        replaced("calendar", base, {"retraining": {"triggers": ["schedule"], "every_windows": 2}}),
    ]
    results, best = compared(backtest, policies, lambda _: None)
    fits = len(backtest.models.seconds)

    # a second comparison of the same fits nothing, and says the same
    again, _ = compared(backtest, policies, lambda _: None)
    assert len(backtest.models.seconds) == fits
    assert [one.net for one in again] == [one.net for one in results]

    drift, frozen, calendar = results
    assert (frozen.attempts, frozen.gain, frozen.net) == (0, 0.0, 0.0)
    # the history turns at window 9: a newer model is worth more than it costs
    assert drift.gain > 0
    for one in results:
        assert one.net == pytest.approx(one.gain - backtest.cost * one.attempts)
        assert one.gain == pytest.approx(sum(one.by_window.values()))
        assert one.net <= best.net + 1e-12
        assert one.share == pytest.approx(one.net / best.net)
    assert calendar.attempts > drift.attempts
    assert calendar.minutes > 0


def test_a_twin_that_cannot_be_fitted_is_a_window_not_judged(
    tmp_path: Path, declaration: Declaration
) -> None:
    # given a first week in which nobody paid: nothing can be learnt from it
    project = tiny.make_project(tmp_path / "poor", 6)
    labels = project / "history/labels" / f"{tiny.window(0)}.parquet"
    pl.read_parquet(labels).with_columns(paid=pl.lit(0, pl.Int8)).write_parquet(labels)

    with gathered(declaration, None, files(project)) as history:
        found = Backtest(history, declaration).twins.compared((tiny.window(0),), tiny.window(5))

    assert (found.gain, found.champion) == (None, None)
    assert found.reason.startswith("there are no twins: ")
    assert found.rows > 0
