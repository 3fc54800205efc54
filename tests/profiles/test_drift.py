from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from mlops_assets.errors import ProfileError
from mlops_assets.profiles.drift import DriftPolicy, Reference, judge, no_champion
from mlops_assets.profiles.policy import alarm_chance, alarms_per_year, choose_limit
from mlops_assets.profiles.profile import Profile, profile

POLICY = DriftPolicy()
IMPORTANCE = {"wind": 3.0, "carrier": 1.0, "month": 0.0}


def window(seed: int, shift: float = 0.0, rows: int = 2000, **columns: object) -> Profile:
    random = np.random.default_rng(seed)
    weather = random.normal(0, 0.2)  # what the rows of one week share
    data = pl.DataFrame(
        {
            "wind": random.normal(weather + shift, 1, rows),
            "carrier": random.choice(["AA", "UA", "DL"], rows, p=[0.5, 0.3, 0.2]),
            "month": np.full(rows, seed // 4),
            "score": random.random(rows),
        }
    )
    return profile(data.with_columns(**columns))


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.build({f"w{i:02}": window(i) for i in range(20)}, IMPORTANCE, POLICY)


@pytest.mark.parametrize(
    ("m", "k", "expected"), [(17, 1, 0.8), (52, 3, 0.6), (13, 1, 1.3), (8, 1, 2.8)]
)
def test_false_alarms_of_a_year_of_weeks(m: int, k: int, expected: float) -> None:
    # the chance that 2 of 3 exceed, times the windows of a year
    assert round(alarms_per_year(m, k, 52, POLICY), 1) == expected


@pytest.mark.parametrize(("m", "k"), [(2, 1), (17, 1), (52, 3), (52, 52)])
def test_the_chance_is_the_formula_for_two_of_three(m: int, k: int) -> None:
    second = 3 * k * (k + 1) / ((m + 1) * (m + 2))
    third = 2 * k * (k + 1) * (k + 2) / ((m + 1) * (m + 2) * (m + 3))
    assert alarm_chance(m, k) == pytest.approx(second - third)


def test_the_chance_holds_in_a_simulation() -> None:
    draws = np.random.default_rng(0).random((40_000, 17 + 3))
    exceed = draws[:, 17:] > draws[:, :17].max(axis=1, keepdims=True)
    assert np.mean(exceed.sum(axis=1) >= 2) == pytest.approx(alarm_chance(17, 1), abs=0.003)


def test_the_limit_is_the_lowest_that_keeps_the_budget() -> None:
    scores = [float(i) for i in range(52)]
    limit = choose_limit(scores, POLICY, 52)
    assert (limit.k, limit.score, limit.budget_short) == (3, 49.0, None)
    generous = choose_limit(scores, DriftPolicy(false_alarms_per_year=1.1), 52)
    assert generous.k == 4


def test_a_short_reference_says_by_how_much() -> None:
    limit = choose_limit([0.1] * 13, POLICY, 52)
    assert limit.k == 1
    assert limit.budget_short == (
        "the reference is too short for 1 false alarm a year: "
        "its 13 windows allow 1.3, about 16 would do"
    )
    assert alarms_per_year(16, 1, 52, POLICY) <= 1 < alarms_per_year(15, 1, 52, POLICY)


def test_a_usual_window_is_stable_and_a_moved_one_warns_then_drifts(reference: Reference) -> None:
    usual = judge(reference, "w20", window(20), [], 52)
    assert (usual.verdict, usual.exceeds, usual.warnings) == ("stable", False, ())

    moved = window(21, shift=0.8)
    first = judge(reference, "w21", moved, [False, False], 52)
    assert (first.verdict, first.exceeds) == ("warning", True)
    assert first.p_value == pytest.approx(1 / 21)
    second = judge(reference, "w22", moved, [False, True], 52)
    assert second.verdict == "drifted"
    assert second.score > second.limit
    assert judge(reference, "w23", moved, [True, False, False], 52).verdict == "warning"
    assert judge(reference, "w23", window(20), [True, True], 52).verdict == "drifted"


def test_the_sentence_and_the_lines_say_what_moved(reference: Reference) -> None:
    found = judge(reference, "w21", window(21, shift=0.8), [True], 52)
    top = found.features[0]
    assert found.sentence.startswith("drifted: 2 of the last 2 windows exceed the limit (score .")
    assert f"wind moved {top.distance:.2f} (its own weeks: .".replace(" 0.", " .") in found.sentence
    assert f"and makes up {top.share:.0%} of the score" in found.sentence
    assert (top.feature, top.kind) == ("wind", "ks")
    assert top.own_low < top.own_high < top.distance
    assert sum(line.share for line in found.features) == pytest.approx(1)
    score = next(line for line in found.features if line.feature == "score")
    assert (score.share, score.kind) == (0.0, "ks")
    assert score.distance > 0


def test_warning_signs_speak_whatever_the_score(reference: Reference) -> None:
    strange = window(
        20,
        carrier=pl.when(pl.int_range(pl.len()) < 20).then(pl.lit("ZZ")).otherwise("carrier"),
        wind=pl.when(pl.int_range(pl.len()) >= 100).then("wind"),
        score=pl.lit(0.5),
    )
    found = judge(reference, "w20", strange, [], 52)
    assert found.verdict == "warning"
    assert found.warnings == (
        "carrier: never seen in the reference: ZZ (1.0% of rows)",
        "score: a single value fills the window, as it never did in the reference",
        "wind: missing in 5.0% of rows (reference 0.0%, its own windows 0.0% to 0.0%)",
    )  # month fills every week with one value, in the reference too


def test_a_handful_of_rows_of_a_new_category_and_a_usual_gap_are_no_warning() -> None:
    # given a reference in whose own windows the gust is missing in a tenth to nine tenths of rows
    def gusts(seed: int, missing: float, carrier: str = "AA") -> Profile:
        values = np.random.default_rng(seed).normal(0, 1, 1000)
        rows = pl.DataFrame({"gust": values, "carrier": ["AA"] * 996 + [carrier] * 4})
        return profile(
            rows.with_columns(pl.when(pl.int_range(pl.len()) >= 1000 * missing).then("gust"))
        )

    built = Reference.build(
        {f"w{i}": gusts(i, i / 10) for i in range(1, 10)}, {"gust": 1.0}, POLICY
    )
    # when a window lies within that, with four rows of a new category, then nothing warns
    assert judge(built, "w10", gusts(10, 0.8, carrier="ZZ"), [], 52).warnings == ()
    # and where it lies outside, it does
    assert "missing in 100.0%" in judge(built, "w11", gusts(11, 1.0), [], 52).warnings[0]


def test_text_with_more_values_than_a_sketch_holds_is_never_called_new() -> None:
    def tails(seed: int) -> Profile:
        numbers = np.random.default_rng(seed).integers(0, 50_000, 2000)
        return profile(pl.DataFrame({"tail": [f"N{number}" for number in numbers]}))

    built = Reference.build({f"w{i}": tails(i) for i in range(5)}, {"tail": 1.0}, POLICY)
    assert judge(built, "w5", tails(5), [], 52).warnings == ()


def test_a_feature_that_vanished_is_as_far_as_can_be(reference: Reference) -> None:
    gone = Profile({n: c for n, c in window(20).columns.items() if n != "wind"})
    found = judge(reference, "w20", gone, [], 52)
    assert found.exceeds
    assert found.features[0].distance == found.features[0].null_change == 1.0


@pytest.mark.parametrize("rows", [0, 999])
def test_too_few_rows_are_no_verdict(reference: Reference, rows: int) -> None:
    found = judge(reference, "w20", window(20, shift=9, rows=rows), [True, True], 52)
    assert (found.verdict, found.score, found.exceeds) == ("insufficient", None, False)
    assert "rows" in found.sentence


def test_before_a_champion_and_with_a_single_window_nothing_is_judged() -> None:
    assert no_champion("w", POLICY).verdict == "insufficient"
    single = Reference.build({"w": window(1)}, IMPORTANCE, POLICY)
    assert judge(single, "w2", window(2), [], 52).verdict == "insufficient"


def test_a_reference_survives_its_bytes(reference: Reference) -> None:
    again = Reference.from_bytes(reference.to_bytes())
    assert again.to_bytes() == reference.to_bytes()
    moved = window(21, shift=0.3)
    assert judge(again, "w", moved, [], 52) == judge(reference, "w", moved, [], 52)
    for broken in (b"", b"WHY1", reference.to_bytes()[:300]):
        with pytest.raises(ProfileError):
            Reference.from_bytes(broken)


def test_short_and_empty_windows_set_no_yardstick() -> None:
    profiles = {f"w{i}": window(i) for i in range(4)}
    built = Reference.build(
        profiles | {"short": window(7, rows=40), "empty": window(8, rows=0)}, IMPORTANCE, POLICY
    )
    assert built.windows == ("w0", "w1", "w2", "w3")
    assert built.profile.rows == 8040


def test_left_out_features_count_for_nothing() -> None:
    policy = DriftPolicy(leave_out=("wind",))
    built = Reference.build({f"w{i}": window(i) for i in range(5)}, IMPORTANCE, policy)
    assert built.features["carrier"].share == 1.0
    found = judge(built, "w5", window(5, shift=5), [], 52)
    assert next(line for line in found.features if line.feature == "wind").share == 0.0


def test_mistakes_are_named() -> None:
    with pytest.raises(ProfileError, match="`wnd`; did you mean `wind`"):
        Reference.build({"w": window(1)}, {"wnd": 1.0}, POLICY)
    with pytest.raises(ProfileError, match="gain of `wind`"):
        Reference.build({"w": window(1)}, {"wind": -1.0}, POLICY)
    with pytest.raises(ProfileError, match="at least one window"):
        Reference.build({"w": window(1, rows=0)}, {"wind": 1.0}, POLICY)
    with pytest.raises(ValidationError, match="more than of_last"):
        DriftPolicy(needed=4)
    assert DriftPolicy().hash == POLICY.hash != DriftPolicy(null_change=0.1).hash
