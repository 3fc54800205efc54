from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlops_assets.decisions.governor import (
    Code,
    Decision,
    Evidence,
    Facts,
    Rules,
    Trigger,
    changed,
    first,
    govern,
)

RULES = Rules(
    first_after=12,
    cooldown_windows=4,
    holdout_windows=2,
    in_flight_minutes=120,
    attempts=3,
    breaker_after=3,
    breaker_windows=8,
    runs_per_month=2,
    minutes_per_month=30,
)
DRIFT = Evidence("drift:2013-06-10:v1", "drift", "2013-06-10", "2 of 3 windows drifted", 1)
MANUAL = replace(DRIFT, cause="manual:ann", trigger="manual", reason="ann asked for it")
INITIAL = replace(DRIFT, cause="initial:2013-03-25", trigger="initial", champion=None)
CALM = Facts(
    paused=None,
    in_flight_minutes=None,
    in_flight_cause=None,
    windows_since_training=4,
    mature_windows=12,
    unseen_windows=3,
    new_windows=1,
    failed_attempts=0,
    refused_in_a_row=2,
    runs_this_month=1,
    minutes_this_month=29.9,
)

# what holds each code's decision back, in the order in which they are said
HOLDS: dict[Code, dict[str, Any]] = {
    "in_flight": {"in_flight_minutes": 119.9, "in_flight_cause": "manual:bob"},
    "failing": {"failed_attempts": 3},
    "paused": {"paused": "paused by ann (holidays)"},
    "breaker": {"refused_in_a_row": 3, "windows_since_training": 7},
    "cooldown": {"windows_since_training": 3},
    "budget": {"runs_this_month": 2},
    "unmatured": {"unseen_windows": 2},
    "same_data": {"new_windows": 0},
    "not_stale": {"not_stale": "by the labels up to w not retraining has earned .002"},
}


def decide(evidence: Evidence = DRIFT, **facts: Any) -> Decision:
    decision = govern(evidence, replace(CALM, **facts), RULES)
    assert decision is not None
    assert decision.evidence == evidence
    return decision


@pytest.mark.parametrize("evidence", [DRIFT, MANUAL, INITIAL])
def test_at_every_bound_a_retraining_is_due(evidence: Evidence) -> None:
    decision = decide(evidence, failed_attempts=2)

    assert (decision.retrain, decision.code, decision.reason) == (True, "due", evidence.reason)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("in_flight", "a retraining for manual:bob is running"),
        ("failing", "3 runs for it crashed; .*`mlops retrain`"),
        ("paused", r"paused by ann \(holidays\); `mlops resume` ends it"),
        (
            "breaker",
            "the last 3 challengers were refused, so only every 8 windows another is tried "
            r"\(7 have passed\); `mlops retrain` tries at once",
        ),
        ("cooldown", "3 of 4 windows have passed since the last retraining"),
        ("budget", "2 retrainings within a month, the budget is 2"),
        (
            "unmatured",
            "2 mature windows that the champion never saw, and 3 are needed: 2 to compare on, and one",
        ),
        ("same_data", "the last attempt had the same windows"),
        ("not_stale", "inputs moved, but by the labels up to w not retraining has earned .002"),
    ],
)
def test_one_step_past_a_bound_it_is_held_back_and_says_why(code: Code, why: str) -> None:
    decision = decide(**HOLDS[code])

    assert (decision.retrain, decision.code) == (False, code)
    with pytest.raises(AssertionError, match=f"^2 of 3 windows drifted; held back: {why}"):
        raise AssertionError(decision.reason)


def test_where_several_hold_it_back_the_first_is_said() -> None:
    codes = list(HOLDS)

    for number, code in enumerate(codes):
        later = [HOLDS[c] for c in reversed(codes[number:])]
        together = {name: value for hold in later for name, value in hold.items()}
        assert decide(**together).code == code


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("in_flight", "in_flight"),
        ("failing", "failing"),
        ("paused", "due"),
        ("breaker", "due"),
        ("cooldown", "due"),
        ("budget", "due"),
        ("unmatured", "unmatured"),
        ("same_data", "due"),
        ("not_stale", "due"),
    ],
)
def test_a_person_overrides_what_spares_and_not_what_is_honest(code: Code, said: Code) -> None:
    assert decide(MANUAL, **HOLDS[code]).code == said


