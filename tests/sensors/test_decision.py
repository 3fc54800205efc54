"""Every decision, taken or held back, is one row with its reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from mlops_assets.batches.maturity import LandedWindows, missing_windows
from mlops_assets.cli.replay import replay_model
from mlops_assets.declaration import Declaration
from mlops_assets.monitoring.decision_log import MOST_GAPS, Said, note_gaps, overtaken, record
from mlops_assets.monitoring.recorded import paused
from mlops_assets.monitoring.status import of_model
from mlops_assets.records import kinds
from mlops_assets.records.store import Store
from mlops_assets.registry.ledger import Ledger
from tests import tiny
from tests.conftest import Played, PlayedTo


def decisions(played: Played) -> list[tuple[str, str, str]]:
    rows = played.store.rows(kinds.Decision, model=tiny.MODEL)
    return [(row.window, row.trigger, row.code) for row in rows]


def control(played: Played, action: str, at: str) -> None:
    played.store.add(
        kinds.Control(model="tiny", action=action, reason="a test", by="us", requested_at=at),
    )


def test_the_newest_request_decides_whether_a_model_is_paused(tmp_path: Path) -> None:
    # given a pause that came before an earlier request to resume, from another machine
    store = Store(tmp_path / "store")
    record = {"model": "tiny", "reason": "a test", "by": "us"}
    for action, at in (("pause", "2024-03-02T00:00:00Z"), ("resume", "2024-03-01T00:00:00Z")):
        store.add(kinds.Control(**{**record, "action": action, "requested_at": at}))
    # then it is paused, whatever the order of events
    assert paused(store, "tiny") == "paused by us (a test)"
    status = of_model("tiny", store, Ledger(tmp_path / "ledger"), None)
    assert status["paused"]["action"] == "pause"


def test_drift_is_held_back_while_paused_and_acted_on_after(played_to: PlayedTo) -> None:
    # given a champion, a pause, and two windows that drifted
    played = played_to(9)
    control(played, "pause", "2024-03-01T00:00:00Z")
    played.turn(9, 10)
    # when the sensor ticks again and again
    for _ in range(5):
        played.player.tick("decision")
    # then there is one row, which says who paused, and no retraining
    held = [row for row in decisions(played) if row[1] == "drift"]
    assert held == [(tiny.window(10), "drift", "paused")]
    assert "paused by us" in played.status["held_back"][0]["reason"]
    assert len(played.ledger.entries("tiny")) == 1
    # and when the pause ends the same cause is decided again
    control(played, "resume", "2024-03-02T00:00:00Z")
    played.player.settle()
    assert [row for row in decisions(played) if row[1] == "drift"] == [
        *held,
        (tiny.window(10), "drift", "due"),
    ]
    entries = played.ledger.entries("tiny")
    assert [entry.trigger for entry in entries] == ["initial", "drift"]
    # and it is answered: nothing is requested any more
    assert not played.player.tick("decision")
    # and within the cooldown the next drift is held back, once
    played.turn(11)
    played.player.tick("decision")
    assert decisions(played)[-1] == (tiny.window(11), "drift", "cooldown")
    assert decisions(played).count(decisions(played)[-1]) == 1


def test_a_person_overrides_the_pause_but_not_an_honest_comparison(played_to: PlayedTo) -> None:
    # given a champion that learnt every mature window, and a pause
    played = played_to(7)
    control(played, "pause", "2024-03-01T00:00:00Z")
    # when a person asks for a retraining
    control(played, "retrain", "2024-03-02T00:00:00Z")
    played.player.settle()
    # then it waits: for a window to compare on, and for one to learn something new from
    assert decisions(played)[-1][1:] == ("manual", "unmatured")
    played.turn(7)
    assert decisions(played)[-1][1:] == ("manual", "unmatured")
    # and when those have matured it runs, pause or not
    played.turn(8)
    assert decisions(played)[-1][1:] == ("manual", "due")
    assert played.ledger.entries("tiny")[-1].trigger == "manual"
    assert played.ledger.entries("tiny")[-1].reason.startswith(("us asked", "Over"))


def test_a_request_that_keeps_crashing_is_given_up_and_said(played_to: PlayedTo) -> None:
    # given a training that can't work: the rows of a mature window's features are gone
    played = played_to(6)
    path = f"tiny/features/{tiny.window(2)}.parquet"
    Path(played.repository.location("main", path).uri).unlink()
    # when the first training falls due
    played.turn(6)
    # then it is tried as often as declared, and then held back with where to look
    assert [run.status.value for run in played.runs("retrain")] == ["FAILURE"] * 3
    assert decisions(played)[-1][1:] == ("initial", "failing")
    assert "3 runs for it crashed" in played.status["held_back"][-1]["reason"]
    (need,) = played.status["needs"]
    assert need["what"].startswith(f"no retraining on initial of {tiny.window(6)} is tried any mor")
    assert need["do"].endswith("mend the cause, then `mlops retrain tiny`")
    # and a replay that finds nothing else to do doesn't end as if all were well
    found = replay_model(tiny.MODEL, until=tiny.window(6))
    (said,) = found.failed
    assert said.startswith(f"retraining on initial of {tiny.window(6)}: it is tried no more")
    # until one has ended
    ended = {"model": tiny.MODEL, "cause": "manual:x", "window": tiny.window(6), "promoted": False}
    rest = {"version": None, "reason": "no better", "run_id": "r", "minutes": 1.0}
    played.store.add(kinds.Outcome(**{**ended, **rest}))
    assert played.status["given_up"] is None


def test_a_first_training_waits_until_there_are_two_classes(played_to: PlayedTo) -> None:
    # given windows of which nobody has paid yet
    played = played_to(6)
    for number in range(5):
        outcomes = tiny.batch(number)[1].with_columns(paid=pl.lit(0, pl.Int64))
        played.land(number, "labels", outcomes)
    played.player.settle()
    # when enough of them are mature
    played.turn(6)
    # then the training waits, with the reason, and no run was started for it
    assert decisions(played) == [(tiny.window(6), "initial", "one_class")]
    assert "of the 1,500 labelled rows of" in played.status["held_back"][-1]["reason"]
    assert played.runs("retrain") == []
    # and started by hand it says the same, red nowhere
    result = played.materialize("retrain")
    assert result.success
    assert len(result.get_asset_materialization_events()) == 1
    assert played.ledger.entries(tiny.MODEL) == []
    # when somebody has
    played.land(2, "labels")
    played.player.settle()
    # then it is trained
    assert decisions(played)[-1] == (tiny.window(6), "initial", "due")
    assert [entry.event for entry in played.ledger.entries(tiny.MODEL)] == ["promoted"]
    assert not [run for run in played.instance.get_runs() if run.status.value == "FAILURE"]


@pytest.mark.slow
def test_a_run_that_finds_nothing_to_learn_answers_its_cause(played_to: PlayedTo) -> None:
    # given labels whose counts look well, though those of rows that landed are of one class
    played = played_to(6)
    for number in range(5):
        outcomes = tiny.batch(number)[1].with_columns(paid=pl.lit(0, pl.Int64))
        stray = outcomes.head(1).with_columns(id=pl.lit("stray"), paid=pl.lit(1, pl.Int64))
        played.land(number, "labels", pl.concat([outcomes, stray]))
    # when the first training is due
    played.turn(6)
    # then one run tells why, is not red, and is not asked for again
    assert [run.status.value for run in played.runs("retrain")] == ["SUCCESS"]
    assert decisions(played)[-1] == (tiny.window(6), "initial", "one_class")
    assert "nothing can be learnt from one class" in played.status["held_back"][-1]["reason"]
    assert not played.player.tick("decision")
    # and when newer labels mature it is tried again
    played.turn(7)
    assert [entry.event for entry in played.ledger.entries(tiny.MODEL)] == ["promoted"]


def test_a_window_that_never_came_is_said_until_it_comes(played: Played) -> None:
    # given windows of which one never came, and another's labels did not
    played.turn(0)
    played.land(2, "batches")
    played.turn(3, 4)

    # then each is one row, in the status too, however often it is looked at
    played.player.tick("decision")
    noted = [row for row in decisions(played) if row[1] == "missing"]
    assert noted == [
        (tiny.window(1), "missing", "missing_batch"),
        (tiny.window(2), "missing", "missing_labels"),
    ]
    assert [row["window"] for row in played.status["missing"]] == [tiny.window(1), tiny.window(2)]

    # and when it comes after all, that is said too
    played.land(2, "labels")
    played.player.settle()
    assert decisions(played)[-1] == (tiny.window(2), "missing", "arrived")
    assert [row["window"] for row in played.status["missing"]] == [tiny.window(1)]


def test_many_gaps_are_noted_some_hundred_at_a_time(
    tmp_path: Path, declaration: Declaration
) -> None:
    # given hours of which every other one never came, and no labels of those that did
    hourly = {"every": "hour", "start": "2024-01-01", "end": None}
    hours = declaration.windows.model_copy(update=hourly)
    sparse = declaration.model_copy(update={"windows": hours})
    held = [f"{tiny.FIRST + timedelta(hours=2 * number):%Y-%m-%dT%H}" for number in range(300)]
    landed = LandedWindows(tuple(held), (), (), hours.ends(held[-1]))
    store = Store(tmp_path / "store")
    # when they are looked at again and again
    noted = [len(note_gaps(sparse, landed, store)) for _ in range(4)]
    # then each tick notes as many as it has the time for, until all are noted
    gaps = missing_windows(landed, sparse)
    many = len(gaps.batches) + len(gaps.labels)
    assert noted == [MOST_GAPS, many - MOST_GAPS, 0, 0]
    rows = store.latest(kinds.Decision, model=declaration.name, trigger="missing")
    assert {(row.window, row.code) for row in rows} == {
        *((window, "missing_batch") for window in gaps.batches),
        *((window, "missing_labels") for window in gaps.labels),
    }
    # by one file each, since the next one would have all decisions read again
    assert len({row.record_id.partition(".")[0] for row in rows}) == 2
    # and what came after all is noted, and that it is gone once more, as often as that is so
    came = replace(landed, labels=landed.batches)
    for now, code in ((came, "arrived"), (landed, "missing_labels")) * 2:
        while note_gaps(sparse, now, store):
            pass
        newest = store.newest(kinds.Decision, Said, model=declaration.name)
        assert {newest[f"missing:labels:{window}"].code for window in gaps.labels} == {code}


def test_what_drifted_while_nobody_decided_is_said_in_one_row(played_to: PlayedTo) -> None:
    # given a champion, and three windows that landed and were judged while no decision was made
    played = played_to(9)
    before = len(decisions(played))
    for number in (9, 10, 11, 12):
        played.land(number, "batches")
        played.land(number, "labels")
    while played.player.tick("data"):
        pass
    verdicts = {row.window: row.verdict for row in played.store.latest(kinds.Verdict, model="tiny")}
    assert [verdicts[tiny.window(n)] for n in (10, 11, 12)] == ["drifted"] * 3

    # when the sensor ticks again
    played.player.settle()

    # then the newest state is decided on, and the others are accounted for
    rows = decisions(played)[before:]
    assert (tiny.window(11), "drift", "superseded") in rows
    assert (tiny.window(12), "drift", "due") in rows
    assert len([row for row in rows if row[1] == "drift"]) == 2
    assert [entry.trigger for entry in played.ledger.entries("tiny")] == ["initial", "drift"]
    superseded = next(
        row for row in played.store.rows(kinds.Decision, model="tiny") if row.code == "superseded"
    )
    assert f"2 windows, {tiny.window(10)} to {tiny.window(11)}" in superseded.reason

    # and Dagster shows what was decided, on the champion
    key = dg.AssetKey(["tiny", "champion"])
    shown = played.instance.fetch_observations(key, limit=100).records
    assert superseded.reason in {
        one.event_log_entry.asset_observation.description
        for one in shown
        if one.event_log_entry.asset_observation
    }


@dataclass
class Absent:
    """Verdicts that came in while nobody decided, and what is said of them then."""

    declaration: Declaration
    store: Store
    cursor: int = 0

    def judge(self, number: int, verdict: str = "drifted", batch: str = "first") -> None:
        said = {"exceeds": True, "verdict": verdict, "sentence": "", "detail": {}}
        made = {"batch_version": batch, "features_commit": f"{verdict}-{batch}"}
        common = {"model": tiny.MODEL, "window": tiny.window(number), "champion": 1, "rows": 300}
        self.store.add(kinds.Verdict(**{**common, **said, **made, "profile": "", "policy": ""}))

    def said(self, newest: int) -> list[str]:
        batches = tuple(tiny.window(number) for number in range(newest + 1))
        landed = LandedWindows(batches, (), (), None)
        self.cursor, found = overtaken(self.declaration, landed, self.store, None, self.cursor)
        for one in found:
            record(self.declaration, self.store, landed, one)
        return [one.reason.partition(" before")[0] for one in found]


@pytest.fixture
def absent(tmp_path: Path, declaration: Declaration) -> Absent:
    return Absent(declaration, Store(tmp_path / "store"))


def test_a_verdict_that_was_made_again_otherwise_is_no_drift_that_nobody_decided_on(
    absent: Absent,
) -> None:
    # given a backfill that judged a window before the one before it, and then once more
    absent.judge(11)
    absent.judge(10, "stable")
    absent.judge(11, "stable")
    assert absent.said(12) == []
    # then one that is drifted in the end is said
    absent.judge(10, "warning")
    absent.judge(10)
    assert absent.said(12) == [f"{tiny.window(10)} had drifted"]


def test_what_was_accounted_for_is_said_again_only_where_the_batch_is_another(
    absent: Absent,
) -> None:
    # given windows that drifted before anybody decided, which was said
    for number in (8, 9, 10):
        absent.judge(number)
    several = f"3 windows, {tiny.window(8)} to {tiny.window(10)}, had drifted"
    assert absent.said(11) == [several]
    # when their verdicts are made again, since a window before them was corrected
    for number in (8, 9):
        absent.judge(number, "warning")
        absent.judge(number)
    # then they are not said again, nor where the cursor is lost
    assert absent.said(11) == []
    absent.cursor = 0
    assert absent.said(11) == []
    # but one whose own batch was corrected is
    absent.judge(9, batch="second")
    assert absent.said(11) == [f"{tiny.window(9)} had drifted"]
    absent.judge(9, "warning", batch="second")
    absent.judge(9, batch="second")
    assert absent.said(11) == []


@pytest.mark.slow
def test_ten_thousand_drift_events_after_two_dead_days_are_one_retraining(
    played_to: PlayedTo,
) -> None:
    # given a champion, and 10,000 verdicts of drift that came in while nobody decided
    played = played_to(9)
    for number in (9, 10):
        played.land(number, "batches")
        played.land(number, "labels")
    while played.player.tick("data"):
        pass
    *_, before, newest = played.store.latest(kinds.Verdict, model="tiny")
    assert (before.window, newest.verdict) == (tiny.window(9), "drifted")
    # of the same past: one of another past would be made again
    for event in range(10_000):
        one = replace(before, verdict="drifted", features_commit=f"{event:064x}")
        played.store.add(one)

    # when the sensor comes back, and ticks again and again
    played.player.settle()
    for _ in range(3):
        played.player.tick("decision")

    # then the newest state was decided on, once, and all others are explained
    assert [e.trigger for e in played.ledger.entries("tiny")] == ["initial", "drift"]
    drift = [row for row in decisions(played) if row[1] == "drift"]
    assert drift == [
        (tiny.window(9), "drift", "superseded"),
        (tiny.window(10), "drift", "due"),
    ]
    # and within the cooldown nothing more is started, and it is said why
    played.turn(11)
    assert len(played.ledger.entries("tiny")) == 2
