from __future__ import annotations

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


@pytest.mark.parametrize(("tolerance", "passed"), [(1.0, False), (2.0, True)])
def test_a_refit_may_differ_as_much_as_two_seeds_do(tolerance: float, passed: bool) -> None:
    challenger = pl.Series([0.25, 0.5])
    result = agreement(
        challenger + 0.25, challenger, pl.Series([0.125, 0.625]), tolerance=tolerance
    )
    assert (result.difference, result.between_seeds, result.limit) == (
        0.25,
        0.125,
        0.125 * tolerance,
    )
    assert result.passed is passed
    assert ("within" if passed else "beyond") in result.sentence


def test_differences_of_both_signs_do_not_cancel() -> None:
    challenger = pl.Series([0.5, 0.5])
    result = agreement(pl.Series([0.25, 0.75]), challenger, pl.Series([0.5, 0.625]), tolerance=1.0)
    assert not result.passed


def test_without_a_measure_only_an_equal_refit_agrees() -> None:
    scores = pl.Series([0.25, 0.5])
    assert agreement(scores, scores, scores, tolerance=1.0).passed
    with pytest.raises(TrainingError, match="bagging_fraction"):
        agreement(scores + 0.1, scores, scores, tolerance=1.0)


@pytest.mark.parametrize(
    ("refit", "message"),
    [
        ([0.1], "same rows"),
        ([0.1, None], "without a score"),
        ([0.1, float("nan")], "without a score"),
    ],
)
def test_scores_of_other_rows_are_refused(refit: list[float | None], message: str) -> None:
    scores = pl.Series([0.25, 0.5])
    with pytest.raises(TrainingError, match=message):
        agreement(pl.Series(refit), scores, scores, tolerance=1.0)
