from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mlops_assets.drift.judgement import DriftPolicy, Reference, judge
from mlops_assets.drift.policy import choose_limit
from mlops_assets.drift.reference import windows_of
from mlops_assets.errors import ProfileError
from mlops_assets.sketches.profile import Profile, profile
from tests.drift.weeks import IMPORTANCE, POLICY, window

KNOWN = [f"2024-01-{day:02}" for day in range(1, 13)]


@pytest.fixture(scope="module")
def reference() -> Reference:
    whole = {f"w{i:02}": window(i) for i in range(12)}
    parts = {"carrier=AA": {f"w{i:02}": window(i, height=500) for i in range(12)}}
    return Reference.build(whole, IMPORTANCE, parts)


def test_a_reference_survives_its_bytes(reference: Reference) -> None:
    again = Reference.from_bytes(reference.to_bytes())
    assert again.to_bytes() == reference.to_bytes()
    assert again.segments["carrier=AA"].rows == (500,) * 12
    moved = window(21, shift=0.3)
    assert judge(again, "w", moved, POLICY) == judge(reference, "w", moved, POLICY)
    for broken in (b"", b"WHY1", reference.to_bytes()[:300], reference.to_bytes()[:-300]):
        with pytest.raises(ProfileError):
            Reference.from_bytes(broken)


def test_nothing_of_the_policy_is_in_it(reference: Reference) -> None:
    # given the same reference under two policies
    declared = {"leave_out": ["wind"], "false_alarms_per_year": 20, "prediction_share": 0.25}
    other = POLICY.model_copy(update=declared)
    # when each judges the same window, then each counts what it counts
    before, after = reference.under(POLICY), reference.under(other)
    assert before.shares == {"wind": 0.75, "carrier": 0.25, "month": 0.0, "score": 0.0}
    assert after.shares == {"wind": 0.0, "carrier": 0.75, "month": 0.0, "score": 0.25}
    assert before.own_scores != after.own_scores
    assert (before.limit.k, after.limit.k) == (1, choose_limit(after.own_scores, other).k)
    assert after.limit.k > 1


def test_short_and_empty_windows_set_no_yardstick() -> None:
    profiles = {f"w{i}": window(i) for i in range(4)}
    built = Reference.build(
        profiles | {"short": window(7, height=40), "empty": window(8, height=0)}, IMPORTANCE
    )
    assert built.windows == ("short", "w0", "w1", "w2", "w3")
    assert built.under(POLICY).places == (1, 2, 3, 4)
    assert built.profile.rows == 8040
    # unless the policy takes them too
    assert len(built.under(POLICY.model_copy(update={"min_row_share": 0.0})).own_scores) == 5


def test_without_any_gain_all_features_weigh_the_same() -> None:
    built = Reference.build({f"w{i}": window(i) for i in range(3)}, dict.fromkeys(IMPORTANCE, 0.0))
    shares = built.under(POLICY).shares
    assert shares == {"wind": 1 / 3, "carrier": 1 / 3, "month": 1 / 3, "score": 0.0}


def test_left_out_features_count_for_nothing() -> None:
    policy = POLICY.model_copy(update={"leave_out": ["wind"]})
    built = Reference.build({f"w{i}": window(i) for i in range(5)}, IMPORTANCE)
    found = judge(built, "w5", window(5, shift=5), policy)
    assert next(line for line in found.features if line.feature == "wind").share == 0.0
    assert not found.exceeds


def test_mistakes_are_named() -> None:
    with pytest.raises(ProfileError, match="`wnd`; did you mean `wind`"):
        Reference.build({"w": window(1)}, {"wnd": 1.0})
    with pytest.raises(ProfileError, match="gain of `wind`"):
        Reference.build({"w": window(1)}, {"wind": -1.0})
    with pytest.raises(ProfileError, match="at least one window"):
        Reference.build({"w": window(1, height=0)}, {"wind": 1.0})


def test_what_is_left_out_may_be_newer_than_the_reference() -> None:
    built = Reference.build({f"w{i}": window(i) for i in range(5)}, IMPORTANCE)
    policy = POLICY.model_copy(update={"leave_out": ["gusts"]})
    assert built.under(policy).shares == built.under(POLICY).shares
    assert (
        judge(built, "w5", window(5), policy).score == judge(built, "w5", window(5), POLICY).score
    )


