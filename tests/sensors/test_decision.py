"""Every decision, taken or held back, is one row with its reason."""

from __future__ import annotations

from tests import tiny
from tests.conftest import Played


def decisions(played: Played) -> list[tuple[str, str, str]]:
    rows = played.store.rows("decisions", model=tiny.MODEL)
    return [(row["window"], row["trigger"], row["code"]) for row in rows]


def control(played: Played, action: str, at: str) -> None:
    played.store.add(
        "controls",
        {"model": "tiny", "action": action, "reason": "a test", "by": "us", "requested_at": at},
    )


def test_drift_is_held_back_while_paused_and_acted_on_after(played: Played) -> None:
    # given a champion, a pause, and two windows that drifted
    played.turn(*range(9))
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


def test_a_person_overrides_the_pause_but_not_an_honest_comparison(played: Played) -> None:
    # given a champion that learnt every mature window, and a pause
    played.turn(*range(7))
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


def test_a_request_that_keeps_crashing_is_given_up_and_said(played: Played) -> None:
    # given a training that can't work: the features of a mature window are gone
    played.turn(*range(6))
    path = f"tiny/features/{tiny.window(2)}.parquet"
    with played.repository.transaction("main", "an accident", {}) as transaction:
        transaction.remove(path)
    # when the first training falls due
    played.turn(6)
    # then it is tried as often as declared, and then held back with where to look
    assert [run.status.value for run in played.runs("retrain")] == ["FAILURE"] * 3
    assert decisions(played)[-1][1:] == ("initial", "failing")
    assert "3 runs for it crashed" in played.status["held_back"][-1]["reason"]
