from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.decisions.staleness import (
    StalenessPolicy,
    TwinDifference,
    default_cost,
    latest_rate,
    staleness,
)
from mlops_assets.errors import DeclarationError

WEEK = 12 / (365.25 / 7)  # months


def windows(*gains: float | None, months: float = 1.0, reason: str = "") -> list[TwinDifference]:
    return [
        TwinDifference(f"2013-{number:03d}", months, gain, "" if gain is not None else reason)
        for number, gain in enumerate(gains, 1)
    ]


def due_after(gains: list[float], cost: float, months: float) -> int | None:
    """Return after how many windows the rule first holds."""
    for number in range(1, len(gains) + 1):
        if staleness(windows(*gains[:number], months=months), cost).due:
            return number
    return None


@pytest.mark.parametrize("months", [1.0, WEEK, 12 / 8766])
def test_a_step_is_due_once_it_has_cost_what_two_retrainings_do(months: float) -> None:
    # given a change that costs .016 a month from one day on, and a retraining worth .01
    gains = [0.016] * 100_000 if months < 0.01 else [0.016] * 100
    # then, whatever the windows' length, it is due when sum and a month ahead make .02
    needed = math.ceil((0.02 - 0.016) / (0.016 * months) - 1e-9)
    assert staleness(windows(*gains[:needed], months=months), 0.01).due
    assert not staleness(windows(*gains[: needed - 1], months=months), 0.01).due


def test_a_large_step_is_due_at_once() -> None:
    assert due_after([0.0, 0.0, 0.05], 0.01, WEEK) == 3


def test_slow_growth_is_due_when_looking_back_and_ahead_agree_on_it() -> None:
    # given a loss that grows by .001 a month: t months on, .0005 t^2 was lost and .001 t is the rate
    gains = [0.001 * (number + 0.5) * WEEK for number in range(100)]
    # then .0005 t^2 + .001 t reaches .02 after 5.4 months
    found = due_after(gains, 0.01, WEEK)
    assert found is not None
    assert found * WEEK == pytest.approx(-1 + math.sqrt(1 + 40), abs=WEEK)


def test_noise_around_nothing_is_not_due() -> None:
    # given windows that differ by a fifth of the cost for no reason, for a year
    for seed in range(100):
        draw = random.Random(seed)
        assert due_after([draw.gauss(0, 0.002) for _ in range(52)], 0.01, WEEK) is None


def test_windows_where_the_older_model_did_better_pay_back() -> None:
    found = staleness(windows(0.012, -0.012, 0.012, 0.004), 0.01)
    assert (found.total, found.rate) == (pytest.approx(0.016), 0.004)
    assert found.due
    assert not staleness(windows(0.012, -0.016, 0.012, 0.004), 0.01).due
    earned = staleness(windows(-0.012), 0.01)
    assert earned.total == -0.012
    assert "not retraining has earned 0.0120" in earned.sentence


def test_a_loss_that_ended_has_to_have_cost_both_costs_by_itself() -> None:
    assert not staleness(windows(0.01, 0.009, 0.0), 0.01).due
    assert staleness(windows(0.01, 0.01, 0.0), 0.01).due


@pytest.mark.parametrize(
    ("gains", "due", "denies"),
    [
        ([0.0, -0.01], False, True),
        ([0.0, 0.0049], False, True),
        # half of what it takes alone, and drift is the other half
        ([0.0, 0.005], False, False),
        ([0.0, 0.0099], False, False),
        ([0.0, 0.01], True, False),
        # what was not judged says nothing either way
        ([None, None], False, False),
    ],
)
def test_labels_deny_drift_below_one_cost(
    gains: list[float | None], due: bool, denies: bool
) -> None:
    found = staleness(windows(*gains, reason="labels are late"), 0.01)
    assert (found.due, found.denial is not None) == (due, denies)


def test_the_denial_says_up_to_where_labels_tell_and_its_own_limit() -> None:
    found = staleness(windows(0.002, 0.001, None, reason="labels are late"), 0.01)
    assert found.newest == "2013-002"
    assert found.denial == (
        "by the labels up to 2013-002 not retraining has cost 0.0030; with a month at the latest "
        "rate that costs 0.0040, less than a retraining's 0.0100"
    )


@pytest.mark.parametrize(
    ("gains", "months", "rate"),
    [
        ([], 1.0, 0.0),
        # a week or a month is a rate by itself
        ([0.5, 0.1], WEEK, 0.1),
        ([0.5, 0.1], 1.0, 0.1),
        # of days the latest seven
        ([9.0, *[0.01] * 6, 0.08], WEEK / 7, 0.02),
        ([0.01, 0.03], WEEK / 7, 0.02),
        # of hours a week's
        ([9.0, *[0.02] * 168], WEEK / 168, 0.02),
    ],
)
def test_a_rate_is_of_a_week_at_least(gains: list[float], months: float, rate: float) -> None:
    assert latest_rate([(gain, months) for gain in gains]) == pytest.approx(rate)
    if gains:
        judged = windows(*gains, months=months)
        assert staleness(judged, 1.0).rate == pytest.approx(rate)