def test_with_everything_left_out_nothing_is_called_stable() -> None:
    built = Reference.build({f"w{i}": window(i) for i in range(5)}, IMPORTANCE)
    left_out = {"leave_out": list(IMPORTANCE), "prediction_share": 0.0}
    found = judge(built, "w5", window(5, shift=5), POLICY.model_copy(update=left_out))
    assert found.verdict == "insufficient"
    assert "left out" in found.sentence
    # unless the predictions are scored
    scored = POLICY.model_copy(update=left_out | {"prediction_share": 0.25})
    assert judge(built, "w5", window(5), scored).score is not None


def declared(**fields: object) -> DriftPolicy:
    return DriftPolicy.model_validate({"windows_per_year": 52, **fields})


def test_a_trailing_reference_ends_before_the_windows_that_decide_together() -> None:
    policy = declared(reference="trailing", reference_windows=4)
    # the last three windows decide: none of them is in the reference of another
    assert windows_of(policy, "2024-01-10", KNOWN) == tuple(KNOWN[3:7])
    assert windows_of(policy, "2024-01-05", KNOWN[::-1]) == tuple(KNOWN[:2])
    alone = declared(reference="trailing", reference_windows=4, needed=1, of_last=1)
    assert windows_of(alone, "2024-01-10", KNOWN) == tuple(KNOWN[5:9])
    with pytest.raises(ProfileError, match="ends 2 before the one that is judged, and there are 1"):
        windows_of(policy, "2024-01-04", KNOWN)
    # however few there are before: fewer than decide together leave none
    many = declared(reference="trailing", reference_windows=4, of_last=6)
    for number in range(5):
        with pytest.raises(ProfileError, match="and there are 0"):
            windows_of(many, "2024-01-10", KNOWN[:number])


def test_a_fixed_reference_judges_later_windows_only() -> None:
    policy = declared(reference="fixed", reference_from="2024-01-02", reference_until="2024-01-05")
    assert windows_of(policy, "2024-01-06", KNOWN) == tuple(KNOWN[1:5])
    assert windows_of(policy, "2024-01-12", KNOWN) == tuple(KNOWN[1:5])
    for within in ("2024-01-01", "2024-01-03", "2024-01-05"):
        with pytest.raises(ProfileError, match="later windows are judged"):
            windows_of(policy, within, KNOWN)
    with pytest.raises(ProfileError, match="no window of the declared reference"):
        windows_of(policy, "2024-01-06", KNOWN[5:])


@pytest.mark.parametrize("spell", [1, 4])
def test_the_order_of_own_windows_shows_spells(spell: int) -> None:
    # given windows whose mean is their own, or one for each four in a row
    random = np.random.default_rng(spell)
    moods = np.repeat(random.normal(0, 0.5, 40 // spell), spell)
    profiles = {
        f"w{i:02}": profile(
            pl.DataFrame(
                {
                    "wind": random.normal(mood, 1, 1000),
                    "carrier": random.choice(["AA", "UA"], 1000),
                }
            )
        )
        for i, mood in enumerate(moods)
    }
    built = Reference.build(profiles, {"wind": 1.0, "carrier": 1.0})
    # then the reference says so, and counts as fewer windows
    found = built.under(POLICY)
    if spell == 1:
        assert found.resemblance == 0
        assert found.limit.effective == 40
    else:
        # three of four neighbours are of one spell, and chance has its part
        assert 0.5 < found.resemblance < 0.8
        assert found.limit.effective < 14
    # but not where the feature that goes in spells doesn't count
    left_out = built.under(POLICY.model_copy(update={"leave_out": ["wind"]}))
    assert left_out.resemblance == 0


def test_shuffled_windows_seldom_seem_to_be_in_spells() -> None:
    moods = np.random.default_rng(5)
    seen = 0
    for _ in range(100):
        profiles = {
            f"w{i:02}": profile(pl.DataFrame({"wind": moods.normal(moods.normal(0, 1), 1, 60)}))
            for i in range(13)
        }
        seen += Reference.build(profiles, {"wind": 1.0}).under(POLICY).resemblance > 0
    assert seen <= 12  # 5 expected; 12 or fewer in 99.9% of such hundreds


def test_a_reference_of_one_window_has_no_order() -> None:
    built = Reference.build({"w": Profile(window(1).columns)}, IMPORTANCE)
    assert built.under(POLICY).resemblance == 0
