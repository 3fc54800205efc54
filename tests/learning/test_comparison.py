from __future__ import annotations

from typing import Literal

import polars as pl
import pytest

from mlops_assets.errors import TrainingError
from mlops_assets.learning.comparison import agreement, baseline, compare

TRUTH = pl.Series([True, False, True, False])
PERFECT = pl.Series([0.9, 0.1, 0.8, 0.2])
REVERSED = pl.Series([0.1, 0.9, 0.2, 0.8])
ONE_CLASS = pl.Series([True, True, None, True])


def test_every_window_counts_alike() -> None:
    large = pl.concat([TRUTH] * 100)
    result = compare(
        "auc",
        {
            "2013-04-08": (large, pl.concat([REVERSED] * 100), baseline(0.5, 400)),
            "2013-04-01": (TRUTH, PERFECT, baseline(0.5, 4)),
        },
        min_gain=0.0,
        opponent="baseline",
    )
    assert [(each.window, each.rows, each.gain) for each in result.windows] == [
        ("2013-04-01", 4, 0.5),
        ("2013-04-08", 400, -0.5),
    ]
    assert result.gain == 0
    assert result.passed


@pytest.mark.parametrize(("min_gain", "passed"), [(0.5, True), (0.5001, False)])
def test_the_mean_gain_must_reach_the_declared_one(min_gain: float, passed: bool) -> None:
    result = compare("auc", {"w": (TRUTH, PERFECT, baseline(0.5, 4))}, min_gain)
    assert result.passed is passed
    assert ("reached" if passed else "asked for") in result.sentence


def test_a_lower_loss_is_a_gain() -> None:
    result = compare("log_loss", {"w": (TRUTH, PERFECT, REVERSED)}, min_gain=0.01)
    assert result.passed
    assert result.gain is not None
    assert result.gain > 0
    assert "better" in result.sentence


def test_a_worse_challenger_is_said_to_be_worse() -> None:
    result = compare("auc", {"w": (TRUTH, REVERSED, PERFECT)}, min_gain=-0.5)
    assert not result.passed
    assert "1.0000 worse" in result.sentence


def test_an_undefined_window_is_named_and_does_not_count() -> None:
    result = compare(
        "auc", {"a": (TRUTH, PERFECT, REVERSED), "b": (ONE_CLASS, PERFECT, REVERSED)}, 0.0
    )
    assert result.gain == 1
    assert result.undefined == ("b",)
    assert result.windows[1].rows == 3
    assert "Not judged: b." in result.sentence


def test_nothing_judged_is_not_passed() -> None:
    result = compare("auc", {"b": (ONE_CLASS, PERFECT, REVERSED)}, min_gain=-1.0)
    assert result.gain is None
    assert not result.passed
    assert "can't be compared" in result.sentence


def test_no_windows_are_refused() -> None:
    with pytest.raises(TrainingError, match="no windows"):
        compare("auc", {}, 0.0)


def test_a_base_rate_is_a_probability() -> None:
    assert baseline(0.25, 2).to_list() == [0.25, 0.25]
    with pytest.raises(TrainingError, match="not between 0 and 1"):
        baseline(1.5, 2)


@pytest.mark.parametrize(("tolerance", "passed"), [(1.0, False), (2.0, True), (3.0, True)])
def test_a_refit_may_stray_a_multiple_of_what_seeds_do(tolerance: float, passed: bool) -> None:
    # given three seeds of one model, .125 apart on average
    challenger = pl.Series([0.25, 0.5])
    others = [pl.Series([0.125, 0.625]), pl.Series([0.25, 0.375])]
    # when the refit is .25 away
    result = agreement(challenger + 0.25, challenger, others, by="score", tolerance=tolerance)
    # then the tolerance decides
    between = (0.125 + 0.0625 + 0.1875) / 3
    assert (result.difference, result.between_seeds) == (0.25, between)
    assert result.limit == between * tolerance
    assert result.passed is passed
    assert ("within" if passed else "beyond") in result.sentence


