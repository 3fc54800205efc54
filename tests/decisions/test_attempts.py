from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mlops_assets.decisions.attempts import (
    MONTH,
    Attempt,
    new_windows,
    refused_in_a_row,
    retrainings,
    within_a_month,
)

NOW = datetime(2024, 6, 10, tzinfo=UTC)


def attempt(*, promoted: bool = False, ago: timedelta = timedelta(0), seen: str = "b") -> Attempt:
    return Attempt("w", NOW - ago, promoted, 1.5, seen)


def test_refusals_count_from_the_last_promotion() -> None:
    promoted, refused = attempt(promoted=True), attempt()

    assert refused_in_a_row([]) == 0
    assert refused_in_a_row([refused, promoted]) == 0
    assert refused_in_a_row([refused, promoted, refused, refused]) == 2
    assert refused_in_a_row([refused, refused, refused]) == 3


def test_what_led_to_the_first_champion_is_no_retraining() -> None:
    refused, first, again = attempt(), attempt(promoted=True), attempt(promoted=True, seen="c")

    assert retrainings([]) == []
    assert retrainings([refused, refused]) == []
    assert retrainings([refused, first]) == []
    assert retrainings([refused, first, refused, again]) == [refused, again]


def test_a_month_is_of_the_datas_time_and_its_end_counts() -> None:
    inside = attempt(ago=MONTH - timedelta(seconds=1))
    outside = attempt(ago=MONTH)
    later = attempt(ago=-timedelta(seconds=1))
    now = attempt()

    assert within_a_month([outside, inside, now, later], NOW) == [inside, now]


def test_new_is_what_the_last_attempt_did_not_have() -> None:
    assert new_windows([], ["a"]) is None
    assert new_windows([attempt(seen="a"), attempt(seen="b")], ["a", "b"]) == 0
    assert new_windows([attempt(seen="b")], ["a", "b", "c", "d"]) == 2
