from __future__ import annotations

import hashlib

import numpy as np
import pytest
from pydantic import ValidationError

from mlops_assets.declaration.sections import Drift
from mlops_assets.drift.policy import (
    DriftPolicy,
    alarm_chance,
    alarms_per_year,
    choose_limit,
    rank_p_value,
)

WEEKLY = DriftPolicy(windows_per_year=52)


@pytest.mark.parametrize(
    ("m", "k", "expected"), [(17, 1, 0.8), (52, 3, 0.6), (13, 1, 1.3), (8, 1, 2.8)]
)
def test_false_alarms_of_a_year_of_weeks(m: int, k: int, expected: float) -> None:
    # the chance that 2 of 3 exceed, times the windows of a year
    assert round(alarms_per_year(m, k, WEEKLY), 1) == expected


@pytest.mark.parametrize(("m", "k"), [(2, 1), (17, 1), (52, 3), (52, 52)])
def test_the_chance_is_the_formula_for_two_of_three(m: int, k: int) -> None:
    second = 3 * k * (k + 1) / ((m + 1) * (m + 2))
    third = 2 * k * (k + 1) * (k + 2) / ((m + 1) * (m + 2) * (m + 3))
    assert alarm_chance(m, k) == pytest.approx(second - third)


@pytest.mark.parametrize(
    ("m", "k", "needed", "of_last"), [(17, 1, 2, 3), (30, 3, 1, 1), (26, 2, 3, 4), (10, 4, 1, 5)]
)
def test_the_chance_holds_in_a_simulation(m: int, k: int, needed: int, of_last: int) -> None:
    draws = np.random.default_rng(0).random((60_000, m + of_last))
    limits = np.sort(draws[:, :m], axis=1)[:, -k, None]
    alarms = np.sum(draws[:, m:] > limits, axis=1) >= needed
    assert np.mean(alarms) == pytest.approx(alarm_chance(m, k, needed, of_last), abs=0.004)


def test_the_limit_is_the_lowest_that_keeps_the_budget() -> None:
    scores = [float(i) for i in range(52)]
    limit = choose_limit(scores, WEEKLY)
    assert (limit.k, limit.score, limit.budget_short) == (3, 49.0, None)
    assert limit.alarms_per_year == alarms_per_year(52, 3, WEEKLY)
    generous = WEEKLY.model_copy(update={"false_alarms_per_year": 1.1})
    assert choose_limit(scores, generous).k == 4
    assert choose_limit(scores, WEEKLY.sharing(4)).k == 1


def test_a_short_reference_says_by_how_much() -> None:
    limit = choose_limit([0.1] * 13, WEEKLY)
    assert limit.k == 1
    assert limit.budget_short == (
        "the reference is too short for 1 false alarm a year: "
        "its 13 windows allow 1.3 (more if windows come in spells that so few don't show), "
        "about 16 would do"
    )
    assert alarms_per_year(16, 1, WEEKLY) <= 1 < alarms_per_year(15, 1, WEEKLY)
    assert choose_limit([0.1] * 16, WEEKLY).budget_short is None


def test_windows_in_spells_count_as_fewer() -> None:
    # given 52 windows of which each resembles the one before by a half
    scores = [float(i) for i in range(52)]
    alike = choose_limit(scores, WEEKLY, resemblance=0.5)
    # then they count as a third, the limit is a higher one, and the budget is kept all the same
    assert alike.effective == pytest.approx(52 / 3)
    assert alike.k < choose_limit(scores, WEEKLY).k
    assert alike.alarms_per_year <= 1
    assert choose_limit([0.1] * 26, WEEKLY, resemblance=0.5).budget_short == (
        "the reference is too short for 1 false alarm a year: its 26 windows resemble their "
        "neighbours, so that they count as 9, and allow 2.5, about 46 would do"
    )
    chances = [alarm_chance(26, 2, resemblance=r) for r in (0.0, 0.2, 0.5, 0.8)]
    assert chances == sorted(chances)
    assert chances[0] == alarm_chance(26, 2)


def test_the_rank_p_value_counts_the_window_itself() -> None:
    assert rank_p_value(3.0, [1.0, 2.0, 3.0, 4.0]) == pytest.approx(3 / 5)
    assert rank_p_value(9.0, [1.0, 2.0, 3.0, 4.0]) == pytest.approx(1 / 5)


def test_a_policy_is_a_value_with_a_hash_of_everything_that_changes_a_verdict() -> None:
    # given the value of every declared field changed, one at a time
    changes = {
        "false_alarms_per_year": 2.0,
        "needed": 3,
        "of_last": 4,
        "leave_out": ["month"],
        "prediction_share": 0.1,
        "min_row_share": 0.4,
        "null_change": 0.1,
        "new_categories": 0.01,
        "most_segments": 3,
        "min_segment_rows": 5,
        "segments": ["carrier"],
        "windows_per_year": 12.0,
    }
    together: list[dict[str, object]] = [
        {"reference": "trailing", "reference_windows": 8},
        {"reference": "trailing", "reference_windows": 9},
        {"reference": "fixed", "reference_from": "2024-01-01", "reference_until": "2024-03-04"},
        {"reference": "fixed", "reference_from": "2024-01-08", "reference_until": "2024-03-04"},
        {"reference": "fixed", "reference_from": "2024-01-01", "reference_until": "2024-03-11"},
        {"segments": ["carrier"], "segments_decide": True},
    ]
    policies = [{"windows_per_year": 52.0, name: value} for name, value in changes.items()]
    policies += [{"windows_per_year": 52.0, **one} for one in together]
    # then none of them has the hash of another
    hashes = {DriftPolicy.model_validate(one).hash for one in policies} | {WEEKLY.hash}
    assert len(hashes) == len(policies) + 1
    assert set(DriftPolicy.model_fields) == {n for one in policies for n in one}
    # and the hash is that of the bytes, as a blob's is
    assert WEEKLY.hash == hashlib.sha256(WEEKLY.to_bytes()).hexdigest()
    assert DriftPolicy.model_validate_json(WEEKLY.to_bytes()) == WEEKLY
    assert DriftPolicy.declared(Drift(), 52) == WEEKLY


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"needed": 4}, "more than of_last"),
        ({"reference": "trailing"}, "needs reference_windows"),
        ({"reference_windows": 5}, "others have none"),
        ({"reference": "fixed", "reference_from": "2024-01-01"}, "needs reference_from and"),
        ({"reference_from": "2024-01-01", "reference_until": "2024-01-01"}, "others have none"),
        (
            {"reference": "fixed", "reference_from": "2024-02-01", "reference_until": "2024-01-01"},
            "is after reference_until",
        ),
        ({"segments_decide": True}, "needs segments"),
    ],
)
def test_what_does_not_fit_together_is_refused(declared: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Drift.model_validate(declared)