def test_differences_of_both_signs_do_not_cancel() -> None:
    challenger = pl.Series([0.5, 0.5])
    other = [pl.Series([0.5, 0.625])]
    assert not agreement(
        pl.Series([0.25, 0.75]), challenger, other, by="score", tolerance=1.0
    ).passed


def test_a_shuffled_order_shows_by_rank_where_the_level_is_the_same() -> None:
    # given seeds that hardly differ, and a refit with the same scores in another order
    challenger = pl.Series([number / 100 for number in range(100)])
    others = [challenger + 0.001, challenger - 0.001]
    # when both kinds of agreement are asked for, then the order gives it away
    shuffled = challenger.shuffle(seed=1)
    assert not agreement(shuffled, challenger, others, by="rank", tolerance=6.0).passed
    assert agreement(challenger * 0.9, challenger, others, by="rank", tolerance=6.0).passed


def test_a_model_that_no_seed_changes_leaves_a_refit_some_room() -> None:
    # given a model without bagging: every seed is the same
    scores = pl.Series([0.25, 0.5])
    assert agreement(scores + 0.04, scores, [scores], by="score", tolerance=5.0).passed
    assert not agreement(scores + 0.06, scores, [scores], by="score", tolerance=5.0).passed


@pytest.mark.parametrize(
    ("refit", "message"),
    [
        ([0.1], "same rows"),
        ([0.1, None], "without a score"),
        ([0.1, float("nan")], "without a score"),
    ],
)
@pytest.mark.parametrize("by", ["score", "rank"])
def test_scores_of_other_rows_are_refused(
    refit: list[float | None], message: str, by: Literal["score", "rank"]
) -> None:
    scores = pl.Series([0.25, 0.5])
    with pytest.raises(TrainingError, match=message):
        agreement(pl.Series(refit), scores, [scores], by=by, tolerance=1.0)


MINUTES = pl.Series([10.0, 20.0, 30.0, 40.0])


@pytest.mark.parametrize(("share", "passed"), [(0.5, True), (0.51, False)])
def test_a_gain_in_the_targets_unit_is_asked_for_as_a_share_of_the_opponents_error(
    share: float, passed: bool
) -> None:
    # given an error of 2 and 4 minutes, where the opponent's is 4 and 8
    windows = {
        "a": (MINUTES, MINUTES + 2, MINUTES - 4),
        "b": (MINUTES, MINUTES - 4, MINUTES + 8),
        "no labels": (pl.Series([None] * 4, dtype=pl.Float64), MINUTES, MINUTES),
    }
    for metric in ("rmse", "mae"):
        result = compare(metric, windows, share)
        # then a share of the opponent's mean error, 6, is asked for, and 3 are gained
        assert result.gain == pytest.approx(3)
        assert result.min_gain == pytest.approx(6 * share)
        assert result.passed is passed
        assert f"a gain of {6 * share:.4f} is" in result.sentence
        # the same in seconds
        seconds = {name: tuple(60 * one for one in three) for name, three in windows.items()}
        assert compare(metric, seconds, share).passed is passed  # type: ignore[arg-type]  # three they are


def test_the_naive_opponent_of_a_number_is_its_mean() -> None:
    assert baseline(-1_500.5, 2, "regression").to_list() == [-1_500.5, -1_500.5]
    with pytest.raises(TrainingError, match="it is no number"):
        baseline(float("nan"), 2, "regression")


@pytest.mark.parametrize("unit", [0.001, 1.0, 1e6])
def test_the_room_of_a_refit_is_in_the_unit_of_the_scores(unit: float) -> None:
    # given a model that no seed changes, of scores whose sd is 10 of some unit
    scores = pl.Series([10.0, 30.0]) * unit
    # then it may be off by 5 x 5% of that
    for off, passed in ((2.4, True), (2.6, False)):
        found = agreement(
            scores + off * unit, scores, [scores], by="score", tolerance=5.0, task="regression"
        )
        assert found.passed is passed
        assert found.limit == pytest.approx(2.5 * unit)
    # while the order of rows has no unit
    ranked = agreement(scores, scores, [scores], by="rank", tolerance=6.0, task="regression")
    assert ranked.limit == pytest.approx(0.03)
