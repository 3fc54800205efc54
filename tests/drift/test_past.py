"""What a verdict takes from the windows before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops_assets.drift.past import Past, Reference, Row, Walk, outdated, past_of
from mlops_assets.drift.policy import DriftPolicy

POLICY = DriftPolicy.model_validate({"windows_per_year": 8766})
HOURS = [
    f"{datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=number):%Y-%m-%dT%H}"
    for number in range(2_001)
]


FIXED = {"reference": "fixed", "reference_from": HOURS[3], "reference_until": HOURS[40]}
TRAILING: dict[str, Any] = {"reference": "trailing", "reference_windows": 20}
REFERENCES: list[dict[str, Any]] = [
    {},
    FIXED,
    TRAILING,
    {**TRAILING, "needed": 1, "of_last": 1},
    {**TRAILING, "of_last": 4, "reference_windows": 2},
]


def judged(window: str, verdict: str) -> Row:
    return Row(
        window=window,
        batch_version="",
        champion=1,
        policy=POLICY.hash,
        verdict=verdict,
        exceeds=False,
        finding="[[false,false]]",
        profile="",
        past="",
    )


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


def history(policy: DriftPolicy, windows: list[str]) -> dict[str, Row]:
    """Return rows of one champion, each with a profile of its own."""
    return {
        window: judged(window, "stable")._replace(policy=policy.hash, profile=f"of {window}")
        for window in windows
    }


def walked(policy: DriftPolicy, rows: Mapping[str, Row]) -> Iterator[tuple[str, Past, Reference]]:
    walk = Walk(policy)
    for window in sorted(rows):
        yield window, walk.to(window, 1), walk.reference(window)
        walk.add(rows[window])


@pytest.mark.parametrize("drift", REFERENCES)
def test_a_past_is_another_one_where_what_a_reference_is_made_of_is(drift: dict[str, Any]) -> None:
    policy = DriftPolicy.model_validate({"windows_per_year": 8766, **drift})
    rows = history(policy, HOURS[:80])
    before = {window: (past, made_of) for window, past, made_of in walked(policy, rows)}
    # given a window that was profiled anew, judged by another champion, or that came late
    for number in (0, 1, 3, 30, 40, 41, 60, 79):
        window = HOURS[number]
        for change in ({"profile": "another"}, {"champion": 2}, None):
            changed = {**rows, window: rows[window]._replace(**(change or {}))}
            if change is None:
                del changed[window]
            # then the pasts that differ are those of the windows whose reference does, and no others
            for name, past, made_of in walked(policy, changed):
                was, was_made_of = before[name]
                alike = (past.counted, made_of) == (was.counted, was_made_of)
                assert (past.digest == was.digest) is alike, (name, window, change)


@pytest.mark.parametrize("drift", REFERENCES)
def test_a_past_recorded_with_a_whole_reference_is_known_again(drift: dict[str, Any]) -> None:
    # given verdicts of a home from when all windows of the reference were hashed for each
    policy = DriftPolicy.model_validate({"windows_per_year": 8766, **drift})
    rows = history(policy, HOURS[:80])
    for window, past, made_of in walked(policy, rows):
        said = json.dumps([past.counted, past.of_segments, past.uncounted or [], made_of])
        digest = hashlib.sha256(said.encode()).hexdigest()[:12]
        rows[window] = rows[window]._replace(past=digest)
    # then none is judged again for that
    assert list(outdated(policy, rows)) == []
    assert list(outdated(policy, rows)) == []
    # but where a window that it was made of is another one now, it is
    rows[HOURS[39]] = rows[HOURS[39]]._replace(profile="another")
    found = {window for window, *_ in outdated(policy, rows)}
    if drift == FIXED:
        assert found == set(HOURS[41:80])
    elif drift == TRAILING:
        assert found == set(HOURS[42:62])


def test_a_long_reference_makes_a_past_no_longer() -> None:
    for drift in (
        {"reference": "fixed", "reference_from": HOURS[0], "reference_until": HOURS[719]},
        {"reference": "trailing", "reference_windows": 720},
    ):
        policy = DriftPolicy.model_validate({"windows_per_year": 8766, **drift})
        rows = history(policy, HOURS[:800])
        # it is made for every window of a year, whenever one lands
        assert len(repr(past_of(policy, rows, HOURS[800], 1))) < 500
