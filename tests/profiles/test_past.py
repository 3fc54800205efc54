"""What a verdict takes from the windows before it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mlops_assets.profiles.past import past_of
from mlops_assets.profiles.policy import DriftPolicy

POLICY = DriftPolicy.model_validate({"windows_per_year": 8766})
HOURS = [
    f"{datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=number):%Y-%m-%dT%H}"
    for number in range(2_001)
]


def judged(window: str, verdict: str) -> dict[str, Any]:
    said = {"policy": POLICY.hash, "exceeds": False, "finding": "[[false,false]]"}
    return {"window": window, "champion": 1, "profile": "", "verdict": verdict, "past": "", **said}


def test_many_windows_that_could_not_be_judged_make_a_past_no_longer() -> None:
    # given a quarter of a year's hours that had too few rows, after one that was judged
    rows = {window: judged(window, "insufficient") for window in HOURS[1:-1]}
    rows[HOURS[0]] = judged(HOURS[0], "stable")
    past = past_of(POLICY, rows, HOURS[-1], 1)
    # then what a verdict is told by is short: it is made for every one of them, whenever one lands
    assert len(repr(past)) < 500
    # and each of them counts all the same
    for gone in (HOURS[1], HOURS[1_000], HOURS[-2]):
        others = {window: row for window, row in rows.items() if window != gone}
        assert past_of(POLICY, others, HOURS[-1], 1).digest != past.digest
    # until one is judged
    rows[HOURS[-2]] = judged(HOURS[-2], "stable")
    assert past_of(POLICY, rows, HOURS[-1], 1).uncounted == ""
