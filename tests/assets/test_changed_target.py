"""What a champion learnt may not be what is declared now; then nothing old is taken for new."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.monitoring.due import due
from mlops_assets.monitoring.meaning import Series
from mlops_assets.records import kinds
from tests import tiny
from tests.conftest import Played, PlayedTo, reopen

WHY = "the target changed since version 1 learnt"


def rewritten(played: Played, file: str, before: str, after: str) -> Played:
    """Change a file of the project, and open it again."""
    path = Path(played.project.root) / "tiny_project/defs/tiny" / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    return reopen(played)


def test_an_inverted_target_begins_a_new_series_and_is_learnt(played_to: PlayedTo) -> None:
    # given a champion, and a window of which it was measured what its scores are worth
    played = played_to(9)
    window = tiny.window(7)
    old = played.store.latest(kinds.Performance, model=tiny.MODEL, window=window)[0]
    assert old.value > 0.6
    assert due(played.repository, played.store, played.player.declaration) == []
    # when the opposite is declared to be the target
    played = rewritten(played, "features.py", 'pl.col("paid") == 1', 'pl.col("paid") == 0')
    # then what was measured is due again, and what was summed up is nothing any more
    asked = due(played.repository, played.store, played.player.declaration)
    assert [(one.window, one.stages) for one in asked] == [(window, ("performance", "staleness"))]
    status = played.status
    assert status["other_target"] == WHY
    assert {one["metric"] for one in status["windows"]} == {None}  # the old ones say nothing of it
    assert {one["estimate"] for one in status["windows"]} == {None}
    played.player.settle()
    new = played.store.latest(kinds.Performance, model=tiny.MODEL, window=window)[0]
    assert abs(new.value - (1 - old.value)) < 1e-9
    assert new.meaning != old.meaning
    unjudged = played.store.latest(kinds.Staleness, model=tiny.MODEL, window=window)[0]
    assert (unjudged.gain, unjudged.reason) == (None, WHY)
    # and it is said, once
    noted = played.store.rows(kinds.Decision, model=tiny.MODEL, trigger="declaration")
    assert [row.decision for row in noted] == ["noted"]
    assert noted[0].reason.startswith("labels.target is another expression: what was measured")
    # and a challenger learnt it by itself, compared with the baseline alone
    first, second = played.ledger.entries(tiny.MODEL)
    assert (second.event, second.version, second.trigger) == ("promoted", 2, "new_target")
    assert second.reason.startswith(WHY)
    gates = {gate.name: gate for gate in second.gates}
    assert gates["better_than_champion"].sentence == f"not compared: {WHY}"
    assert gates["better_than_champion"].value is None
    assert gates["better_than_baseline"].value is not None
    assert first.learnt["target"] != second.learnt["target"]
    assert Series.of(played.player.declaration, played.store).learnt_now(second)
    assert due(played.repository, played.store, played.player.declaration) == []
    status = played.status
    assert status["other_target"] is None
    assert [one["metric"] for one in status["windows"] if one["window"] == window] == [new.value]
    assert [one["window"] for one in status["declared_otherwise"]] == [tiny.window(8)]
    # once: what speaks for a retraining from now on is the new champion's
    played.turn(9)
    assert len(played.ledger.entries(tiny.MODEL)) == 2


def test_windows_of_another_length_are_refused_before_anything_is_mixed(
    played_to: PlayedTo,
) -> None:
    # given windows that landed as weeks
    played = rewritten(played_to(1), "defs.yaml", "every: week", "every: day")
    # then neither sensor does anything with them as days, and says why
    for sensor in ("data", "decision"):
        assert not played.player.tick(sensor)
    assert due(played.repository, played.store, played.player.declaration) == []
    ran = played.materialize("ingest", "batches", **{"dagster/partition": tiny.window(0)})
    assert not ran.success
    said = str(ran.get_step_failure_events()[0].step_failure_data.user_failure_data.description)
    assert "windows.every was week and is day" in said


@pytest.mark.slow
def test_another_task_is_learnt_while_the_old_champion_serves_on(played_to: PlayedTo) -> None:
    # given a champion of classes, and a number declared instead
    played = played_to(9)
    rewritten(played, "features.py", 'pl.col("paid") == 1', 'pl.col("paid") * 2.5')
    played = rewritten(played, "defs.yaml", "name: tiny\n", "name: tiny\n  task: regression\n")
    why = "the task changed from binary to regression since version 1 learnt"
    assert played.status["other_target"] == why
    # when what is due is done, then its scores are measured by no metric of numbers
    played.player.settle()
    window = tiny.window(7)
    (row,) = played.store.latest(kinds.Performance, model=tiny.MODEL, window=window)
    assert (row.metric, row.value) == ("rmse", None)
    # and a model of numbers serves from the next window on, which is measured when it matures
    assert [entry.trigger for entry in played.ledger.entries(tiny.MODEL)][1:] == ["new_target"]
    played.turn(9, 10)
    (row,) = played.store.latest(kinds.Performance, model=tiny.MODEL, window=tiny.window(9))
    assert (row.champion, row.metric) == (2, "rmse")
    assert row.value > 0
    assert [run for run in played.runs("ingest") if run.status.value == "FAILURE"] == []
    assert played.status["other_target"] is None