def test_one_noisy_day_is_not_due() -> None:
    # given days of nothing, of which one draw was .025: a month at that rate is over twice the cost
    days = windows(*[0.0] * 12, 0.025, months=WEEK / 7)
    assert not staleness(days, 0.01).due


def test_never_due_without_a_judged_window() -> None:
    for differences in (windows(), windows(None, None, reason="no labels yet")):
        found = staleness(differences, 1e-9)
        assert (found.total, found.rate, found.due, found.judged) == (0.0, 0.0, False, 0)
        assert found.sentence.startswith("staleness can't be judged yet")
        # also where the cost is a share of what was not judged yet
        unknown = staleness(differences, None)
        assert (unknown.due, unknown.cost, unknown.sentence) == (False, None, found.sentence)


def test_what_can_not_be_judged_is_named_with_its_reason_and_counts_for_nothing() -> None:
    differences = [
        *windows(0.004, None, reason="none of its 80 rows has a label"),
        TwinDifference("2013-003", 1.0, 0.006),
        *(TwinDifference(f"2013-{n:03d}", 1.0, None, "labels mature later") for n in range(4, 9)),
    ]

    found = staleness(differences, 0.01)

    assert (found.total, found.rate, found.judged) == (pytest.approx(0.01), 0.006, 2)
    assert found.unjudged == ("2013-002", *(f"2013-{n:03d}" for n in range(4, 9)))
    assert "not judged: 2013-002 (none of its 80 rows has a label)" in found.sentence
    assert "2013-004, 2013-005, 2013-006 and 2 more (labels mature later)" in found.sentence


def test_the_latest_judged_window_gives_the_rate_in_whatever_order_they_come() -> None:
    differences = windows(0.001, 0.002, 0.003)
    assert staleness(list(reversed(differences)), 0.01) == staleness(differences, 0.01)
    assert staleness(differences, 0.01).rate == 0.003


def test_the_sentence_says_the_sum_the_rate_and_the_price() -> None:
    found = staleness(windows(12_000.0, 9_000.0), 10_000.0, measure="money")
    assert found.sentence == (
        "stale: not retraining has cost 21,000.0000 money over 2 windows; at the latest rate a "
        "month more costs 9,000.0000; together 30,000.0000, and a retraining is worth its price "
        "from 20,000.0000 on (twice its cost of 10,000.0000)"
    )
    assert (
        "0.0100 auc x months over 1 window;" in staleness(windows(0.01), 9, measure="auc").sentence
    )


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=30),
    st.floats(1e-3, 1),
    st.floats(1e-3, 1e3),
)
def test_the_rule_knows_no_unit(gains: list[float], cost: float, unit: float) -> None:
    # given the same history in another currency, then the same is decided, but for rounding
    mine = staleness(windows(*gains), cost)
    theirs = staleness(windows(*(gain * unit for gain in gains)), cost * unit)
    assert theirs.total == pytest.approx(mine.total * unit, rel=1e-9, abs=1e-9 * unit)
    if abs(mine.total + mine.rate - 2 * cost) > 1e-9:
        assert mine.due == theirs.due


@pytest.mark.parametrize("cost", [0.0, -1.0, math.nan, math.inf])
def test_a_cost_is_a_number_above_nothing(cost: float) -> None:
    with pytest.raises(ValueError, match="can't cost"):
        staleness(windows(0.1), cost)


def test_what_was_judged_has_a_cost() -> None:
    with pytest.raises(ValueError, match="has to be known"):
        staleness(windows(0.1), None)


def test_a_window_counts_once() -> None:
    with pytest.raises(ValueError, match="comes twice"):
        staleness([*windows(0.1), *windows(0.1)], 0.01)


@pytest.mark.parametrize(
    ("metric", "first", "cost"),
    [
        ("auc", 0.7, 0.01),
        ("log_loss", 0.5, 0.015),
        ("brier", 0.2, 0.006),
        ("rmse", 1200.0, 36.0),
        ("mae", 40.0, 1.2),
    ],
)
def test_the_default_cost_is_in_the_metrics_unit(metric: str, first: float, cost: float) -> None:
    assert default_cost(metric, first) == pytest.approx(cost)


@pytest.mark.parametrize("first", [0.0, math.nan, math.inf])
def test_a_share_of_nothing_is_no_cost(first: float) -> None:
    with pytest.raises(DeclarationError, match=r"declare retraining\.cost"):
        default_cost("rmse", first)


def test_a_policy_is_known_by_what_it_says() -> None:
    assert StalenessPolicy().hash == StalenessPolicy(cost=None, unit="metric").hash
    others = {StalenessPolicy(cost=1).hash, StalenessPolicy(cost=1, unit="money").hash}
    assert len({StalenessPolicy().hash, *others}) == 3
    for wrong in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match="cost"):
            StalenessPolicy(cost=wrong)
