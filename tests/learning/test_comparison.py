from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
import pytest

from mlops_assets.errors import TrainingError
from mlops_assets.learning.comparison import (
    Agreement,
    agreement,
    baseline,
    compare,
    explained_by_holdout,
)
from mlops_assets.learning.training import FittedModel, train

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


def rows(turned: bool, seed: int, count: int = 1500) -> pl.DataFrame:
    """Rows of a world in which `a` decides, one way or the other."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=count), random.normal(size=count)
    target = random.random(count) < 1 / (1 + np.exp(2 * a * (-1 if turned else 1)))
    return pl.DataFrame({"a": a, "b": b, "target": target})


def fitted(frame: pl.DataFrame, seed: int = 1) -> FittedModel:
    return train(
        frame,
        features=["a", "b"],
        target="target",
        parameters={"num_leaves": 7, "min_data_in_leaf": 20, "bagging_fraction": 0.7},
        rounds=40,
        seed=seed,
        task="binary",
    )


def judged(refit: FittedModel, before: pl.DataFrame, held_out: pl.DataFrame) -> list[Agreement]:
    """Judge a refit as a promotion does, with and without what the windows held out taught it."""
    challenger, *others = (fitted(before, seed) for seed in (1, 2, 3))
    newest = rows(turned=True, seed=99)
    explanation = explained_by_holdout(
        held_out["target"], refit.predict(held_out), challenger.predict(held_out), "binary"
    )
    return [
        agreement(
            refit.predict(newest),
            challenger.predict(newest),
            [other.predict(newest) for other in others],
            by="rank",
            tolerance=6.0,
            explanation=known,
        )
        for known in (None, explanation)
    ]


def test_a_refit_may_stray_where_the_windows_held_out_taught_it_to() -> None:
    # given a world that turned round in the windows held out
    before, held_out = rows(turned=False, seed=1), rows(turned=True, seed=2)

    # when the refit has learnt them
    alone, taught = judged(fitted(pl.concat([before, held_out, held_out])), before, held_out)

    # then it is far from the challenger, and they account for it
    assert (alone.passed, taught.passed) == (False, True)
    assert "account for it: its log loss there is 0." in taught.sentence


@pytest.mark.parametrize("spoilt", ["shuffled labels", "turned features", "another level"])
def test_a_spoilt_refit_is_refused_in_a_changed_world_too(spoilt: str) -> None:
    before, held_out = rows(turned=False, seed=1), rows(turned=True, seed=2)
    learnt = pl.concat([before, held_out, held_out])
    if spoilt == "shuffled labels":
        learnt = learnt.with_columns(pl.col("target").shuffle(seed=1))
    elif spoilt == "turned features":
        learnt = learnt.with_columns(a=pl.col("b"), b=pl.col("a"))
    else:
        learnt = learnt.filter(pl.col("target") | (pl.int_range(pl.len()) % 20 == 0))

    _, taught = judged(fitted(learnt), before, held_out)

    assert not taught.passed
    assert "do not account for it" in taught.sentence


def test_a_explained_by_holdout_numbers_is_told_by_squared_errors() -> None:
    truth = pl.Series([1.0, None, 4.0])
    near, far = pl.Series([1.0, 9.0, 3.0]), pl.Series([3.0, 9.0, 4.0])
    explanation = explained_by_holdout(truth, near, far, "regression")
    assert explanation.accounts_for_it
    assert (
        "its mean squared error there is 0.5000, the challenger's 2.0000, their mean's 2.2500"
        in explanation.sentence
    )
    assert not explained_by_holdout(truth, far, near, "regression").accounts_for_it
    assert not explained_by_holdout(truth, near, near, "regression").accounts_for_it
    # and the mean alone would have explained them better than this one
    farthest = pl.Series([9.0, 9.0, 9.0])
    assert not explained_by_holdout(truth, far + 0.5, farthest, "regression").accounts_for_it


def test_without_a_label_that_was_held_out_nothing_accounts_for_a_refit() -> None:
    scores = pl.Series([0.5, 0.5])
    with pytest.raises(TrainingError, match="no labelled rows that were held out"):
        explained_by_holdout(pl.Series([None, None], dtype=pl.Boolean), scores, scores)


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
