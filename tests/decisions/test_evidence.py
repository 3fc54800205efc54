from __future__ import annotations

from typing import Any

import pytest

from mlops_assets.decisions import evidence
from mlops_assets.decisions.evidence import Champion
from mlops_assets.decisions.governor import Evidence

NEWEST = "2024-06-03"
WEEKS = ["2024-04-29", "2024-05-06", "2024-05-13", "2024-05-20", "2024-05-27"]
SERVING = Champion(version=3, since=5, unseen=WEEKS[2:])


def only(found: list[Evidence]) -> Evidence:
    assert len(found) == 1
    return found[0]


def test_the_first_training_is_possible_from_its_windows_on() -> None:
    assert evidence.initial(WEEKS, NEWEST, first_after=6) == []

    one = only(evidence.initial(WEEKS, NEWEST, first_after=5))

    assert (one.cause, one.champion) == ("initial:2024-05-27", None)


def test_a_corrected_batch_that_drifts_is_a_new_cause() -> None:
    before = only(evidence.drift(SERVING, NEWEST, "aaaaaaaaaa", "drifted: so far"))
    after = only(evidence.drift(SERVING, NEWEST, "bbbbbbbbbb", "drifted: so far"))

    assert before.cause == "drift:2024-06-03:v3:aaaaaaaa"
    assert after.cause != before.cause


def test_staleness_names_the_window_up_to_which_it_is_known() -> None:
    one = only(evidence.staleness(SERVING, NEWEST, WEEKS[-1], "waiting costs .02"))

    assert (one.cause, one.reason, one.champion) == (
        "staleness:2024-05-27:v3",
        "waiting costs .02",
        3,
    )


def performance(values: list[float], **settings: Any) -> list[Evidence]:
    return evidence.performance(
        SERVING,
        NEWEST,
        list(zip(WEEKS, values, strict=False)),
        **{
            "metric": "auc",
            "worst": 0.7,
            "higher_is_better": True,
            "needed": 2,
            "of_last": 3,
            **settings,
        },
    )


def test_two_of_the_last_three_windows_have_to_be_worse() -> None:
    assert performance([0.6, 0.6, 0.8, 0.71, 0.69]) == []

    one = only(performance([0.8, 0.8, 0.65, 0.7, 0.69]))

    assert one.cause == "performance:2024-05-27:v3"
    assert one.reason == (
        "auc was beyond 0.7 in 2 of the last 3 windows: 0.65 in 2024-05-13, 0.69 in 2024-05-27"
    )


def test_for_an_error_more_is_worse() -> None:
    error = {"metric": "rmse", "worst": 10.0, "higher_is_better": False}

    assert performance([9.0, 9.5, 10.0], **error) == []
    assert only(performance([9.0, 11.0, 10.5], **error)).trigger == "performance"


def test_fewer_windows_than_needed_prove_nothing() -> None:
    assert performance([0.1]) == []
    assert performance([]) == []


@pytest.mark.parametrize(("enough", "found"), [(3, 1), (4, 0)])
def test_new_data_is_counted_in_windows_that_the_champion_never_saw(
    enough: int, found: int
) -> None:
    evidences = evidence.new_data(SERVING, NEWEST, enough)

    assert [one.cause for one in evidences] == ["new_data:2024-05-27:v3"] * found


@pytest.mark.parametrize(("every", "found"), [(5, 1), (6, 0)])
def test_a_schedule_counts_from_the_last_attempt(every: int, found: int) -> None:
    evidences = evidence.schedule(SERVING, NEWEST, every)

    assert [one.cause for one in evidences] == ["schedule:2024-06-03:v3"] * found