@pytest.mark.parametrize("trigger", ["staleness", "performance", "new_data", "schedule"])
def test_only_drift_gives_way_to_labels(trigger: Trigger) -> None:
    assert decide(replace(DRIFT, trigger=trigger), **HOLDS["not_stale"]).code == "due"


def test_a_person_cannot_make_the_comparison_dishonest() -> None:
    everything = HOLDS["paused"] | HOLDS["cooldown"] | HOLDS["unmatured"]

    assert decide(MANUAL, **everything).code == "unmatured"


def test_the_first_training_has_nobody_to_be_compared_with() -> None:
    assert decide(INITIAL, windows_since_training=None, unseen_windows=0).code == "due"


def test_a_champion_that_learnt_another_target_is_nobody_to_be_compared_with() -> None:
    new = replace(DRIFT, cause="new_target:w:v1:abc", trigger="new_target")
    assert decide(new, comparable=False, unseen_windows=0).retrain
    held = decide(new, comparable=False, mature_windows=11)
    assert held.code == "unmatured"
    assert "the first training of this target needs 12" in held.reason
    # a person overrides neither
    assert decide(MANUAL, comparable=False, mature_windows=11).code == "unmatured"
    assert decide(MANUAL, comparable=False, unseen_windows=0).retrain


def test_the_first_training_takes_no_budget() -> None:
    assert decide(INITIAL, runs_this_month=2, minutes_this_month=99.0).code == "due"


def test_the_first_training_is_not_held_back_by_a_cooldown() -> None:
    assert decide(INITIAL, windows_since_training=0).code == "due"


def test_minutes_are_a_budget_too() -> None:
    decision = decide(minutes_this_month=30.0)

    assert decision.code == "budget"
    assert "retrainings took 30.0 minutes within a month, the budget is 30" in decision.reason


def test_without_a_budget_nothing_is_spent() -> None:
    rules = replace(RULES, runs_per_month=None, minutes_per_month=None)
    facts = replace(CALM, runs_this_month=99, minutes_this_month=9999.0)

    decision = govern(DRIFT, facts, rules)

    assert decision is not None
    assert decision.code == "due"


def test_after_the_breakers_windows_one_more_is_tried() -> None:
    assert decide(refused_in_a_row=9, windows_since_training=8).code == "due"


def test_the_first_training_can_be_paused() -> None:
    assert decide(INITIAL, **HOLDS["paused"]).code == "paused"


@pytest.mark.parametrize("evidence", [DRIFT, MANUAL, INITIAL])
def test_while_its_own_retraining_runs_nothing_is_decided(evidence: Evidence) -> None:
    facts = replace(CALM, in_flight_minutes=0.0, in_flight_cause=evidence.cause)

    assert govern(evidence, facts, RULES) is None


@pytest.mark.parametrize("cause", [DRIFT.cause, "manual:bob", None])
def test_a_run_that_grew_too_old_holds_nobody_back(cause: str | None) -> None:
    assert decide(in_flight_minutes=120.0, in_flight_cause=cause).code == "due"


def test_a_run_of_unknown_cause_holds_back_too() -> None:
    decision = decide(in_flight_minutes=1.0)

    assert decision.code == "in_flight"
    assert "for another reason is running" in decision.reason


def test_only_another_state_is_worth_a_row() -> None:
    cooling = decide(**HOLDS["cooldown"])

    assert changed(cooling, None)
    assert not changed(cooling, "cooldown")
    assert changed(cooling, "paused")


def test_a_person_comes_first_then_the_first_training_then_the_oldest_drift() -> None:
    later = replace(DRIFT, window="2013-06-17", cause="a")

    assert first([later, DRIFT, INITIAL, MANUAL]) == [MANUAL, INITIAL, DRIFT, later]


def test_the_first_training_waits_for_its_windows_even_if_a_person_asks() -> None:
    asked = replace(MANUAL, champion=None)
    assert decide(asked, mature_windows=12, unseen_windows=0).code == "due"
    held = decide(asked, mature_windows=11, unseen_windows=0)
    assert held.code == "unmatured"
    assert "11 windows with mature labels, the first training needs 12" in held.reason
